//! SNS topics.

use cluster_core::alert::{Alert, Status, render};
use cluster_lambda::query::Query;

use super::Undelivered;

/// Publishes an alert. Its severity, status and tier are attributes too, for the filter policies of subscriptions.
pub(super) async fn publish(sns: &Query, topic: &str, alert: &Alert) -> Result<(), Undelivered> {
    let message = render::sns(alert);
    let status = match alert.status {
        Status::Firing => "firing",
        Status::Resolved => "resolved",
        Status::Unknown => "unknown",
    };
    let severity = alert.severity.to_string();
    // SNS refuses an empty attribute.
    let tier = alert.labels.get("tier").map(String::as_str).filter(|tier| !tier.is_empty());
    let attributes = [("severity", Some(severity.as_str())), ("status", Some(status)), ("tier", tier)];
    let mut parameters = vec![
        ("TopicArn".to_owned(), topic.to_owned()),
        ("Subject".to_owned(), message.subject),
        ("Message".to_owned(), message.text),
    ];
    let known = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    for ((name, value), nth) in known.zip(1..) {
        let of = |field: &str| format!("MessageAttributes.entry.{nth}.{field}");
        parameters.extend([
            (of("Name"), name.to_owned()),
            (of("Value.DataType"), "String".to_owned()),
            (of("Value.StringValue"), value.chars().take(256).collect()),
        ]);
    }
    let published = sns.call("Publish", &parameters).await;
    published.map(drop).map_err(|error| {
        let is_certain = error.code().is_some();
        Undelivered { failure: error.failure(&format!("publish to the topic {topic}")), is_certain }
    })
}
