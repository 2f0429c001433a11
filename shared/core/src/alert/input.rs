//! What tells of trouble, read into alerts: nothing is refused and nothing is dropped.

mod alarm;
mod console;
mod event;
mod group;
mod job;
mod letter;
mod payload;
mod task;
mod unclassified;

use serde_json::Value;

use self::payload::{field, list, text};
use super::Alert;

/// How many envelopes may lie in each other. A function in front of an SQS queue that is subscribed to a topic sees four: the
/// batch, the record, the notification, and its message.
const DEPTH: u8 = 8;

/// What the envelopes around a message say of it.
#[derive(Clone, Copy, Debug, Default)]
struct Envelope<'a> {
    /// The id of the notification.
    notification: Option<&'a str>,
    /// The id of the message in its queue. A topic may put one notification there twice, as two messages.
    message: Option<&'a str>,
    /// The subject of the notification.
    subject: Option<&'a str>,
}

/// Reads whatever a function is invoked with, or finds in a queue: at least one alert, whatever it is.
///
/// It takes batches of SQS and SNS, single records of them, the bodies of messages with and without raw delivery, events of
/// EventBridge, and the payload that an alarm invokes a function with. What has no form that is known becomes an alert that
/// carries it as it is.
#[must_use]
pub fn read(payload: &Value) -> Vec<Alert> {
    open(payload, Envelope::default(), DEPTH)
}

fn open(payload: &Value, envelope: Envelope<'_>, depth: u8) -> Vec<Alert> {
    let inner = depth.saturating_sub(1);
    if depth == 0 {
        return vec![unclassified::read(payload, envelope)];
    }
    if let Some(message) = payload.as_str() {
        return match serde_json::from_str::<Value>(message) {
            Ok(parsed) if parsed.is_object() => open(&parsed, envelope, inner),
            _ => vec![unclassified::read(payload, envelope)],
        };
    }
    let records = list(&payload["Records"]);
    if !records.is_empty() {
        return records.iter().flat_map(|record| open(record, envelope, inner)).collect();
    }
    if payload["Sns"].is_object() {
        return open(&payload["Sns"], envelope, inner);
    }
    // A message of SQS, as Lambda hands it on and as `ReceiveMessage` answers it.
    let body = field(payload, &["body", "Body"]);
    let id = text(payload, &["messageId", "MessageId"]);
    if body.is_string() && id.is_some() {
        return match letter::read(payload) {
            Some(alert) => vec![alert],
            None => open(body, Envelope { message: id, ..envelope }, inner),
        };
    }
    if payload["Type"] == "Notification" && payload["Message"].is_string()
        || payload["TopicArn"].is_string() && payload["Message"].is_string() && payload["Type"].is_null()
    {
        let notification =
            Envelope { notification: id.or(envelope.notification), subject: text(payload, &["Subject"]), ..envelope };
        return open(&payload["Message"], notification, inner);
    }
    let known = alarm::read(payload, envelope.notification)
        .or_else(|| task::read(payload))
        .or_else(|| job::read(payload))
        .or_else(|| group::read(payload));
    vec![known.unwrap_or_else(|| unclassified::read(payload, envelope))]
}
