//! The members as a table for people. Never wider than [`WIDTH`], so that it can be read in a terminal at night.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{Member, Observed, Quorum};
use crate::neo4j::{Copy, Raft};

/// The most columns that a line has.
const WIDTH: usize = 120;
/// The most columns that a cell has: a database may have a name of 63 characters.
const CELL: usize = 15;
const NOTHING: &str = "—";
const UNKNOWN: &str = "?";

/// Returns every expected member as a table, with what keeps each core from being stopped, and what people should know.
///
/// `outdated` says by task id whether a member runs what it should, such as `no` or `revision 4`.
#[must_use]
pub fn table(observed: &Observed, quorum: &Quorum, outdated: &BTreeMap<String, String>) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let members = rows(observed);
    let ahead = most_applied(observed);
    let databases: BTreeSet<&str> = observed.members.iter().flat_map(databases_of).collect();

    let headings = ["member", "task", "address", "neo4j", "outdated", "lag", "may stop"].map(str::to_owned);
    let fixed = members.iter().map(|(name, member)| {
        let text = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let version = member.and_then(|member| Some(member.answer.as_ref()?.page.as_ref().ok()?.version.clone()));
        vec![
            name.clone(),
            text(member.map(|member| member.short_task().to_owned())),
            text(member.and_then(|member| member.address).map(|address| address.to_string())),
            text(version),
            text(member.and_then(|member| outdated.get(&member.task).cloned())),
            text(member.and_then(|member| lag(member, &ahead)).map(|lag| lag.to_string())),
            may_stop(name, quorum, &mut reasons),
        ]
    });
    let mut columns = columns(headings.to_vec(), fixed.collect());
    columns.extend(databases.into_iter().map(|database| {
        let cells =
            members.iter().map(|(_, member)| member.map_or(UNKNOWN.to_owned(), |member| role(member, database)));
        std::iter::once(database.to_owned()).chain(cells).map(|cell| clipped(&cell)).collect()
    }));

    let mut text = blocks(&columns);
    match quorum.margin() {
        Some(margin) => _ = writeln!(text, "\nhealthy voters above the majority, in the weakest database: {margin}"),
        None => text.push_str("\nhealthy voters above the majority: not known\n"),
    }
    section(&mut text, "why not", reasons.iter().enumerate().map(|(at, why)| (format!("{}.", at + 1), why.clone())));
    section(&mut text, "missing", quorum.missing().iter().map(|missing| ("*".to_owned(), missing.clone())));
    section(&mut text, "warnings", quorum.warnings().iter().map(|warning| ("*".to_owned(), warning.to_string())));
    text
}

/// Returns every expected core, and the replicas, with their names. A core between two tasks has two rows.
fn rows(observed: &Observed) -> Vec<(String, Option<&Member>)> {
    let mut rows = Vec::new();
    for core in 1..=observed.cores {
        let mut members: Vec<_> = observed.members.iter().filter(|member| member.core == Some(core)).collect();
        members.sort_by_key(|member| &member.task);
        rows.extend(members.iter().map(|member| (member.name(), Some(*member))));
        if members.is_empty() {
            rows.push((format!("core {core}"), None));
        }
    }
    let expected = |core: u8| (1..=observed.cores).contains(&core);
    let mut others: Vec<_> = observed.members.iter().filter(|found| !found.core.is_some_and(expected)).collect();
    others.sort_by_key(|member| (member.core.is_none(), member.core, member.address, &member.task));
    rows.extend(others.into_iter().map(|member| match member.core {
        Some(_) => (member.name(), Some(member)),
        None => ("replica".to_owned(), Some(member)),
    }));
    rows
}

/// Returns whether a member may be stopped, or the numbers of the reasons why not. A replica has no vote.
fn may_stop(name: &str, quorum: &Quorum, reasons: &mut Vec<String>) -> String {
    let Some(core) = name.strip_prefix("core ").and_then(|core| core.parse().ok()) else { return "yes".to_owned() };
    let numbers: Vec<_> = quorum
        .unsafe_to_stop(core)
        .iter()
        .map(|why| {
            let why = why.to_string();
            let known = reasons.iter().position(|reason| *reason == why);
            let at = known.unwrap_or_else(|| {
                reasons.push(why);
                reasons.len() - 1
            });
            (at + 1).to_string()
        })
        .collect();
    match numbers.as_slice() {
        [] => "yes".to_owned(),
        [first, second, third, _, ..] => format!("no: {first} {second} {third}…"),
        few => format!("no: {}", few.join(" ")),
    }
}

/// Returns what a member is to each database that it lists, by its own words.
#[must_use]
pub fn roles(member: &Member) -> BTreeMap<&str, String> {
    databases_of(member).into_iter().map(|database| (database, role(member, database))).collect()
}

/// Returns how many entries each member is behind in the database in which it is furthest behind, by task.
#[must_use]
pub fn lags(observed: &Observed) -> BTreeMap<&str, i64> {
    let ahead = most_applied(observed);
    observed.members.iter().filter_map(|member| Some((member.task.as_str(), lag(member, &ahead)?))).collect()
}

fn databases_of(member: &Member) -> BTreeSet<&str> {
    let answer = member.answer.as_ref();
    let view = answer.and_then(|answer| answer.view.as_ref().ok());
    view.into_iter().flat_map(|view| &view.databases).map(|database| database.name.as_str()).collect()
}

fn rafts(member: &Member) -> impl Iterator<Item = &Raft> {
    let answer = member.answer.as_ref().filter(|_| member.answers());
    answer.into_iter().flat_map(|answer| answer.raft.iter().flatten())
}

/// Returns how far each database was applied by whoever is furthest.
fn most_applied(observed: &Observed) -> BTreeMap<&str, i64> {
    let mut most = BTreeMap::new();
    for raft in observed.members.iter().flat_map(rafts) {
        let Some(applied) = raft.applied else { continue };
        most.entry(raft.database.as_str()).and_modify(|most: &mut i64| *most = applied.max(*most)).or_insert(applied);
    }
    most
}

/// Returns how many entries a member is behind in the database in which it is furthest behind.
fn lag(member: &Member, ahead: &BTreeMap<&str, i64>) -> Option<i64> {
    rafts(member).filter_map(|raft| Some(ahead.get(raft.database.as_str())?.saturating_sub(raft.applied?))).max()
}

/// Returns what a member is to a database, by its own words.
fn role(member: &Member, database: &str) -> String {
    let answer = member.answer.as_ref().filter(|_| member.answers());
    let Some(view) = answer.and_then(|answer| answer.view.as_ref().ok()) else {
        return UNKNOWN.to_owned();
    };
    let copies = view.databases.iter().filter(|row| row.name == database).flat_map(|row| &row.copies);
    let Some(copy) = copies.into_iter().find(|copy| copy.server.is_some() && copy.server == view.server) else {
        return NOTHING.to_owned();
    };
    let leads =
        rafts(member).any(|raft| raft.database == database && raft.leader.is_some() && raft.leader == raft.member);
    match copy {
        Copy { status, .. } if status != "online" => status.clone(),
        Copy { message, .. } if !message.is_empty() => "broken".to_owned(),
        Copy { role: Some(role), .. } if role == "primary" => if leads { "leader" } else { "follower" }.to_owned(),
        Copy { role: Some(role), .. } => role.clone(),
        Copy { role: None, .. } => UNKNOWN.to_owned(),
    }
}

/// Returns rows as columns, each with its heading first.
fn columns(headings: Vec<String>, rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let mut columns: Vec<Vec<String>> = headings.into_iter().map(|heading| vec![heading]).collect();
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(clipped(&cell));
        }
    }
    columns
}

/// Lays columns side by side. Those that find no room go into a further block, beside the first two again, which say which
/// member it is.
fn blocks(columns: &[Vec<String>]) -> String {
    let [names, tasks, rest @ ..] = columns else { return String::new() };
    let width = |column: &[String]| column.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
    let (mut blocks, mut used) = (Vec::new(), WIDTH);
    for column in rest {
        let wide = width(column) + 2;
        if used + wide > WIDTH {
            blocks.push(vec![names, tasks]);
            used = width(names) + 2 + width(tasks);
        }
        used += wide;
        blocks.last_mut().into_iter().for_each(|block: &mut Vec<&Vec<String>>| block.push(column));
    }
    let mut text = String::new();
    for (at, block) in blocks.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        for row in 0..names.len() {
            let cells = block.iter().map(|column| {
                let cell = column.get(row).map_or("", String::as_str);
                format!("{cell:<wide$}", wide = width(column))
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

/// Adds a list to a table, if it has anything: each item with its mark, in lines that are not too long.
pub fn section(text: &mut String, title: &str, items: impl Iterator<Item = (String, String)>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        _ = writeln!(text, "\n{title}:");
    }
    for (mark, item) in items {
        let indent = mark.chars().count() + 1;
        let mut line = mark;
        for word in plain(&item).split(' ').filter(|word| !word.is_empty()) {
            if line.chars().count() + 1 + word.chars().count() > WIDTH && line.chars().count() > indent {
                _ = writeln!(text, "{line}");
                line = " ".repeat(indent - 1);
            }
            let room = WIDTH.saturating_sub(line.chars().count() + 1);
            line.push(' ');
            line.extend(word.chars().take(room));
        }
        _ = writeln!(text, "{line}");
    }
}

/// Makes a text one line: what Neo4j reports may have any characters in it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Takes the middle out of a text that is too long: names differ in their ends.
fn clipped(text: &str) -> String {
    let text: Vec<char> = plain(text).chars().collect();
    let (head, tail) = (CELL / 2, CELL - CELL / 2 - 1);
    match (text.get(..head), text.len().checked_sub(tail).and_then(|from| text.get(from..))) {
        (Some(first), Some(last)) if text.len() > CELL => first.iter().chain(&['…']).chain(last).collect(),
        _ => text.into_iter().collect(),
    }
}
