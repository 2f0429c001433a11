//! What people do with instances of a group: they put them aside, take them back, and hang hooks of their own onto it.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    super::{ACCOUNT, World},
    Cause, Hook, PROCEED,
};

impl World {
    /// People put an instance on standby (`EnterStandby`). Unless the group is to want one less, it launches another.
    pub fn enter_standby(&mut self, instance: &str, decrement: bool) {
        let Some(name) = self.auto_scaling.group_of(instance).map(str::to_owned) else { return };
        let Some(group) = self.auto_scaling.groups.get_mut(&name) else { return };
        let member = group.members.get_mut(instance).filter(|member| member.state == "InService");
        if let Some(member) = member {
            member.state = "Standby";
            group.desired -= usize::from(decrement && group.desired > group.min);
        }
        self.settle();
    }

    /// People put it back into service (`ExitStandby`: «After you put the instances back in service, the desired capacity is
    /// incremented»). It goes through `Pending`, and so through launch hooks (user guide, «Amazon EC2 Auto Scaling instance
    /// lifecycle»).
    pub fn exit_standby(&mut self, instance: &str) {
        let next = Some(self.now + SignedDuration::from_secs(PROCEED));
        let Some(name) = self.auto_scaling.group_of(instance).map(str::to_owned) else { return };
        let Some(group) = self.auto_scaling.groups.get_mut(&name) else { return };
        let member = group.members.get_mut(instance).filter(|member| member.state == "Standby");
        if let Some(member) = member {
            (member.state, member.next) = ("Pending", next);
            group.desired = (group.desired + 1).min(group.max);
        }
        self.settle();
    }

    /// People give a group a warm pool that takes an instance in: `Warmed:Running`, `Warmed:Stopped` or `Warmed:Hibernated` (API
    /// reference of `Instance`, `LifecycleState`).
    pub fn warm(&mut self, instance: &str, state: &'static str) {
        if let Some(member) = self.auto_scaling.member_mut(instance) {
            (member.state, member.next) = (state, None);
            member.waits.clear();
        }
        self.settle();
    }

    /// Somebody hangs a hook onto a group (`PutLifecycleHook`), and returns the message that Auto Scaling sends to its target (user
    /// guide, «Prepare to add a lifecycle hook to your Auto Scaling group», «Receive the notification»).
    pub fn put_hook(&mut self, group: &str, name: &str, hook: Hook) -> Value {
        let now = self.now.to_string();
        let Some(found) = self.auto_scaling.groups.get_mut(group) else { return Value::Null };
        found.hooks.insert(name.to_owned(), hook);
        json!({
            "AccountId": ACCOUNT, "RequestId": "r", "AutoScalingGroupARN": found.arn, "AutoScalingGroupName": group,
            "Service": "AWS Auto Scaling", "Event": "autoscaling:TEST_NOTIFICATION", "Time": now,
        })
    }

    /// Whoever hung a hook onto a group is done with an instance.
    pub fn complete_hook(&mut self, instance: &str, hook: &str, continues: bool) {
        let waits = self.auto_scaling.member(instance).is_some_and(|member| member.waits.contains_key(hook));
        let Some(name) = self.auto_scaling.group_of(instance).map(str::to_owned).filter(|_| waits) else { return };
        self.acting(Cause::People, |world| world.finish_wait(&name, instance, hook, continues));
        self.settle();
    }
}
