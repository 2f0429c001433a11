use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ContainerInstance;

/// How long the things have lasted that AWS does not date, as the state table remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Since when a container instance has been seen disconnected, by ARN.
    pub disconnected: BTreeMap<String, Timestamp>,
    /// Since when a core has not been whole, by its number.
    pub not_whole: BTreeMap<u8, Timestamp>,
}

impl Clocks {
    /// Starts a clock for each container instance that is disconnected and has none, and ends those of all others: it is
    /// connected again, or gone.
    pub fn see_connections(&mut self, container_instances: &mut [ContainerInstance], now: Timestamp) {
        let seen = std::mem::take(&mut self.disconnected);
        for found in container_instances.iter_mut().filter(|found| !found.connected) {
            let since = seen.get(&found.arn).copied().unwrap_or(now);
            found.disconnected_since = Some(since);
            self.disconnected.insert(found.arn.clone(), since);
        }
    }

    /// Starts a clock for each of these cores that has none, and ends those of all others.
    pub fn see_cores(&mut self, not_whole: impl Iterator<Item = u8>, now: Timestamp) {
        let seen = std::mem::take(&mut self.not_whole);
        self.not_whole = not_whole.map(|core| (core, seen.get(&core).copied().unwrap_or(now))).collect();
    }
}
