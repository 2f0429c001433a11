//! SNS: topics, and what was published to them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ACCOUNT, REGION, Refusal, World,
    query::SNS,
    service::{Asked, Service, Target, Touched},
};

/// The largest message in bytes, and the longest subject (API reference of `Publish`).
const MESSAGE: usize = 262_144;
const SUBJECT: usize = 100;

/// What was published, by the topic's ARN. A topic without an entry is not there.
#[derive(Clone, Debug, Default)]
pub struct Sns {
    /// Topics, and their messages in the order in which they came.
    pub topics: BTreeMap<String, Vec<Published>>,
}

/// A message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// When.
    pub at: Timestamp,
    /// `MessageId`.
    pub id: String,
    /// `Subject`.
    pub subject: Option<String>,
    /// `Message`.
    pub message: String,
}

impl Service for Sns {
    const NAME: &'static str = "sns";
    const TARGET: Target = Target::Query(SNS);

    /// Service authorization reference of SNS: `Publish` on the topic.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let topic = asked.form.as_ref().map_or("", |form| form.text("TopicArn"));
        Touched::resources(vec![topic.to_owned()])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let form = asked.form()?;
        if form.action != "Publish" {
            return Err(Refusal::new("InvalidAction", format!("the world has no sns:{}", form.action)));
        }
        let subject = Some(form.text("Subject")).filter(|subject| !subject.is_empty());
        let id = world.publish(form.text("TopicArn"), subject, form.text("Message"))?;
        Ok(json!({"MessageId": id}))
    }
}

/// The ARN of a topic.
#[must_use]
pub fn topic_arn(name: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
}

impl World {
    /// Makes a topic, unless it is there, and returns its ARN.
    pub fn topic(&mut self, name: &str) -> String {
        let arn = topic_arn(name);
        self.sns.topics.entry(arn.clone()).or_default();
        arn
    }

    /// Publishes a message, and returns its id.
    /// Source: <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>, by which a message has at most 262,144 bytes. A subject
    /// has at most 100 characters, none of which breaks a line or controls.
    pub fn publish(&mut self, topic: &str, subject: Option<&str>, message: &str) -> Result<String, Refusal> {
        let invalid = |why: String| Err(Refusal::new("InvalidParameter", format!("Invalid parameter: {why}")));
        if !topic.starts_with("arn:") || !topic.contains(":sns:") {
            return invalid(format!("TopicArn {topic:?}"));
        }
        if message.is_empty() {
            return invalid("Empty message".to_owned());
        }
        if message.len() > MESSAGE {
            return invalid("Message too long".to_owned());
        }
        if let Some(subject) = subject
            && (subject.chars().count() > SUBJECT || subject.chars().any(char::is_control))
        {
            return invalid("Subject".to_owned());
        }
        let (at, id) = (self.now, self.uuid());
        let absent = || Refusal::new("NotFound", "Topic does not exist");
        let published = Published { at, id: id.clone(), subject: subject.map(str::to_owned), message: message.to_owned() };
        self.sns.topics.get_mut(topic).ok_or_else(absent)?.push(published);
        Ok(id)
    }

    /// Returns what was published to a topic.
    #[must_use]
    pub fn published(&self, topic: &str) -> &[Published] {
        self.sns.topics.get(topic).map_or(&[], Vec::as_slice)
    }
}
