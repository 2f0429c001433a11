//! Events that reach a function through an SQS queue, and those that nobody can read.

use aws_lambda_events::{eventbridge::EventBridgeEvent, sqs::SqsMessage};
use aws_sdk_sqs::{Client, types::MessageAttributeValue};
use jiff::Timestamp;
use serde_json::Value;

use crate::Failure;

/// Why a function was woken. The world decides what is done; this only says where to look, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Such as `aws.ecs`.
    pub source: String,
    /// Such as `ECS Task State Change`.
    pub detail_type: String,
    /// When it happened, if the event says so.
    pub time: Option<Timestamp>,
    /// The rest, as the source shapes it.
    pub detail: Value,
}

/// Reads a message's body as an EventBridge envelope; schedules of ours send the same form. Errors with what is wrong.
pub fn trigger(message: &SqsMessage) -> Result<Trigger, String> {
    let body = message.body.as_deref().unwrap_or_default();
    let event: EventBridgeEvent = serde_json::from_str(body).map_err(|error| format!("not an event: {error}"))?;
    let time = event.time.and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok());
    Ok(Trigger { source: event.source, detail_type: event.detail_type, time, detail: event.detail })
}

/// The queue for messages that nobody can read. A function moves them there itself: left where they are, they would
/// block their FIFO group until they have failed often enough.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    queue_url: String,
}

impl DeadLetters {
    /// `queue_url` names a FIFO queue.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sorts messages: answers the events that `is_known` takes, and how many messages nobody could read. Those are moved
    /// to the dead-letter queue; unknown events are logged and let go.
    pub async fn sort(
        &self,
        messages: &[SqsMessage],
        is_known: impl Fn(&Trigger) -> bool,
    ) -> Result<(Vec<Trigger>, usize), Failure> {
        let (mut triggers, mut malformed) = (Vec::new(), 0);
        for message in messages {
            match trigger(message) {
                Ok(trigger) if is_known(&trigger) => triggers.push(trigger),
                Ok(trigger) => {
                    tracing::warn!(source = trigger.source, detail_type = trigger.detail_type, "unknown event ignored");
                }
                Err(why) => {
                    tracing::error!(
                        why,
                        message = message.message_id,
                        "malformed message moved to the dead-letter queue"
                    );
                    self.dead_letter(message, &why).await?;
                    malformed += 1;
                }
            }
        }
        Ok((triggers, malformed))
    }

    /// Moves a message there, with the reason as its attribute `Why`.
    pub async fn dead_letter(&self, message: &SqsMessage, why: &str) -> Result<(), Failure> {
        let id = message.message_id.as_deref().unwrap_or("unknown");
        // SQS refuses an empty body and an empty attribute.
        let body = message.body.as_deref().filter(|body| !body.is_empty()).unwrap_or("(empty)");
        let why = MessageAttributeValue::builder().data_type("String").string_value(why).build();
        let why = why.map_err(|error| Failure::permanent("could not name the reason").caused_by(error))?;
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(body)
            .message_attributes("Why", why)
            .message_group_id("malformed")
            .message_deduplication_id(id)
            .send()
            .await
            .map_err(|error| Failure::call("move a malformed message to the dead-letter queue", error))?;
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
