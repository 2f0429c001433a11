//! What the last deployment of the stack wants every member to run, and whether a member runs it. CloudFormation only declares
//! it: nobody is restarted by an update of the stack.

use std::fmt;

use super::{Instance, MOST_CORES, Task};
use crate::ids::TaskDefinitionArn;

/// A launch template with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// Its id, such as `lt-0123456789abcdef0`.
    pub id: String,
    /// The version: a number, unless a group names `$Latest` or `$Default`.
    pub version: String,
}

impl LaunchTemplate {
    /// Reads `<id>:<version>`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (id, version) = text.split_once(':')?;
        let template = Self { id: id.to_owned(), version: version.to_owned() };
        (id.starts_with("lt-") && template.has_number()).then_some(template)
    }

    /// Returns whether the version is a number: `$Latest` and `$Default` do not say which one an instance was launched from.
    fn has_number(&self) -> bool {
        !self.version.is_empty() && self.version.chars().all(|c| c.is_ascii_digit())
    }
}

impl fmt::Display for LaunchTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.version)
    }
}

/// What a deployment names as wanted, as the template passes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The ARN of the cores' task definition, with its revision.
    pub core_task_definition: String,
    /// The cores' launch templates with their versions, separated by spaces, core 1 first.
    pub core_launch_templates: String,
    /// The ARN of the replicas' task definition; empty without replicas.
    pub replica_task_definition: String,
    /// The replicas' launch template with its version; empty without replicas.
    pub replica_launch_template: String,
}

/// What the members should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The task definition of the cores.
    pub core_task: TaskDefinitionArn,
    /// The launch template of each core, core 1 first.
    pub core_templates: Vec<LaunchTemplate>,
    /// Task definition and launch template of the replicas; nothing without replicas.
    pub replica: Option<(TaskDefinitionArn, LaunchTemplate)>,
}

/// Why something wanted cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// A family alone, for example.
    #[error(
        "{0} is {1:?}, but should be the ARN of a task definition with its revision, such as \
         arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7"
    )]
    TaskDefinition(&'static str, String),
    /// `$Latest`, for example.
    #[error(
        "{0} has {1:?}, but should have the id of a launch template and the number of a version, such as \
         lt-0123456789abcdef0:3"
    )]
    LaunchTemplate(&'static str, String),
    /// None, or too many.
    #[error(
        "CoreLaunchTemplates has {0} launch templates, but should have one for each core, of which there are 1 to 7"
    )]
    Count(usize),
    /// Replicas have both.
    #[error(
        "ReplicaTaskDefinition is {0:?} and ReplicaLaunchTemplate is {1:?}: set both, or neither if there are no replicas"
    )]
    HalfOfReplicas(String, String),
}

impl Target {
    /// Reads what is wanted. Refuses whatever could not be compared with what runs.
    pub fn read(wanted: &Wanted) -> Result<Self, TargetRefused> {
        let core_task = task_definition("CoreTaskDefinition", &wanted.core_task_definition)?;
        let templates = wanted.core_launch_templates.split_whitespace();
        let core_templates: Vec<_> =
            templates.map(|text| launch_template("CoreLaunchTemplates", text)).collect::<Result<_, _>>()?;
        if !(1..=usize::from(MOST_CORES)).contains(&core_templates.len()) {
            return Err(TargetRefused::Count(core_templates.len()));
        }
        let (task, template) = (&wanted.replica_task_definition, &wanted.replica_launch_template);
        let replica = match (task.is_empty(), template.is_empty()) {
            (true, true) => None,
            (false, false) => Some((
                task_definition("ReplicaTaskDefinition", task)?,
                launch_template("ReplicaLaunchTemplate", template)?,
            )),
            _ => return Err(TargetRefused::HalfOfReplicas(task.clone(), template.clone())),
        };
        Ok(Self { core_task, core_templates, replica })
    }

    /// Returns the text that [`Target::read`] reads.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let templates: Vec<_> = self.core_templates.iter().map(ToString::to_string).collect();
        let replica = |text: fn(&(TaskDefinitionArn, LaunchTemplate)) -> String| {
            self.replica.as_ref().map(text).unwrap_or_default()
        };
        Wanted {
            core_task_definition: self.core_task.to_string(),
            core_launch_templates: templates.join(" "),
            replica_task_definition: replica(|(task, _)| task.to_string()),
            replica_launch_template: replica(|(_, template)| template.to_string()),
        }
    }
}

fn task_definition(property: &'static str, text: &str) -> Result<TaskDefinitionArn, TargetRefused> {
    let arn = TaskDefinitionArn::from(text);
    let refused = || TargetRefused::TaskDefinition(property, text.to_owned());
    let (family, revision) = arn.revision().and_then(|revision| revision.split_once(':')).ok_or_else(refused)?;
    let valid = !family.is_empty() && !revision.is_empty() && revision.chars().all(|c| c.is_ascii_digit());
    if valid { Ok(arn) } else { Err(refused()) }
}

fn launch_template(property: &'static str, text: &str) -> Result<LaunchTemplate, TargetRefused> {
    LaunchTemplate::read(text).ok_or_else(|| TargetRefused::LaunchTemplate(property, text.to_owned()))
}

/// What a member has, compared with what it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It has it.
    Same,
    /// It has something else.
    Other {
        /// What it has.
        has: String,
        /// What it should have.
        wants: String,
    },
    /// One of the two is not known, for this reason.
    Unknown(String),
}

/// Whether a member runs what the target names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The task, by the revision of its task definition.
    pub task: Compared,
    /// The instance, by the version of the launch template that it was launched from.
    pub instance: Compared,
}

/// CloudFormation asks for a target again only when one of its properties has changed.
const NO_TARGET: &str = "the state table holds no target: change a parameter of the tasks, such as SlowQueryMillis, and \
    deploy the stack";

impl Standing {
    /// Compares a member's task and instance with a target. Nothing is up to date that is not known to be.
    #[must_use]
    pub fn of(target: Option<&Target>, core: Option<u8>, instance: Option<&Instance>, task: Option<&Task>) -> Self {
        let Some(target) = target else {
            let unknown = || Compared::Unknown(NO_TARGET.to_owned());
            return Self { task: unknown(), instance: unknown() };
        };
        let (wanted_task, wanted_template) = match core {
            Some(core) => (
                Some(&target.core_task),
                usize::from(core).checked_sub(1).and_then(|index| target.core_templates.get(index)),
            ),
            None => target.replica.as_ref().map(|(task, template)| (task, template)).unzip(),
        };
        Self { task: compare_task(wanted_task, task), instance: compare_instance(wanted_template, instance) }
    }

    /// Returns `outdated` if anything is, else `unknown` if anything is, else `reached`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let both = [&self.task, &self.instance];
        if both.iter().any(|compared| matches!(compared, Compared::Other { .. })) {
            "outdated"
        } else if both.iter().any(|compared| matches!(compared, Compared::Unknown(_))) {
            "unknown"
        } else {
            "reached"
        }
    }

    /// Returns what is outdated and what is not known; nothing when the target is reached.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let of = |what: &str, compared: &Compared| match compared {
            Compared::Same => None,
            Compared::Other { has, wants } => Some(format!("its {what} {has}, wanted is {wants}")),
            Compared::Unknown(why) => Some(why.clone()),
        };
        let parts = [of("task is of", &self.task), of("instance is of", &self.instance)];
        let mut parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.dedup();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn compare_task(wanted: Option<&TaskDefinitionArn>, task: Option<&Task>) -> Compared {
    let unknown = |why: &str| Compared::Unknown(why.to_owned());
    let Some(wanted) = wanted else { return unknown("the target names no task definition for it") };
    let Some(task) = task else { return unknown("it has no task") };
    match &task.definition {
        None => unknown("ECS does not say which task definition its task is of"),
        Some(has) if has == wanted => Compared::Same,
        Some(has) => Compared::Other { has: has.short().to_owned(), wants: wanted.short().to_owned() },
    }
}

fn compare_instance(wanted: Option<&LaunchTemplate>, instance: Option<&Instance>) -> Compared {
    let unknown = |why: &str| Compared::Unknown(why.to_owned());
    let Some(wanted) = wanted else { return unknown("the target names no launch template for it") };
    let Some(instance) = instance else { return unknown("it has no instance") };
    match &instance.template {
        None => unknown("Auto Scaling does not say which launch template its instance is of"),
        Some(has) if !has.has_number() => {
            Compared::Unknown(format!("Auto Scaling gives {has} for its instance, not the number of a version"))
        }
        Some(has) if has == wanted => Compared::Same,
        Some(has) => Compared::Other { has: has.to_string(), wants: wanted.to_string() },
    }
}
