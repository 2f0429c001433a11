//! The service scheduler of ECS: which container instance takes a task, and which task leaves a container instance that drains.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::{
    super::Refusal,
    Cluster, ContainerInstance, Task,
};

/// Where a service's tasks may go, and how many of them stay while others are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    expressions: Vec<Expression>,
    /// `MinimumHealthyPercent`.
    pub minimum: usize,
    /// `MaximumPercent`.
    pub maximum: usize,
    /// Whether it runs one task on each container instance (`SchedulingStrategy: DAEMON`), beside those of other services.
    pub daemon: bool,
}

/// An expression of the cluster query language: conditions that all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    subject: String,
    /// Whether the test must succeed.
    positive: bool,
    /// The values of which it has one; nothing when it must only be there.
    values: Option<Vec<String>>,
}

/// What the scheduler does next for a service.
pub(super) enum Move {
    Start(Ipv4Addr),
    Stop(String),
}

impl Condition {
    fn read(text: &str) -> Option<Self> {
        let (subject, rest) = text.trim().split_once(' ')?;
        if !subject.starts_with("attribute:") && !["ec2InstanceId", "agentConnected"].contains(&subject) {
            return None;
        }
        let (operator, argument) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let list = || argument.trim().strip_prefix('[')?.strip_suffix(']').map(|inner| inner.split(','));
        let (positive, values) = match operator {
            "exists" => (true, None),
            "not_exists" | "!exists" => (false, None),
            "equals" | "==" => (true, Some(vec![argument])),
            "not_equals" | "!=" => (false, Some(vec![argument])),
            "in" => (true, Some(list()?.collect())),
            "not_in" | "!in" => (false, Some(list()?.collect())),
            _ => return None,
        };
        let values = values.map(|values| values.into_iter().map(|value| value.trim().to_owned()).collect());
        Some(Self { subject: subject.to_owned(), positive, values })
    }

    fn holds(&self, container_instance: &ContainerInstance) -> bool {
        let value = match self.subject.as_str() {
            "ec2InstanceId" => container_instance.instance.clone(),
            "agentConnected" => Some(container_instance.connected.to_string()),
            attribute => container_instance.attributes.get(attribute.trim_start_matches("attribute:")).cloned(),
        };
        let values = self.values.as_ref();
        value.is_some_and(|value| values.is_none_or(|values| values.contains(&value))) == self.positive
    }
}

impl Expression {
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let conditions = text.split(" and ").map(Condition::read).collect::<Option<_>>();
        let wrong = || Refusal::new("InvalidParameterException", format!("the world reads no expression {text:?}"));
        conditions.map(Self).ok_or_else(wrong)
    }

    pub(super) fn holds(&self, container_instance: &ContainerInstance) -> bool {
        self.0.iter().all(|condition| condition.holds(container_instance))
    }
}

impl Placement {
    /// What the properties of a service ask for.
    pub(super) fn read(properties: &Value) -> Result<Self, String> {
        let mut expressions = Vec::new();
        for constraint in properties["PlacementConstraints"].as_array().into_iter().flatten() {
            let expression = constraint["Expression"].as_str().unwrap_or_default();
            match constraint["Type"].as_str() {
                // There is never more than one task of a cluster on a container instance: they would ask for the same ports.
                Some("distinctInstance") => {}
                Some("memberOf") => {
                    expressions.push(Expression::read(expression).map_err(|refusal| refusal.to_string())?);
                }
                other => return Err(format!("InvalidParameterException: {other:?} is no placement constraint")),
            }
        }
        let percent = |key: &str| match &properties["DeploymentConfiguration"][key] {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|number| usize::try_from(number).ok()),
        };
        let minimum = percent("MinimumHealthyPercent").unwrap_or(100);
        let daemon = properties["SchedulingStrategy"] == "DAEMON";
        Ok(Self { expressions, minimum, maximum: percent("MaximumPercent").unwrap_or(200), daemon })
    }

    fn admits(&self, container_instance: &ContainerInstance) -> bool {
        container_instance.attributes.is_empty() || self.expressions.iter().all(|expression| expression.holds(container_instance))
    }
}

impl Cluster {
    /// The first container instance that takes a task of a service now.
    fn free_container_instance(&self, placement: &Placement) -> Option<Ipv4Addr> {
        let taken = |container_instance: &Ipv4Addr| {
            let mut tasks = self.tasks.values().filter(|task| task.address == *container_instance && task.status != "STOPPED");
            // Standalone tasks ask for no port that one of a service wants.
            tasks.any(|task| !self.is_daemon(task) && !task.service.contains(':'))
        };
        let ready = |container_instance: &ContainerInstance| container_instance.connected && container_instance.status == "ACTIVE" && placement.admits(container_instance);
        self.container_instances.iter().find(|(address, container_instance)| ready(container_instance) && !taken(address)).map(|(address, _)| *address)
    }

    /// Whether a task is of a service that runs one on each container instance.
    fn is_daemon(&self, task: &Task) -> bool {
        self.services.get(&task.service).is_some_and(|service| service.placement.daemon)
    }

    /// One task on each container instance that takes any; on one that drains it is stopped when all others have left `RUNNING`
    /// (containers-roadmap#1700; developer guide, «Safely drain Amazon ECS workloads running on EC2 instances»).
    fn next_move_of_daemon(&self, name: &str, active: bool) -> Option<Move> {
        let draining = |container_instance: &Ipv4Addr| self.container_instances.get(container_instance).is_some_and(|container_instance| container_instance.status == "DRAINING");
        let others = |container_instance: &Ipv4Addr| {
            self.tasks.values().any(|t| t.address == *container_instance && t.status == "RUNNING" && !self.is_daemon(t))
        };
        let leaves = |task: &&Task| !active || (draining(&task.address) && !others(&task.address));
        if let Some((id, _)) = self.wanted(name).find(|(_, task)| leaves(task)) {
            return Some(Move::Stop(id.clone()));
        }
        let has = |container_instance: &Ipv4Addr| {
            self.tasks.values().any(|task| task.service == name && task.address == *container_instance && task.status != "STOPPED")
        };
        let ready = |container_instance: &ContainerInstance| active && container_instance.connected && container_instance.status == "ACTIVE";
        let mut free = self.container_instances.iter().filter(|(address, container_instance)| ready(container_instance) && !has(address));
        free.next().map(|(address, _)| Move::Start(*address))
    }

    /// What the scheduler does next for a service, if anything.
    pub(super) fn next_move(&self, name: &str) -> Option<Move> {
        let service = self.services.get(name)?;
        if service.placement.daemon {
            return self.next_move_of_daemon(name, service.active);
        }
        let desired = if service.active { service.desired } else { 0 };
        let drains = |task: &Task| self.container_instances.get(&task.address).is_some_and(|container_instance| container_instance.status == "DRAINING");
        let (leaving, staying): (Vec<_>, Vec<_>) = self.wanted(name).partition(|(_, task)| drains(task));
        if staying.len() > desired {
            let newest = staying.iter().max_by_key(|(_, task)| task.address);
            return newest.map(|(id, _)| Move::Stop((*id).clone()));
        }
        // Of a task with a health check only one that is healthy counts towards the minimum, which rounds up (developer guide,
        // «Amazon ECS service definition parameters», `minimumHealthyPercent`).
        let minimum = (desired * service.placement.minimum).div_ceil(100);
        let counts = |task: &Task| task.status == "RUNNING" && (task.next.is_none() || task.health == "HEALTHY");
        let serving = self.wanted(name).filter(|(_, task)| counts(task)).count();
        // With a minimum of 0 % a task is stopped at once, whether its container instance drains (developer guide, «Draining
        // Amazon ECS container instances») or a deployment replaces it («Deploy Amazon ECS services by replacing tasks»).
        let may_leave = |task: &Task| !counts(task) || serving > minimum;
        let replaced = |task: &Task| task.deployment != service.deployment;
        let goes = leaving.iter().chain(staying.iter().filter(|(_, task)| replaced(task)));
        if let Some((id, _)) = goes.into_iter().find(|(_, task)| may_leave(task)) {
            return Some(Move::Stop((*id).clone()));
        }
        // A task that is being stopped counts until it has: at a maximum of 100 % its replacement waits for that.
        let all = self.tasks.values().filter(|task| task.service == name && task.status != "STOPPED").count();
        let room = (all + 1) * 100 <= desired * service.placement.maximum;
        let start = staying.len() < desired && room;
        start.then(|| self.free_container_instance(&service.placement)).flatten().map(Move::Start)
    }
}
