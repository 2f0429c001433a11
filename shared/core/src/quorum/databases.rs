use std::collections::BTreeSet;

use super::{Reason, witness::Witness};
use crate::neo4j::{Copy, Database};

/// How many minutes a database may take from its creation until it is first online.
const CREATION_MINUTES: i64 = 30;

/// One database, over the union of what several cores say.
#[derive(Clone, Debug)]
pub(super) struct Union<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its rows, with the cores that list it.
    rows: Vec<(u8, &'a Database)>,
}

/// What a database is to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It has, or should have, this many voters at least.
    Yes(u32),
    /// So few primaries that nobody could keep it writable, which whoever requested it accepted.
    Consent(u32),
    /// It has no votes of its own, or is not wanted online.
    No,
    /// It is not known what it is.
    Unknown(Reason),
}

/// Returns every database that any of these cores lists, or has a Raft group of.
pub(super) fn databases<'a>(witnesses: &[Witness<'a>]) -> Vec<Union<'a>> {
    let names: BTreeSet<_> = witnesses.iter().flat_map(Witness::names).collect();
    let rows = |name| witnesses.iter().filter_map(move |witness| Some((witness.core, witness.database(name)?)));
    names.into_iter().map(|name| Union { name, rows: rows(name).collect() }).collect()
}

impl<'a> Union<'a> {
    fn all(&self, fits: impl Fn(&Database) -> bool) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|(_, row)| fits(row))
    }

    /// Returns every copy that anybody lists.
    pub(super) fn copies(&self) -> impl Iterator<Item = &'a Copy> {
        self.rows.iter().flat_map(|(_, row)| &row.copies)
    }

    /// Returns the core that lists it, if one does.
    pub(super) fn listed_by(&self) -> Option<u8> {
        self.rows.first().map(|(core, _)| *core)
    }

    /// Returns the cores that know another id of it than the first that knows one, and that first. The id is null while it
    /// is not online (operations manual, «Show databases», `databaseID`).
    pub(super) fn other_id(&self) -> Option<(u8, u8)> {
        let mut known = self.rows.iter().filter_map(|(core, row)| Some((*core, row.id.as_deref()?)));
        let (first, id) = known.next()?;
        known.find(|(_, other)| *other != id).map(|(core, _)| (first, core))
    }

    /// Decides whether its majority counts.
    ///
    /// A composite database, a property shard and a virtual sharded database have no primaries of their own: their number is
    /// null (operations manual, «Show databases», `requestedPrimariesCount`). The virtual one has the type `standard` and is
    /// known by its graph shard, `<name>-g<index>` («Showing sharded property databases»).
    pub(super) fn counted(&self, cores: u8, all: &[Union<'_>]) -> Counted {
        if self.all(|row| matches!(row.kind.as_str(), "composite" | "property shard")) {
            return Counted::No;
        }
        if self.all(|row| row.requested_status == "offline") {
            return Counted::No;
        }
        if self.all(|row| row.requested_primaries.is_none())
            && all.iter().any(|other| other.is_graph_shard_of(self.name))
        {
            return Counted::No;
        }
        let most = self.rows.iter().filter_map(|(_, row)| row.requested_primaries).max();
        // `system` has a primary on every core, whatever is reported.
        if self.name == "system" {
            return Counted::of(most.unwrap_or_default().max(cores.into()));
        }
        let missing = self.rows.iter().find(|(_, row)| row.requested_primaries.unwrap_or_default() == 0);
        match (missing, most) {
            (None, Some(primaries)) => Counted::of(primaries),
            (missing, _) => {
                let core = missing.map_or_else(|| self.listed_by().unwrap_or_default(), |(core, _)| *core);
                Counted::Unknown(Reason::NoNumber { database: self.name.to_owned(), core })
            }
        }
    }

    fn is_graph_shard_of(&self, name: &str) -> bool {
        let index = self.name.strip_prefix(name).and_then(|rest| rest.strip_prefix("-g"));
        let index = index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
        index && self.all(|row| row.kind == "graph shard")
    }

    /// Returns how many minutes ago it was created, if that is long ago and it never came online: a wrong seed.
    ///
    /// Nothing remembers what was online once. So it counts as never online only if every copy that anybody lists says that
    /// it never started: one that is recovering or copying says `starting` or `store copying`, one that had run and failed
    /// `quarantined` (operations manual, «Show databases», `Database states`).
    pub(super) fn never_online(&self, witnesses: &[Witness<'_>]) -> Option<i64> {
        // The youngest: a member's clock may be ahead.
        let ages: Option<Vec<_>> = self.rows.iter().map(|(_, row)| row.age).collect();
        let minutes = ages?.into_iter().min()? / 60;
        let never = |copy: &Copy| matches!(copy.status.as_str(), "initial" | "offline" | "dirty" | "unknown");
        let runs =
            |witness: &Witness<'_>| witness.raft(self.name).is_some() || witness.checks(self.name).next().is_some();
        let known = self.copies().any(|copy| copy.status != "unknown");
        let nowhere = known && self.copies().all(never) && !witnesses.iter().any(runs);
        (minutes >= CREATION_MINUTES && nowhere && self.all(|row| row.requested_status == "online")).then_some(minutes)
    }
}

impl Counted {
    fn of(primaries: u32) -> Self {
        if primaries < 3 { Self::Consent(primaries) } else { Self::Yes(primaries) }
    }
}
