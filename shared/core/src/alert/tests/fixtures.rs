//! Every fixture, as the alerts that it becomes.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::super::{Alert, read};

/// Returns the fixtures by their names.
pub(super) fn all() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/alert/tests/fixtures");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Reads one fixture.
pub(super) fn fixture(name: &str) -> Value {
    all().into_iter().find(|(known, _)| known == name).unwrap().1
}

/// Writes an alert with all that is in it.
fn shown(alert: &Alert) -> String {
    let Alert { key, event, status, lasting, severity, labels, title, meaning, since, reading, links, next_step } =
        alert;
    let mut text =
        format!("{severity} {status:?}{}: {title}\nkey: {key}\nevent: {event}\n", if *lasting { "" } else { ", once" });
    let _ = writeln!(text, "since: {}", since.map_or_else(|| "-".to_owned(), |since| since.to_string()));
    let _ =
        writeln!(text, "labels: {}", labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" | "));
    for line in meaning.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(reading) = reading {
        let _ = writeln!(text, "reading: {} | {:?} | {:?}", reading.metric, reading.value, reading.threshold);
    }
    for link in links {
        let _ = writeln!(text, "{}: {}", link.title, link.url);
    }
    let _ = writeln!(text, "next: {}", next_step.as_deref().unwrap_or("-"));
    text
}

#[test]
fn each_fixture_becomes_the_alerts_of_its_snapshot() {
    for (name, payload) in all() {
        let alerts: Vec<String> = read(&payload).iter().map(shown).collect();
        insta::assert_snapshot!(name, alerts.join("\n"));
    }
}

#[test]
fn the_table_has_a_row_for_each_fixture_and_none_besides() {
    let table = include_str!("fixtures/fixtures.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let all = all();
    assert_eq!(rows, all.iter().map(|(name, _)| name.as_str()).collect());
}
