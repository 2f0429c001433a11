//! Cloud Map: private DNS namespaces, SRV services, and instances that come and go with a lag.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ACCOUNT, REGION, Refusal, World, page};

/// From the registration until `ListInstances` shows the instance.
const LISTED_AFTER: i64 = 2;
/// From the deregistration until it is gone everywhere.
const GONE_AFTER: i64 = 4;
/// How long Cloud Map waits before it acts on a custom health status of `UNHEALTHY`.
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
    /// When the next instance appears or vanishes.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.services.values().flat_map(|service| service.instances.values()).filter_map(|i| i.gone_from).min()
    }

    pub(super) fn settle(&mut self, now: Timestamp) {
        for service in self.services.values_mut() {
            service.instances.retain(|_, instance| instance.gone_from.is_none_or(|gone| gone > now));
        }
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

/// The ARN of a namespace or service.
#[must_use]
pub fn arn(kind: &str, id: &str) -> String {
    format!("arn:aws:servicediscovery:{REGION}:{ACCOUNT}:{kind}/{id}")
}

impl World {
    pub(super) fn answer_cloud_map(&mut self, operation: &str, body: &Value) -> Result<Value, Refusal> {
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
