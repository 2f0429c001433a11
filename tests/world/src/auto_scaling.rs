//! Auto Scaling: groups that keep their desired number of instances, and hooks at which an instance waits.

mod api;
mod members;
mod resources;
mod standby;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    ACCOUNT, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted},
    ec2::Ec2,
    neo4j::Cause,
    service::{Asked, Service, Target, Touched},
};

/// From the launch to `Pending:Wait`: before EC2 says `running`.
const ARRIVE: i64 = 2;
/// From `Pending:Proceed` or `Terminating:Proceed` to what follows.
const PROCEED: i64 = 1;
/// From a launch that failed to the next try.
const RETRY: i64 = 60;
/// From the end of an instance until a health check notices.
const NOTICE: i64 = 60;
/// The longest that an instance waits, whatever heartbeats it gets, or a hundred times its hook's timeout if that is less
/// (user guide, «Amazon EC2 Auto Scaling lifecycle hooks», «Considerations and limitations»).
const LONGEST: i64 = 48 * 3600;

/// The transition of a launch hook.
pub const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
/// The transition of a terminate hook.
pub const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// Groups by name.
#[derive(Clone, Debug, Default)]
pub struct AutoScaling {
    /// What there is.
    pub groups: BTreeMap<String, Group>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its ARN.
    pub arn: String,
    /// The fewest instances that it may want.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// How many it wants.
    pub desired: usize,
    /// Where it launches.
    pub subnets: Vec<String>,
    /// The id of its launch template.
    pub template: String,
    /// The version: a number, `$Latest` or `$Default`.
    pub version: String,
    /// The overrides of a mixed-instances policy, if it has one.
    pub mixed: Option<Value>,
    /// Values by key, with whether instances get them.
    pub tags: BTreeMap<String, (String, bool)>,
    /// Hooks by name.
    pub hooks: BTreeMap<String, Hook>,
    /// Whether an abandoned terminate hook keeps the instance.
    pub retain: bool,
    /// `HealthCheckGracePeriod`: seconds in service during which nobody's word makes an instance unhealthy.
    pub grace: i64,
    /// Instances by id.
    pub members: BTreeMap<String, Member>,
    /// Whether it goes when its last instance has gone.
    pub deleting: bool,
    /// Activities that failed: when, what they were (`Description`), and Auto Scaling's words (`StatusMessage`).
    pub failures: Vec<(Timestamp, &'static str, String)>,
    /// Stays at a hook that silence ended.
    pub timed_out: Vec<TimedOut>,
    created: Timestamp,
    blocked_until: Option<Timestamp>,
}

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// [`LAUNCHING`] or [`TERMINATING`].
    pub transition: String,
    /// Seconds from one sign of life to the next.
    pub heartbeat: i64,
    /// Whether silence means `CONTINUE`.
    pub continues: bool,
}

/// An instance in a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its zone.
    pub zone: String,
    /// `LifecycleState`.
    pub state: &'static str,
    /// Whether `HealthStatus` is `Healthy`.
    pub healthy: bool,
    /// The launch template that it came from, and its version.
    pub template: (String, usize),
    /// Since when it is in service, if it is.
    pub in_service: Option<Timestamp>,
    /// The hooks that it waits at.
    pub waits: BTreeMap<String, Wait>,
    /// Whether the group itself has ended it.
    ending: bool,
    /// Whose doing it is that it ends.
    ended_by: Cause,
    next: Option<Timestamp>,
}

/// An instance's stay at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What may stand for the instance's id.
    pub token: String,
    /// When silence decides.
    pub until: Timestamp,
    /// What no heartbeat can put off.
    pub longest: Timestamp,
    heartbeat: i64,
}

/// A stay at a hook that nobody ended: its default result decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// The instance.
    pub instance: String,
    /// The hook.
    pub hook: String,
    /// When.
    pub at: Timestamp,
}

/// The next thing that a group has to do.
enum Work {
    Proceed(String),
    TimeOut(String, String),
    Drop(String),
    Launch,
    Leave(String),
}

impl Member {
    /// Whether the group counts it among those that it wants.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.is_leaving() && !self.is_aside()
    }

    /// Whether it is on its way out, or kept from it.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.state.starts_with("Terminating")
    }

    /// Whether it is kept for later: on standby, or in a warm pool. Neither counts towards the desired capacity, and of neither
    /// health is checked (user guide, «Temporarily remove instances from your Auto Scaling group»; «Warm pools for Amazon EC2 Auto
    /// Scaling»).
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.state == "Standby" || self.state.starts_with("Warmed:")
    }
}

impl Group {
    fn hooks_at(&self, transition: &str) -> Vec<(String, Hook)> {
        let hooks = self.hooks.iter().filter(|(_, hook)| hook.transition == transition);
        hooks.map(|(name, hook)| (name.clone(), hook.clone())).collect()
    }

    fn next_work(&self, ec2: &Ec2, now: Timestamp) -> Option<Work> {
        for (id, member) in &self.members {
            if member.next.is_some_and(|at| at <= now) {
                return Some(Work::Proceed(id.clone()));
            }
            if let Some((hook, _)) = member.waits.iter().find(|(_, wait)| wait.until <= now) {
                return Some(Work::TimeOut(id.clone(), hook.clone()));
            }
            let instance = ec2.instances.get(id);
            let gone = instance.is_none_or(|instance| match instance.ended {
                Some(_) if member.ending => instance.state == "terminated",
                Some(ended) => ended + SignedDuration::from_secs(NOTICE) <= now,
                None => false,
            });
            if gone {
                return Some(Work::Drop(id.clone()));
            }
            if member.state == "InService" && !member.healthy {
                return Some(Work::Leave(id.clone()));
            }
        }
        let counted: Vec<_> = self.members.iter().filter(|(_, member)| member.counts()).collect();
        if counted.len() < self.desired && self.blocked_until.is_none_or(|at| at <= now) {
            return Some(Work::Launch);
        }
        // User guide, «Default termination policy»: of the fullest zone, the one from the oldest template.
        let crowd = |zone: &str| counted.iter().filter(|(_, member)| member.zone == zone).count();
        let victim = counted.iter().max_by_key(|(_, m)| (crowd(&m.zone), std::cmp::Reverse(m.template.1)));
        victim.filter(|_| counted.len() > self.desired).map(|(id, _)| Work::Leave((*id).clone()))
    }
}

impl AutoScaling {
    /// When the next things are due.
    fn next_due(&self, ec2: &Ec2) -> impl Iterator<Item = Timestamp> {
        let members = self.groups.values().flat_map(|group| group.members.iter());
        let noticed = move |id: &String| Some(ec2.instances.get(id)?.ended? + SignedDuration::from_secs(NOTICE));
        let of_members = members.flat_map(move |(id, member)| {
            member.next.into_iter().chain(member.waits.values().map(|wait| wait.until)).chain(noticed(id))
        });
        of_members.chain(self.groups.values().filter_map(|group| group.blocked_until))
    }

    /// The group that an instance belongs to.
    #[must_use]
    pub fn group_of(&self, instance: &str) -> Option<&str> {
        let group = self.groups.iter().find(|(_, group)| group.members.contains_key(instance));
        group.map(|(name, _)| name.as_str())
    }

    /// What a group knows of an instance.
    #[must_use]
    pub fn member(&self, instance: &str) -> Option<&Member> {
        self.groups.values().find_map(|group| group.members.get(instance))
    }

    fn member_mut(&mut self, instance: &str) -> Option<&mut Member> {
        self.groups.values_mut().find_map(|group| group.members.get_mut(instance))
    }
}

impl Service for AutoScaling {
    const NAME: &'static str = "autoscaling";
    const TARGET: Target = Target::Query("2011-01-01");
    const RESOURCES: &'static [&'static str] = &["AWS::AutoScaling::AutoScalingGroup"];

    fn asked(world: &World, asked: &Asked<'_>) -> Touched {
        Touched::tagged(asked.form.as_ref().map(|form| world.asked_of_auto_scaling(form)).unwrap_or_default())
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_auto_scaling(asked.form()?)
    }

    fn next_due(world: &World) -> Option<Timestamp> {
        world.earliest(world.auto_scaling.next_due(&world.ec2))
    }

    fn settle(world: &mut World) -> bool {
        world.settle_auto_scaling()
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        world.create_group(wanted)
    }

    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        world.change_group(change)
    }

    fn delete(world: &mut World, _: &str, id: &str, _: &Value) -> Result<(), String> {
        world.delete_group(id);
        Ok(())
    }

    fn is_leaving(world: &mut World, _: &str, id: &str) -> bool {
        world.is_group_leaving(id)
    }
}

/// The ARN of a group.
#[must_use]
pub fn arn(uuid: &str, name: &str) -> String {
    format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:{uuid}:autoScalingGroupName/{name}")
}

impl World {
    /// Sets how many instances a group wants.
    pub fn want(&mut self, group: &str, desired: usize) {
        if let Some(group) = self.auto_scaling.groups.get_mut(group) {
            group.desired = desired;
        }
        self.settle();
    }

    /// Somebody says that an instance is unhealthy (`SetInstanceHealth`); of EC2's own checks [`World::impair`] says so. Its
    /// group replaces it once it is in service.
    pub fn mark_unhealthy(&mut self, instance: &str) {
        if let Some(member) = self.auto_scaling.member_mut(instance) {
            member.healthy = false;
        }
        self.settle();
    }

    /// Does the next thing that is due, and says whether there was one.
    fn settle_auto_scaling(&mut self) -> bool {
        let (ec2, now) = (&self.ec2, self.now);
        let mut groups = self.auto_scaling.groups.iter();
        let work = groups.find_map(|(name, group)| Some((name.clone(), group.next_work(ec2, now)?)));
        let Some((name, work)) = work else { return false };
        match work {
            Work::Proceed(id) => self.proceed(&name, &id),
            Work::TimeOut(id, hook) => {
                let known = self.auto_scaling.groups.get(&name).and_then(|group| group.hooks.get(&hook));
                let continues = known.is_some_and(|hook| hook.continues);
                if let Some(group) = self.auto_scaling.groups.get_mut(&name) {
                    group.timed_out.push(TimedOut { instance: id.clone(), hook: hook.clone(), at: now });
                }
                self.finish_wait(&name, &id, &hook, continues);
            }
            Work::Drop(id) => self.drop_member(&name, &id),
            Work::Launch => self.launch_member(&name),
            Work::Leave(id) => self.leave(&name, &id),
        }
        true
    }
}
