use aws_lambda_events::{
    cloudformation::CloudFormationCustomResourceRequest as CustomResource,
    sqs::{SqsEvent, SqsMessage},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Failure;

/// An event that invokes a function.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages of its queue: changes in AWS, and sweeps.
    Messages(Vec<SqsMessage>),
    /// CloudFormation creates, updates or deletes one of its custom resources.
    CustomResource(Box<CustomResource>),
    /// A person: `{}` for a round, `{"dryRun": true}` for the plan alone.
    Operator(Request),
}

/// A person's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Whether to plan only, and write nothing; each function says what it does when nothing is said.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// The fields of every request of CloudFormation (user guide, «Custom resource request objects»).
const CUSTOM_RESOURCE: [&str; 6] =
    ["RequestType", "ResponseURL", "StackId", "RequestId", "ResourceType", "LogicalResourceId"];

impl Event {
    /// Distinguishes the three forms by their whole shape: one key proves nothing, since an SNS notification has
    /// `Records` as well. Refuses anything else, with a description of it.
    pub fn read(payload: Value) -> Result<Self, Failure> {
        let Value::Object(fields) = &payload else { return Err(unknown("it is not a JSON object")) };
        if fields.contains_key("Records") {
            check_records(fields)?;
            let event: SqsEvent = parsed(payload, "messages of its queue")?;
            return Ok(Self::Messages(event.records));
        }
        if fields.contains_key("RequestType") {
            if let Some(missing) = CUSTOM_RESOURCE.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string))
            {
                return Err(unknown(&format!("it looks like a custom resource, but has no text {missing}")));
            }
            return Ok(Self::CustomResource(Box::new(parsed(payload, "a custom resource")?)));
        }
        if let Some(kind) = fields.get("detail-type") {
            return Err(unknown(&format!("it is an EventBridge event, {kind}, that did not come through its queue")));
        }
        parsed(payload, "a person's request").map(Self::Operator)
    }
}

/// Refuses records that are not all messages of SQS (Lambda developer guide, «Using Lambda with Amazon SQS»).
fn check_records(fields: &Map<String, Value>) -> Result<(), Failure> {
    let Some(records) = fields.get("Records").and_then(Value::as_array) else {
        return Err(unknown("its Records are not a list"));
    };
    if records.is_empty() {
        return Err(unknown("it has no record in its Records"));
    }
    for record in records {
        // SNS spells the key with a capital letter.
        let source = record.get("eventSource").or(record.get("EventSource")).and_then(Value::as_str);
        if source != Some("aws:sqs") {
            let source = source.unwrap_or("unknown");
            return Err(unknown(&format!("it holds a record of the source {source}, not of aws:sqs")));
        }
        if let Some(missing) =
            ["messageId", "body"].iter().find(|name| !record.get(**name).is_some_and(Value::is_string))
        {
            return Err(unknown(&format!("it holds a message of SQS without a text {missing}")));
        }
    }
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(payload: Value, what: &str) -> Result<T, Failure> {
    serde_json::from_value(payload).map_err(|error| unknown(&format!("it cannot be read as {what}")).caused_by(error))
}

fn unknown(why: &str) -> Failure {
    let known =
        "messages of its queue, requests of CloudFormation about its custom resources, {} and {\"dryRun\": true}";
    Failure::permanent(format!("unknown event: {why}; this function takes {known}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_is_recognized_by_its_whole_shape() {
        let message = json!({"messageId": "m", "body": "{}", "eventSource": "aws:sqs"});
        let read = Event::read(json!({"Records": [message, message]})).unwrap();
        assert!(matches!(read, Event::Messages(messages) if messages.len() == 2));
        let request = json!({
            "RequestType": "Create", "ResponseURL": "https://answer", "StackId": "s", "RequestId": "r",
            "ResourceType": "Custom::X", "LogicalResourceId": "l", "ResourceProperties": {},
        });
        assert!(matches!(Event::read(request).unwrap(), Event::CustomResource(_)));
        for (payload, dry_run) in
            [(json!({}), None), (json!({"dryRun": false}), Some(false)), (json!({"dryRun": true}), Some(true))]
        {
            assert!(matches!(Event::read(payload).unwrap(), Event::Operator(request) if request.dry_run == dry_run));
        }
    }

    #[test]
    fn what_is_no_form_is_refused_by_name() {
        let message = json!({"messageId": "m", "body": "{}", "eventSource": "aws:sqs"});
        let notification = json!({"EventSource": "aws:sns", "Sns": {"Message": "{}"}});
        for (payload, why) in [
            (json!({"Records": [notification]}), "a record of the source aws:sns, not of aws:sqs"),
            (json!({"Records": [message, notification]}), "a record of the source aws:sns, not of aws:sqs"),
            (
                json!({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}),
                "a message of SQS without a text messageId",
            ),
            (
                json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m"}]}),
                "a message of SQS without a text body",
            ),
            (json!({"Records": [{}]}), "a record of the source unknown, not of aws:sqs"),
            (json!({"Records": []}), "it has no record in its Records"),
            (json!({"Records": "none"}), "its Records are not a list"),
            (json!({"RequestType": "Create"}), "it looks like a custom resource, but has no text ResponseURL"),
            (
                json!({"source": "aws.ecs", "detail-type": "X", "detail": {}}),
                "an EventBridge event, \"X\", that did not",
            ),
            (json!({"dryrun": true}), "it cannot be read as a person's request"),
            (json!({"dryRun": "yes"}), "it cannot be read as a person's request"),
            (json!([]), "it is not a JSON object"),
            (json!(null), "it is not a JSON object"),
        ] {
            let refused = Event::read(payload.clone()).unwrap_err();
            assert_eq!(refused.kind(), crate::Kind::Permanent);
            assert!(refused.to_string().contains(why), "{payload}: {refused}");
            assert!(refused.to_string().contains("{\"dryRun\": true}"), "{refused}");
        }
    }
}
