//! Clusters, task definitions and services, as CloudFormation makes them.

use serde_json::{Value, json};

use super::{
    super::{
        World,
        cloudformation::{Change, Operation, Wanted, done, number, short, text},
    },
    ContainerInstance, Placement, Service, arn,
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
                let revision = self.ecs.definitions.values().filter(|(f, _)| *f == family).count() + 1;
                let containers = properties["ContainerDefinitions"].as_array();
                let checked = containers.into_iter().flatten().any(|container| !container["HealthCheck"].is_null());
                let arn = arn("task-definition", &format!("{family}:{revision}"));
                self.ecs.definitions.insert(arn.clone(), (family, checked));
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
        let definition = text(properties, "TaskDefinition");
        if !self.ecs.definitions.contains_key(&definition) {
            return Err(format!("InvalidParameterException: no task definition {definition:?}"));
        }
        let desired = number(properties, "DesiredCount").unwrap_or(1) as usize;
        let placement = Placement::read(properties)?;
        let found = self.ecs.clusters.get_mut(&cluster).ok_or_else(|| "ClusterNotFoundException".to_owned())?;
        found.services.insert(name.to_owned(), Service { desired, definition, registry, placement, active: true });
        self.settle();
        let arn = arn("service", &format!("{cluster}/{name}"));
        done(arn.clone(), json!({"ServiceArn": arn, "Name": name}))
    }

    pub(super) fn update_in_ecs(&mut self, change: &Change<'_>) -> Operation {
        if change.r#type != "AWS::ECS::Service" {
            return Ok(None);
        }
        let properties = change.properties;
        let (cluster, name) = (short(&text(properties, "Cluster")), short(change.physical_id));
        let service = self.ecs.clusters.get_mut(&cluster).and_then(|cluster| cluster.services.get_mut(&name));
        let service = service.ok_or_else(|| format!("ServiceNotFoundException: {}", change.physical_id))?;
        service.placement = Placement::read(properties)?;
        service.definition = text(properties, "TaskDefinition");
        if let Some(desired) = number(properties, "DesiredCount") {
            service.desired = desired as usize;
        }
        self.settle();
        done(change.physical_id, json!({"ServiceArn": change.physical_id, "Name": name}))
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
                    service.active = false;
                }
                self.settle();
            }
            // A task definition that is deregistered runs on with the tasks that it has.
            _ => {}
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
