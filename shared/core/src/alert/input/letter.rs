//! Messages in a dead-letter queue, handed on as they are.

use serde_json::Value;

use super::{
    super::{Alert, Key, Severity, Status, aws, quote},
    console::{self, Arn, escape, is_region},
    event::labels,
    payload::{cut, digest, field, instant, raw, text},
};

/// Reads a message as a dead letter, if it is one.
///
/// SQS says so of what it moved (`DeadLetterQueueSourceArn`, API reference of `ReceiveMessage`), EventBridge and Scheduler by the
/// attribute `ERROR_CODE`, Lambda by `ErrorCode` (Lambda developer guide, "Dead-letter queues"), and our own functions by `Why`.
/// What SNS puts into such a queue carries no mark: it is read as if it had arrived.
///
/// All letters of a queue are one incident: what to do is in the queue.
pub(super) fn read(message: &Value) -> Option<Alert> {
    let system = field(message, &["attributes", "Attributes"]);
    let attributes = field(message, &["messageAttributes", "MessageAttributes"]);
    let attribute = |name: &str| text(&attributes[name], &["stringValue", "StringValue"]);
    let origin = text(system, &["DeadLetterQueueSourceArn"]);
    let code = attribute("ERROR_CODE").or_else(|| attribute("ErrorCode"));
    let why = attribute("Why").or_else(|| attribute("ERROR_MESSAGE")).or_else(|| attribute("ErrorMessage"));
    if origin.is_none() && code.is_none() && attribute("Why").is_none() {
        return None;
    }
    let arn = text(message, &["eventSourceARN"]);
    let parts = arn.or(origin).and_then(Arn::parse);
    let region = parts.map(|arn| arn.region).filter(|region| is_region(region));
    let name = arn.or(origin).and_then(|arn| arn.rsplit(':').next()).unwrap_or("of an unknown name");
    let of = if arn.is_some() { "dead-letter queue" } else { "the dead-letter queue behind" };
    let url = parts.zip(region).filter(|_| arn.is_some()).map(|(arn, region)| {
        let domain = if arn.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://sqs.{region}.{domain}/{}/{}", arn.account, arn.resource)
    });
    let meaning = [
        why.map(|why| format!("Why: {}", cut(why, 500))),
        code.map(|code| format!("Error: {}", cut(code, 100))),
        origin.filter(|_| arn.is_some()).map(|origin| format!("It was given up in: {origin}")),
        attribute("RULE_ARN").or_else(|| attribute("SCHEDULE_ARN")).map(|rule| format!("It came from: {rule}")),
        attribute("TARGET_ARN").map(|target| format!("It was meant for: {target}")),
        Some(format!("The message as it came:\n{}", raw(field(message, &["body", "Body"])))),
    ];
    let mut labels = labels("dead-letter", parts.map_or("", |arn| arn.account), region);
    labels.insert("queue".to_owned(), name.to_owned());
    let link = region.zip(parts).zip(url.as_deref()).and_then(|((region, arn), url)| {
        console::link("Queue", region, arn.partition, &format!("sqs/v3/home?region={region}#/queues/{}", escape(url)))
    });
    Some(Alert {
        key: Key::new(&format!("{}#letters", arn.or(origin).unwrap_or("unknown"))),
        event: text(message, &["messageId", "MessageId"]).map_or_else(|| digest(message), str::to_owned),
        status: Status::Firing,
        lasting: false,
        severity: Severity::Error,
        labels,
        title: format!("A message is in {of} {}", cut(name, 80)),
        meaning: meaning.into_iter().flatten().collect::<Vec<_>>().join("\n"),
        since: instant(&system["SentTimestamp"]),
        reading: None,
        links: link.into_iter().collect(),
        next_step: region.zip(url.as_deref()).and_then(|(region, url)| peek(region, url)),
    })
}

/// Looks at the queue's messages, which stay visible to the next who looks. The CLI takes the URL of a queue as it is, in every
/// version, unlike other values that begin like this.
fn peek(region: &str, url: &str) -> Option<String> {
    let options = [
        ("region", region),
        ("attribute-names", "All"),
        ("message-attribute-names", "All"),
        ("max-number-of-messages", "10"),
        ("visibility-timeout", "0"),
    ];
    aws("sqs receive-message", &options).map(|line| format!("{line} --queue-url={}", quote(url)))
}
