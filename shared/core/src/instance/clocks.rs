use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{ContainerInstance, Group};
use crate::ids::{ContainerInstanceArn, InstanceId};

/// The longest gap between two sightings of a disconnected agent. After a longer one its clock restarts: nobody knows
/// what happened in between.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// How often the last sighting is updated.
const UPDATE: SignedDuration = SignedDuration::from_secs(50);
/// How long a restart counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The clocks of conditions that AWS does not date, as the state table remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The container instances that have been seen disconnected, by ARN.
    pub disconnected: BTreeMap<ContainerInstanceArn, Away>,
    /// The time since which a core has not been whole, by its number.
    pub not_whole: BTreeMap<u8, Timestamp>,
    /// When an instance was first seen on its way out, by its id.
    pub leaving: BTreeMap<InstanceId, Timestamp>,
    /// When an instance on its way out was first seen drained and without a task, where nothing shows how old that list is, by
    /// its id.
    pub empty: BTreeMap<InstanceId, Timestamp>,
    /// What EC2 has announced about an instance, by its id.
    pub notices: BTreeMap<InstanceId, Notice>,
    /// When the member of a core was restarted because it was ill, by the core's number: the last day, oldest first.
    pub restarts: BTreeMap<u8, Vec<Timestamp>>,
}

/// What EC2 has announced about an instance. It says so once, by an event, and no call returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The time of the event.
    pub since: Timestamp,
    /// What was announced.
    pub kind: NoticeKind,
}

/// The kinds of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A Spot interruption notice: EC2 takes the instance two minutes later (EC2 user guide, «Spot Instance interruption
    /// notices»).
    Spot,
    /// A rebalance recommendation: EC2 may take the instance soon (EC2 user guide, «EC2 instance rebalance
    /// recommendations»).
    Rebalance,
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

    /// Starts a clock for each instance on its way out that has none, and ends all others: those instances are gone, or
    /// stay.
    pub fn see_leaving(&mut self, groups: &[Group], now: Timestamp) {
        let seen = std::mem::take(&mut self.leaving);
        let leaving = groups.iter().flat_map(|group| &group.instances).filter(|found| found.state.is_leaving());
        let clock = |id: &InstanceId| (id.clone(), seen.get(id).copied().unwrap_or(now));
        self.leaving = leaving.map(|found| clock(&found.id)).collect();
    }

    /// Starts a clock for each of these instances that has none, and ends all others.
    pub fn see_empty(&mut self, empty: impl IntoIterator<Item = InstanceId>, now: Timestamp) {
        let seen = std::mem::take(&mut self.empty);
        let clock = |id: InstanceId| {
            let since = seen.get(&id).copied().unwrap_or(now);
            (id, since)
        };
        self.empty = empty.into_iter().map(clock).collect();
    }

    /// Remembers what EC2 announces about instances of the groups, and forgets it about all others: they are gone, or were
    /// never the cluster's.
    ///
    /// An interruption replaces a recommendation, and nothing replaces an interruption: an event may come twice, and late.
    pub fn see_notices(&mut self, noticed: impl IntoIterator<Item = (InstanceId, Notice)>, groups: &[Group]) {
        for (instance, notice) in noticed {
            let known = self.notices.get(&instance).copied();
            self.notices.insert(instance, known.map_or(notice, |known| known.or(notice)));
        }
        let ours = |id: &InstanceId| groups.iter().flat_map(|group| &group.instances).any(|found| found.id == *id);
        self.notices.retain(|instance, _| ours(instance));
    }

    /// Remembers that a core's member is restarted now.
    pub fn see_restart(&mut self, core: u8, now: Timestamp) {
        self.restarts.entry(core).or_default().push(now);
    }

    /// Forgets restarts that no longer count.
    pub fn forget_restarts(&mut self, now: Timestamp) {
        for restarts in self.restarts.values_mut() {
            restarts.retain(|at| now.duration_since(*at) < DAY);
        }
        self.restarts.retain(|_, restarts| !restarts.is_empty());
    }
}

impl Notice {
    /// Returns which of two notices about one instance counts: the more pressing one, and of two alike the first.
    fn or(self, other: Self) -> Self {
        match (self.kind, other.kind) {
            (NoticeKind::Rebalance, NoticeKind::Spot) => other,
            (NoticeKind::Spot, NoticeKind::Rebalance) => self,
            _ if other.since < self.since => other,
            _ => self,
        }
    }
}
