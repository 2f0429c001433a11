use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::ContainerInstance;
use crate::ids::ContainerInstanceArn;

/// The longest gap between two sightings of a disconnected agent. After a longer one its clock restarts: nobody knows
/// what happened in between.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// How often the last sighting is updated.
const UPDATE: SignedDuration = SignedDuration::from_secs(50);

/// The clocks of conditions that AWS does not date, as the state table remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The container instances that have been seen disconnected, by ARN.
    pub disconnected: BTreeMap<ContainerInstanceArn, Away>,
    /// The time since which a core has not been whole, by its number.
    pub not_whole: BTreeMap<u8, Timestamp>,
}

/// The period in which a container instance has been seen disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// When it was first seen disconnected; there was no long gap since then.
    pub since: Timestamp,
    /// When it was last seen disconnected, to within a minute.
    pub seen: Timestamp,
}

impl Clocks {
    /// Starts a clock for each disconnected container instance that has none, restarts it after a long gap, and ends
    /// all others: those container instances are connected again, or gone.
    pub fn see_connections(&mut self, container_instances: &mut [ContainerInstance], now: Timestamp) {
        let known = std::mem::take(&mut self.disconnected);
        for found in container_instances.iter_mut().filter(|found| !found.connected) {
            let away = match known.get(&found.arn) {
                Some(away) if now.duration_since(away.seen) < UPDATE => *away,
                Some(away) if now.duration_since(away.seen) <= GAP => Away { since: away.since, seen: now },
                _ => Away { since: now, seen: now },
            };
            found.disconnected_since = Some(away.since);
            self.disconnected.insert(found.arn.clone(), away);
        }
    }

    /// Starts a clock for each of these cores that has none. Ends the clocks of all others only if their Neo4j was asked:
    /// otherwise they may be as they were.
    pub fn see_cores(&mut self, not_whole: impl Iterator<Item = u8>, asked: bool, now: Timestamp) {
        let seen = std::mem::take(&mut self.not_whole);
        let clocks = not_whole.map(|core| (core, seen.get(&core).copied().unwrap_or(now)));
        let clocks: BTreeMap<_, _> = clocks.collect();
        self.not_whole = if asked { clocks } else { seen.into_iter().chain(clocks).collect() };
    }
}
