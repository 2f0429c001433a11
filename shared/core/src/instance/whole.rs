use jiff::{SignedDuration, Timestamp};

use super::{
    ContainerInstance, Group, Instance, Observed, Phase, Plan, Policy, Reason, Standing, State, Task,
    heard::neo4j_fault,
    launch::{agent_fault, current, own_volume},
};
use crate::ids::{CoreId, InstanceId, VolumeId};

/// How long a task must run before its core is whole: one that keeps ending is `RUNNING` for moments, which ECS takes
/// for success (developer guide, «Amazon ECS service throttle logic»).
const SETTLED: SignedDuration = SignedDuration::from_mins(5);
/// How long a core may be other than whole before the alarm goes off: the threshold of `CoreNotWholeAlarm`.
pub const NOT_WHOLE: SignedDuration = SignedDuration::from_mins(30);

/// One core as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Its number, from 1.
    pub number: u8,
    /// Its instance, if it has one: of several, the one that its group counts on.
    pub instance: Option<InstanceId>,
    /// The lifecycle state of that instance.
    pub state: Option<State>,
    /// The zone of that instance.
    pub zone: Option<String>,
    /// Its data volume's id, if its group names one.
    pub volume: Option<VolumeId>,
    /// Whether ECS has a connection to the agent of its instance; nothing when the agent has not registered.
    pub agent: Option<bool>,
    /// `lastStatus` of its task, if it has one.
    pub task: Option<String>,
    /// The id of its task, if it has one.
    pub task_id: Option<String>,
    /// Whether its task and its instance are what the last deployment wants.
    pub standing: Standing,
    /// Why it is not whole; nothing when it is.
    pub fault: Option<Fault>,
}

/// One instance of the replicas as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The instance.
    pub instance: InstanceId,
    /// Its lifecycle state.
    pub state: State,
    /// Its zone.
    pub zone: String,
    /// `lastStatus` of its task, if it has one.
    pub task: Option<String>,
    /// The id of its task, if it has one.
    pub task_id: Option<String>,
    /// Whether its task and its instance are what the last deployment wants.
    pub standing: Standing,
}

/// Why a core is not whole: in service, with its own volume attached, its agent connected, its task running, and its Neo4j
/// serving every database that it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing would replace its instance.
    #[error("no Auto Scaling group of the cluster has the tag neo4j:core={0}: deploy the stack again")]
    NoGroup(u8),
    /// Two instances would ask for one volume.
    #[error("several Auto Scaling groups have the tag of this core: {0}: take it off those that are not the stack's")]
    SeveralGroups(String),
    /// The group is set to have no instance.
    #[error("its Auto Scaling group {0} is to have no instance: set its desired capacity to 1")]
    NoneWanted(String),
    /// No capacity, for example.
    #[error(
        "its Auto Scaling group {group} has no instance{}: if that lasts, choose the next larger instance type of the same processor",
        last_failure(.message.as_deref())
    )]
    NoInstance {
        /// The group.
        group: String,
        /// Auto Scaling's message about the last failed launch.
        message: Option<String>,
    },
    /// The instance is on its way in or out, or set aside.
    #[error("its instance {instance} is {state}{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    NotInService {
        /// The instance.
        instance: InstanceId,
        /// Its lifecycle state.
        state: State,
        /// The reason of its step in the plan.
        why: Option<Reason>,
    },
    /// The volume is not what it should be.
    #[error("{0}")]
    Volume(Reason),
    /// The instance is in service, but does not have the volume.
    #[error("volume {volume} is not attached to its instance {instance}, which is in service: replace the instance")]
    NotAttached {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        instance: InstanceId,
    },
    /// The agent takes no tasks.
    #[error("the ECS agent of its instance {instance} {agent}: {}", remedy(.agent))]
    Agent {
        /// The instance.
        instance: InstanceId,
        /// What is wrong with the agent.
        agent: String,
    },
    /// ECS has placed none.
    #[error("no task of ECS service {service} runs on its instance {instance}: look at the events of that service")]
    NoTask {
        /// The service of the core.
        service: String,
        /// The instance.
        instance: InstanceId,
    },
    /// Another member uses this core's volume. The placement constraints of the services rule that out.
    #[error(
        "task {task} of ECS service {other} is on its instance {instance}, where only {service} may have one: correct the \
         placement constraint of {other}, and stop that task"
    )]
    OtherMember {
        /// The task's id.
        task: String,
        /// The service that it is of.
        other: String,
        /// The service of the core.
        service: String,
        /// The instance.
        instance: InstanceId,
    },
    /// The task has just started.
    #[error("its task {task} has been running since {since}: the core counts as whole after five minutes")]
    Settling {
        /// The task's id.
        task: String,
        /// When it started.
        since: Timestamp,
    },
    /// The task starts, or stops.
    #[error("its task {task} is {status}, not RUNNING")]
    Task {
        /// The task's id.
        task: String,
        /// `lastStatus`.
        status: String,
    },
    /// Its Neo4j has just started.
    #[error("its Neo4j has not answered yet: {fault}; its task {task} has been running since {since}")]
    Neo4jStarting {
        /// The task's id.
        task: String,
        /// When it started.
        since: Timestamp,
        /// What was seen instead.
        fault: String,
    },
    /// Its Neo4j hangs in its start, or recovers, which takes as long as it takes.
    #[error(
        "its Neo4j has never answered, and its task {task} has been running since {since}: {fault}: it may be recovering; look \
         at its log, and at the free space of its volume"
    )]
    Neo4jNeverAnswered {
        /// The task's id.
        task: String,
        /// When it started.
        since: Timestamp,
        /// What was seen instead.
        fault: String,
    },
    /// Its Neo4j answered before.
    #[error("its Neo4j (task {task}) does not answer any more: {fault}: look at its log")]
    Neo4jSilent {
        /// The task's id.
        task: String,
        /// What was seen instead.
        fault: String,
    },
    /// Its Neo4j answers pages, but no statements.
    #[error("its Neo4j answers no statements: {fault}: look at its log")]
    Neo4jStuck {
        /// What was seen instead.
        fault: String,
    },
    /// One of its copies does not serve.
    #[error("its copy of database {database} is {seen}")]
    Database {
        /// The database.
        database: String,
        /// What was seen.
        seen: String,
    },
}

fn last_failure(message: Option<&str>) -> String {
    message
        .map_or_else(String::new, |message| format!(", and Auto Scaling reports of its last failed launch: {message}"))
}

/// Returns what to do about an agent.
fn remedy(agent: &str) -> &'static str {
    if agent.ends_with("not ACTIVE") {
        "set it to ACTIVE, or replace the instance"
    } else {
        "look at ecs.service on the instance by Session Manager, or replace it"
    }
}

/// Returns every core, with why it is not whole if it is not. While the cluster is being deleted, nothing is expected
/// of any.
#[must_use]
pub fn cores(observed: &Observed, plan: &Plan, policy: &Policy, now: Timestamp) -> Vec<Core> {
    (1..=policy.cores).map(|number| core(observed, plan, policy, number, now)).collect()
}

fn core(observed: &Observed, plan: &Plan, policy: &Policy, number: u8, now: Timestamp) -> Core {
    let tag = CoreId::from(number);
    let groups = observed.groups.iter().filter(|group| group.core.as_ref() == Some(&tag));
    let groups: Vec<_> = groups.collect();
    let instance = groups.first().and_then(|group| shown(group));
    let registrations = instance.map(|instance| observed.of(&instance.id)).unwrap_or_default();
    let registered = current(&registrations);
    let service = policy.service_of(number).unwrap_or_default();
    let task = own_task(registered, |task| task.service() == Some(service));
    let fault = match groups[..] {
        _ if observed.phase == Phase::Deleting => None,
        [] => Some(Fault::NoGroup(number)),
        [group] => {
            let fault = fault(observed, plan, policy, group, service, now);
            fault.or_else(|| neo4j_fault(observed, number, task?, now))
        }
        _ => Some(Fault::SeveralGroups(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", "))),
    };
    Core {
        number,
        instance: instance.map(|instance| instance.id.clone()),
        state: instance.map(|instance| instance.state.clone()),
        zone: instance.map(|instance| instance.zone.clone()),
        volume: groups.first().and_then(|group| group.volume.clone()),
        agent: registered.map(|found| found.connected),
        task: task.map(|task| task.status.clone()),
        task_id: task.map(|task| task.id.clone()),
        standing: Standing::of(observed.target.as_ref(), Some(number), instance, task),
        fault,
    }
}

/// Returns every instance of the replicas.
#[must_use]
pub fn replicas(observed: &Observed, policy: &Policy) -> Vec<Replica> {
    let groups = observed.groups.iter().filter(|group| !group.is_core());
    let replica = |instance: &Instance| {
        let registrations = observed.of(&instance.id);
        let ours = |task: &Task| policy.replica_services.iter().any(|service| task.service() == Some(service));
        let task = own_task(current(&registrations), ours);
        Replica {
            instance: instance.id.clone(),
            state: instance.state.clone(),
            zone: instance.zone.clone(),
            task: task.map(|task| task.status.clone()),
            task_id: task.map(|task| task.id.clone()),
            standing: Standing::of(observed.target.as_ref(), None, Some(instance), task),
        }
    };
    groups.flat_map(|group| &group.instances).map(replica).collect()
}

/// Returns a group's instance that is in service, or else on its way in, or else on its way out.
fn shown(group: &Group) -> Option<&Instance> {
    let rank =
        |instance: &&Instance| (!instance.state.is_in_service(), instance.state.is_leaving(), instance.id.clone());
    group.instances.iter().min_by_key(rank)
}

fn fault(
    observed: &Observed,
    plan: &Plan,
    policy: &Policy,
    group: &Group,
    service: &str,
    now: Timestamp,
) -> Option<Fault> {
    if group.lacks_instance() {
        return Some(Fault::NoInstance { group: group.name.clone(), message: group.launch_failure.clone() });
    }
    let Some(found) = shown(group) else { return Some(Fault::NoneWanted(group.name.clone())) };
    let instance = found.id.clone();
    if !found.state.is_in_service() {
        let step = plan.steps.iter().find(|step| step.instance == instance);
        return Some(Fault::NotInService {
            state: found.state.clone(),
            why: step.map(|step| step.why.clone()),
            instance,
        });
    }
    let registrations = observed.of(&instance);
    let registered = current(&registrations);
    let fault = volume_fault(observed, policy, group, found).or_else(|| registration_fault(group, found, registered));
    fault.or_else(|| other_member(found, registered, policy, service)).or_else(|| {
        let task = own_task(registered, |task| task.service() == Some(service));
        task_fault(found, task, service, now)
    })
}

/// Returns why an instance in service does not serve its core's data.
fn volume_fault(observed: &Observed, policy: &Policy, group: &Group, instance: &Instance) -> Option<Fault> {
    let (_, id, volume) = match own_volume(observed, group, instance, policy) {
        Ok(own) => own,
        Err(why) => return Some(Fault::Volume(why)),
    };
    if let Some(other) = volume.attachments.iter().find(|attachment| attachment.instance != instance.id) {
        return Some(Fault::Volume(Reason::Held { volume: id.clone(), by: other.instance.clone() }));
    }
    let attached = volume.attachments.iter().any(|attachment| attachment.attached);
    (!attached).then(|| Fault::NotAttached { volume: id.clone(), instance: instance.id.clone() })
}

/// Returns why an instance in service takes no tasks of its core.
fn registration_fault(group: &Group, instance: &Instance, registered: Option<&ContainerInstance>) -> Option<Fault> {
    if let Some(agent) = agent_fault(registered) {
        return Some(Fault::Agent { instance: instance.id.clone(), agent });
    }
    let (found, core) = (registered?, group.core.as_ref()?);
    (found.core.as_ref() != Some(core))
        .then(|| Fault::Volume(Reason::OtherCore { has: found.core.clone(), wants: core.clone() }))
}

/// Returns the fault of an instance on which a member runs that is not its core.
fn other_member(
    instance: &Instance,
    registered: Option<&ContainerInstance>,
    policy: &Policy,
    service: &str,
) -> Option<Fault> {
    let mut members = registered?.tasks.iter().filter(|task| policy.is_ours(task));
    let task = members.find(|task| task.service() != Some(service))?;
    Some(Fault::OtherMember {
        task: task.id.clone(),
        other: task.service().unwrap_or_default().to_owned(),
        service: service.to_owned(),
        instance: instance.id.clone(),
    })
}

/// Returns why an instance in service does not run its core's task.
fn task_fault(instance: &Instance, task: Option<&Task>, service: &str, now: Timestamp) -> Option<Fault> {
    let Some(task) = task else {
        return Some(Fault::NoTask { service: service.to_owned(), instance: instance.id.clone() });
    };
    if task.status != "RUNNING" {
        return Some(Fault::Task { task: task.id.clone(), status: task.status.clone() });
    }
    let since = task.started_at.filter(|since| now.duration_since(*since) < SETTLED);
    since.map(|since| Fault::Settling { task: task.id.clone(), since })
}

/// Returns a member's task under the current registration, one that runs before any other. What ECS counts on another
/// registration may have ended long ago.
fn own_task(registered: Option<&ContainerInstance>, own: impl Fn(&Task) -> bool) -> Option<&Task> {
    let ours = registered.into_iter().flat_map(|found| &found.tasks).filter(|task| own(task));
    ours.min_by_key(|task| (task.status != "RUNNING", task.started_at))
}
