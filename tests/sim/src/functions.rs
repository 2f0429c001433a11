//! The functions: how each is made for the simulation, and how it is invoked. Nothing else in these tests knows their types.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use cluster_lambda::{Failure, telemetry::Sink};
use cluster_world::REGION;
use dns_replicator::Replicator;
use instance_drainer::{Drainer, Ec2};
use serde_json::Value;

use crate::wire::Wire;

/// The variables of a function's environment, by name.
pub type Environment = BTreeMap<String, String>;
/// The lines of metrics that functions have written.
pub type Metrics = Arc<Mutex<Vec<Value>>>;

/// The names of the functions, which are those of their binaries.
pub const DNS_REPLICATOR: &str = "dns-replicator";
/// See [`DNS_REPLICATOR`].
pub const INSTANCE_DRAINER: &str = "instance-drainer";

macro_rules! client {
    ($krate:ident, $wire:expr) => {{
        // The retry token bucket is a static of the process: schedules would drain it for each other.
        let partition = $krate::config::retry::RetryPartition::custom("world").build();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(4))
            .operation_timeout(Duration::from_secs(12));
        let config = $krate::Config::builder()
            .behavior_version($krate::config::BehaviorVersion::v2026_01_12())
            .region($krate::config::Region::new(REGION))
            .credentials_provider(credentials())
            .http_client($wire.clone())
            .sleep_impl(TokioSleep::new())
            .time_source(SharedTimeSource::new($wire.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts.build())
            .retry_partition(partition);
        $krate::Client::from_conf(config.build())
    }};
}

fn credentials() -> Credentials {
    Credentials::new("id", "secret", None, None, "world")
}

fn sink(metrics: &Metrics) -> Sink {
    let metrics = metrics.clone();
    Sink::new(move |line| metrics.lock().unwrap().push(line.clone()))
}

/// The SDK's clients in front of a world. Making them takes longer than using them, and they remember nothing of a process but
/// its credentials.
#[derive(Clone, Debug)]
pub struct Clients {
    wire: Wire,
    auto_scaling: aws_sdk_autoscaling::Client,
    cloud_map: aws_sdk_servicediscovery::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    ecs: aws_sdk_ecs::Client,
    route53: aws_sdk_route53::Client,
    sqs: aws_sdk_sqs::Client,
    metrics: Metrics,
}

impl Clients {
    /// Returns clients in front of this world, for functions whose lines of metrics are kept there.
    #[must_use]
    pub fn new(wire: &Wire, metrics: &Metrics) -> Self {
        Self {
            wire: wire.clone(),
            auto_scaling: client!(aws_sdk_autoscaling, wire),
            cloud_map: client!(aws_sdk_servicediscovery, wire),
            dynamodb: client!(aws_sdk_dynamodb, wire),
            ecs: client!(aws_sdk_ecs, wire),
            route53: client!(aws_sdk_route53, wire),
            sqs: client!(aws_sdk_sqs, wire),
            metrics: metrics.clone(),
        }
    }

    /// Returns the dns-replicator as a fresh process has it.
    #[must_use]
    pub fn dns_replicator(&self, environment: &Environment) -> Replicator {
        let clients = dns_replicator::Clients {
            cloud_map: self.cloud_map.clone(),
            ecs: self.ecs.clone(),
            route53: self.route53.clone(),
            sqs: self.sqs.clone(),
            answers: SharedHttpConnector::new(self.wire.clone()),
            clock: SharedTimeSource::new(self.wire.clone()),
            metrics: sink(&self.metrics),
        };
        Replicator::new(dns_replicator::Config::read(&|name: &str| environment.get(name).cloned()).unwrap(), clients)
    }

    /// Returns the instance-drainer as a fresh process has it.
    #[must_use]
    pub fn instance_drainer(&self, environment: &Environment) -> Drainer {
        let clients = instance_drainer::Clients {
            auto_scaling: self.auto_scaling.clone(),
            ecs: self.ecs.clone(),
            dynamodb: self.dynamodb.clone(),
            sqs: self.sqs.clone(),
            ec2: Ec2 {
                endpoint: format!("https://ec2.{REGION}.amazonaws.com"),
                region: REGION.to_owned(),
                credentials: SharedCredentialsProvider::new(credentials()),
                connector: SharedHttpConnector::new(self.wire.clone()),
                sleep: SharedAsyncSleep::new(TokioSleep::new()),
                clock: SharedTimeSource::new(self.wire.clone()),
            },
            answers: SharedHttpConnector::new(self.wire.clone()),
            clock: SharedTimeSource::new(self.wire.clone()),
            metrics: sink(&self.metrics),
        };
        Drainer::new(instance_drainer::Config::read(&|name: &str| environment.get(name).cloned()).unwrap(), clients)
    }

    /// Invokes a fresh process of a function.
    pub async fn invoke(&self, name: &str, environment: &Environment, payload: Value) -> Result<Value, Failure> {
        match name {
            DNS_REPLICATOR => self.dns_replicator(environment).handle(payload).await,
            INSTANCE_DRAINER => self.instance_drainer(environment).handle(translated(payload)).await,
            other => panic!("there is no function {other}"),
        }
    }
}

/// What the templates call the custom resource of the cluster's phase, and what the function in this tree does.
fn translated(mut payload: Value) -> Value {
    if payload["ResourceType"] == "Custom::ClusterPhase" && !instance_drainer_knows_phases() {
        payload["ResourceType"] = "Custom::ClusterLife".into();
    }
    payload
}

/// To be deleted with its caller once the function answers `Custom::ClusterPhase`.
fn instance_drainer_knows_phases() -> bool {
    false
}
