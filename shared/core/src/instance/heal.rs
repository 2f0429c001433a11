//! What is wrong with a core that the function heals by itself, and why it does not yet.
//!
//! Healing stops a Neo4j, so nothing is ill but by proof: what is not known is as good as well.

mod disk;
mod not_yet;
mod patient;
mod wedged;

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};

use super::{Heard, Instance, Observed, Phase, Policy, Seen, heard::own_copies};
use crate::{ids::InstanceId, quorum::called_unavailable};

pub use not_yet::NotYet;
use patient::Patient;

/// How long a Neo4j that had answered must be silent, and how long one must have tried to start.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How often a core is restarted within a day.
const A_DAY: usize = 3;

/// What is wrong with a core that the function heals by itself, with what proves it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ill {
    /// Its Neo4j stands still: its task is to be stopped through the gate.
    Hanging {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// Since when it has said nothing while ECS was connected to the agent beside it.
        since: Timestamp,
        /// The cores that call it unavailable.
        by: Vec<u8>,
    },
    /// Its Neo4j hung in its start on a full disk, which has room now: its task is to be stopped, without the gate, since it has
    /// no port and no vote.
    DiskStart {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// When the task started.
        since: Timestamp,
        /// How much of the disk was free then, in per cent.
        was: f64,
        /// How much is free now, in per cent.
        free: f64,
    },
    /// Its Neo4j runs and met a full disk, which has room now: its task is to be stopped through the gate.
    DiskRunning {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// A database that it does not serve.
        database: String,
        /// What its own copy says.
        message: String,
        /// How much of the disk is free now, in per cent.
        free: f64,
    },
    /// Neither its agent nor its Neo4j can be reached: its instance is to be marked unhealthy, through the gate.
    Wedged {
        /// Its instance.
        instance: InstanceId,
        /// The task, which nobody can stop there; nothing when there is none.
        task: Option<String>,
        /// Since when its agent has been seen disconnected.
        agent: Timestamp,
        /// The second witness.
        witness: Witness,
    },
}

/// The second witness against an instance whose agent is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Its Neo4j is silent as well, since then.
    Silent(Timestamp),
    /// These cores call its Neo4j unavailable.
    Peers(Vec<u8>),
}

impl Ill {
    /// Returns the core's instance.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        match self {
            Self::Hanging { instance, .. }
            | Self::DiskStart { instance, .. }
            | Self::DiskRunning { instance, .. }
            | Self::Wedged { instance, .. } => instance,
        }
    }

    /// Returns the task that serves the core, if it has one.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Hanging { task, .. } | Self::DiskStart { task, .. } | Self::DiskRunning { task, .. } => Some(task),
            Self::Wedged { task, .. } => task.as_deref(),
        }
    }
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hanging { task, since, by, .. } => {
                write!(f, "its Neo4j (task {task}) has not answered since {since:.0}, and {} it unavailable", call(by))
            }
            Self::DiskStart { task, since, was, free, .. } => write!(
                f,
                "its Neo4j (task {task}) hung in its start at {since:.0}, when {was:.2} % of its disk was free; {free:.0} % is \
                 free now"
            ),
            Self::DiskRunning { task, database, message, free, .. } => write!(
                f,
                "its Neo4j (task {task}) refuses database {database} since its disk was full («{message}»); {free:.0} % is \
                 free now"
            ),
            Self::Wedged { agent, witness, .. } => {
                write!(f, "ECS has had no connection to its agent since {agent:.0}, and ")?;
                match witness {
                    Witness::Silent(since) => write!(f, "its Neo4j has not answered since {since:.0}"),
                    Witness::Peers(by) => write!(f, "{} its Neo4j unavailable", call(by)),
                }
            }
        }
    }
}

/// Returns who calls something so, as in «cores 1, 3 call».
fn call(by: &[u8]) -> String {
    format!("cores {} call", by.iter().map(u8::to_string).collect::<Vec<_>>().join(", "))
}

/// What was made of a core.
#[derive(Clone, Debug, PartialEq)]
enum Judged {
    /// Nothing here is the function's to heal.
    Well,
    /// It may be ill, and this is what is missing.
    NotYet(NotYet),
    /// It is ill.
    Ill(Ill),
}

/// Judges a core; nothing when it is not ill, or when something is missing from the proof.
#[must_use]
pub fn ill(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Option<Ill> {
    match judge(observed, policy, core, now) {
        Judged::Ill(ill) => Some(ill),
        Judged::Well | Judged::NotYet(_) => None,
    }
}

/// Returns why a core that may be ill is not healed yet; nothing when it is well, or healed now.
#[must_use]
pub fn not_yet(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Option<NotYet> {
    match judge(observed, policy, core, now) {
        Judged::NotYet(why) => Some(why),
        Judged::Well | Judged::Ill(_) => None,
    }
}

/// Returns whether an instance in service may be wedged, so that EC2 is worth asking: all its registrations have been silent
/// for long.
#[must_use]
pub fn may_be_wedged(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let registrations = observed.of(&instance.id);
    let silent = !registrations.is_empty() && registrations.iter().all(|found| found.is_silent(now));
    observed.phase == Phase::Complete && instance.state.is_in_service() && silent
}

/// Returns the cores whose disk may be what is wrong, so that its free space is worth reading, with when their task started:
/// those whose Neo4j has been silent since long after that, and those with a copy that has a status message.
///
/// One that had answered and hangs is among them: it is not restarted on a full disk, either.
#[must_use]
pub fn doubtful_disks(observed: &Observed, policy: &Policy, now: Timestamp) -> BTreeMap<u8, Timestamp> {
    let Seen::Answers(cores) = &observed.neo4j else { return BTreeMap::new() };
    let tasks = || observed.container_instances.iter().flat_map(|on| &on.tasks).filter(|task| policy.is_ours(task));
    let doubtful = cores.iter().filter_map(|(core, heard)| {
        let started = tasks().find(|task| task.id == heard.answer.task)?.started_at?;
        let silent = heard.answer.page.is_err() && now.duration_since(started) >= PATIENCE;
        (silent || has_message(heard)).then_some((*core, started))
    });
    doubtful.collect()
}

/// Returns whether a copy of its own has a status message.
fn has_message(heard: &Heard) -> bool {
    let view = heard.answer.view.as_ref();
    view.is_ok_and(|view| own_copies(view).any(|(_, copy)| !copy.message.is_empty()))
}

fn judge(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Judged {
    let Some(patient) = Patient::of(observed, policy, core, now) else { return Judged::Well };
    let registrations = observed.of(&patient.instance.id);
    if registrations.iter().all(|found| !found.connected) { patient.cut_off(&registrations) } else { patient.running() }
}

/// Returns the cores that call a core unavailable, or why they do not.
fn called_by(observed: &Observed, core: u8) -> Result<Vec<u8>, String> {
    let asked = observed.quorum_observed.as_ref().ok_or_else(|| "nobody asked the other cores".to_owned())?;
    called_unavailable(asked, core).map_err(|doubt| doubt.to_string())
}
