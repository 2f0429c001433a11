//! SQS: it takes messages, and keeps them.

use serde_json::{Value, json};

use super::{
    REGION, Refusal, World,
    service::{Asked, Service, Target, Touched},
};

/// Queues are made by the emulator; what is sent to them is with the world's messages.
#[derive(Clone, Debug, Default)]
pub struct Sqs;

impl Service for Sqs {
    const NAME: &'static str = "sqs";
    const TARGET: Target = Target::Json("AmazonSQS");

    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        Touched::resources(vec![queue_arn(asked.body["QueueUrl"].as_str().unwrap_or_default())])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_sqs(&asked.operation, &asked.body)
    }
}

/// The ARN of the queue behind a URL.
#[must_use]
pub fn queue_arn(url: &str) -> String {
    let mut parts = url.rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("arn:aws:sqs:{REGION}:{account}:{name}")
}

/// The URL of the queue behind an ARN.
#[must_use]
pub fn queue_url(arn: &str) -> String {
    let mut parts = arn.rsplit(':');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("https://sqs.{REGION}.amazonaws.com/{account}/{name}")
}

impl World {
    fn answer_sqs(&mut self, operation: &str, body: &Value) -> Result<Value, Refusal> {
        if operation != "SendMessage" {
            return Err(Refusal::new("UnsupportedOperation", format!("the world has no sqs:{operation}")));
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (url, message) = (text("QueueUrl"), text("MessageBody"));
        let fifo = url.rsplit('.').next() == Some("fifo");
        if fifo && (text("MessageGroupId").is_empty() || text("MessageDeduplicationId").is_empty()) {
            return Err(Refusal::new("InvalidParameterValue", "a FIFO queue wants a group and a deduplication id"));
        }
        if message.is_empty() {
            return Err(Refusal::new("MissingParameter", "The request must contain the parameter MessageBody."));
        }
        self.messages.push((url, message));
        let id = self.id(32);
        Ok(json!({"MessageId": id}))
    }
}
