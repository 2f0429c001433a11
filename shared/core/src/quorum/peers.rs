//! What the other cores say of one that may be ill.

use super::{
    Observed, Silence,
    witness::{Witness, speaker, witnesses},
};
use crate::neo4j::Check;

/// How many other cores must agree.
const WITNESSES: usize = 2;

/// Why the other cores do not call one unavailable together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Doubt {
    /// Nobody knows whom to look for in the status checks.
    #[error("it is not known which server core {core} is")]
    UnknownServer {
        /// The core.
        core: u8,
    },
    /// Too few other cores answer.
    #[error("{} of the other cores {}, and two must agree", .by.len(), if .by.len() == 1 { "answers" } else { "answer" })]
    TooFew {
        /// Those that answer.
        by: Vec<u8>,
    },
    /// A core answers something, but not all that makes its word count.
    #[error("core {core} answers, but cannot be asked about it: {why}")]
    Unheard {
        /// The core that was asked.
        core: u8,
        /// What is missing.
        why: Silence,
    },
    /// The status check came with 5.24.
    #[error("core {core} has no status check: use Neo4j 5.24 or later")]
    NoStatusCheck {
        /// The core that was asked.
        core: u8,
    },
    /// A core's status check does not mention it.
    #[error("the status check of core {core} leaves it out")]
    LeftOut {
        /// The core that was asked.
        core: u8,
    },
    /// A core calls it something else.
    #[error("core {core} calls its copy of database {database} {}", .status.as_deref().unwrap_or("nothing"))]
    Otherwise {
        /// The core that was asked.
        core: u8,
        /// The database.
        database: String,
        /// `memberStatus`.
        status: Option<String>,
    },
}

/// Returns the cores that call a core unavailable: every other one that answers, and at least two. Or why that is not so.
///
/// `UNAVAILABLE`: «the member is either too far behind the leader or unreachable» (operations manual, «Monitor replication
/// status»). So one that copies a database is called so, too: it is no proof without the core's own silence.
pub fn called_unavailable(observed: &Observed, core: u8) -> Result<Vec<u8>, Doubt> {
    let server = observed.servers.get(&core).ok_or(Doubt::UnknownServer { core })?;
    let mut by = Vec::new();
    for (other, heard) in witnesses(observed).into_iter().filter(|(other, _)| *other != core) {
        match heard {
            Ok(peer) => by.push(unavailable_by(&peer, server)?),
            // Two of its tasks answer, for example.
            Err(why) if speaker(observed, other).map_or(true, super::Member::answers) && why != Silence::NoTask => {
                return Err(Doubt::Unheard { core: other, why });
            }
            Err(_) => {}
        }
    }
    if by.len() < WITNESSES { Err(Doubt::TooFew { by }) } else { Ok(by) }
}

fn unavailable_by(peer: &Witness<'_>, server: &str) -> Result<u8, Doubt> {
    let core = peer.core;
    let check = peer.check.ok_or(Doubt::NoStatusCheck { core })?;
    let mut rows = check.iter().filter(|row| row.server == server).peekable();
    if rows.peek().is_none() {
        return Err(Doubt::LeftOut { core });
    }
    let other = rows.filter(|row| row.status.as_deref() != Some("UNAVAILABLE"));
    let other = other.min_by_key(|row| (&row.database, &row.status));
    other.map_or(Ok(core), |row| Err(otherwise(core, row)))
}

/// Returns who says that a core takes part in replication, if anybody does: then it serves, whatever else is silent.
#[must_use]
pub fn vouched_for(observed: &Observed, core: u8) -> Option<Doubt> {
    let server = observed.servers.get(&core)?;
    let others = observed.members.iter().filter(|member| member.core.is_some_and(|other| other != core));
    let rows = others.filter_map(|member| Some((member.core?, member.answer.as_ref()?.check.as_ref().ok()?)));
    let rows = rows.flat_map(|(other, check)| check.iter().map(move |row| (other, row)));
    let takes_part = |row: &Check| matches!(row.status.as_deref(), Some("APPLYING" | "REPLICATING"));
    let found = rows.filter(|(_, row)| row.server == *server && takes_part(row));
    let found = found.min_by_key(|(other, row)| (*other, &row.database, &row.status));
    found.map(|(other, row)| otherwise(other, row))
}

fn otherwise(core: u8, row: &Check) -> Doubt {
    Doubt::Otherwise { core, database: row.database.clone(), status: row.status.clone() }
}
