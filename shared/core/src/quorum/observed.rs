use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use crate::neo4j::Answer;

/// Everything that decides which core may be stopped.
///
/// What is not known is said as silence: a member without an answer, an answer with a fault. Nothing is concluded from it
/// but that the gate stays shut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many cores to expect: they are numbered from 1.
    pub cores: u8,
    /// Every task of the cluster that has not stopped, in any order.
    pub members: Vec<Member>,
    /// The server id that is remembered for each core. A core that is not in it has never been whole yet.
    pub servers: BTreeMap<u8, String>,
    /// The databases that the status check replicated nowhere ([`Quorum::down`](super::Quorum::down)) in the last sweep, and in the one before that.
    /// Empty when there was no such sweep, or when it is too long ago to count.
    pub down_before: [BTreeSet<String>; 2],
}

/// A member as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its core's number; nothing for a replica.
    pub core: Option<u8>,
    /// The id of its task.
    pub task: String,
    /// The address of its instance, if it is known.
    pub address: Option<Ipv4Addr>,
    /// What its Neo4j answered; nothing when the gateway had no answer for it, or was not asked.
    pub answer: Option<Answer>,
    /// Why it is about to go; nothing when it stays.
    pub going: Option<Going>,
}

/// Why a member is about to go. A `Terminating:Wait` alone is no reason: it waits for the gate itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Going {
    /// EC2 takes its Spot instance within two minutes.
    Spot,
    /// A scheduled event of EC2 is due, such as `instance-retirement`.
    Event(String),
    /// Its task is `UNHEALTHY`, and ECS replaces it.
    Unhealthy,
    /// The desired status of its task is not `RUNNING`.
    NotWanted,
    /// Its container instance is `DRAINING`.
    Draining,
}

impl fmt::Display for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spot => f.write_str("EC2 takes its Spot instance"),
            Self::Event(code) => write!(f, "EC2's event {code} is due for its instance"),
            Self::Unhealthy => f.write_str("its task is UNHEALTHY"),
            Self::NotWanted => f.write_str("its task is being stopped"),
            Self::Draining => f.write_str("its container instance is DRAINING"),
        }
    }
}

impl Member {
    /// Returns how people name it: `core 2`, or `replica` and the beginning of its task's id.
    #[must_use]
    pub fn name(&self) -> String {
        match self.core {
            Some(core) => format!("core {core}"),
            None => format!("replica {}", self.short_task()),
        }
    }

    /// Returns the beginning of its task's id, which is enough to find it.
    #[must_use]
    pub fn short_task(&self) -> &str {
        self.task.get(..8).unwrap_or(&self.task)
    }

    /// Returns whether its Neo4j answers at all, to a request without a login.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.page.is_ok())
    }
}
