use std::collections::BTreeMap;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// One file of a backup, as `neo4j-admin backup inspect` describes it.
/// Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/inspect/>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// The name of the file in its folder.
    pub file: String,
    /// `Database`: its name when the backup was taken.
    pub database: String,
    /// `Database ID`: another database of the same name has another one.
    pub database_id: String,
    /// `Time`, in UTC.
    pub taken: Timestamp,
    /// `Full`: whether it holds the store files.
    pub full: bool,
    /// `Lowest transaction ID`: always 1 in a full backup, the first transaction in a differential, 0 in an empty one.
    pub lowest: u64,
    /// `Highest transaction ID`: the last one in the file, 0 in an empty differential.
    pub highest: u64,
    /// `Recovered`, since 2025.06.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
}

impl Artifact {
    /// Returns whether nothing had happened since the backup before it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.full && self.lowest == 0 && self.highest == 0
    }
}

/// Why the output of `inspect` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The line with the headings is missing.
    #[error("inspect printed no headings")]
    NoHeadings,
    /// A column is missing that both series have.
    #[error("inspect printed no column {0}")]
    NoColumn(&'static str),
    /// A cell is not what its column says.
    #[error("inspect printed {value:?} as {column}")]
    Cell {
        /// The heading.
        column: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Reads the table that `neo4j-admin backup inspect` prints, in any order of its columns. Lines without a `|` are messages.
///
/// The table is documented with its headings in both series; what `--format=JSON` calls its fields is documented nowhere.
///
/// # Errors
///
/// The first thing that is not as documented: a table that is read in part proves nothing.
pub fn read_inspected<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Artifact>, Unreadable> {
    let mut rows = lines.into_iter().filter_map(|line| {
        let line = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(line.split('|').map(str::trim).collect::<Vec<_>>())
    });
    let headings = rows.next().ok_or(Unreadable::NoHeadings)?;
    rows.map(|row| artifact(&headings.iter().copied().zip(row).collect())).collect()
}

fn artifact(row: &BTreeMap<&str, &str>) -> Result<Artifact, Unreadable> {
    let cell = |column| row.get(column).copied().ok_or(Unreadable::NoColumn(column));
    let wrong = |column, value: &str| Unreadable::Cell { column, value: value.to_owned() };
    let flag = |column| {
        let value = cell(column)?;
        value.parse().map_err(|_| wrong(column, value))
    };
    let number = |column| {
        let value = cell(column)?;
        value.parse().map_err(|_| wrong(column, value))
    };
    let time = cell("TIME (UTC)")?;
    let taken = time.parse::<DateTime>().and_then(|time| TimeZone::UTC.to_timestamp(time));
    let path = cell("FILE")?;
    let file = path.rsplit('/').next().filter(|file| !file.is_empty()).ok_or_else(|| wrong("FILE", path))?;
    Ok(Artifact {
        file: file.to_owned(),
        database: cell("DATABASE")?.to_owned(),
        database_id: cell("DATABASE ID")?.to_owned(),
        taken: taken.map_err(|_| wrong("TIME (UTC)", time))?,
        full: flag("FULL")?,
        lowest: number("LOWEST TX")?,
        highest: number("HIGHEST TX")?,
        recovered: row.contains_key("RECOVERED").then(|| flag("RECOVERED")).transpose()?,
    })
}
