//! The life of an instance, from its launch until EC2 forgets it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::{
    super::{World, neo4j::Cause},
    DETACHING, Instance, PENDING, Version, arn,
    boot::Boot,
};

/// From the end's beginning to `terminated`.
const SHUTTING_DOWN: i64 = 20;
/// How long EC2 still shows a terminated instance (user guide, «Terminate Amazon EC2 instances»).
const REMEMBERED: i64 = 3600;

impl World {
    /// Launches an instance into a subnet; nothing when its zone has no room.
    pub(in super::super) fn launch(&mut self, version: &Version, subnet: &str, tags: BTreeMap<String, String>) -> Option<String> {
        let zone = self.ec2.subnets.get(subnet)?.clone();
        if self.ec2.no_capacity.contains(&zone) {
            return None;
        }
        let (address, id) = (self.ec2.free_address(&zone)?, format!("i-{}", self.id(17)));
        let instance = Instance {
            address,
            zone,
            state: "pending",
            tags,
            protected: version.protected,
            boot: Boot::read(&version.user_data),
            impaired: false,
            reclaimed: None,
            scheduled: Vec::new(),
            ended: None,
            terminated: None,
            next: Some((self.now + SignedDuration::from_secs(PENDING), "running")),
        };
        self.ec2.instances.insert(id.clone(), instance);
        self.announce_instance(&id, "pending");
        Some(id)
    }

    /// Begins to end an instance, whoever wants that.
    pub(in super::super) fn end_instance(&mut self, id: &str, cause: Cause) {
        let now = self.now;
        let Some(instance) = self.ec2.instances.get_mut(id).filter(|i| i.ended.is_none()) else { return };
        (instance.state, instance.ended) = ("shutting-down", Some(now));
        instance.next = Some((now + SignedDuration::from_secs(SHUTTING_DOWN), "terminated"));
        self.disconnect(id);
        self.stop_members_on(id, cause);
        self.announce_instance(id, "shutting-down");
    }

    /// An instance ends without asking Auto Scaling, so that no hook runs: Spot takes it back, somebody terminates it in
    /// EC2, or it is shut down from inside.
    pub fn lose_instance(&mut self, id: &str) {
        self.end_instance(id, Cause::Aws);
        self.settle();
    }

    /// An instance loses its power: nothing on it shuts down.
    pub fn fell_instance(&mut self, id: &str) {
        self.end_members_on(id);
        self.lose_instance(id);
    }

    /// The status check of an instance fails, which its Auto Scaling group takes for its health. Its network or its system is
    /// broken (EC2 user guide, «Status checks for Amazon EC2 instances»), so nobody hears of what runs on it any more,
    /// whatever ECS believes.
    pub fn impair(&mut self, instance: &str) {
        self.end_members_on(instance);
        if let Some(found) = self.ec2.instances.get_mut(instance) {
            found.impaired = true;
        }
        self.mark_unhealthy(instance);
    }

    /// An instance enters a state.
    pub(super) fn enter(&mut self, id: &str, state: &'static str) {
        let now = self.now;
        if state == "forgotten" {
            self.ec2.instances.remove(id);
            return;
        }
        if state == "terminated" {
            self.end_members_on(id);
        }
        let Some(instance) = self.ec2.instances.get_mut(id) else { return };
        (instance.state, instance.next) = (state, None);
        if state == "running" {
            instance.boot.begin(now);
        } else {
            instance.terminated = Some(now);
            instance.next = Some((now + SignedDuration::from_secs(REMEMBERED), "forgotten"));
            let held = self.ec2.volumes.values_mut().filter_map(|volume| volume.attachment.as_mut());
            for held in held.filter(|held| held.instance == id && held.state != "busy") {
                (held.state, held.next) = ("detaching", Some(now + SignedDuration::from_secs(DETACHING)));
            }
        }
        self.announce_instance(id, state);
    }

    fn announce_instance(&mut self, id: &str, state: &str) {
        let detail = json!({"instance-id": id, "state": state});
        self.emit("aws.ec2", "EC2 Instance State-change Notification", &[arn("instance", id)], &detail);
    }
}
