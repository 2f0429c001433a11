use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::ContainerInstance;
use crate::ids::ContainerInstanceArn;

/// After how long without a look a silence begins anew: what happened meanwhile is not known.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// How often a look at somebody who is away is written down.
const LOOK: SignedDuration = SignedDuration::from_secs(50);

/// How long the things have lasted that AWS does not date, as the state table remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Which container instances have been seen disconnected, by ARN.
    pub disconnected: BTreeMap<ContainerInstanceArn, Away>,
    /// Since when a core has not been whole, by its number.
    pub not_whole: BTreeMap<u8, Timestamp>,
}

/// How long a container instance has been seen disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Since when, on every look.
    pub since: Timestamp,
    /// When it was last seen so, give or take a minute.
    pub seen: Timestamp,
}

impl Clocks {
    /// Starts a clock for each container instance that is disconnected and has none, or was not looked at for long, and
    /// ends those of all others: it is connected again, or gone.
    pub fn see_connections(&mut self, container_instances: &mut [ContainerInstance], now: Timestamp) {
        let known = std::mem::take(&mut self.disconnected);
        for found in container_instances.iter_mut().filter(|found| !found.connected) {
            let away = match known.get(&found.arn) {
                Some(away) if now.duration_since(away.seen) < LOOK => *away,
                Some(away) if now.duration_since(away.seen) <= GAP => Away { since: away.since, seen: now },
                _ => Away { since: now, seen: now },
            };
            found.disconnected_since = Some(away.since);
            self.disconnected.insert(found.arn.clone(), away);
        }
    }

    /// Starts a clock for each of these cores that has none, and ends those of all others.
    pub fn see_cores(&mut self, not_whole: impl Iterator<Item = u8>, now: Timestamp) {
        let seen = std::mem::take(&mut self.not_whole);
        self.not_whole = not_whole.map(|core| (core, seen.get(&core).copied().unwrap_or(now))).collect();
    }
}
