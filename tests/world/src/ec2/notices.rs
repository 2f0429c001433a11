//! What AWS says beforehand: that it takes a Spot Instance back, that it probably will, and what it has scheduled.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    super::{World, neo4j::Cause},
    Instance, REGION, arn,
};

/// From the notice to the end of a Spot Instance (EC2 user guide, «Spot Instance interruption notices»: «two minutes prior to the
/// actual interruption»).
pub const NOTICE: i64 = 120;
/// How long before its end an instance has to begin to stop Neo4j: ECS takes some seconds until it sends the signal, and a busy
/// checkpoint 44 s. Who stops a member then has not chosen to.
pub const LAST_CALL: i64 = 65;
/// How long a scheduled event is still described once it is over (API reference of `InstanceStatusEvent`, `description`: «up to a
/// week»).
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A scheduled event of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// `instanceEventId`.
    pub id: String,
    /// `instance-reboot`, `system-reboot`, `system-maintenance`, `instance-retirement` or `instance-stop`.
    pub code: &'static str,
    /// What AWS writes. Of an event that is over it begins with `[Completed]` or `[Canceled]` (EC2 user guide, «Scheduled events
    /// for Amazon EC2 instances»).
    pub description: String,
    /// When it begins at the earliest. Here it begins then.
    pub not_before: Timestamp,
    over: bool,
}

impl Scheduled {
    pub(super) fn item(&self) -> Value {
        json!({
            "instanceEventId": self.id, "code": self.code, "description": self.description,
            "notBefore": self.not_before.to_string(),
        })
    }

    fn end(&mut self, how: &str) {
        self.over = true;
        self.description = format!("[{how}] {}", self.description);
    }
}

impl Instance {
    /// Whether AWS is about to take it back, so that its members have to stop now or never.
    #[must_use]
    pub fn is_on_last_call(&self, now: Timestamp) -> bool {
        self.reclaimed.is_some_and(|at| at - SignedDuration::from_secs(LAST_CALL) <= now)
    }

    pub(super) fn next_notice(&self) -> impl Iterator<Item = Timestamp> {
        let reclaimed = self.reclaimed.filter(|_| self.ended.is_none());
        reclaimed.into_iter().chain(self.scheduled.iter().filter(|event| !event.over).map(|event| event.not_before))
    }
}

impl World {
    /// AWS says that it takes an instance back in two minutes, and does so whatever happens (EC2 user guide, «Spot Instance
    /// interruption notices»). An instance that the world does not have is somebody else's: events come all the same.
    pub fn interrupt(&mut self, instance: &str) {
        let at = self.now + SignedDuration::from_secs(NOTICE);
        let found = self.ec2.instances.get_mut(instance).filter(|found| found.ended.is_none());
        let zone = found.as_ref().map_or_else(|| format!("{REGION}a"), |found| found.zone.clone());
        if let Some(found) = found {
            found.reclaimed.get_or_insert(at);
        }
        let detail = json!({"instance-id": instance, "instance-action": "terminate"});
        // «The ARN format of the Spot Instance is arn:aws:ec2:availability-zone:instance/instance-id. This format differs from the
        // EC2 resource ARN format» (the same page).
        let resource = format!("arn:aws:ec2:{zone}:instance/{instance}");
        self.emit("aws.ec2", "EC2 Spot Instance Interruption Warning", &[resource], &detail);
        self.settle();
    }

    /// AWS says that an instance is at an elevated risk of interruption, which may come or not (EC2 user guide, «EC2 instance
    /// rebalance recommendations»).
    pub fn recommend_rebalance(&mut self, instance: &str) {
        let detail = json!({"instance-id": instance});
        self.emit("aws.ec2", "EC2 Instance Rebalance Recommendation", &[arn("instance", instance)], &detail);
        self.settle();
    }

    /// AWS schedules an event for an instance in so many seconds, and returns its id.
    pub fn schedule(&mut self, instance: &str, code: &'static str, seconds: i64) -> String {
        let id = format!("instance-event-{}", self.id(17));
        let not_before = self.now + SignedDuration::from_secs(seconds);
        let description = match code {
            "instance-retirement" => "The instance is running on degraded hardware",
            "instance-stop" => "The instance is scheduled to stop",
            _ => "The instance is scheduled for maintenance",
        };
        let (description, over) = (description.to_owned(), false);
        if let Some(found) = self.ec2.instances.get_mut(instance) {
            found.scheduled.push(Scheduled { id: id.clone(), code, description, not_before, over });
        }
        id
    }

    /// AWS takes a scheduled event back.
    pub fn cancel_scheduled(&mut self, event: &str) {
        let all = self.ec2.instances.values_mut().flat_map(|instance| &mut instance.scheduled);
        if let Some(found) = { all }.find(|found| found.id == event && !found.over) {
            found.end("Canceled");
        }
    }

    /// Whose doing it is that somebody stops what runs on an instance: AWS's own once it is about to take it.
    pub(in super::super) fn blame(&self, instance: Option<&String>, cause: Cause) -> Cause {
        let found = instance.and_then(|instance| self.ec2.instances.get(instance));
        if found.is_some_and(|found| found.is_on_last_call(self.now)) { Cause::Aws } else { cause }
    }

    /// Does the next thing that AWS has announced, and says whether there was one.
    pub(super) fn settle_notices(&mut self) -> bool {
        let now = self.now;
        let taken = self.ec2.instances.iter().find(|(_, instance)| {
            instance.ended.is_none() && instance.reclaimed.is_some_and(|at| at <= now)
        });
        if let Some(id) = taken.map(|(id, _)| id.clone()) {
            self.end_instance(&id, Cause::Aws);
            return true;
        }
        let mut events = self.ec2.instances.iter_mut().flat_map(|(id, instance)| {
            instance.scheduled.iter_mut().map(move |event| (id, event))
        });
        let due = events.find(|(_, event)| !event.over && event.not_before <= now).map(|(id, event)| {
            event.end("Completed");
            (id.clone(), event.code)
        });
        drop(events);
        let Some((id, code)) = due else { return self.forget_scheduled() };
        match code {
            // A member of a group that is stopped is replaced (Auto Scaling user guide, «Health checks for instances in an Auto Scaling
            // group»: any state other than `running` is unhealthy), so nothing of it is left either way.
            "instance-retirement" | "instance-stop" => self.end_instance(&id, Cause::Aws),
            _ => self.reboot(&id),
        }
        true
    }

    fn forget_scheduled(&mut self) -> bool {
        let now = self.now;
        for instance in self.ec2.instances.values_mut() {
            instance.scheduled.retain(|event| !event.over || event.not_before + REMEMBERED > now);
        }
        false
    }
}
