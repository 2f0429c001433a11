//! Which databases there are, and from whom each is taken.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

use super::layout::is_database;
use crate::{
    neo4j::{Copy, Database, View},
    quorum::{Member, Observed, lags},
};

/// The member that a backup is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How people name it.
    pub member: String,
    /// Its address. It is fixed when the job is submitted: exit code 1 also means that one of several servers was silent.
    pub address: Ipv4Addr,
    /// What it is to the database.
    pub role: Role,
}

/// What a member is to a database, in the order in which backups are taken from them: a slow secondary slows no write down.
/// Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/online-backup/>, «Cluster configurations».
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A secondary.
    Secondary,
    /// A primary that does not lead.
    Follower,
    /// The primary that leads.
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secondary => "secondary",
            Self::Follower => "follower",
            Self::Leader => "leader",
        })
    }
}

/// Why there is nothing to take a backup of, or nobody to take it from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSource {
    /// No member says which databases there are.
    #[error("no member says which databases there are{}", said(.0))]
    NoView(Vec<String>),
    /// The user that looks lacks rights, or there is no database but `system`.
    #[error("the members list no database but system: the user that looks lacks rights, or there is none")]
    OnlySystem,
    /// Its shards have no differentials, and no order in which they could be restored.
    #[error("{0} is a sharded property database: those are not backed up, use neo4j-admin by hand")]
    Sharded(String),
    /// Its name would not be safe in a key.
    #[error("{0:?} is no name of a database that this version knows how to store")]
    Name(String),
    /// No member has a copy that is online and whole.
    #[error("no member has a healthy copy of {database}{}", said(.copies))]
    NoCopy {
        /// The database.
        database: String,
        /// What is wrong with each copy.
        copies: Vec<String>,
    },
}

fn said(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(": {}", words.join("; ")) }
}

fn view(member: &Member) -> Option<&View> {
    member.answer.as_ref().filter(|answer| answer.page.is_ok())?.view.as_ref().ok()
}

/// Returns the databases to back up, in the order of their names, each unless it is refused; `system` is one of them: users,
/// roles, and which databases there are. Composite databases hold nothing, and what is requested offline cannot be taken.
///
/// # Errors
///
/// When nobody says which ones there are, or the answer cannot be the whole of it.
pub fn databases(observed: &Observed) -> Result<BTreeMap<String, Option<NoSource>>, NoSource> {
    let mut rows: BTreeMap<&str, Vec<&Database>> = BTreeMap::new();
    for database in observed.members.iter().filter_map(view).flat_map(|view| &view.databases) {
        rows.entry(&database.name).or_default().push(database);
    }
    if rows.is_empty() {
        return Err(NoSource::NoView(observed.members.iter().map(silence).collect()));
    }
    if rows.keys().all(|name| *name == "system") {
        return Err(NoSource::OnlySystem);
    }
    let sharded = |name: &str| {
        let shard = |database: &Database| {
            let index = database.name.strip_prefix(name).and_then(|rest| rest.strip_prefix("-g"));
            database.kind == "graph shard" && index.is_some_and(|index| index.parse::<u32>().is_ok())
        };
        rows.values().flatten().any(|database| shard(database))
    };
    let wanted = rows.iter().filter(|(_, rows)| {
        !rows.iter().all(|row| row.kind == "composite") && rows.iter().any(|row| row.requested_status != "offline")
    });
    Ok(wanted
        .map(|(name, found)| {
            let refused = if found.iter().any(|row| row.kind.contains("shard")) || sharded(name) {
                Some(NoSource::Sharded((*name).to_owned()))
            } else {
                (!is_database(name)).then(|| NoSource::Name((*name).to_owned()))
            };
            ((*name).to_owned(), refused)
        })
        .collect())
}

fn silence(member: &Member) -> String {
    let fault = member.answer.as_ref().map(|answer| match (&answer.page, &answer.view) {
        (Err(fault), _) | (Ok(_), Err(fault)) => fault.to_string(),
        _ => "it lists none".to_owned(),
    });
    format!("{}: {}", member.name(), fault.unwrap_or_else(|| "no answer".to_owned()))
}

/// Chooses the member that a backup of a database is taken from: a healthy copy by its member's own word, of a member that is
/// not about to go.
///
/// # Errors
///
/// When there is none, with what is wrong with each copy.
pub fn source(observed: &Observed, database: &str) -> Result<Source, NoSource> {
    let lags = lags(observed);
    let mut fit = Vec::new();
    let mut unfit = Vec::new();
    for member in &observed.members {
        let Some((view, address)) = view(member).zip(member.address) else { continue };
        let rows = view.databases.iter().filter(|row| row.name == database);
        let own = rows.flat_map(|row| &row.copies).find(|copy| copy.server.is_some() && copy.server == view.server);
        let Some(copy) = own else { continue };
        match (unhealthy(member, copy), role(copy)) {
            (None, Some(role)) => {
                let lag = lags.get(member.task.as_str()).copied().unwrap_or_default();
                fit.push((role, lag, address, member.name()));
            }
            (why, _) => {
                unfit.push(format!("{}: {}", member.name(), why.unwrap_or_else(|| "its role is not known".to_owned())));
            }
        }
    }
    let best = fit.into_iter().min();
    let copies = unfit;
    best.map(|(role, _, address, member)| Source { member, address, role })
        .ok_or_else(|| NoSource::NoCopy { database: database.to_owned(), copies })
}

fn unhealthy(member: &Member, copy: &Copy) -> Option<String> {
    if let Some(going) = &member.going {
        return Some(going.to_string());
    }
    if copy.status != "online" {
        return Some(format!("its copy is {}", copy.status));
    }
    (!copy.message.is_empty()).then(|| copy.message.clone())
}

fn role(copy: &Copy) -> Option<Role> {
    match (copy.role.as_deref()?, copy.writer) {
        ("secondary", _) => Some(Role::Secondary),
        ("primary", false) => Some(Role::Follower),
        ("primary", true) => Some(Role::Leader),
        _ => None,
    }
}
