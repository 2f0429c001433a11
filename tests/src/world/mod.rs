//! The part of AWS that decides whether a cluster lives, modelled as AWS documents it: ECS services and tasks, Cloud Map
//! registration with its lags, Route 53 zones with their rules.
//!
//! The model keeps its own time. Nothing happens but by [`World::advance_to`], so a story plays the same way each time,
//! at whatever speed. [`wire`] puts it behind the SDK's own connector in process, [`serve`] behind sockets on loopback.

pub mod cloud_map;
pub mod dns;
pub mod ecs;
mod resources;
pub mod route53;
pub mod serve;
pub mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use cloud_map::CloudMap;
use ecs::Ecs;
use route53::Route53;

use crate::inside::is_cloudformation_answer;
pub use resources::{Operation, Resource};

/// The account of every ARN.
pub const ACCOUNT: &str = "000000000000";
/// The region of every ARN.
pub const REGION: &str = "eu-west-1";

/// Everything there is.
#[derive(Clone, Debug)]
pub struct World {
    /// The present.
    pub now: Timestamp,
    /// Clusters, services, tasks, hosts.
    pub ecs: Ecs,
    /// Namespaces, services, instances.
    pub cloud_map: CloudMap,
    /// Zones and their records.
    pub route53: Route53,
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
pub type Context = BTreeMap<&'static str, BTreeSet<String>>;

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
    /// Whether it changes anything.
    pub write: bool,
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
        let operation = self.target.as_deref().and_then(|target| target.split('.').nth(1));
        operation.map_or(self.method != "GET", |operation| {
            !["Describe", "List", "Get"].iter().any(|v| operation.starts_with(v))
        })
    }

    /// What it does, as far as it decides which faults can make a difference.
    #[must_use]
    pub fn kind(&self) -> wire::Kind {
        let lists = self.target.as_deref().map_or(self.method == "GET", |target| target.contains(".List"));
        match (self.writes(), lists) {
            (true, _) if self.target.is_none() && self.method == "POST" => wire::Kind::Batch,
            (true, _) => wire::Kind::Write,
            (false, true) => wire::Kind::List,
            (false, false) => wire::Kind::Read,
        }
    }
}

/// What an API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON or XML.
    pub body: String,
}

impl World {
    /// An empty world at this time. The seed decides its ids.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            ecs: Ecs::default(),
            cloud_map: CloudMap::default(),
            route53: Route53::default(),
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
        self.ecs.next_due().into_iter().chain(self.cloud_map.next_due()).filter(|due| *due > self.now).min()
    }

    /// Does what is due now.
    fn settle(&mut self) {
        self.cloud_map.settle(self.now);
        while self.settle_ecs() {}
    }

    fn id(&mut self, digits: usize) -> String {
        (0..digits).map(|_| self.ids.digit(16)).collect()
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
        if is_cloudformation_answer(request) {
            return None;
        }
        let at = self.now;
        let Some(target) = &request.target else {
            let (action, resources, context) = route53::asked(request);
            return Some(Call { at, action, resources, context, write: request.writes() });
        };
        let (prefix, operation) = operation(target);
        let resources = touched(prefix, operation, &serde_json::from_slice(&request.body).unwrap_or_default());
        Some(Call {
            at,
            action: format!("{prefix}:{operation}"),
            resources,
            context: Context::new(),
            write: request.writes(),
        })
    }

    /// Answers a request to any of the APIs.
    pub fn answer(&mut self, request: &Request) -> Answer {
        let Some(call) = self.call(request) else {
            self.messages.push((request.path.clone(), String::from_utf8_lossy(&request.body).into_owned()));
            return Answer { status: 200, body: String::new() };
        };
        self.calls.push(call);
        let Some(target) = &request.target else { return self.answer_route53(request) };
        let (prefix, operation) = operation(target);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let result = match prefix {
            "ecs" => self.answer_ecs(operation, &body),
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

/// A refusal in the protocol of the request.
fn refused(request: &Request, refusal: Refusal) -> Answer {
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
        ("servicediscovery", _) => vec![cloud_map::arn("service", text("ServiceId"))],
        ("sqs", _) => vec![queue_arn(text("QueueUrl"))],
        _ => Vec::new(),
    }
}

/// The ARN of the queue behind a URL.
#[must_use]
pub fn queue_arn(url: &str) -> String {
    let mut parts = url.rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("arn:aws:sqs:{REGION}:{account}:{name}")
}

/// A page of `items`: those from `token` on, and the token of the next page.
fn page<T: Clone>(items: &[T], token: Option<&str>, size: usize) -> (Vec<T>, Option<String>) {
    let from: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let next = from + size;
    (items.iter().skip(from).take(size).cloned().collect(), (next < items.len()).then(|| next.to_string()))
}
