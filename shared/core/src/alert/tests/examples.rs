//! Alerts as the functions of a cluster give rise to them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::{Alert, Key, Link, Reading, Severity, Status};

const ALARM: &str = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:";

/// A core is down, and no other may stop.
pub(super) fn core_down() -> Alert {
    Alert {
        key: Key::new(&format!("{ALARM}graph-QuorumMarginAlarm")),
        event: "9e0c7a52-6b2f-4ad8-9d43-0f9e2c7b1a01".into(),
        status: Status::Firing,
        lasting: true,
        severity: Severity::Critical,
        labels: labels(&[("alarm", "graph-QuorumMarginAlarm"), ("stack", "graph"), ("tier", "core")]),
        title: "A core is down: no other may stop".into(),
        meaning:
            "One of 3 cores does not run. The databases still take writes.\n\nIf one more core stops, they take none \
                  until it is back."
                .into(),
        since: Some(at("2026-11-30T02:14:09Z")),
        reading: Some(Reading { metric: "QuorumMargin".into(), value: Some(0.0), threshold: Some("< 1".into()) }),
        links: vec![
            link(
                "Alarm",
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1&x=1#alarmsV2:alarm/graph-QuorumMarginAlarm",
            ),
            link(
                "Dashboard",
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards:name=graph",
            ),
        ],
        next_step: Some(
            "aws lambda invoke --function-name graph-instance-drainer --payload '{\"dryRun\":true}' /dev/stdout".into(),
        ),
    }
}

/// A backup was too old, and is no more.
pub(super) fn backup_resolved() -> Alert {
    Alert {
        key: Key::new(&format!("{ALARM}graph-BackupAgeAlarm")),
        event: "0d1b6f0e-1c55-4d0f-8f5a-5a0b63c1f7d2".into(),
        status: Status::Resolved,
        lasting: true,
        severity: Severity::Error,
        labels: labels(&[("alarm", "graph-BackupAgeAlarm"), ("stack", "graph")]),
        title: "The newest good backup is older than 2 hours".into(),
        meaning: "Whatever was written since then would be lost with the cluster.".into(),
        since: Some(at("2026-11-30T04:00:31Z")),
        reading: Some(Reading {
            metric: "BackupAgeSeconds".into(),
            value: Some(1_283.5),
            threshold: Some("> 7200".into()),
        }),
        links: vec![link("Backups", "https://eu-west-1.console.aws.amazon.com/batch/home?region=eu-west-1#jobs")],
        next_step: Some("aws batch list-jobs --job-queue graph-backups --job-status FAILED".into()),
    }
}

/// The same backup's alarm, when nobody measured.
pub(super) fn backup_unknown() -> Alert {
    let mut alert = backup_resolved();
    alert.status = Status::Unknown;
    alert.event = "3f0a3b9d-9d0d-4a3c-8f64-1f3c4b4f8e11".into();
    alert.since = Some(at("2026-11-30T03:05:00Z"));
    alert.reading = Some(Reading { metric: "BackupAgeSeconds".into(), value: None, threshold: Some("> 7200".into()) });
    alert
}

/// The same backup's alarm, when it went off.
pub(super) fn backup_old() -> Alert {
    let mut alert = backup_resolved();
    alert.status = Status::Firing;
    alert.event = "b7d6f1a4-60f5-41a1-9d13-7a0d1c5e2f33".into();
    alert.since = Some(at("2026-11-30T02:31:00Z"));
    alert.reading =
        Some(Reading { metric: "BackupAgeSeconds".into(), value: Some(7_260.0), threshold: Some("> 7200".into()) });
    alert
}

/// An instance that its hook kept, since nothing proved that it may go.
pub(super) fn retained_instance() -> Alert {
    Alert {
        key: Key::new("retained/graph/i-0a1b2c3d4e5f60718"),
        event: "c1c8f8ce-3d54-4b02-8a71-2f0c7a9d7b44".into(),
        status: Status::Firing,
        lasting: true,
        severity: Severity::Warning,
        labels: labels(&[
            ("instance", "i-0a1b2c3d4e5f60718"),
            ("kind", "retained"),
            ("stack", "graph"),
            ("tier", "core"),
        ]),
        title: "Instance i-0a1b2c3d4e5f60718 was kept".into(),
        meaning: "Its time to leave ran out before the others were proved to keep a majority. It costs money until \
                  somebody ends it."
            .into(),
        since: Some(at("2026-11-29T23:59:59Z")),
        reading: None,
        links: Vec::new(),
        next_step: Some("aws ec2 describe-instances --instance-ids i-0a1b2c3d4e5f60718".into()),
    }
}

/// An event that a function failed on three times.
pub(super) fn dead_letter() -> Alert {
    Alert {
        key: Key::new("dead-letter/graph-dns-replicator"),
        event: "5b0f9f6e-5b1f-4f3f-9a5e-2d6a7c8b9e55".into(),
        status: Status::Firing,
        lasting: true,
        severity: Severity::Error,
        labels: labels(&[("component", "dns-replicator"), ("kind", "dead-letter"), ("stack", "graph")]),
        title: "dns-replicator gave up on an event".into(),
        meaning: "Timeout: route53 <ChangeResourceRecordSets> & 2 retries".into(),
        since: Some(at("2026-11-30T01:00:00.250Z")),
        reading: Some(Reading {
            metric: "ApproximateNumberOfMessagesVisible".into(),
            value: Some(1.0),
            threshold: Some("> 0".into()),
        }),
        links: vec![link(
            "Logs",
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home#logsV2:log-groups/log-group/$252Faws$252Flambda",
        )],
        next_step: Some(
            "aws sqs receive-message --queue-url 'https://sqs.eu-west-1.amazonaws.com/123456789012/graph-dead'".into(),
        ),
    }
}

/// What nobody knew how to read.
pub(super) fn unclassified() -> Alert {
    Alert {
        key: Key::new("unclassified/7f3c"),
        event: "7f3c".into(),
        status: Status::Firing,
        lasting: true,
        severity: Severity::Error,
        labels: labels(&[("kind", "unclassified")]),
        title: "Unclassified: an event of an unknown form".into(),
        meaning: "{\"source\":\"acme.billing\",\"detail\":\"<!channel> *pay* `now` & ```later```\"}".into(),
        since: None,
        reading: None,
        links: Vec::new(),
        next_step: None,
    }
}

pub(super) fn all() -> [(&'static str, Alert); 7] {
    [
        ("core_down", core_down()),
        ("backup_old", backup_old()),
        ("backup_unknown", backup_unknown()),
        ("backup_resolved", backup_resolved()),
        ("retained_instance", retained_instance()),
        ("dead_letter", dead_letter()),
        ("unclassified", unclassified()),
    ]
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn link(title: &str, url: &str) -> Link {
    Link { title: title.into(), url: url.into() }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}
