//! The fate of every chain as a table for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{Chain, Fate, Keep, Plan, State};

/// The most columns that a line has.
const WIDTH: usize = 120;

/// Returns a table: each database with its chains from the newest to the oldest. Neighbours that share their fate share a
/// line, so that a year fits on a page.
#[must_use]
pub fn report(plan: &Plan, now: Timestamp) -> String {
    let mut text = String::new();
    let mut databases: Vec<&str> = plan.chains.iter().map(|(chain, _)| chain.database.as_str()).collect();
    databases.dedup();
    for database in databases {
        let chains: Vec<_> = plan.chains.iter().filter(|(chain, _)| chain.database == database).collect();
        head(&mut text, database, &chains, now);
        let mut rows: Vec<Row> = Vec::new();
        for (chain, fate) in chains.iter().rev() {
            let row = Row::of(chain, fate);
            match rows.last_mut() {
                Some(last) if last.joins(&row) => last.add(&row),
                _ => rows.push(row),
            }
        }
        for row in &rows {
            row.line(&mut text);
        }
        text.push('\n');
    }
    text
}

fn head(text: &mut String, database: &str, chains: &[&(Chain, Fate)], now: Timestamp) {
    let gone = chains.iter().filter(|(_, fate)| *fate == Fate::Delete);
    let (count, freed) = gone.fold((0, 0), |(count, bytes), (chain, _)| (count + 1, bytes + chain.bytes));
    let all: u64 = chains.iter().map(|(chain, _)| chain.bytes).sum();
    let newest = chains.iter().filter_map(|(chain, _)| chain.ends()).max();
    let newest = newest.map_or("there is no good backup".to_owned(), |newest| {
        let hours = now.duration_since(newest).as_hours();
        format!("newest good backup {}, {hours} h old", day(newest))
    });
    _ = writeln!(
        text,
        "{database}: {} chains, {}; {newest}; {count} chains go, which frees {}",
        chains.len(),
        size(all),
        size(freed)
    );
    _ = writeln!(
        text,
        "        {:<16}  {:<16}  {:>6}  {:>7}  {:>8}  why",
        "newest backup", "oldest", "chains", "backups", "size"
    );
}

/// Neighbouring chains with one fate.
struct Row {
    goes: bool,
    newest: Timestamp,
    oldest: Timestamp,
    chains: usize,
    backups: usize,
    bytes: u64,
    why: String,
    /// Whether the next one may stand in the same line.
    open: bool,
}

impl Row {
    fn of(chain: &Chain, fate: &Fate) -> Self {
        let at = chain.ends().unwrap_or_else(|| chain.id.opened());
        let worth = match &chain.state {
            State::Good { .. } => "outside of every window",
            State::Unverified => "never verified",
            State::Failed => "failed",
            State::Unknown(_) => "not judged",
        };
        let (why, open) = match fate {
            Fate::Delete => (worth.to_owned(), true),
            Fate::Keep(reasons) => {
                let words: Vec<_> = reasons.iter().map(Keep::to_string).collect();
                (
                    words.join(", "),
                    reasons
                        .iter()
                        .all(|keep| matches!(keep, Keep::Hourly | Keep::Unproven | Keep::Young | Keep::Later)),
                )
            }
        };
        let backups = match chain.state {
            State::Good { points, .. } => points,
            _ => chain.objects,
        };
        let goes = *fate == Fate::Delete;
        Self { goes, newest: at, oldest: at, chains: 1, backups, bytes: chain.bytes, why, open }
    }

    fn joins(&self, other: &Self) -> bool {
        self.open && other.open && self.goes == other.goes && self.why == other.why
    }

    fn add(&mut self, other: &Self) {
        self.newest = self.newest.max(other.newest);
        self.oldest = self.oldest.min(other.oldest);
        self.chains += other.chains;
        self.backups += other.backups;
        self.bytes += other.bytes;
    }

    fn line(&self, text: &mut String) {
        let fate = if self.goes { "delete" } else { "keep" };
        let oldest = if self.chains == 1 { String::new() } else { day(self.oldest) };
        let line = format!(
            "{fate:<6}  {:<16}  {oldest:<16}  {:>6}  {:>7}  {:>8}  {}",
            day(self.newest),
            self.chains,
            self.backups,
            size(self.bytes),
            self.why
        );
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2 * WIDTH).collect();
        _ = writeln!(text, "{}", line.trim_end());
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%F %R").to_string()
}

/// Returns a size with its unit, in powers of a thousand.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 1_u64;
    for name in units {
        let whole = bytes / unit;
        if whole < 1000 {
            let tenths = bytes % unit * 10 / unit;
            return if whole < 10 && name != "B" {
                format!("{whole}.{tenths} {name}")
            } else {
                format!("{whole} {name}")
            };
        }
        unit = unit.saturating_mul(1000);
    }
    format!("{bytes} B")
}
