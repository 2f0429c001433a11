//! Events on their way to functions: rules that match them, and the messages that a queue hands on.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use cluster_world::{ACCOUNT, REGION};
use serde_json::{Value, json};

/// A rule of EventBridge whose target is the queue of a function.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `EventPattern`.
    pub pattern: Value,
    /// The function that the queue wakes.
    pub function: String,
    /// How many seconds the queue keeps each message back (`DelaySeconds`; a FIFO queue has it for all: SQS developer guide, «Amazon
    /// SQS delay queues»).
    pub delay: i64,
}

/// Returns an event of EventBridge, made from an entry that the world emitted.
#[must_use]
pub fn delivered(entry: &Value) -> String {
    event(entry).to_string()
}

fn event(entry: &Value) -> Value {
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    // An event that is delivered twice is the same one.
    let id = format!("event-{:016x}", hash(&entry.to_string()));
    json!({
        "version": "0", "id": id, "account": ACCOUNT, "region": REGION, "source": entry["Source"], "detail-type": entry["DetailType"],
        "time": entry["Time"], "resources": entry["Resources"], "detail": detail,
    })
}

/// Returns what SQS hands to a function.
#[must_use]
pub fn messages(bodies: &[String]) -> Value {
    let records = bodies.iter().enumerate().map(
        |(n, body)| json!({"messageId": format!("m-{n}"), "eventSource": "aws:sqs", "body": body, "attributes": {}}),
    );
    json!({"Records": records.collect::<Vec<_>>()})
}

impl Rule {
    /// Returns whether the rule matches an entry that the world emitted.
    #[must_use]
    pub fn matches(&self, entry: &Value) -> bool {
        matches(&self.pattern, &event(entry))
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// EventBridge user guide, «Creating event patterns»: every key must match, one of a list's values is enough. Of `$or`, one of its
/// patterns is.
fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(keys) => keys.iter().all(|(key, inner)| match (key.as_str(), inner) {
            ("$or", Value::Array(patterns)) => patterns.iter().any(|pattern| matches(pattern, event)),
            _ => matches(inner, &event[key]),
        }),
        Value::Array(any) => any.iter().any(|one| matches_one(one, event)),
        other => panic!("no event pattern: {other}"),
    }
}

fn matches_one(one: &Value, value: &Value) -> bool {
    if let Value::Array(values) = value {
        return values.iter().any(|value| matches_one(one, value));
    }
    let Value::Object(test) = one else { return one == value };
    match test.iter().next().map(|(name, argument)| (name.as_str(), argument)) {
        Some(("prefix", prefix)) => value.as_str().zip(prefix.as_str()).is_some_and(|(v, p)| v.starts_with(p)),
        Some(("suffix", suffix)) => value.as_str().zip(suffix.as_str()).is_some_and(|(v, s)| v.ends_with(s)),
        Some(("exists", wanted)) => wanted == &json!(!value.is_null()),
        Some(("anything-but", not)) => !value.is_null() && !not.as_array().map_or(not == value, |a| a.contains(value)),
        _ => panic!("the simulation reads no test {one}"),
    }
}
