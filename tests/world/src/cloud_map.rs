//! Cloud Map: private DNS namespaces, SRV services, and instances that come and go with a lag.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    ACCOUNT, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted, done, number, text},
    page,
    route53::Zone,
    service::{self, Asked, Target, Touched},
};

/// From the registration until `ListInstances` shows the instance.
const LISTED_AFTER: i64 = 2;
/// From the deregistration until it is gone everywhere.
const GONE_AFTER: i64 = 4;
/// How long Cloud Map waits before it acts on a custom health status of `UNHEALTHY` (API reference of
/// `HealthCheckCustomConfig`).
const UNHEALTHY_AFTER: i64 = 30;

/// Namespaces and services by id.
#[derive(Clone, Debug, Default)]
pub struct CloudMap {
    /// Namespaces.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Services.
    pub services: BTreeMap<String, Service>,
}

/// A private DNS namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its domain.
    pub name: String,
    /// The zone that Cloud Map made for it.
    pub zone: String,
}

/// A service with SRV records.
#[derive(Clone, Debug)]
pub struct Service {
    /// The first label of its domain.
    pub name: String,
    /// Its namespace's id.
    pub namespace: String,
    /// Seconds of its SRV records.
    pub ttl: u32,
    /// By instance id.
    pub instances: BTreeMap<String, Instance>,
}

/// A registered instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// As they were registered.
    pub attributes: BTreeMap<String, String>,
    listed_from: Timestamp,
    gone_from: Option<Timestamp>,
    /// The custom health status, and since when.
    health: (bool, Timestamp),
}

impl Instance {
    /// Whether DNS answers with it.
    #[must_use]
    pub fn answers(&self, now: Timestamp) -> bool {
        let (healthy, since) = self.health;
        // An instance that was never healthy never answered; one that turned unhealthy still does for a while.
        let patience = SignedDuration::from_secs(UNHEALTHY_AFTER);
        self.listed_from <= now && (healthy || (since > self.listed_from && now < since + patience))
    }
}

impl CloudMap {
    fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.services.values().flat_map(|service| service.instances.values())
    }

    /// Registers an instance, or registers it anew.
    pub fn register<const N: usize>(
        &mut self,
        service: &str,
        id: &str,
        attributes: [(&str, String); N],
        healthy: bool,
        now: Timestamp,
    ) {
        let Some(service) = self.services.get_mut(service) else { return };
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let listed_from = now + SignedDuration::from_secs(LISTED_AFTER);
        let instance = Instance { attributes, listed_from, gone_from: None, health: (healthy, now) };
        service.instances.insert(id.to_owned(), instance);
    }

    /// Deregisters an instance; says whether there was one.
    pub fn deregister(&mut self, service: &str, id: &str, now: Timestamp) -> bool {
        let instance = self.services.get_mut(service).and_then(|service| service.instances.get_mut(id));
        let Some(instance) = instance else { return false };
        instance.gone_from.get_or_insert(now + SignedDuration::from_secs(GONE_AFTER));
        true
    }

    pub(super) fn set_health(&mut self, service: &str, id: &str, healthy: bool, now: Timestamp) {
        let instance = self.services.get_mut(service).and_then(|service| service.instances.get_mut(id));
        if let Some(instance) = instance {
            instance.health = (healthy, now);
        }
    }

    /// The domain of a service, without a trailing dot.
    #[must_use]
    pub fn domain(&self, service: &Service) -> String {
        let namespace = self.namespaces.get(&service.namespace).map_or("", |namespace| &namespace.name);
        format!("{}.{namespace}", service.name)
    }
}

impl service::Service for CloudMap {
    const NAME: &'static str = "servicediscovery";
    const TARGET: Target = Target::Json("Route53AutoNaming_v20170314");
    const RESOURCES: &'static [&'static str] =
        &["AWS::ServiceDiscovery::PrivateDnsNamespace", "AWS::ServiceDiscovery::Service"];

    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        Touched::resources(vec![arn("service", asked.body["ServiceId"].as_str().unwrap_or_default())])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_cloud_map(&asked.operation, &asked.body)
    }

    fn next_due(world: &World) -> Option<Timestamp> {
        world.earliest(world.cloud_map.instances().filter_map(|instance| instance.gone_from))
    }

    fn settle(world: &mut World) -> bool {
        let now = world.now;
        let is_gone = |instance: &Instance| instance.gone_from.is_some_and(|gone| gone <= now);
        let gone = world.cloud_map.instances().any(is_gone);
        if gone {
            for service in world.cloud_map.services.values_mut() {
                service.instances.retain(|_, instance| !is_gone(instance));
            }
        }
        gone
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        let properties = wanted.properties;
        if wanted.r#type == "AWS::ServiceDiscovery::PrivateDnsNamespace" {
            let (id, zone) = (format!("ns-{}", world.id(16)), world.zone_id());
            let (arn, name) = (arn("namespace", &id), text(properties, "Name"));
            world.route53.zones.insert(zone.clone(), Zone::new(&name, Some(arn.clone())));
            world.cloud_map.namespaces.insert(id.clone(), Namespace { name, zone: zone.clone() });
            return done(id.clone(), json!({"Id": id, "Arn": arn, "HostedZoneId": zone}));
        }
        let (id, name) = (format!("srv-{}", world.id(16)), text(properties, "Name"));
        let namespace = text(&properties["DnsConfig"], "NamespaceId");
        let namespace = if namespace.is_empty() { text(properties, "NamespaceId") } else { namespace };
        if !world.cloud_map.namespaces.contains_key(&namespace) {
            return Err(format!("NamespaceNotFound: {namespace}"));
        }
        let ttl = number(&properties["DnsConfig"]["DnsRecords"][0], "TTL").unwrap_or(60);
        let service = Service { name: name.clone(), namespace, ttl, instances: BTreeMap::new() };
        world.cloud_map.services.insert(id.clone(), service);
        done(id.clone(), json!({"Id": id, "Name": name, "Arn": arn("service", &id)}))
    }

    /// Template reference of `AWS::ServiceDiscovery::PrivateDnsNamespace` and `…::Service`: a TTL changes without interruption, a
    /// name or a VPC does not.
    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        let (id, name) = (change.physical_id, text(change.properties, "Name"));
        if !change.keeps("Name") || !change.keeps("Vpc") {
            return Ok(None);
        }
        if let Some(namespace) = world.cloud_map.namespaces.get(id) {
            return done(id, json!({"Id": id, "Arn": arn("namespace", id), "HostedZoneId": namespace.zone}));
        }
        let service = world.cloud_map.services.get_mut(id).ok_or_else(|| format!("ServiceNotFound: {id}"))?;
        service.ttl = number(&change.properties["DnsConfig"]["DnsRecords"][0], "TTL").unwrap_or(service.ttl);
        done(id, json!({"Id": id, "Name": name, "Arn": arn("service", id)}))
    }

    /// API reference of `DeleteNamespace` and of `DeleteService`: both are refused while they are in use.
    fn delete(world: &mut World, r#type: &str, id: &str, _: &Value) -> Result<(), String> {
        if r#type == "AWS::ServiceDiscovery::PrivateDnsNamespace" {
            if world.cloud_map.services.values().any(|service| service.namespace == id) {
                return Err("ResourceInUse: Namespace has associated services".to_owned());
            }
            if let Some(namespace) = world.cloud_map.namespaces.remove(id) {
                world.route53.zones.remove(&namespace.zone);
            }
            return Ok(());
        }
        if world.cloud_map.services.get(id).is_some_and(|service| !service.instances.is_empty()) {
            let why = "Service contains registered instances; delete the instances before deleting the service";
            return Err(format!("ResourceInUse: {why}"));
        }
        world.cloud_map.services.remove(id);
        Ok(())
    }
}

/// The ARN of a namespace or service.
#[must_use]
pub fn arn(kind: &str, id: &str) -> String {
    format!("arn:aws:servicediscovery:{REGION}:{ACCOUNT}:{kind}/{id}")
}

impl World {
    fn answer_cloud_map(&mut self, operation: &str, body: &Value) -> Result<Value, Refusal> {
        let id = body["ServiceId"].as_str().unwrap_or_default();
        let absent = || Refusal::new("ServiceNotFound", format!("Service not found: {id}"));
        let service = self.cloud_map.services.get(id).ok_or_else(absent)?;
        match operation {
            "ListInstances" => {
                let listed = service.instances.iter().filter(|(_, instance)| instance.listed_from <= self.now);
                let all: Vec<_> = listed.map(|(id, i)| json!({"Id": id, "Attributes": i.attributes})).collect();
                let asked = body["MaxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
                let (instances, next) = page(&all, body["NextToken"].as_str(), asked.min(self.page));
                Ok(json!({"Instances": instances, "NextToken": next}))
            }
            "DeregisterInstance" => {
                let instance = body["InstanceId"].as_str().unwrap_or_default();
                if !self.cloud_map.deregister(id, instance, self.now) {
                    return Err(Refusal::new("InstanceNotFound", format!("Instance not found: {instance}")));
                }
                Ok(json!({"OperationId": self.id(32)}))
            }
            _ => Err(Refusal::new("UnknownOperation", format!("the world has no servicediscovery:{operation}"))),
        }
    }
}
