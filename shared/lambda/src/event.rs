use aws_lambda_events::{
    cloudformation::CloudFormationCustomResourceRequest as CustomResource,
    sqs::{SqsEvent, SqsMessage},
};
use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

/// What may wake a function.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages of the queue: changes in AWS and sweeps.
    Messages(Vec<SqsMessage>),
    /// CloudFormation creates, updates or deletes the stack.
    CustomResource(Box<CustomResource>),
    /// A person invokes the function: `{}` for a pass, `{"dryRun": true}` to see the plan.
    Operator(Request),
}

/// What a person asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Plan, but write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Event {
    /// Tells the three apart by their shape.
    pub fn read(payload: Value) -> Result<Self, Failure> {
        let unreadable = |what: &str, error: serde_json::Error| {
            Failure::permanent(format!("the event looks like {what}, but cannot be read")).caused_by(error)
        };
        if payload.get("Records").is_some() {
            let event: SqsEvent = serde_json::from_value(payload).map_err(|e| unreadable("messages of a queue", e))?;
            return Ok(Self::Messages(event.records));
        }
        if payload.get("RequestType").is_some() {
            let request = serde_json::from_value(payload).map_err(|e| unreadable("a custom resource", e))?;
            return Ok(Self::CustomResource(Box::new(request)));
        }
        // An empty list would do for a request that says nothing.
        let request = if payload.is_object() { payload } else { Value::Null };
        serde_json::from_value(request).map(Self::Operator).map_err(|error| {
            let known = "messages of its queue, a CloudFormation custom resource, {} or {\"dryRun\": true}";
            Failure::permanent(format!("unknown event: this function takes {known}")).caused_by(error)
        })
    }
}
