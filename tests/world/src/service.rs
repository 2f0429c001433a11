//! What every modelled service of AWS is to the world.

use std::{collections::BTreeMap, fmt::Debug};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Answer, Context, Refusal, Request, World,
    cloudformation::{Change, Operation, Wanted},
    query::Form,
    s3,
};

/// A service of AWS. Its state is the implementing type, a field of the world; what it does may reach other services, so
/// every function is given the whole world.
pub(crate) trait Service: Clone + Debug + Default {
    /// The prefix that IAM knows it by.
    const NAME: &'static str;
    /// Which requests are its own.
    const TARGET: Target;
    /// The types of CloudFormation resources that it makes.
    const RESOURCES: &'static [&'static str] = &[];

    /// Returns what IAM is asked about a request: the resources, and in what circumstances.
    fn asked(world: &World, asked: &Asked<'_>) -> Touched;

    /// Answers a request with JSON, or, under [`Target::Rest`], with a text.
    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal>;

    /// Returns the answer in the protocol of the service.
    fn wrap(asked: &Asked<'_>, result: Result<Value, Refusal>) -> Answer {
        asked.wrap(result)
    }

    /// Returns when something happens next by itself, the past included.
    fn next_due(_: &World) -> Option<Timestamp> {
        None
    }

    /// Does one thing that is due now, and returns whether there was one.
    fn settle(_: &mut World) -> bool {
        false
    }

    /// Creates one of [`Self::RESOURCES`].
    fn create(_: &mut World, wanted: &Wanted<'_>) -> Operation {
        Err(format!("the world has no {}", wanted.r#type))
    }

    /// Updates a resource in place; nothing when the change needs a replacement.
    fn update(_: &mut World, _: &Change<'_>) -> Operation {
        Ok(None)
    }

    /// Begins to delete a resource. Whether that has come to its end, [`Self::is_leaving`] says.
    fn delete(_: &mut World, _type: &str, _physical_id: &str, _properties: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Ends a deletion that can end, and returns whether it has to wait.
    fn is_leaving(_: &mut World, _type: &str, _physical_id: &str) -> bool {
        false
    }
}

/// Which requests a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The JSON protocols: the header `X-Amz-Target` begins with this.
    Json(&'static str),
    /// The Query protocol: the form names this version.
    Query(&'static str),
    /// XML over paths: the path begins with this.
    Rest(&'static str),
    /// JSON over paths: what each begins with, and the operation.
    RestJson(&'static [(&'static str, &'static str)]),
    /// S3: the operation stands in the method, the path and the query.
    Buckets,
}

/// A request to a service, read.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    /// What is asked for, such as `DescribeTasks`; of [`Target::Rest`] the HTTP method.
    pub(crate) operation: String,
    /// Of the JSON protocols.
    pub(crate) body: Value,
    /// Of the Query protocol.
    pub(crate) form: Option<Form>,
}

impl Asked<'_> {
    /// The form of the Query protocol.
    pub(crate) fn form(&self) -> Result<&Form, Refusal> {
        self.form.as_ref().ok_or_else(|| Refusal::new("MalformedInput", "this service reads forms"))
    }

    /// Returns the answer in the protocol that the request came in.
    pub(crate) fn wrap(&self, result: Result<Value, Refusal>) -> Answer {
        match (result, &self.form) {
            (Ok(value), Some(form)) => form.accepted(&value),
            (Ok(Value::String(body)), None) => Answer::ok(body),
            (Ok(value), None) => Answer::ok(value.to_string()),
            (Err(refusal), _) => super::refused(self.request, refusal),
        }
    }
}

/// What a call touches.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The action, where it is not named like the operation.
    pub(crate) action: Option<&'static str>,
    /// As ARNs: IAM asks for each of them.
    pub(crate) resources: Vec<String>,
    /// The values of the service's own condition keys.
    pub(crate) context: Context,
    /// What IAM is told of single resources besides, by ARN.
    pub(crate) tags: BTreeMap<String, Context>,
}

impl Touched {
    /// Resources of which nothing else is told.
    pub(crate) fn resources(resources: Vec<String>) -> Self {
        Self { resources, ..Self::default() }
    }

    /// Resources, each with its tags.
    pub(crate) fn tagged(resources: Vec<(String, Context)>) -> Self {
        let names = resources.iter().map(|(resource, _)| resource.clone()).collect();
        Self { tags: resources.into_iter().collect(), ..Self::resources(names) }
    }
}

/// A service in the list of all.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    pub(crate) resources: &'static [&'static str],
    pub(crate) asked: fn(&World, &Asked<'_>) -> Touched,
    pub(crate) answer: fn(&mut World, &Asked<'_>) -> Result<Value, Refusal>,
    pub(crate) wrap: fn(&Asked<'_>, Result<Value, Refusal>) -> Answer,
    pub(crate) next_due: fn(&World) -> Option<Timestamp>,
    pub(crate) settle: fn(&mut World) -> bool,
    pub(crate) create: fn(&mut World, &Wanted<'_>) -> Operation,
    pub(crate) update: fn(&mut World, &Change<'_>) -> Operation,
    pub(crate) delete: fn(&mut World, &str, &str, &Value) -> Result<(), String>,
    pub(crate) is_leaving: fn(&mut World, &str, &str) -> bool,
}

impl Entry {
    pub(crate) const fn of<S: Service>() -> Self {
        Self {
            name: S::NAME,
            target: S::TARGET,
            resources: S::RESOURCES,
            asked: S::asked,
            answer: S::answer,
            wrap: S::wrap,
            next_due: S::next_due,
            settle: S::settle,
            create: S::create,
            update: S::update,
            delete: S::delete,
            is_leaving: S::is_leaving,
        }
    }

    /// Reads a request to this service; nothing when it is for another.
    pub(crate) fn read<'a>(&self, request: &'a Request) -> Option<Asked<'a>> {
        let plain = |operation: &str, body: Value| Asked { request, operation: operation.to_owned(), body, form: None };
        match (self.target, &request.target) {
            (Target::Json(prefix), Some(target)) => {
                let operation = target.strip_prefix(prefix)?.strip_prefix('.')?;
                Some(plain(operation, serde_json::from_slice(&request.body).unwrap_or_default()))
            }
            (Target::Query(version), None) => {
                let form = Form::parse(request).filter(|form| form.version == version)?;
                Some(Asked { request, operation: form.action.clone(), body: Value::Null, form: Some(form) })
            }
            (Target::RestJson(operations), None) => {
                let body = serde_json::from_slice(&request.body).unwrap_or_default();
                let asked = operations.iter().find(|(path, _)| request.path.starts_with(path));
                asked.map(|(_, operation)| plain(operation, body))
            }
            (Target::Buckets, None) => s3::operation(request).map(|operation| plain(operation, Value::Null)),
            (Target::Rest(path), None) => request.path.starts_with(path).then(|| plain(&request.method, Value::Null)),
            _ => None,
        }
    }
}
