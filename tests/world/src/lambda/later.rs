//! Asynchronous invocations: Lambda keeps them, tries again what failed, and hands on what it gives up.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>: «two more times, with a one-minute
//! wait between the first two attempts, and two minutes between the second and third attempts».

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{World, arn, name_of};

/// The waits before each further attempt, in seconds.
const WAITS: [i64; 2] = [60, 120];

/// An asynchronous invocation that a function has not yet dealt with.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Its id, which is the same for each attempt.
    pub id: String,
    /// The function's name in Lambda.
    pub function: String,
    /// What it is invoked with.
    pub payload: Value,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// How often it was attempted.
    pub attempts: usize,
}

impl World {
    /// Has a function invoked, named by its name or ARN. The caller learns nothing of what comes of it.
    pub fn invoke_later(&mut self, function: &str, payload: Value) {
        let (id, due) = (self.uuid(), self.now);
        let function = name_of(function).to_owned();
        self.lambda.invocations.push(Invocation { id, function, payload, due, attempts: 0 });
    }

    /// Takes the invocations of a function whose time has come, to attempt them. One that fails is given back by
    /// [`World::failed`].
    pub fn take_invocations(&mut self, function: &str) -> Vec<Invocation> {
        let (now, function) = (self.now, name_of(function));
        let due = |one: &mut Invocation| one.function == function && one.due <= now;
        self.lambda.invocations.extract_if(.., due).collect()
    }

    /// Takes note that an attempt failed: the function returned an error, ran out of time, or died. It is attempted again, or goes
    /// where the function's failures go.
    pub fn failed(&mut self, mut invocation: Invocation, error: &str) {
        let wait = WAITS.get(invocation.attempts);
        invocation.attempts += 1;
        if let Some(wait) = wait {
            invocation.due = self.now + SignedDuration::from_secs(*wait);
            self.lambda.invocations.push(invocation);
            return;
        }
        let record = self.record(&invocation, error).to_string();
        match self.lambda.on_failure.get(&invocation.function).cloned() {
            Some(topic) if topic.contains(":sns:") => _ = self.publish(&topic, None, &record),
            Some(queue) => self.messages.push((queue, record)),
            None => {}
        }
        self.lambda.given_up.push(invocation);
    }

    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
    fn record(&self, invocation: &Invocation, error: &str) -> Value {
        let Invocation { id, function, payload, attempts, .. } = invocation;
        json!({
            "version": "1.0",
            "timestamp": self.now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "requestContext": {
                "requestId": id, "functionArn": format!("{}:$LATEST", arn(function)), "condition": "RetriesExhausted",
                "approximateInvokeCount": attempts,
            },
            "requestPayload": payload,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorMessage": error},
        })
    }
}
