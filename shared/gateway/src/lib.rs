//! How functions ask Neo4j: through the function neo4j-gateway, with logins from Secrets Manager.

mod logins;

use std::{collections::BTreeMap, time::Duration};

use cluster_core::neo4j::{Answer, Answers, Asked, DeclareUsers, Declared, Fault, Kind, Login, Observe, Request};
use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Response, Service, Signed, json_refusal},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use logins::{Logins, Versioned};

/// Lambda, whose path names the function.
const LAMBDA: Service = Service { name: "lambda", variable: "LAMBDA", refusal: json_refusal };
/// How long an invocation may take. The gateway itself answers within 8 s, and a cold start comes before that.
const TIMEOUT: Duration = Duration::from_secs(12);

/// The function neo4j-gateway, from outside.
#[derive(Clone, Debug)]
pub struct Gateway {
    lambda: Signed,
    function: String,
}

impl Gateway {
    /// Makes a client of the function with this name.
    pub fn new(function: String, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { lambda: Signed::new(LAMBDA, lookup, aws)?, function })
    }

    /// Asks each member what it knows. Returns exactly one answer for each member that was asked, in that order.
    pub async fn observe(&self, members: Vec<Asked>, monitor: Option<Login>) -> Result<Vec<Answer>, Failure> {
        let asked = members.clone();
        let answers: Answers = self.invoke(&Request::Observe(Observe { members, monitor })).await?;
        Ok(in_order(&asked, answers))
    }

    /// Declares the monitor's user.
    pub async fn declare_users(&self, wanted: DeclareUsers) -> Result<Declared, Failure> {
        self.invoke(&Request::DeclareUsers(wanted)).await
    }

    /// Invokes the function and waits for its answer. Once: a second attempt would put statements beside those that the
    /// first one left running in Neo4j.
    async fn invoke<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        let function = &self.function;
        let failed = || Failure::transient(format!("could not ask Neo4j through the function {function}"));
        // Its error would show the password.
        let body = serde_json::to_vec(request).map_err(|_| failed().caused_by("the request is not JSON"))?;
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "RequestResponse")];
        let call = Call::new("Invoke", &path, &headers, &body).once(TIMEOUT);
        let answer = self.lambda.call(call).await;
        let answer = answer.map_err(|error| error.failure(&format!("ask Neo4j through the function {function}")))?;
        // «X-Amz-Function-Error: If present, indicates that an error occurred during function execution»
        // (API reference of Lambda, Invoke).
        if answer.header("x-amz-function-error").is_some() {
            return Err(failed().caused_by(function_error(&answer)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| failed().caused_by(format!("its answer is unreadable: {error}")))
    }
}

/// Returns what a function says of its own failure.
fn function_error(answer: &Response) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = body.get("errorMessage").and_then(Value::as_str);
    message.unwrap_or("it failed without a message").chars().take(1_000).collect()
}

/// Returns one answer for each member that was asked.
fn in_order(asked: &[Asked], answers: Answers) -> Vec<Answer> {
    let mut known: BTreeMap<String, Answer> = BTreeMap::new();
    for answer in answers.members {
        known.insert(answer.task.clone(), answer);
    }
    let answer = |member: &Asked| {
        let answer = known.remove(&member.task).filter(|answer| answer.address == member.address);
        answer.unwrap_or_else(|| Answer::unasked(member, &Fault::new(Kind::Unreadable, "the gateway left it out")))
    };
    asked.iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn asked(task: &str, last: u8) -> Asked {
        Asked { task: task.into(), core: None, address: Ipv4Addr::new(10, 0, 0, last), pages_only: false }
    }

    #[test]
    fn there_is_one_answer_for_each_member_whatever_the_gateway_says() {
        let fault = Fault::new(Kind::Silent, "no answer");
        let answers = Answers {
            members: vec![
                Answer::unasked(&asked("c", 3), &fault),
                Answer::unasked(&asked("b", 9), &fault),
                Answer::unasked(&asked("x", 8), &fault),
            ],
        };
        let ordered = in_order(&[asked("a", 1), asked("b", 2), asked("c", 3)], answers);
        let seen = ordered.iter().map(|answer| {
            let Err(fault) = &answer.page else { panic!("{answer:?}") };
            (answer.task.as_str(), answer.address.octets()[3], fault.message.as_str())
        });
        let left_out = "the gateway left it out";
        assert_eq!(seen.collect::<Vec<_>>(), [("a", 1, left_out), ("b", 2, left_out), ("c", 3, "no answer")]);
    }
}
