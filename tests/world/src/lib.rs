//! The part of AWS that decides whether a cluster lives, modelled as AWS documents it: EC2 instances and volumes, Auto
//! Scaling with its hooks, ECS hosts, services and tasks, Cloud Map registration with its lags, Route 53 zones with their
//! rules, and tables of DynamoDB.
//!
//! The model keeps its own time. Nothing happens but by [`World::advance_to`], so a story plays the same way each time,
//! at whatever speed. `cluster-sim` puts it behind the SDK's own connector in process, `cluster-stage` behind sockets on loopback.

#![allow(clippy::indexing_slicing, reason = "a key that a JSON value does not have is null")]

pub mod auto_scaling;
pub mod cloud_map;
pub mod dns;
pub mod dynamodb;
pub mod ec2;
pub mod ecs;
pub mod hosts;
pub mod placement;
mod query;
mod resources;
pub mod route53;
mod sqs;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use auto_scaling::AutoScaling;
use cloud_map::CloudMap;
use dynamodb::DynamoDb;
use ec2::Ec2;
use ecs::Ecs;
use query::Form;
use route53::Route53;

pub use resources::{Operation, Resource};
pub use sqs::queue_arn;

/// The account of every ARN.
pub const ACCOUNT: &str = "000000000000";
/// The region of every ARN.
pub const REGION: &str = "eu-west-1";

/// Everything there is.
#[derive(Clone, Debug)]
pub struct World {
    /// The present.
    pub now: Timestamp,
    /// Subnets, launch templates, instances, volumes.
    pub ec2: Ec2,
    /// Groups and what they know of their instances.
    pub auto_scaling: AutoScaling,
    /// Clusters, services, tasks, hosts.
    pub ecs: Ecs,
    /// Namespaces, services, instances.
    pub cloud_map: CloudMap,
    /// Zones and their records.
    pub route53: Route53,
    /// Tables and their items.
    pub dynamodb: DynamoDb,
    /// Messages that were sent to queues: (queue URL, body).
    pub messages: Vec<(String, String)>,
    /// Events for EventBridge that nobody has taken yet, as entries of `PutEvents`.
    pub events: Vec<Value>,
    /// Every call that arrived.
    pub calls: Vec<Call>,
    /// The most items that a page holds. AWS may always return fewer than were asked for.
    pub page: usize,
    ids: fastrand::Rng,
}

/// What IAM is told of a call besides who does what to what: values by condition key.
pub type Context = BTreeMap<String, BTreeSet<String>>;

/// One call to an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it arrived.
    pub at: Timestamp,
    /// Named as IAM names it, such as `ecs:DescribeTasks`.
    pub action: String,
    /// What it touches, as ARNs: IAM asks for each of them.
    pub resources: Vec<String>,
    /// The values of the service's own condition keys.
    pub context: Context,
    /// What IAM is told of single resources besides, by ARN.
    pub tags: BTreeMap<String, Context>,
    /// Whether it changes anything.
    pub write: bool,
}

impl Call {
    /// What IAM is asked: resources that share their circumstances, and these.
    #[must_use]
    pub fn questions(&self) -> Vec<(Vec<&str>, Context)> {
        if self.tags.is_empty() {
            return vec![(self.resources.iter().map(String::as_str).collect(), self.context.clone())];
        }
        let each = self.resources.iter().map(|resource| {
            let own = self.tags.get(resource).into_iter().flatten();
            let context = self.context.iter().chain(own).map(|(key, values)| (key.clone(), values.clone()));
            (vec![resource.as_str()], context.collect())
        });
        each.collect()
    }
}

/// A refusal, as the service words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// A request to an API, whatever carried it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
    /// The header `X-Amz-Target` of the JSON protocols.
    pub target: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        if let Some(form) = Form::parse(self) {
            return form.writes();
        }
        let operation = self.target.as_deref().and_then(|target| target.split('.').nth(1));
        operation.map_or(self.method != "GET", |operation| {
            !["Describe", "List", "Get", "Query"].iter().any(|v| operation.starts_with(v))
        })
    }

    /// Whether it is an answer to CloudFormation, which the world keeps with its messages.
    fn answers_cloudformation(&self) -> bool {
        self.method == "PUT" && self.path == "/cfn"
    }

    /// Returns a refusal that any service may give, in the protocol of this request.
    #[must_use]
    pub fn refused(&self, status: u16, code: &str, message: &str) -> Answer {
        if let Some(form) = Form::parse(self) {
            return form.refused(code, message);
        }
        let body = if self.target.is_some() {
            format!(r#"{{"__type":"{code}","message":"{message}"}}"#)
        } else {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            format!("<ErrorResponse>{error}</ErrorResponse>")
        };
        Answer { status, body }
    }

    /// What it does, as far as it decides which faults can make a difference.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let form = Form::parse(self);
        let lists = self.target.as_deref().map_or(self.method == "GET", |target| target.contains(".List"));
        match (self.writes(), lists || form.is_some()) {
            (true, _) if self.target.is_none() && self.method == "POST" && form.is_none() => Kind::Batch,
            (true, _) => Kind::Write,
            (false, true) => Kind::List,
            (false, false) => Kind::Read,
        }
    }
}

/// What a call does, as far as it decides which faults can make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads a list, perhaps in pages.
    List,
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It is a batch of changes for Route 53.
    Batch,
}

/// What an API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON or XML.
    pub body: String,
}

impl Answer {
    /// Returns the same answer as if no page followed.
    #[must_use]
    pub fn without_next_page(&self) -> Self {
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(mut body) => {
                if let Some(body) = body.as_object_mut() {
                    // ECS spells it its own way.
                    body.remove("NextToken");
                    body.remove("nextToken");
                }
                body.to_string()
            }
            Err(_) => query::without_token(&self.body).replace("<IsTruncated>true", "<IsTruncated>false"),
        };
        Self { body, status: self.status }
    }
}

impl World {
    /// An empty world at this time. The seed decides its ids.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            ec2: Ec2::default(),
            auto_scaling: AutoScaling::default(),
            ecs: Ecs::default(),
            cloud_map: CloudMap::default(),
            route53: Route53::default(),
            dynamodb: DynamoDb::default(),
            messages: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            page: 100,
            ids: fastrand::Rng::with_seed(seed),
        }
    }

    /// Lets everything happen that is due until `then`, in its order.
    pub fn advance_to(&mut self, then: Timestamp) {
        self.settle();
        while let Some(due) = self.next_due().filter(|due| *due <= then) {
            self.now = self.now.max(due);
            self.settle();
        }
        self.now = self.now.max(then);
    }

    /// Lets so many seconds pass.
    pub fn advance(&mut self, seconds: i64) {
        self.advance_to(self.now + jiff::SignedDuration::from_secs(seconds));
    }

    fn next_due(&self) -> Option<Timestamp> {
        let capacity = self.ec2.next_due().chain(self.auto_scaling.next_due(&self.ec2));
        let due = capacity
            .chain(self.ec2.next_due_on_hosts(self.ecs.deregisters))
            .chain(self.ecs.next_due())
            .chain(self.cloud_map.next_due());
        due.filter(|due| *due > self.now).min()
    }

    /// Does what is due now.
    fn settle(&mut self) {
        self.cloud_map.settle(self.now);
        while self.settle_ec2() || self.settle_auto_scaling() || self.settle_hosts() || self.settle_ecs() {}
    }

    fn id(&mut self, digits: usize) -> String {
        (0..digits).map(|_| self.ids.digit(16)).collect()
    }

    fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|digits| self.id(digits)).join("-")
    }

    /// Emits an event of a service.
    fn emit(&mut self, source: &str, kind: &str, resources: &[String], detail: &Value) {
        self.events.push(json!({
            "Source": source,
            "DetailType": kind,
            "Time": self.now.to_string(),
            "Resources": resources,
            "Detail": detail.to_string(),
        }));
    }

    /// How many calls since the `from`-th, and how many of them write.
    #[must_use]
    pub fn count_calls(&self, from: usize) -> (usize, usize) {
        let calls = self.calls.iter().skip(from);
        (calls.clone().count(), calls.filter(|call| call.write).count())
    }

    /// What a request to any of the APIs asks for; nothing when it is an answer to CloudFormation.
    #[must_use]
    pub fn call(&self, request: &Request) -> Option<Call> {
        if request.answers_cloudformation() {
            return None;
        }
        let (at, write) = (self.now, request.writes());
        if let Some(form) = Form::parse(request) {
            let ec2 = form.service == "ec2";
            let asked = if ec2 { self.asked_of_ec2(&form) } else { self.asked_of_auto_scaling(&form) };
            let resources = asked.iter().map(|(resource, _)| resource.clone()).collect();
            let (action, tags) = (format!("{}:{}", form.service, form.action), asked.into_iter().collect());
            return Some(Call { at, action, resources, context: Context::new(), tags, write });
        }
        let tags = BTreeMap::new();
        let Some(target) = &request.target else {
            let (action, resources, context) = route53::asked(request);
            return Some(Call { at, action, resources, context, tags, write });
        };
        let (prefix, operation) = operation(target);
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let (resources, context) = (touched(prefix, operation, &body), circumstances(prefix, operation, &body));
        Some(Call { at, action: format!("{prefix}:{operation}"), resources, context, tags, write })
    }

    /// Answers a request to any of the APIs.
    pub fn answer(&mut self, request: &Request) -> Answer {
        let Some(call) = self.call(request) else {
            self.messages.push((request.path.clone(), String::from_utf8_lossy(&request.body).into_owned()));
            return Answer { status: 200, body: String::new() };
        };
        self.calls.push(call);
        if let Some(form) = Form::parse(request) {
            let ec2 = form.service == "ec2";
            let result = if ec2 { self.answer_ec2(&form) } else { self.answer_auto_scaling(&form) };
            self.settle();
            return match result {
                Ok(value) => form.accepted(&value),
                Err(refusal) => form.refused(refusal.code, &refusal.message),
            };
        }
        let Some(target) = &request.target else { return self.answer_route53(request) };
        let (prefix, operation) = operation(target);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let result = match prefix {
            "ecs" => self.answer_ecs(operation, &body),
            "dynamodb" => self.answer_dynamodb(operation, &body),
            "servicediscovery" => self.answer_cloud_map(operation, &body),
            "sqs" => self.answer_sqs(operation, &body),
            _ => Err(Refusal::new("UnknownOperationException", format!("the world has no {target}"))),
        };
        self.settle();
        match result {
            Ok(value) => Answer { status: 200, body: value.to_string() },
            Err(refusal) => refused(request, refusal),
        }
    }
}

/// A refusal in the protocol of the request.
#[must_use]
pub fn refused(request: &Request, refusal: Refusal) -> Answer {
    if let Some(form) = Form::parse(request) {
        return form.refused(refusal.code, &refusal.message);
    }
    if request.target.is_none() {
        return route53::refused(refusal);
    }
    let body = json!({"__type": refusal.code, "message": refusal.message}).to_string();
    Answer { status: 400, body }
}

/// The prefix that IAM knows a service by, and the operation.
fn operation(target: &str) -> (&str, &str) {
    let (service, operation) = target.split_once('.').unwrap_or((target, ""));
    let prefix = match service {
        "AmazonEC2ContainerServiceV20141113" => "ecs",
        "Route53AutoNaming_v20170314" => "servicediscovery",
        "AmazonSQS" => "sqs",
        "DynamoDB_20120810" => "dynamodb",
        other => other,
    };
    (prefix, operation)
}

/// What a call of a JSON protocol touches, as IAM names it.
fn touched(prefix: &str, operation: &str, body: &Value) -> Vec<String> {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    match (prefix, operation) {
        ("ecs", "DescribeTasks") => ecs::arns("task", body, "tasks"),
        ("ecs", "DescribeServices") => ecs::arns("service", body, "services"),
        ("ecs", "DescribeContainerInstances" | "UpdateContainerInstancesState") => {
            ecs::arns("container-instance", body, "containerInstances")
        }
        ("ecs", "StopTask") => {
            ecs::arns("task", &json!({"cluster": body["cluster"], "tasks": [body["task"]]}), "tasks")
        }
        ("ecs", "UpdateService") => {
            ecs::arns("service", &json!({"cluster": body["cluster"], "services": [body["service"]]}), "services")
        }
        ("ecs", "ListContainerInstances" | "DeregisterContainerInstance") => vec![ecs::cluster_arn(body)],
        ("ecs", "ListTasks") => match body["containerInstance"].as_str() {
            Some(host) => {
                ecs::arns("container-instance", &json!({"cluster": body["cluster"], "hosts": [host]}), "hosts")
            }
            None => vec!["*".to_owned()],
        },
        ("dynamodb", _) => vec![dynamodb::arn(text("TableName"))],
        ("servicediscovery", _) => vec![cloud_map::arn("service", text("ServiceId"))],
        ("sqs", _) => vec![queue_arn(text("QueueUrl"))],
        _ => Vec::new(),
    }
}

/// What IAM is told of a call of a JSON protocol besides.
fn circumstances(prefix: &str, operation: &str, body: &Value) -> Context {
    match (prefix, operation) {
        ("ecs", "DescribeContainerInstances" | "UpdateContainerInstancesState" | "ListTasks") => {
            Context::from([("ecs:cluster".to_owned(), BTreeSet::from([ecs::cluster_arn(body)]))])
        }
        ("dynamodb", "DeleteItem") => {
            let leading = body["Key"]["pk"]["S"].as_str().unwrap_or_default().to_owned();
            Context::from([("dynamodb:LeadingKeys".to_owned(), BTreeSet::from([leading]))])
        }
        _ => Context::new(),
    }
}

/// A page of `items`: those from `token` on, and the token of the next page.
fn page<T: Clone>(items: &[T], token: Option<&str>, size: usize) -> (Vec<T>, Option<String>) {
    let from: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let next = from + size;
    (items.iter().skip(from).take(size).cloned().collect(), (next < items.len()).then(|| next.to_string()))
}
