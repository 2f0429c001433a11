//! Events that reach a function through an SQS queue, and the queue for those that are unreadable.

use aws_lambda_events::{eventbridge::EventBridgeEvent, sqs::SqsMessage};
use aws_sdk_sqs::{Client, types::MessageAttributeValue};
use jiff::Timestamp;
use serde_json::Value;

use crate::Failure;

/// An event that wakes a function. It is only a reason to reconcile: what is done follows from the observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The source, such as `aws.ecs`.
    pub source: String,
    /// The detail type, such as `ECS Task State Change`.
    pub detail_type: String,
    /// When it happened, if the event holds a time.
    pub time: Option<Timestamp>,
    /// The detail, in a form of the source.
    pub detail: Value,
}

impl Trigger {
    /// Returns the pair that `Function::WAKES` lists.
    #[must_use]
    pub fn kind(&self) -> (&str, &str) {
        (&self.source, &self.detail_type)
    }

    /// Returns a text of the detail by its key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.detail.get(key)?.as_str()
    }
}

/// Reads a message's body as an EventBridge envelope, which the cluster's schedules send too.
pub fn trigger(message: &SqsMessage) -> Result<Trigger, String> {
    let body = message.body.as_deref().unwrap_or_default();
    let event: EventBridgeEvent = serde_json::from_str(body).map_err(|error| format!("not an event: {error}"))?;
    let time = event.time.and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok());
    Ok(Trigger { source: event.source, detail_type: event.detail_type, time, detail: event.detail })
}

/// The queue for unreadable messages. Functions move them there themselves: left where they are, they would block their
/// message group until they had failed often enough.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    queue_url: String,
}

impl DeadLetters {
    /// Sends through this client, to a FIFO queue or a standard one.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Moves a message there, with the reason as its attribute `Why`.
    pub async fn dead_letter(&self, message: &SqsMessage, why: &str) -> Result<(), Failure> {
        let id = message.message_id.as_deref().unwrap_or("unknown");
        // SQS refuses an empty body and an empty attribute.
        let body = message.body.as_deref().filter(|body| !body.is_empty()).unwrap_or("(empty)");
        let reason = MessageAttributeValue::builder().data_type("String").string_value(why).build();
        let reason = reason.map_err(|error| Failure::permanent("could not name the reason").caused_by(error))?;
        let send = self.client.send_message().queue_url(&self.queue_url).message_body(body);
        let send = send.message_attributes("Why", reason);
        // «The name of a FIFO queue … must end with the .fifo suffix» (API reference of `CreateQueue`), and a standard queue refuses
        // an id of deduplication.
        let ordered = self.queue_url.rsplit('.').next() == Some("fifo");
        let send = if ordered { send.message_group_id("dead-lettered").message_deduplication_id(id) } else { send };
        send.send().await.map_err(|error| Failure::call("move a message to the dead-letter queue", error))?;
        tracing::error!(why, message = id, "message moved to the dead-letter queue");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> SqsMessage {
        serde_json::from_value(serde_json::json!({"messageId": "m-1", "body": body})).unwrap()
    }

    #[test]
    fn an_envelope_is_read_and_anything_else_refused_with_its_fault() {
        let body =
            r#"{"source":"aws.ecs","detail-type":"ECS Task State Change","time":"2026-11-23T10:00:00Z","detail":{}}"#;
        let read = trigger(&message(body)).unwrap();
        assert_eq!((read.source.as_str(), read.detail_type.as_str()), ("aws.ecs", "ECS Task State Change"));
        assert_eq!(read.time, Some("2026-11-23T10:00:00Z".parse().unwrap()));
        for (body, fault) in
            [("", "EOF"), ("{\"source\":\"aws.ecs\"}", "missing field `detail-type`"), ("neo4j", "expected")]
        {
            let why = trigger(&message(body)).unwrap_err();
            assert!(why.starts_with("not an event: ") && why.contains(fault), "{why}");
        }
    }
}
