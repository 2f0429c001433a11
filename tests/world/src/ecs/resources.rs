//! Clusters, task definitions and services, as CloudFormation makes them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{
        World,
        cloudformation::{Change, Operation, Wanted, done, number, short, text},
        neo4j::{Cause, Settings},
    },
    ContainerInstance, Definition, Placement, Service, arn,
};

impl World {
    pub(super) fn create_in_ecs(&mut self, wanted: &Wanted<'_>) -> Operation {
        let properties = wanted.properties;
        match wanted.r#type {
            "AWS::ECS::Cluster" => {
                let name = wanted.name("ClusterName");
                self.ecs.clusters.entry(name.clone()).or_default();
                done(name.clone(), json!({"Arn": arn("cluster", &name)}))
            }
            "AWS::ECS::TaskDefinition" => {
                let family = wanted.name("Family");
                // «After you register, the revision is incremented by 1 even if you have deregistered previous revisions» (API
                // reference of `TaskDefinition`, `revision`).
                let known = self.ecs.definitions.values().filter(|known| known.family == family);
                let revision = known.map(|known| known.revision).max().unwrap_or_default() + 1;
                let containers = properties["ContainerDefinitions"].as_array();
                let checked = containers.into_iter().flatten().any(|container| !container["HealthCheck"].is_null());
                let neo4j = Settings::read(properties).map(Arc::new);
                let arn = arn("task-definition", &format!("{family}:{revision}"));
                self.ecs.definitions.insert(arn.clone(), Definition { family, revision, checked, active: true, neo4j });
                done(arn.clone(), json!({"TaskDefinitionArn": arn}))
            }
            _ => self.create_service(&wanted.name("ServiceName"), properties),
        }
    }

    fn create_service(&mut self, name: &str, properties: &Value) -> Operation {
        let cluster = short(&text(properties, "Cluster"));
        let registry = text(&properties["ServiceRegistries"][0], "RegistryArn");
        let registry = (!registry.is_empty()).then(|| short(&registry));
        if let Some(registry) = registry.as_ref().filter(|id| !self.cloud_map.services.contains_key(*id)) {
            return Err(format!("InvalidParameterException: Service registry {registry} does not exist"));
        }
        let definition = self.wanted_revision(properties)?;
        let desired = number(properties, "DesiredCount").unwrap_or(1) as usize;
        let placement = Placement::read(properties)?;
        let found = self.ecs.clusters.get_mut(&cluster).ok_or_else(|| "ClusterNotFoundException".to_owned())?;
        let service = Service {
            desired,
            definition,
            deployment: 1,
            changed_by: Cause::People,
            registry,
            placement,
            active: true,
        };
        found.services.insert(name.to_owned(), service);
        self.settle();
        let arn = arn("service", &format!("{cluster}/{name}"));
        done(arn.clone(), json!({"ServiceArn": arn, "Name": name}))
    }

    /// Returns the ARN of the revision that a service's properties mean now.
    fn wanted_revision(&self, properties: &Value) -> Result<String, String> {
        let named = text(properties, "TaskDefinition");
        let unknown = || format!("ClientException: TaskDefinition {named:?} is inactive or not found.");
        self.ecs.revision(&named).cloned().ok_or_else(unknown)
    }

    /// CloudFormation updates a service only when its properties have changed, and then asks for all of them: a task definition
    /// that is named by its family is the latest `ACTIVE` one by then. No page says so (`docs/real-account.md`).
    pub(super) fn update_in_ecs(&mut self, change: &Change<'_>) -> Operation {
        if change.r#type != "AWS::ECS::Service" {
            return Ok(None);
        }
        let properties = change.properties;
        let (cluster, name) = (short(&text(properties, "Cluster")), short(change.physical_id));
        let attributes = json!({"ServiceArn": change.physical_id, "Name": name});
        if properties == change.old {
            return done(change.physical_id, attributes);
        }
        let definition = self.wanted_revision(properties)?;
        let service = self.ecs.clusters.get_mut(&cluster).and_then(|cluster| cluster.services.get_mut(&name));
        let service = service.ok_or_else(|| format!("ServiceNotFoundException: {}", change.physical_id))?;
        service.placement = Placement::read(properties)?;
        service.changed_by = Cause::People;
        service.deploy(definition, false);
        if let Some(desired) = number(properties, "DesiredCount") {
            service.desired = desired as usize;
        }
        self.settle();
        done(change.physical_id, attributes)
    }

    pub(super) fn delete_in_ecs(&mut self, r#type: &str, id: &str, properties: &Value) -> Result<(), String> {
        match r#type {
            "AWS::ECS::Cluster" => {
                let services = self.ecs.clusters.get(id).map_or(0, |cluster| cluster.services.len());
                if services > 0 {
                    return Err(
                        "ClusterContainsServicesException: The Cluster cannot be deleted while Services are active."
                            .to_owned(),
                    );
                }
                // API reference of DeleteCluster. Those that a story put there by hand go with their cluster.
                let registered = |found: &&ContainerInstance| found.instance.is_some();
                let cluster = self.ecs.clusters.get(id);
                let left =
                    cluster.map_or(0, |cluster| cluster.container_instances.values().filter(registered).count());
                if left > 0 {
                    return Err(format!(
                        "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while {left} Container \
                         Instances are active or draining."
                    ));
                }
                self.ecs.clusters.remove(id);
            }
            "AWS::ECS::Service" => {
                let cluster = self.ecs.clusters.get_mut(&short(&text(properties, "Cluster")));
                if let Some(service) = cluster.and_then(|cluster| cluster.services.get_mut(&short(id))) {
                    (service.active, service.changed_by) = (false, Cause::People);
                }
                self.settle();
            }
            // Its tasks and services run on; nothing new is created with it (API reference of `DeregisterTaskDefinition`).
            _ => {
                if let Some(definition) = self.ecs.definitions.get_mut(id) {
                    definition.active = false;
                }
            }
        }
        Ok(())
    }

    /// A deleted service drains first.
    pub(super) fn is_service_leaving(&mut self, id: &str) -> bool {
        let name = short(id);
        for cluster in self.ecs.clusters.values_mut() {
            if cluster.services.get(&name).is_none_or(|service| service.active) {
                continue;
            }
            if cluster.tasks.values().any(|task| task.service == name && task.status != "STOPPED") {
                return true;
            }
            cluster.services.remove(&name);
        }
        false
    }
}
