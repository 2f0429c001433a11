//! A cluster's discovery in a world of its own, with the real function running against it in process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use cluster_lambda::{
    Aws, Failure, Frame,
    aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT, MAX_ATTEMPTS, RetryPartition},
    telemetry::Sink,
};
use cluster_world::{REGION, World, route53::RecordSet};
use dns_replicator::Replicator;
use serde_json::{Value, json};

use crate::wire::Wire;

/// The ECS cluster, and the owner of the records.
pub const CLUSTER: &str = "neo4j";
/// The domain of the records.
pub const DOMAIN: &str = "neo4j.service";
/// Where malformed messages go.
pub const DEAD_LETTERS: &str = "https://sqs.eu-west-1.amazonaws.com/000000000000/dead.fifo";

/// The world and the names of what stands in it.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The world behind the connector.
    pub wire: Wire,
    /// The zone of the records.
    pub zone: String,
    /// The Cloud Map services of core and replica.
    pub registries: [String; 2],
    /// The lines of metrics that functions have written.
    pub metrics: Arc<Mutex<Vec<Value>>>,
    variables: Vec<(&'static str, String)>,
}

/// Returns what functions reach a world by; they write their metrics into the list.
///
/// # Panics
/// When another thread has panicked while it wrote a metric.
#[must_use]
pub fn aws(wire: &Wire, metrics: &Arc<Mutex<Vec<Value>>>) -> Aws {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT);
    let credentials = Credentials::new("id", "secret", None, None, "world");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(wire.clone())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(wire.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts.build());
    let metrics = metrics.clone();
    Aws {
        sdk: sdk.build(),
        connector: SharedHttpConnector::new(wire.clone()),
        // The SDK's own budget of retries is one for the process: schedules would drain it for each other.
        retry_partition: Some(RetryPartition::custom("world").build()),
        metrics: Sink::new(move |line| metrics.lock().unwrap().push(line.clone())),
    }
}

impl Inside {
    /// A world with zones, Cloud Map services, an ECS cluster and two services that want nothing yet.
    ///
    /// # Panics
    /// When the world refuses one of them.
    #[must_use]
    pub fn new() -> Self {
        // Back-off jitter comes from here; the same seed plays the same schedule.
        fastrand::seed(7);
        let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
        let mut create =
            |kind: &str, id: &str, properties: Value| world.create(kind, id, &properties).unwrap().unwrap();
        let namespace = create(
            "AWS::ServiceDiscovery::PrivateDnsNamespace",
            "Namespace",
            json!({"Name": format!("discovery.{DOMAIN}")}),
        );
        let registries = ["core", "replica"].map(|tier| {
            let dns = json!({"NamespaceId": namespace.physical_id, "DnsRecords": [{"Type": "SRV", "TTL": 10}]});
            create("AWS::ServiceDiscovery::Service", tier, json!({"Name": tier, "DnsConfig": dns}))
        });
        let zone = create("AWS::Route53::HostedZone", "Zone", json!({"Name": DOMAIN})).physical_id;
        create("AWS::ECS::Cluster", "Cluster", json!({"ClusterName": CLUSTER}));
        let health = json!([{"Name": "neo4j", "HealthCheck": {"Command": ["CMD", "true"]}}]);
        let task =
            create("AWS::ECS::TaskDefinition", "Task", json!({"Family": CLUSTER, "ContainerDefinitions": health}));
        for (tier, registry) in ["core", "replica"].iter().zip(&registries) {
            let registry = registry.attributes["Arn"].clone();
            let properties = json!({
                "ServiceName": tier, "Cluster": CLUSTER, "TaskDefinition": task.physical_id, "DesiredCount": 0,
                "ServiceRegistries": [{"RegistryArn": registry}],
            });
            create("AWS::ECS::Service", tier, properties);
        }
        let registries = registries.map(|registry| registry.physical_id);
        let variables = vec![
            ("CLUSTER_NAME", CLUSTER.to_owned()),
            ("DOMAIN", DOMAIN.to_owned()),
            ("HOSTED_ZONE_ID", zone.clone()),
            ("ECS_CLUSTER", CLUSTER.to_owned()),
            ("CORE_ECS_SERVICE", "core".to_owned()),
            ("CORE_CLOUD_MAP_SERVICE", registries[0].clone()),
            ("REPLICA_ECS_SERVICE", "replica".to_owned()),
            ("REPLICA_CLOUD_MAP_SERVICE", registries[1].clone()),
            ("RECORD_TTL", "10".to_owned()),
            ("REQUIRE_HEALTHY", "true".to_owned()),
            ("DRY_RUN", "false".to_owned()),
            ("DEAD_LETTER_QUEUE_URL", DEAD_LETTERS.to_owned()),
        ];
        Self { wire: Wire::new(world), zone, registries, metrics: Arc::default(), variables }
    }

    /// The same world, seen by a function with another value of a variable.
    #[must_use]
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        for (_, old) in other.variables.iter_mut().filter(|(n, _)| *n == name) {
            value.clone_into(old);
        }
        other
    }

    /// The environment that the template gives to the function.
    #[must_use]
    pub fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }

    /// The function as a fresh process has it.
    ///
    /// # Panics
    /// When the environment is wrong.
    #[must_use]
    pub fn replicator(&self) -> Frame<Replicator> {
        let lookup = |name: &str| self.variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        Frame::new(&lookup, &self.aws()).unwrap()
    }

    /// What functions reach this world by.
    #[must_use]
    pub fn aws(&self) -> Aws {
        aws(&self.wire, &self.metrics)
    }

    /// Invokes a fresh function with an event.
    pub async fn invoke(&self, event: Value) -> Result<Value, Failure> {
        self.replicator().handle(event).await
    }

    /// Invokes a fresh function with what the schedule sends.
    pub async fn sweep(&self) -> Result<Value, Failure> {
        let body = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}});
        self.invoke(messages(&[body.to_string()])).await
    }

    /// Lets a service want so many tasks, with a host for each.
    pub fn scale(&self, service: &str, tasks: u8) {
        let mut world = self.wire.world();
        for host in 1..=tasks {
            let subnet = if service == "core" { 1 } else { 2 };
            world.add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, subnet, host), "eu-west-1a");
        }
        world.scale(CLUSTER, service, usize::from(tasks));
    }

    /// What the zone publishes for a tier.
    #[must_use]
    pub fn published(&self, tier: &str) -> BTreeSet<String> {
        self.wire.world().route53.zones[&self.zone].addresses(&format!("{tier}.{DOMAIN}")).into_iter().collect()
    }

    /// The addresses of a service's tasks that are wanted, running and healthy.
    #[must_use]
    pub fn fit(&self, service: &str) -> BTreeSet<String> {
        let world = self.wire.world();
        let tasks = world.ecs.clusters[CLUSTER].wanted(service);
        let fit = tasks.filter(|(_, task)| task.status == "RUNNING" && task.health == "HEALTHY");
        fit.map(|(_, task)| task.address.to_string()).collect()
    }

    /// The ids of the same tasks.
    #[must_use]
    pub fn fit_members(&self, service: &str) -> BTreeSet<String> {
        let world = self.wire.world();
        let tasks = world.ecs.clusters[CLUSTER].wanted(service);
        let fit = tasks.filter(|(_, task)| task.status == "RUNNING" && task.health == "HEALTHY");
        fit.map(|(id, _)| id.clone()).collect()
    }

    /// The last value of a metric, under these dimensions besides the cluster.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn metric(&self, name: &str, tier: Option<&str>) -> Option<f64> {
        let lines = self.metrics.lock().unwrap();
        let of_tier = |line: &&Value| line["Tier"].as_str() == tier;
        lines.iter().rev().filter(of_tier).find_map(|line| line[name].as_f64())
    }

    /// The id of the service's first wanted task.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn a_task(&self, service: &str) -> String {
        self.wire.world().ecs.clusters[CLUSTER].wanted(service).next().unwrap().0.clone()
    }

    /// A request of CloudFormation about the function's custom resource.
    #[must_use]
    pub fn custom_resource(&self, kind: &str, physical_id: Option<&str>) -> Value {
        let property = |name: &str| {
            let words = name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase());
            words.collect::<String>()
        };
        let mut properties: serde_json::Map<_, _> =
            self.variables.iter().take(8).map(|(name, value)| (property(name), json!(value))).collect();
        properties.insert("ServiceToken".into(), json!("arn:aws:lambda:eu-west-1:000000000000:function:replicator"));
        json!({
            "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "request",
            "ResourceType": "Custom::DnsRecords", "LogicalResourceId": "Records", "PhysicalResourceId": physical_id,
            "ResourceProperties": properties, "OldResourceProperties": {},
        })
    }

    /// What CloudFormation was answered last.
    #[must_use]
    pub fn last_answer(&self) -> Option<Value> {
        let world = self.wire.world();
        let (_, body) = world.messages.iter().rev().find(|(to, _)| to == "/cfn")?;
        serde_json::from_str(body).ok()
    }
}

impl Default for Inside {
    fn default() -> Self {
        Self::new()
    }
}

/// What SQS hands to a function.
#[must_use]
pub fn messages(bodies: &[String]) -> Value {
    let records = bodies.iter().enumerate().map(
        |(n, body)| json!({"messageId": format!("m-{n}"), "eventSource": "aws:sqs", "body": body, "attributes": {}}),
    );
    json!({"Records": records.collect::<Vec<_>>()})
}

/// An event of EventBridge, made from an entry that the world emitted.
///
/// # Panics
/// When the entry is none.
#[must_use]
pub fn delivered(entry: &Value) -> String {
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    let event = json!({
        "version": "0", "id": "event", "source": entry["Source"], "detail-type": entry["DetailType"],
        "time": entry["Time"], "resources": entry["Resources"], "detail": detail,
    });
    event.to_string()
}

/// Runs a story on a paused clock: time passes only when everybody waits for it.
///
/// # Panics
/// When the runtime cannot be built.
pub fn play<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(story)
}

/// Writes the records that a pass would write now: an earlier one that everybody thought dead.
pub(crate) fn write_as_another(world: &mut World) {
    let Some(cluster) = world.ecs.clusters.get(CLUSTER) else { return };
    let fit = |service: &str| -> BTreeMap<String, String> {
        let tasks = cluster.wanted(service).filter(|(_, task)| task.status == "RUNNING" && task.health == "HEALTHY");
        tasks.map(|(id, task)| (format!("{CLUSTER}/{id}"), task.address.to_string())).collect()
    };
    let wanted = ["core", "replica"].map(|tier| (format!("{tier}.{DOMAIN}"), fit(tier)));
    for zone in world.route53.zones.values_mut().filter(|zone| zone.managed_by.is_none()) {
        for (name, fit) in &wanted {
            if zone.under(name).any(|set| set.r#type == "CNAME") {
                continue;
            }
            let there: Vec<_> = zone.under(name).filter_map(|set| set.set_identifier.clone()).collect();
            for (id, address) in fit.iter().filter(|(id, _)| !there.contains(id)) {
                zone.put(RecordSet::multivalue(name, id, address));
            }
        }
    }
}
