//! Facts about what the control plane costs: the page counts what there is.

use std::collections::BTreeSet;

use cluster_facts::root;

use crate::{
    alarms::{Found, alarms},
    disks, metrics,
};

/// The section of the page, and its rows: what, the arithmetic, and the sum in cents.
fn rows() -> Vec<(String, String, u64)> {
    let page = std::fs::read_to_string(root().join("docs/real-account.md")).unwrap();
    let section = page.split("\n### What the control plane costs\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('$'));
    let of_row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let sum = cells[3].trim_matches('*').trim_start_matches('$').replace('.', "");
        (cells[1].to_owned(), cells[2].to_owned(), sum.parse().unwrap_or_else(|e| panic!("{line}: {e}")))
    };
    rows.map(of_row).collect()
}

/// Whether an alarm watches what members use, and so not what the control plane does.
fn is_of_members(alarm: &Found) -> bool {
    let metrics = alarm.properties["Metrics"].as_array().into_iter().flatten();
    let mut metrics = metrics.map(|query| &query["MetricStat"]["Metric"]).chain([&alarm.properties]);
    metrics.any(|metric| {
        ["AWS/EC2", "AWS/ECS"].contains(&metric["Namespace"].as_str().unwrap_or_default())
            || disks::metrics().contains(metric["MetricName"].as_str().unwrap_or_default())
    })
}

/// Returns how many metrics an alarm watches. Each is paid for: <https://aws.amazon.com/cloudwatch/pricing/>.
fn watched(alarm: &Found) -> usize {
    let queries = alarm.properties["Metrics"].as_array().into_iter().flatten();
    queries.filter(|query| !query["MetricStat"].is_null()).count().max(1)
}

/// Returns the series that the disks of a cluster of three cores report: the tier's, and one for each core.
fn of_disks() -> usize {
    let sets: BTreeSet<_> = disks::written().iter().map(|(_, names)| names.clone()).collect();
    sets.iter().map(|names| if names.iter().any(|name| name == "Core") { 3 } else { 1 }).sum()
}

#[test]
fn the_page_on_costs_counts_the_metrics_and_the_alarms_that_there_are() {
    let (composite, plain): (Vec<_>, Vec<_>) = alarms("default").into_iter().partition(Found::is_composite);
    let cents = |count: usize, each: usize| u64::try_from(count * each).unwrap();
    let steady = metrics::steady().len();
    let (of_members, plain): (Vec<_>, Vec<_>) = plain.into_iter().partition(is_of_members);
    let [of_alarms, of_members_alarms] = [&plain, &of_members].map(|alarms| alarms.iter().map(watched).sum::<usize>());
    assert_eq!(of_alarms, plain.len(), "each of them watches one metric");
    let pruning = metrics::of_pruning().len();
    let wanted = [
        ("metrics of functions", format!("{steady} series in each hour × $0.30"), cents(steady, 30)),
        (
            "metrics of backup-pruner",
            format!("{pruning} series in 4 hours of each day × $0.30 × 4 / 24, one more for each further database"),
            cents(pruning, 30) / 6,
        ),
        ("alarms", format!("{of_alarms} × $0.10"), cents(of_alarms, 10)),
        ("composite alarms", format!("{} × $0.50", composite.len()), cents(composite.len(), 50)),
    ];
    let rows = rows();
    for (what, arithmetic, sum) in wanted {
        let row = rows.iter().find(|(name, ..)| name == what).unwrap_or_else(|| panic!("no row for {what}"));
        assert_eq!((&row.1, row.2), (&arithmetic, sum), "{what}");
    }
    let disks = (format!("free disk | {} series × $0.30", of_disks()), cents(of_disks(), 30));
    let alarms =
        format!("alarms on disks and load | {of_members_alarms} metrics of {} alarms × $0.10", of_members.len());
    let page = std::fs::read_to_string(root().join("docs/real-account.md")).unwrap();
    for (row, sum) in [disks, (alarms, cents(of_members_alarms, 10))] {
        let dollars = format!("${}.{:02}", sum / 100, sum % 100);
        let row = format!("\n| {row} | {dollars} | {dollars} |\n");
        assert!(page.contains(&row), "docs/real-account.md: {row}");
    }
}

#[test]
fn the_control_plane_costs_at_most_fifteen_dollars() {
    let (_, _, total) = rows().pop().unwrap();
    assert!(total <= 15_00, "{total} cents a month");
}

#[test]
fn the_total_is_the_sum_of_its_rows_rounded() {
    let page = std::fs::read_to_string(root().join("docs/real-account.md")).unwrap();
    let section = page.split("\n## What it costs\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('$'));
    let rows: Vec<Vec<_>> = rows.map(|line| line.split('|').map(str::trim).collect()).collect();
    let (total, rows) = rows.split_last().unwrap();
    let cents = |cell: &str| cell.trim_start_matches('$').replace('.', "").parse::<u64>().unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for column in [3, 4] {
        let sum: u64 = rows.iter().map(|row| cents(row[column])).sum();
        let rounded = (sum + 250) / 500 * 5;
        assert_eq!(total[column], format!("**about ${rounded}**"), "{sum} cents");
        assert!(readme.contains(&format!("**${rounded}")), "README.md: {rounded}");
    }
}

#[test]
fn the_sums_on_the_page_on_costs_add_up_and_the_other_tables_say_the_same() {
    let mut rows = rows();
    let (name, _, total) = rows.pop().unwrap();
    assert_eq!(name, "**total**");
    assert_eq!(rows.iter().map(|(_, _, sum)| sum).sum::<u64>(), total, "{rows:?}");
    let page = std::fs::read_to_string(root().join("docs/real-account.md")).unwrap();
    let dollars = format!("${}.{:02}", total / 100, total % 100);
    let row = format!("| the control plane | [below](#what-the-control-plane-costs) | {dollars} | {dollars} |");
    assert!(page.contains(&row), "{row}");
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let rounded = format!("[about ${}](docs/real-account.md#what-the-control-plane-costs)", (total + 50) / 100);
    assert!(readme.contains(&rounded), "README.md: {rounded}");
    let dashboard = std::fs::read_to_string(root().join("infra/dashboard.yaml")).unwrap();
    let words = format!("costs about ${} a month", (total + 50) / 100);
    assert!(dashboard.contains(&words), "infra/dashboard.yaml: {words}");
}

#[test]
fn the_documents_count_the_alarms_that_there_are() {
    let count = |deployment: &str| alarms(deployment).len();
    let (all, without_replicas) = (count("replicas"), count("default"));
    let of_backups = alarms("replicas").into_iter().filter(|alarm| alarm.tags()["tier"] == "backup").count();
    let of_two_cores = count("five") - count("default");
    let of_router = alarms("replicas").into_iter().filter(|alarm| alarm.place.starts_with("Alerting/")).count();
    let counts = (all - without_replicas, of_backups, of_router, of_two_cores);
    assert_eq!(counts, (6, 13, 4, 2 * 3), "as the sentence says in words");
    let sentence = format!(
        "{all} alarms with three cores (six fewer without replicas, thirteen fewer without backups, four fewer without \
         alarm-router, three more for each further core)"
    );
    for page in ["docs/monitoring.md", "docs/parameters.md", "docs/security.md"] {
        assert!(std::fs::read_to_string(root().join(page)).unwrap().contains(&sentence), "{page}: {sentence}");
    }
    assert!(std::fs::read_to_string(root().join("README.md")).unwrap().contains(&format!("{all} alarms")), "README.md");
}
