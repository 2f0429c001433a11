//! The way of an instance through its group: launched, held at hooks, terminated.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    super::{World, ec2},
    ARRIVE, Cause, Hook, LAUNCHING, LONGEST, Member, PROCEED, RETRY, TERMINATING, Wait,
};

impl World {
    pub(super) fn launch_member(&mut self, name: &str) {
        let now = self.now;
        let Some(group) = self.auto_scaling.groups.get(name) else { return };
        let propagated = group.tags.iter().filter(|(_, (_, propagate))| *propagate);
        let mut tags: BTreeMap<_, _> = propagated.map(|(key, (value, _))| (key.clone(), value.clone())).collect();
        tags.insert("aws:autoscaling:groupName".to_owned(), name.to_owned());
        let zone_of = |subnet: &str| self.ec2.subnets.get(subnet).cloned().unwrap_or_default();
        let crowd = |subnet: &str| {
            let zone = zone_of(subnet);
            group.members.values().filter(|member| member.counts() && member.zone == zone).count()
        };
        let mut subnets = group.subnets.clone();
        subnets.sort_by_key(|subnet| crowd(subnet));
        let zone = subnets.first().map(|subnet| zone_of(subnet)).unwrap_or_default();
        let template = group.template.clone();
        let version = self.ec2.version(&template, &group.version).map(|(number, version)| (number, version.clone()));
        let hooked = !group.hooks_at(LAUNCHING).is_empty();
        let launched = version.as_ref().and_then(|(_, version)| {
            subnets.iter().find_map(|subnet| Some((subnet, self.launch(version, subnet, tags.clone())?)))
        });
        let (Some((number, _)), Some((subnet, id))) = (&version, launched) else {
            // User guide, «Troubleshoot Amazon EC2 Auto Scaling: EC2 instance launch failures».
            let why = match version {
                Some(_) => format!(
                    "We currently do not have sufficient r7g.large capacity in the Availability Zone you requested ({zone}). \
                     Our system will be working on provisioning additional capacity."
                ),
                None => "The launch template version does not exist.".to_owned(),
            };
            let why = format!("{why} Launching EC2 instance failed.");
            let detail = json!({"StatusCode": "Failed", "StatusMessage": why});
            if let Some(group) = self.auto_scaling.groups.get_mut(name) {
                group.blocked_until = Some(now + SignedDuration::from_secs(RETRY));
                group.failures.push((now, "Launching a new EC2 instance", why));
            }
            return self.announce_group(name, "EC2 Instance Launch Unsuccessful", "", detail);
        };
        let arrives = if hooked { ARRIVE } else { ec2::PENDING + PROCEED };
        let member = Member {
            zone: self.ec2.subnets.get(subnet).cloned().unwrap_or_default(),
            state: "Pending",
            healthy: true,
            template: (template, *number),
            in_service: None,
            waits: BTreeMap::new(),
            ending: false,
            ended_by: Cause::default(),
            next: Some(now + SignedDuration::from_secs(arrives)),
        };
        if let Some(group) = self.auto_scaling.groups.get_mut(name) {
            group.blocked_until = None;
            group.members.insert(id, member);
        }
    }

    /// An instance goes on to the state that follows by itself.
    pub(super) fn proceed(&mut self, name: &str, id: &str) {
        let now = self.now;
        let Some(group) = self.auto_scaling.groups.get_mut(name) else { return };
        let hooked = !group.hooks_at(LAUNCHING).is_empty();
        let Some(member) = group.members.get_mut(id) else { return };
        member.next = None;
        match member.state {
            "Pending" if hooked => self.wait(name, id, "Pending:Wait", LAUNCHING),
            "Pending" | "Pending:Proceed" => {
                (member.state, member.in_service) = ("InService", Some(now));
                let detail = json!({"StatusCode": "InProgress"});
                self.announce_group(name, "EC2 Instance Launch Successful", id, detail);
            }
            _ => {
                member.ending = true;
                let cause = member.ended_by;
                self.end_instance(id, cause);
            }
        }
    }

    /// An instance begins to wait at the hooks of a transition.
    pub(super) fn wait(&mut self, name: &str, id: &str, state: &'static str, transition: &str) {
        let Some(group) = self.auto_scaling.groups.get(name) else { return };
        let now = self.now;
        for (hook, Hook { heartbeat, .. }) in group.hooks_at(transition) {
            let token = self.uuid();
            let longest = now + SignedDuration::from_secs(LONGEST.min(100 * heartbeat));
            let until = longest.min(now + SignedDuration::from_secs(heartbeat));
            let Some(member) = self.auto_scaling.member_mut(id) else { return };
            member.state = state;
            member.waits.insert(hook.clone(), Wait { token: token.clone(), until, longest, heartbeat });
            let (kind, origin, destination) = if transition == LAUNCHING {
                ("EC2 Instance-launch Lifecycle Action", "EC2", "AutoScalingGroup")
            } else {
                ("EC2 Instance-terminate Lifecycle Action", "AutoScalingGroup", "EC2")
            };
            let detail = json!({
                "LifecycleActionToken": token, "LifecycleHookName": hook, "LifecycleTransition": transition,
                "Origin": origin, "Destination": destination,
            });
            self.announce_group(name, kind, id, detail);
        }
    }

    /// A hook is done with an instance.
    pub(super) fn finish_wait(&mut self, name: &str, id: &str, hook: &str, continues: bool) {
        let next = Some(self.now + SignedDuration::from_secs(PROCEED));
        let Some(group) = self.auto_scaling.groups.get_mut(name) else { return };
        let retain = group.retain;
        let Some(member) = group.members.get_mut(id) else { return };
        member.ended_by = self.actor;
        member.waits.remove(hook);
        if continues && !member.waits.is_empty() {
            return;
        }
        member.waits.clear();
        match (member.state, continues) {
            ("Pending:Wait", true) => (member.state, member.next) = ("Pending:Proceed", next),
            // An instance whose launch was abandoned runs no other hook.
            ("Pending:Wait", false) => self.terminate_member(id),
            ("Terminating:Wait", false) if retain => member.state = "Terminating:Retained",
            _ => (member.state, member.next) = ("Terminating:Proceed", next),
        }
    }

    /// An instance leaves its group by way of the terminate hooks.
    pub(super) fn leave(&mut self, name: &str, id: &str) {
        let hooked = self.auto_scaling.groups.get(name).is_some_and(|group| !group.hooks_at(TERMINATING).is_empty());
        let Some(member) = self.auto_scaling.member_mut(id) else { return };
        (member.next, member.waits) = (None, BTreeMap::new());
        if hooked {
            self.wait(name, id, "Terminating:Wait", TERMINATING);
        } else {
            self.terminate_member(id);
        }
    }

    /// Ends an instance without asking anybody.
    pub(super) fn terminate_member(&mut self, id: &str) {
        let Some(member) = self.auto_scaling.member_mut(id) else { return };
        (member.state, member.ending, member.next) = ("Terminating", true, None);
        self.end_instance(id, self.actor);
    }

    pub(super) fn drop_member(&mut self, name: &str, id: &str) {
        if let Some(group) = self.auto_scaling.groups.get_mut(name) {
            group.members.remove(id);
        }
        self.announce_group(name, "EC2 Instance Terminate Successful", id, json!({"StatusCode": "InProgress"}));
    }

    /// Emits an event of a group, about one of its instances where there is one.
    pub(super) fn announce_group(&mut self, name: &str, kind: &str, instance: &str, mut detail: Value) {
        let arn = self.auto_scaling.groups.get(name).map(|group| group.arn.clone()).unwrap_or_default();
        detail["AutoScalingGroupName"] = json!(name);
        detail["EC2InstanceId"] = json!(instance);
        let resources = if instance.is_empty() { vec![arn] } else { vec![arn, ec2::arn("instance", instance)] };
        self.emit("aws.autoscaling", kind, &resources, &detail);
    }
}
