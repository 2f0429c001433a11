//! Where everything lies in the bucket, and how it is named.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// The form of a time in the name of a chain.
const OPENED: &str = "%Y%m%dT%H%M%SZ";
/// The form of a time in the name of an artifact, which Neo4j gives: `<database>-2024-10-07T16-05-37.backup`.
/// Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/inspect/>, the examples.
const TAKEN: &str = "%Y-%m-%dT%H-%M-%S";

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The whole store. It opens a chain.
    Full,
    /// The transactions since the backup before it in its chain.
    Differential,
}

impl Kind {
    /// Returns the value of `--type` of `neo4j-admin database backup`. `AUTO` is never asked for: it turns into a full
    /// backup where a differential is not possible, and one folder would hold two chains.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Differential => "DIFF",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Differential => "differential",
        })
    }
}

/// The name of a chain: when the slot that opened it was due, in whole seconds of UTC, and which try of that slot it was.
/// Written `20261130T010000Z-1`, so that names sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    opened: i64,
    attempt: u8,
}

impl ChainId {
    /// Names the chain that a try of a slot opens. Tries are counted from 1.
    #[must_use]
    pub fn new(slot: Timestamp, attempt: u8) -> Self {
        Self { opened: slot.as_second(), attempt }
    }

    /// Returns when the slot that opened it was due.
    #[must_use]
    pub fn opened(self) -> Timestamp {
        Timestamp::from_second(self.opened).unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.opened().strftime(OPENED), self.attempt)
    }
}

impl FromStr for ChainId {
    type Err = ();

    /// Reads a name exactly as it is written: another spelling of the same time is foreign.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (opened, attempt) = text.rsplit_once('-').ok_or(())?;
        let opened = DateTime::strptime(OPENED, opened).map_err(drop)?;
        let opened = TimeZone::UTC.to_timestamp(opened).map_err(drop)?;
        let id = Self::new(opened, attempt.parse().map_err(drop)?);
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

impl Serialize for ChainId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("{text:?} is no name of a chain")))
    }
}

/// The keys of one cluster's backups: everything under one prefix, and the manifests outside of the folders of chains,
/// since Neo4j reads every object of such a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

/// What a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An object in the folder of a chain that has the form of an artifact.
    Artifact {
        /// The database that the folder is of.
        database: String,
        /// The chain.
        chain: ChainId,
        /// The name in the folder.
        file: String,
    },
    /// The manifest of a chain.
    Manifest {
        /// The database.
        database: String,
        /// The chain.
        chain: ChainId,
    },
    /// An object in the folder of a chain that is no artifact of its database.
    Stranger {
        /// The database that the folder is of.
        database: String,
        /// The chain.
        chain: ChainId,
    },
    /// A report of the pruner.
    Report,
    /// Nothing of ours.
    Foreign,
}

impl Layout {
    /// Takes the prefix of a cluster, with or without its last `/`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } }
    }

    /// Returns the prefix of all chains.
    #[must_use]
    pub fn chains(&self) -> String {
        format!("{}chains/", self.prefix)
    }

    /// Returns the folder of a chain, with its last `/`.
    #[must_use]
    pub fn folder(&self, database: &str, chain: ChainId) -> String {
        format!("{}chains/{database}/{chain}/", self.prefix)
    }

    /// Returns the prefix of a database's manifests.
    #[must_use]
    pub fn manifests(&self, database: &str) -> String {
        format!("{}manifests/{database}/", self.prefix)
    }

    /// Returns the prefix of all manifests.
    #[must_use]
    pub fn manifests_of_all(&self) -> String {
        format!("{}manifests/", self.prefix)
    }

    /// Returns the database of a folder right under the prefix of all chains or all manifests, with its last `/`.
    #[must_use]
    pub fn database(&self, folder: &str) -> Option<String> {
        let rest = folder.strip_prefix(self.prefix.as_str())?;
        let name = rest.strip_prefix("chains/").or_else(|| rest.strip_prefix("manifests/"))?.strip_suffix('/')?;
        is_database(name).then(|| name.to_owned())
    }

    /// Returns the key of a chain's manifest.
    #[must_use]
    pub fn manifest(&self, database: &str, chain: ChainId) -> String {
        format!("{}manifests/{database}/{chain}.json", self.prefix)
    }

    /// Returns the key of a report of the pruner, without its ending.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> String {
        format!("{}reports/prune-{}", self.prefix, now.strftime(OPENED))
    }

    /// Says what a key is.
    #[must_use]
    pub fn read(&self, key: &str) -> Key {
        let Some(rest) = key.strip_prefix(self.prefix.as_str()) else { return Key::Foreign };
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            ["chains", database, chain, file] if is_database(database) => match chain.parse() {
                Ok(chain) if taken(database, file).is_some() => {
                    Key::Artifact { database: (*database).to_owned(), chain, file: (*file).to_owned() }
                }
                Ok(chain) => Key::Stranger { database: (*database).to_owned(), chain },
                Err(()) => Key::Foreign,
            },
            ["manifests", database, file] if is_database(database) => {
                match file.strip_suffix(".json").and_then(|chain| chain.parse().ok()) {
                    Some(chain) => Key::Manifest { database: (*database).to_owned(), chain },
                    None => Key::Foreign,
                }
            }
            ["reports", file] if file.starts_with("prune-") => Key::Report,
            _ => Key::Foreign,
        }
    }
}

/// Returns whether a text can be the name of a database: 3 to 63 characters of `a`–`z`, digits, `.` and `-`, the first a
/// letter or a digit. Names of databases are not case-sensitive and shown in lower case.
/// Source: <https://neo4j.com/docs/operations-manual/current/database-administration/standard-databases/naming-databases/>.
#[must_use]
pub(super) fn is_database(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    starts && (3..=63).contains(&name.len()) && name.chars().all(fits)
}

/// Returns when an artifact was taken, by its name; nothing when that is no name of an artifact of this database.
#[must_use]
pub(super) fn taken(database: &str, file: &str) -> Option<Timestamp> {
    let time = file.strip_prefix(database)?.strip_prefix('-')?.strip_suffix(".backup")?;
    TimeZone::UTC.to_timestamp(DateTime::strptime(TAKEN, time).ok()?).ok()
}
