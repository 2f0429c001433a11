//! Which core may be stopped without taking a database's majority. The gate: shut unless the members themselves prove
//! that the others do without it.

mod back;
mod databases;
mod gate;
mod margin;
mod observed;
mod peers;
mod reason;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod voter;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

pub use back::not_back;
pub use observed::{Going, Member, Observed};
pub use peers::{Doubt, called_unavailable, vouched_for};
pub use reason::{Reason, Silence, Warning};
pub use table::{lags, roles, section, table};

/// What follows from one observation, made once before anything is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    cores: u8,
    verdicts: BTreeMap<u8, Vec<Reason>>,
    margin: Option<i64>,
    missing: Vec<String>,
    warnings: Vec<Warning>,
    down: BTreeSet<String>,
}

impl Quorum {
    /// Judges an observation.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let witnesses = witness::witnesses(observed);
        let heard = margin::Heard::of(observed, &witness::witnesses_of_now(observed));
        let verdict = |core: u8| (core, gate::unsafe_to_stop(observed, &witnesses, core));
        Self {
            cores: observed.cores,
            verdicts: (1..=observed.cores).map(verdict).collect(),
            margin: heard.margin(),
            missing: margin::missing(observed),
            warnings: heard.warnings(),
            down: heard.down(),
        }
    }

    /// Returns why a core must not be stopped; nothing when it may.
    #[must_use]
    pub fn unsafe_to_stop(&self, core: u8) -> Vec<Reason> {
        let unknown = || vec![Reason::UnknownCore { core, cores: self.cores }];
        self.verdicts.get(&core).cloned().unwrap_or_else(unknown)
    }

    /// Returns how many healthy voters the weakest counted database has above its majority; nothing when that is not
    /// known. Below 0 a database cannot be written.
    #[must_use]
    pub fn margin(&self) -> Option<i64> {
        self.margin
    }

    /// Returns the expected members whose Neo4j does not answer, each with what was seen instead.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Returns what people should know though it keeps nothing from being stopped.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the databases that the status check replicated nowhere in this sweep, although every primary that answers
    /// was asked: to be remembered for the next two sweeps ([`Observed::down_before`]).
    #[must_use]
    pub fn down(&self) -> &BTreeSet<String> {
        &self.down
    }
}
