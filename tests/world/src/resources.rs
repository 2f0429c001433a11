//! What CloudFormation creates, updates and deletes here: (type, properties) to (physical id, attributes).

mod capacity;

use serde_json::{Value, json};

use super::{
    ACCOUNT, REGION, World,
    cloud_map::{self, Namespace},
    dynamodb, ecs, hosts,
    placement::Placement,
    route53::{RecordSet, Zone},
};

/// A created resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// What `Ref` gives.
    pub physical_id: String,
    /// What `Fn::GetAtt` gives.
    pub attributes: Value,
}

/// A finished operation, one that is under way, or a refusal.
pub type Operation = Result<Option<Resource>, String>;

fn text(properties: &Value, key: &str) -> String {
    match &properties[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number(properties: &Value, key: &str) -> Option<u32> {
    text(properties, key).parse().ok()
}

#[expect(clippy::unnecessary_wraps, reason = "one form for every outcome")]
fn done(physical_id: String, attributes: Value) -> Operation {
    Ok(Some(Resource { physical_id, attributes }))
}

/// The last part of a name or ARN.
fn short(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

impl World {
    /// Creates a resource of no stack in particular.
    pub fn create(&mut self, r#type: &str, logical_id: &str, properties: &Value) -> Operation {
        self.create_in("", r#type, logical_id, properties)
    }

    /// Creates a resource of a stack, which names it where the properties do not.
    pub fn create_in(&mut self, stack: &str, r#type: &str, logical_id: &str, properties: &Value) -> Operation {
        let named = |key: &str| {
            let given = text(properties, key);
            if given.is_empty() { logical_id.to_owned() } else { given }
        };
        match r#type {
            "AWS::ECS::Cluster" => {
                let name = named("ClusterName");
                self.ecs.clusters.entry(name.clone()).or_default();
                let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}");
                done(name, json!({"Arn": arn}))
            }
            "AWS::ECS::TaskDefinition" => {
                let family = named("Family");
                let revision = self.ecs.definitions.values().filter(|(f, _)| *f == family).count() + 1;
                let containers = properties["ContainerDefinitions"].as_array();
                let checked = containers.into_iter().flatten().any(|container| !container["HealthCheck"].is_null());
                let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{family}:{revision}");
                self.ecs.definitions.insert(arn.clone(), (family, checked));
                done(arn.clone(), json!({"TaskDefinitionArn": arn}))
            }
            "AWS::ECS::Service" => self.create_service(&named("ServiceName"), properties),
            "AWS::ServiceDiscovery::PrivateDnsNamespace" => {
                let (id, zone, name) = (format!("ns-{}", self.id(16)), self.zone_id(), text(properties, "Name"));
                let arn = cloud_map::arn("namespace", &id);
                self.route53.zones.insert(zone.clone(), Zone::new(&name, Some(arn.clone())));
                self.cloud_map.namespaces.insert(id.clone(), Namespace { name, zone: zone.clone() });
                done(id.clone(), json!({"Id": id, "Arn": arn, "HostedZoneId": zone}))
            }
            "AWS::ServiceDiscovery::Service" => {
                let (id, name) = (format!("srv-{}", self.id(16)), text(properties, "Name"));
                let namespace = text(&properties["DnsConfig"], "NamespaceId");
                let namespace = if namespace.is_empty() { text(properties, "NamespaceId") } else { namespace };
                if !self.cloud_map.namespaces.contains_key(&namespace) {
                    return Err(format!("NamespaceNotFound: {namespace}"));
                }
                let ttl = number(&properties["DnsConfig"]["DnsRecords"][0], "TTL").unwrap_or(60);
                let instances = std::collections::BTreeMap::new();
                let service = cloud_map::Service { name: name.clone(), namespace, ttl, instances };
                self.cloud_map.services.insert(id.clone(), service);
                done(id.clone(), json!({"Id": id, "Name": name, "Arn": cloud_map::arn("service", &id)}))
            }
            "AWS::Route53::HostedZone" => {
                let id = self.zone_id();
                self.route53.zones.insert(id.clone(), Zone::new(&text(properties, "Name"), None));
                done(id.clone(), json!({"Id": id, "NameServers": ["ns-0.example", "ns-1.example"]}))
            }
            "AWS::Route53::RecordSet" => {
                let set = record_set(properties);
                let name = set.name.clone();
                let (id, zone) = self.zone_of(properties)?;
                zone.change(&[("CREATE", set)]).map_err(|refusal| format!("zone {id}: {refusal}"))?;
                done(name, json!({}))
            }
            other => self.create_capacity(stack, other, logical_id, properties),
        }
    }

    fn create_service(&mut self, name: &str, properties: &Value) -> Operation {
        let cluster = short(&text(properties, "Cluster"));
        let registry = text(&properties["ServiceRegistries"][0], "RegistryArn");
        let registry = (!registry.is_empty()).then(|| short(&registry));
        if let Some(registry) = registry.as_ref().filter(|id| !self.cloud_map.services.contains_key(*id)) {
            return Err(format!("InvalidParameterException: Service registry {registry} does not exist"));
        }
        let definition = text(properties, "TaskDefinition");
        if !self.ecs.definitions.contains_key(&definition) {
            return Err(format!("InvalidParameterException: no task definition {definition:?}"));
        }
        let desired = number(properties, "DesiredCount").unwrap_or(1) as usize;
        let placement = Placement::read(properties)?;
        let found = self.ecs.clusters.get_mut(&cluster).ok_or_else(|| "ClusterNotFoundException".to_owned())?;
        found.services.insert(name.to_owned(), ecs::Service { desired, definition, registry, placement, active: true });
        self.settle();
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{cluster}/{name}");
        done(arn.clone(), json!({"ServiceArn": arn, "Name": name}))
    }

    /// Updates a resource of a stack in place, or answers a new physical id: a replacement.
    pub fn update_in(
        &mut self,
        stack: &str,
        r#type: &str,
        logical_id: &str,
        physical_id: &str,
        properties: &Value,
        old: &Value,
    ) -> Operation {
        match r#type {
            "AWS::ECS::Service" => {
                let (cluster, name) = (short(&text(properties, "Cluster")), short(physical_id));
                let service = self.ecs.clusters.get_mut(&cluster).and_then(|cluster| cluster.services.get_mut(&name));
                let service = service.ok_or_else(|| format!("ServiceNotFoundException: {physical_id}"))?;
                service.placement = Placement::read(properties)?;
                service.definition = text(properties, "TaskDefinition");
                if let Some(desired) = number(properties, "DesiredCount") {
                    service.desired = desired as usize;
                }
                self.settle();
                done(physical_id.to_owned(), json!({"ServiceArn": physical_id, "Name": name}))
            }
            "AWS::ServiceDiscovery::Service" if properties["Name"] == old["Name"] => {
                let name = text(properties, "Name");
                done(
                    physical_id.to_owned(),
                    json!({"Id": physical_id, "Name": name, "Arn": cloud_map::arn("service", physical_id)}),
                )
            }
            "AWS::Route53::RecordSet" => {
                let (id, zone) = self.zone_of(properties)?;
                let changes = [("DELETE", record_set(old)), ("CREATE", record_set(properties))];
                zone.change(&changes).map_err(|refusal| format!("zone {id}: {refusal}"))?;
                done(physical_id.to_owned(), json!({}))
            }
            "AWS::EC2::LaunchTemplate" | "AWS::EC2::Volume" | "AWS::AutoScaling::AutoScalingGroup" => {
                let updated = self.update_capacity(r#type, physical_id, properties, old)?;
                updated.map_or_else(|| self.create_in(stack, r#type, logical_id, properties), |found| Ok(Some(found)))
            }
            "AWS::DynamoDB::Table" if properties["TableName"] == old["TableName"] => {
                done(physical_id.to_owned(), json!({"Arn": dynamodb::arn(physical_id)}))
            }
            _ => self.create_in(stack, r#type, logical_id, properties),
        }
    }

    /// Deletes a resource. A service drains first.
    pub fn delete(&mut self, r#type: &str, physical_id: &str, properties: &Value) -> Operation {
        let gone = || done(physical_id.to_owned(), json!({}));
        match r#type {
            "AWS::ECS::Cluster" => {
                let services = self.ecs.clusters.get(physical_id).map_or(0, |cluster| cluster.services.len());
                if services > 0 {
                    return Err(
                        "ClusterContainsServicesException: The Cluster cannot be deleted while Services are active."
                            .to_owned(),
                    );
                }
                // API reference of DeleteCluster. Those that a story put there by hand go with their cluster.
                let registered = |host: &&hosts::Host| host.instance.is_some();
                let hosts = self.ecs.clusters.get(physical_id);
                let hosts = hosts.map_or(0, |cluster| cluster.hosts.values().filter(registered).count());
                if hosts > 0 {
                    return Err(format!(
                        "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while {hosts} Container \
                         Instances are active or draining."
                    ));
                }
                self.ecs.clusters.remove(physical_id);
            }
            "AWS::ECS::TaskDefinition" => _ = self.ecs.definitions.get(physical_id),
            "AWS::ECS::Service" => {
                let cluster = short(&text(properties, "Cluster"));
                let Some(cluster) = self.ecs.clusters.get_mut(&cluster) else { return gone() };
                let name = short(physical_id);
                if let Some(service) = cluster.services.get_mut(&name) {
                    service.active = false;
                }
                self.settle();
                return self.status(r#type, physical_id);
            }
            "AWS::ServiceDiscovery::PrivateDnsNamespace" => {
                if self.cloud_map.services.values().any(|service| service.namespace == physical_id) {
                    return Err("ResourceInUse: Namespace has associated services".to_owned());
                }
                if let Some(namespace) = self.cloud_map.namespaces.remove(physical_id) {
                    self.route53.zones.remove(&namespace.zone);
                }
            }
            "AWS::ServiceDiscovery::Service" => {
                let instances = self.cloud_map.services.get(physical_id).map_or(0, |service| service.instances.len());
                if instances > 0 {
                    return Err("ResourceInUse: Service contains registered instances; delete the instances before deleting the service".to_owned());
                }
                self.cloud_map.services.remove(physical_id);
            }
            "AWS::Route53::HostedZone" => {
                let records = self.route53.zones.get(physical_id).map_or(0, Zone::written);
                if records > 0 {
                    return Err(format!("HostedZoneNotEmpty: zone {physical_id} still has {records} record sets"));
                }
                self.route53.zones.remove(physical_id);
            }
            "AWS::Route53::RecordSet" => {
                if let Ok((_, zone)) = self.zone_of(properties) {
                    // CloudFormation takes a record that is gone for deleted.
                    let _ = zone.change(&[("DELETE", record_set(properties))]);
                }
            }
            other => return self.delete_capacity(other, physical_id, properties),
        }
        gone()
    }

    /// Whether a deletion is finished.
    pub fn status(&mut self, r#type: &str, physical_id: &str) -> Operation {
        if r#type == "AWS::ECS::Service" {
            let name = short(physical_id);
            for cluster in self.ecs.clusters.values_mut() {
                if cluster.tasks.values().any(|task| task.service == name && task.status != "STOPPED") {
                    return Ok(None);
                }
                cluster.services.retain(|n, service| *n != name || service.active);
            }
        }
        if self.is_leaving(r#type, physical_id) { Ok(None) } else { done(physical_id.to_owned(), json!({})) }
    }

    fn zone_id(&mut self) -> String {
        format!("Z{}", self.id(20).to_ascii_uppercase())
    }

    fn zone_of(&mut self, properties: &Value) -> Result<(String, &mut Zone), String> {
        let id = short(&text(properties, "HostedZoneId"));
        let zone = self.route53.zones.get_mut(&id).ok_or_else(|| format!("NoSuchHostedZone: {id}"))?;
        Ok((id, zone))
    }
}

fn record_set(properties: &Value) -> RecordSet {
    let values: Vec<_> =
        properties["ResourceRecords"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    RecordSet::simple(
        &text(properties, "Name"),
        &text(properties, "Type"),
        number(properties, "TTL").unwrap_or(60),
        &values,
    )
}
