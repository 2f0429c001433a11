use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest key: `PagerDuty` takes no more characters (Events API v2, `dedup_key`).
const KEY: usize = 255;

/// An alert, whatever it came from. Its texts are hostile: whoever may name an alarm or stop a task writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What opens and resolves the same incident.
    pub key: Key,
    /// The id of the event that told of it. The same event may be delivered twice.
    pub event: String,
    /// Whether there is trouble.
    pub status: Status,
    /// Whether it is a state, which lasts until something says that it is over, and not an event, which has happened.
    pub lasting: bool,
    /// How bad it is.
    pub severity: Severity,
    /// What routes match on, such as `stack`, `tier`, `alarm`, `account`, `region`.
    pub labels: BTreeMap<String, String>,
    /// What it is, in a few plain words.
    pub title: String,
    /// What it means, and what is known of its cause.
    pub meaning: String,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// What was measured, where anything was.
    pub reading: Option<Reading>,
    /// Where to look.
    pub links: Vec<Link>,
    /// A command to paste, which shows or does the next thing.
    pub next_step: Option<String>,
}

/// What opens and resolves the same incident: 255 characters at most, of which a longer one keeps its beginning and a hash of
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// Makes a key.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.chars().count() <= KEY {
            return Self(text.to_owned());
        }
        let hash = format!("~{:016x}", fnv(text.as_bytes()));
        Self(text.chars().take(KEY - hash.len()).collect::<String>() + &hash)
    }

    /// Returns it as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a: the same in every version, unlike the standard library's hashes.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether there is trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// There is.
    Firing,
    /// There is no more.
    Resolved,
    /// Nobody knows: an alarm lacks data. It resolves nothing.
    Unknown,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// In working hours.
    Warning,
    /// Today.
    Error,
    /// Now: somebody is woken.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

impl FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Info, Self::Warning, Self::Error, Self::Critical];
        all.into_iter().find(|severity| severity.to_string() == text.to_ascii_lowercase()).ok_or(())
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The metric, or the expression over metrics.
    pub metric: String,
    /// The last value, if one is known.
    pub value: Option<f64>,
    /// What it is compared with, such as `> 7200`; nothing where a band is learnt.
    pub threshold: Option<String>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is there.
    pub title: String,
    /// An `https` URL.
    pub url: String,
}
