//! The part of AWS that decides whether a cluster lives, modelled as AWS documents it: EC2 instances and volumes, Auto
//! Scaling with its hooks, ECS services, tasks and container instances, Cloud Map registration with its lags, Route 53 zones
//! with their rules, tables of DynamoDB, and the metrics and alarms of CloudWatch.
//!
//! The model keeps its own time. Nothing happens but by [`World::advance_to`], so a story plays the same way each time,
//! at whatever speed. `cluster-sim` puts it behind the SDK's own connector in process, `cluster-stage` behind sockets on
//! loopback. A service is a module, or a folder, and a line in the list below.

#![allow(clippy::indexing_slicing, reason = "a key that a JSON value does not have is null")]

mod cloudformation;
pub mod cron;
pub mod neo4j;
pub mod outside;
mod query;
mod request;
pub mod resolver;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use neo4j::Cause;
use service::{Asked, Entry};

pub use cloudformation::{Operation, Resource};
pub(crate) use request::page;
pub use request::{Answer, Kind, Refusal, Request, refused};
pub use sqs::{queue_arn, queue_url};

/// The account of every ARN.
pub const ACCOUNT: &str = "000000000000";
/// The region of every ARN.
pub const REGION: &str = "eu-west-1";

/// Declares the services: a module, and the type of its state, which implements `Service`. What is due at the same time
/// happens in this order.
macro_rules! services {
    ($($(#[$what:meta])* $module:ident: $state:ident,)*) => {
        $(pub mod $module;)*

        /// Everything there is.
        #[derive(Clone, Debug)]
        pub struct World {
            /// The present.
            pub now: Timestamp,
            $($(#[$what])* pub $module: $module::$state,)*
            /// Members and what they make of their disks.
            pub neo4j: neo4j::Neo4j,
            /// Servers outside of AWS, by host.
            pub outside: BTreeMap<String, outside::Server>,
            /// Messages that were sent to queues: (queue URL, body).
            pub messages: Vec<(String, String)>,
            /// Events for EventBridge that nobody has taken yet, as entries of `PutEvents`.
            pub events: Vec<Value>,
            /// Every call that arrived.
            pub calls: Vec<Call>,
            /// The most items that a page holds. AWS may always return fewer than were asked for.
            pub page: usize,
            /// Who does what happens now.
            actor: Cause,
            ids: fastrand::Rng,
        }

        const SERVICES: &[Entry] = &[$(Entry::of::<$module::$state>()),*];

        impl World {
            /// Returns an empty world at this time. The seed decides its ids.
            #[must_use]
            pub fn new(now: Timestamp, seed: u64) -> Self {
                Self {
                    now,
                    $($module: Default::default(),)*
                    neo4j: neo4j::Neo4j::new(seed),
                    outside: BTreeMap::new(),
                    messages: Vec::new(),
                    events: Vec::new(),
                    calls: Vec::new(),
                    page: 100,
                    actor: Cause::Aws,
                    ids: fastrand::Rng::with_seed(seed),
                }
            }
        }
    };
}

services! {
    /// Namespaces, services, instances.
    cloud_map: CloudMap,
    /// Subnets, launch templates, instances, volumes.
    ec2: Ec2,
    /// Groups and what they know of their instances.
    auto_scaling: AutoScaling,
    /// Clusters, services, tasks, container instances.
    ecs: Ecs,
    /// Zones and their records.
    route53: Route53,
    /// Tables and their items.
    dynamodb: DynamoDb,
    /// Queues: their messages are with the world's.
    sqs: Sqs,
    /// Secrets and their values.
    secrets_manager: SecretsManager,
    /// Functions that can be invoked.
    lambda: Lambda,
    /// Topics and what was published to them.
    sns: Sns,
    /// Metrics and alarms.
    cloudwatch: CloudWatch,
    /// Log groups, their streams, and what is in them.
    logs: Logs,
    /// Job queues, job definitions, jobs.
    batch: Batch,
    /// Buckets. It takes what no other service does.
    s3: S3,
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
    /// Returns what IAM is asked: resources that share their circumstances, and these.
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

impl World {
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

    /// Returns whose doing it is what somebody asks for now: a function's by a call, or that of people and CloudFormation.
    fn somebody(&self) -> Cause {
        if self.actor == Cause::Functions { Cause::Functions } else { Cause::People }
    }

    /// Lets somebody do something. What follows later was noted, or is AWS's doing.
    fn acting<T>(&mut self, actor: Cause, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.actor, actor);
        let done = act(self);
        self.actor = before;
        done
    }

    fn next_due(&self) -> Option<Timestamp> {
        let services = SERVICES.iter().filter_map(|service| (service.next_due)(self));
        services.chain(self.earliest(self.neo4j.next_due())).min()
    }

    /// Does what is due now.
    fn settle(&mut self) {
        self.acting(Cause::Aws, |world| {
            while SERVICES.iter().any(|service| (service.settle)(world)) || world.settle_neo4j() {}
        });
    }

    /// Returns the earliest of these times that is still to come.
    fn earliest(&self, due: impl IntoIterator<Item = Timestamp>) -> Option<Timestamp> {
        due.into_iter().filter(|due| *due > self.now).min()
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

    /// Returns how many calls came since the `from`-th, and how many of them write.
    #[must_use]
    pub fn count_calls(&self, from: usize) -> (usize, usize) {
        let calls = self.calls.iter().skip(from);
        (calls.clone().count(), calls.filter(|call| call.write).count())
    }

    /// Returns what a request to any of the APIs asks for; nothing when no service takes it.
    #[must_use]
    pub fn call(&self, request: &Request) -> Option<Call> {
        let (service, asked) = service_of(request)?;
        Some(self.call_of(service, &asked))
    }

    fn call_of(&self, service: &Entry, asked: &Asked<'_>) -> Call {
        let service::Touched { action, resources, context, tags } = (service.asked)(self, asked);
        let action = format!("{}:{}", service.name, action.unwrap_or(&asked.operation));
        Call { at: self.now, action, resources, context, tags, write: asked.request.writes() }
    }

    /// Answers a request to any of the APIs.
    pub fn answer(&mut self, request: &Request) -> Answer {
        if request.answers_cloudformation() {
            self.messages.push((request.path.clone(), String::from_utf8_lossy(&request.body).into_owned()));
            return Answer::ok("");
        }
        if let Some(answer) = self.answer_outside(request) {
            return answer;
        }
        let Some((service, asked)) = service_of(request) else {
            let what = request.target.as_ref().unwrap_or(&request.path);
            return refused(request, Refusal::new("UnknownOperationException", format!("the world has no {what}")));
        };
        let call = self.call_of(service, &asked);
        self.calls.push(call);
        let result = self.acting(Cause::Functions, |world| (service.answer)(world, &asked));
        self.settle();
        (service.wrap)(&asked, result)
    }
}

/// Returns what a request does, named as IAM names it, and its fields.
#[must_use]
pub fn read(request: &Request) -> Option<(String, Value)> {
    let (service, asked) = service_of(request)?;
    let fields = asked.form.as_ref().map_or_else(|| asked.body.clone(), query::Form::fields);
    Some((format!("{}:{}", service.name, asked.operation), fields))
}

/// The service that takes a request.
fn service_of(request: &Request) -> Option<(&'static Entry, Asked<'_>)> {
    if request.answers_cloudformation() {
        return None;
    }
    SERVICES.iter().find_map(|service| Some((service, service.read(request)?)))
}
