use std::fmt::Write;

use cluster_core::backup::{Ages, JobName, Slot};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What a round found and did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What became of the jobs that have not been judged.
    pub jobs: Vec<(JobName, String)>,
    /// What became of the slots that have come, by database.
    pub slots: Vec<SlotLine>,
    /// How old the backups are.
    pub ages: Ages,
    /// What counts.
    pub tally: Tally,
    /// When the round began.
    pub at: Timestamp,
}

/// What a slot does for one database, or for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLine {
    /// What it asks for, and when it was due, as in «full of 2026-11-30T01:00:00Z».
    pub slot: String,
    /// The database; nothing where the whole slot is meant.
    pub database: Option<String>,
    /// What is done, and why.
    pub does: String,
}

impl SlotLine {
    /// Makes a line.
    #[must_use]
    pub fn new(slot: &Slot, database: Option<&str>, does: String) -> Self {
        let slot = format!("{} of {:.0}", slot.kind, slot.due);
        Self { slot, database: database.map(str::to_owned), does }
    }
}

/// How often something happened in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that were submitted.
    pub submitted: usize,
    /// Backups that are good.
    pub good: usize,
    /// Backups that failed, those among them that nobody had capacity for.
    pub failed: usize,
    /// Backups that nobody could verify.
    pub unverified: usize,
    /// Backups that were not taken, each by database; a whole slot counts once.
    pub refused: usize,
    /// Jobs that were terminated because they did not get on.
    pub stuck: usize,
}

impl Outcome {
    /// Returns the answer to whoever invoked the function.
    #[must_use]
    pub fn answer(&self) -> Value {
        let jobs = self
            .jobs
            .iter()
            .map(|(name, does)| json!({"job": name.to_string(), "database": name.database, "does": does}));
        let slots =
            self.slots.iter().map(|line| json!({"slot": line.slot, "database": line.database, "does": line.does}));
        let ages = self.ages.databases.iter().map(
            |(name, age)| json!({"database": name, "newestGoodBackup": age.good.map(|good| format!("{good:.0}"))}),
        );
        json!({
            "jobs": jobs.collect::<Vec<_>>(),
            "slots": slots.collect::<Vec<_>>(),
            "backups": ages.collect::<Vec<_>>(),
            "table": self.table(),
        })
    }

    /// Returns the same for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (name, age) in &self.ages.databases {
            let newest = match age.good {
                Some(good) => {
                    format!("newest good backup {:.0}, {} min old", good, self.at.duration_since(good).as_mins())
                }
                None => format!("no good backup yet, known since {:.0}", age.since),
            };
            _ = writeln!(text, "{name:<20}  {newest}");
        }
        for (name, does) in &self.jobs {
            _ = writeln!(text, "{name}: {does}");
        }
        for line in &self.slots {
            let database = line.database.as_deref().unwrap_or("every database");
            _ = writeln!(text, "{}, {database}: {}", line.slot, line.does);
        }
        text
    }
}
