//! The lease of voluntary disruptions: one core at a time is stopped on purpose, and the next one only when it is back.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Observed, Policy, Seen};
use crate::{
    ids::InstanceId,
    quorum::{self, Reason as Missing},
};

/// How long a lease that was never used stays with whoever claimed it: longer than an invocation can last, so that nobody
/// acts under a lease that has gone on.
const UNUSED: SignedDuration = SignedDuration::from_mins(2);
/// How long a core may be silent before another one may be stopped, where the cluster is large enough for both.
const SILENT: SignedDuration = SignedDuration::from_hours(1);
/// How long a core that hung in its start keeps the lease: it had no vote to lose.
const DISK_START: SignedDuration = SignedDuration::from_mins(10);
/// The number where it is not known which core is meant.
pub(super) const NO_CORE: u8 = 0;
/// The number of cores from which one that is missing does not shut the gate.
const SPARE_FROM: u8 = 5;

/// The lease as the state table holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The number of its writes, which the next write must find. 0 before the first one.
    pub fence: u64,
    /// The core that it is held for; nothing when it is free.
    pub holder: Option<Holder>,
}

/// The core that a lease is held for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The core's number.
    pub core: u8,
    /// The id of the task that is stopped. The core is back when another one serves.
    pub task: String,
    /// Why it is stopped.
    pub cause: Cause,
    /// When the lease was claimed.
    pub since: Timestamp,
}

/// Why a core is stopped on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its instance leaves.
    Drain,
    /// Its Neo4j hangs.
    Hang,
    /// Neither its agent nor its Neo4j can be reached.
    Wedged,
    /// Its Neo4j hung in its start on a full disk, which has room now.
    DiskStart,
    /// Its Neo4j met a full disk, which has room now.
    Disk,
    /// EC2 recommends to replace its Spot instance.
    Rebalance,
}

impl Cause {
    const ALL: [Self; 6] = [Self::Drain, Self::Hang, Self::Wedged, Self::DiskStart, Self::Disk, Self::Rebalance];

    /// Returns the word that the state table holds.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Hang => "hang",
            Self::Wedged => "wedged",
            Self::DiskStart => "disk-start",
            Self::Disk => "disk",
            Self::Rebalance => "rebalance",
        }
    }

    /// Reads such a word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.word() == word)
    }

    /// Returns whether the others must prove that they do without the core. One without a port has no vote.
    #[must_use]
    pub fn is_gated(self) -> bool {
        self != Self::DiskStart
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "its instance leaves",
            Self::Hang => "its Neo4j hangs",
            Self::Wedged => "neither its agent nor its Neo4j answers",
            Self::DiskStart => "its Neo4j hung in its start on a full disk",
            Self::Disk => "its Neo4j met a full disk",
            Self::Rebalance => "EC2 recommends to replace its Spot instance",
        })
    }
}

/// Why a lease goes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Freed {
    /// The core serves again, by a peer's word.
    #[error("core {0} is back")]
    Back(u8),
    /// The cluster has become smaller.
    #[error("the cluster has no core {0} any more")]
    NoSuchCore(u8),
    /// It is paged for, and the others do without both.
    #[error(
        "core {0} has been silent for more than an hour, and the cluster is large enough to do without another one: look at that core"
    )]
    Silent(u8),
    /// It never had a vote.
    #[error("core {0}, which hung in its start, has had ten minutes")]
    DiskStart(u8),
    /// Nobody stopped the core after all.
    #[error("core {0} was not stopped after all")]
    Unused(u8),
}

impl Holder {
    /// Returns the holder of a lease that is unreadable: no core that there is, so that no core is stopped on purpose.
    #[must_use]
    pub fn nobody() -> Self {
        Self { core: NO_CORE, task: String::new(), cause: Cause::Drain, since: Timestamp::UNIX_EPOCH }
    }

    /// Returns whether the lease is unreadable.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.core == NO_CORE
    }

    /// Returns whether the core has been stopped under the lease, as far as AWS shows.
    fn is_used(&self, observed: &Observed) -> bool {
        let with_task = observed.container_instances.iter().find_map(|found| {
            let task = found.tasks.iter().find(|task| task.id == self.task)?;
            Some((found, task))
        });
        let Some((found, task)) = with_task else { return true };
        if self.cause == Cause::Wedged {
            return is_leaving(observed, &found.instance);
        }
        !task.wanted || !found.is_active()
    }
}

fn is_leaving(observed: &Observed, instance: &InstanceId) -> bool {
    let instances = observed.groups.iter().flat_map(|group| &group.instances);
    instances.filter(|found| found.id == *instance).all(|found| found.state.is_leaving())
}

impl Lease {
    /// Returns the core that it is held for.
    #[must_use]
    pub fn core(&self) -> Option<u8> {
        self.holder.as_ref().map(|holder| holder.core)
    }
}

/// Returns why the lease goes back; nothing when it is free, or has to stay.
///
/// It never ends by time alone, but for those who had no vote: a controller that was away for days must not stop a second
/// core while the first one is still copying.
pub(super) fn freed(observed: &Observed, policy: &Policy, now: Timestamp) -> Option<Freed> {
    let holder = observed.lease.holder.as_ref()?;
    let (core, held) = (holder.core, now.duration_since(holder.since));
    if observed.claimed {
        return None;
    }
    if core > policy.cores {
        let service = policy.service_of(core);
        let mut tasks = observed.container_instances.iter().flat_map(|found| &found.tasks);
        let gone = !tasks.any(|task| service.is_some() && task.service() == service);
        return gone.then_some(Freed::NoSuchCore(core));
    }
    if !holder.is_used(observed) {
        return (held > UNUSED).then_some(Freed::Unused(core));
    }
    if holder.cause == Cause::DiskStart && held > DISK_START {
        return Some(Freed::DiskStart(core));
    }
    let missing = quorum::not_back(observed.quorum_observed.as_ref()?, core, &holder.task, None);
    if missing.is_empty() {
        return Some(Freed::Back(core));
    }
    let silent = missing.iter().any(|why| matches!(why, Missing::Silent { core: of, .. } if *of == core));
    let long = silent_since(observed, core, holder.since).is_some_and(|since| now.duration_since(since) > SILENT);
    (silent && long && policy.cores >= SPARE_FROM).then_some(Freed::Silent(core))
}

/// Returns since when a core has said nothing since it was stopped; nothing when that is not known. One that copies has
/// answered, and its clock starts when it no longer does.
fn silent_since(observed: &Observed, core: u8, stopped: Timestamp) -> Option<Timestamp> {
    let Seen::Answers(heard) = &observed.neo4j else { return None };
    match heard.get(&core) {
        Some(heard) if heard.answered_before => {
            observed.silent.get(&heard.answer.task).map(|away| away.since.max(stopped))
        }
        _ => Some(stopped),
    }
}
