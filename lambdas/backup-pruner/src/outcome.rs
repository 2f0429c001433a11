use std::{collections::BTreeMap, fmt::Write};

use cluster_core::backup::{Fate, Keep, Plan, State, report};
use cluster_lambda::{Failure, Mode, Round};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Config;

/// How many keys that are not ours are named.
const NAMED: usize = 20;

/// What a run decided and did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fate of every chain.
    pub plan: Plan,
    /// Keys under the prefix that are not ours. They are left alone.
    pub foreign: Vec<String>,
    /// What was deleted.
    pub removed: Removed,
    /// Where the report lies, if one was written.
    pub report: Option<String>,
    /// When the run began.
    pub at: Timestamp,
}

/// What a run deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whole chains.
    pub chains: usize,
    /// Objects, of which each has a delete marker now.
    pub objects: usize,
}

impl Outcome {
    /// Returns how old the newest good backup of each database is, in seconds.
    #[must_use]
    pub fn ages(&self) -> BTreeMap<&str, Option<i64>> {
        let mut ages: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for (chain, _) in &self.plan.chains {
            let age = chain.ends().map(|ends| self.at.duration_since(ends).as_secs());
            let known = ages.entry(&chain.database).or_default();
            *known = match (*known, age) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        ages
    }

    /// Returns how old the oldest chain is that nobody could verify, in seconds; 0 when there is none.
    #[must_use]
    pub fn unverified_seconds(&self) -> i64 {
        let unverified = self.plan.chains.iter().filter(|(chain, _)| chain.state == State::Unverified);
        unverified.map(|(chain, _)| self.at.duration_since(chain.id.opened()).as_secs()).max().unwrap_or_default()
    }

    /// Returns the report for people.
    #[must_use]
    pub fn table(&self, config: &Config, round: &Round, failures: &[Failure]) -> String {
        let policy = &config.policy;
        let did = match round.mode {
            Mode::Act => format!("{} chains deleted, {} objects", self.removed.chains, self.removed.objects),
            _ => "a dry run: nothing was deleted".to_owned(),
        };
        let mut text = format!(
            "Backups of {} in s3://{}, {}: {did}.\nKept: every chain for {} days, one a day for {} days, of {} weeks and of {} months; \
             at least {} good ones; at most {} % of a database's chains go in one run.\n\n",
            config.cluster,
            config.place.bucket,
            self.at.strftime("%F %R UTC"),
            policy.hourly_days,
            policy.daily_days,
            policy.weeks,
            policy.months,
            policy.minimum_chains,
            policy.percent
        );
        text.push_str(&report(&self.plan, self.at));
        for failure in failures {
            _ = writeln!(text, "failed: {}", failure.chain());
        }
        if !self.foreign.is_empty() {
            _ = writeln!(text, "{} keys are not ours and were left alone, such as:", self.foreign.len());
            for key in self.foreign.iter().take(NAMED) {
                _ = writeln!(text, "  {key:?}");
            }
        }
        text
    }

    /// Returns the report for programs.
    #[must_use]
    pub fn json(&self, config: &Config, round: &Round, failures: &[Failure]) -> Value {
        let chains = self.plan.chains.iter().map(|(chain, fate)| {
            let (verdict, id, ends) = match &chain.state {
                State::Good { id, ends, .. } => ("good", Some(id), Some(ends.to_string())),
                State::Unverified => ("unverified", None, None),
                State::Failed => ("failed", None, None),
                State::Unknown(_) => ("unknown", None, None),
            };
            let (goes, why) = match fate {
                Fate::Delete => (true, vec![]),
                Fate::Keep(reasons) => (false, reasons.iter().map(Keep::to_string).collect()),
            };
            json!({
                "database": chain.database, "chain": chain.id, "verdict": verdict, "databaseId": id, "newestBackup": ends,
                "objects": chain.objects, "bytes": chain.bytes, "delete": goes, "keptBecause": why,
            })
        });
        json!({
            "cluster": config.cluster,
            "at": self.at.to_string(),
            "dryRun": round.mode != Mode::Act,
            "policy": config.policy,
            "deleted": {"chains": self.removed.chains, "objects": self.removed.objects},
            "failures": failures.iter().map(Failure::chain).collect::<Vec<_>>(),
            "foreign": {"count": self.foreign.len(), "some": self.foreign.iter().take(NAMED).collect::<Vec<_>>()},
            "chains": chains.collect::<Vec<_>>(),
        })
    }

    /// Returns the answer to whoever invoked the function.
    #[must_use]
    pub fn answer(&self) -> Value {
        let going: Vec<_> = self.plan.deleted().map(|chain| format!("{}/{}", chain.database, chain.id)).collect();
        json!({
            "delete": going,
            "deleted": {"chains": self.removed.chains, "objects": self.removed.objects},
            "newestGoodBackupSeconds": self.ages(),
            "foreign": self.foreign.len(),
            "report": self.report,
            "table": report(&self.plan, self.at),
        })
    }
}
