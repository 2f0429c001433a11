//! The names of members in DNS, and the tasks behind them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    rc::Rc,
};

use cluster_lambda::Aws;
use serde_json::{Value, json};

use cluster_world::ecs::Task;

use super::{Cluster, DOMAIN, is_of_tier};
use crate::functions::{DNS_REPLICATOR, Running};

impl Cluster {
    /// Returns the dns-replicator.
    #[must_use]
    pub fn replicator(&self) -> Rc<dyn Running> {
        self.functions.started(DNS_REPLICATOR, &self.environments[DNS_REPLICATOR])
    }

    /// Returns what functions reach this world by.
    #[must_use]
    pub fn aws(&self) -> &Aws {
        self.functions.aws()
    }

    /// Lets a service want so many tasks, with a container instance for each.
    pub fn scale(&self, service: &str, tasks: u8) {
        let mut world = self.wire.world();
        for n in 1..=tasks {
            let subnet = match service {
                "core" => 1,
                "replica" => 2,
                _ => 3,
            };
            world.add_container_instance(&self.ecs_cluster, Ipv4Addr::new(10, 0, subnet, n), "eu-west-1a");
        }
        world.scale(&self.ecs_cluster, service, usize::from(tasks));
    }

    /// Returns what the zone publishes for a tier.
    #[must_use]
    pub fn published(&self, tier: &str) -> BTreeSet<String> {
        self.wire.world().route53.zones[&self.zone].addresses(&format!("{tier}.{DOMAIN}")).into_iter().collect()
    }

    /// Returns a tier's tasks that are wanted, running and healthy, by id.
    fn fit_tasks(&self, tier: &str) -> BTreeMap<String, Task> {
        let world = self.wire.world();
        let tasks = world.ecs.clusters[&self.ecs_cluster].tasks.iter().filter(|(_, task)| task.wanted);
        let fit = tasks.filter(|(_, task)| task.status == "RUNNING" && task.health == "HEALTHY");
        let fit = fit.filter(|(_, task)| is_of_tier(tier, &task.service));
        fit.map(|(id, task)| (id.clone(), task.clone())).collect()
    }

    /// Returns the addresses of a tier's tasks that are wanted, running and healthy.
    #[must_use]
    pub fn fit(&self, tier: &str) -> BTreeSet<String> {
        self.fit_tasks(tier).values().map(|task| task.address.to_string()).collect()
    }

    /// Returns the ids of the same tasks.
    #[must_use]
    pub fn fit_members(&self, tier: &str) -> BTreeSet<String> {
        self.fit_tasks(tier).into_keys().collect()
    }

    /// Returns the id of the service's first wanted task.
    #[must_use]
    pub fn a_task(&self, service: &str) -> String {
        self.wire.world().ecs.clusters[&self.ecs_cluster].wanted(service).next().unwrap().0.clone()
    }

    /// Returns a request of CloudFormation about the records.
    #[must_use]
    pub fn custom_resource(&self, kind: &str, physical_id: Option<&str>) -> Value {
        let made = self.deployed.made.iter().find(|made| made.r#type == "Custom::DnsRecords").unwrap();
        let mut properties = made.properties.clone();
        // What a story changed of the function's variables, CloudFormation changes of the resource.
        for (name, value) in &self.environments[DNS_REPLICATOR] {
            let words = name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_ascii_lowercase());
            let property = words.collect::<String>();
            if !properties[&property].is_null() {
                properties[property] = json!(value);
            }
        }
        json!({
            "RequestType": kind, "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "request",
            "ResourceType": "Custom::DnsRecords", "LogicalResourceId": "Records", "PhysicalResourceId": physical_id,
            "ResourceProperties": properties, "OldResourceProperties": {},
        })
    }
}
