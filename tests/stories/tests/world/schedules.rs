//! Schedules fire when the user guide of EventBridge Scheduler says so.

use cluster_sim::schedules::Schedule;
use jiff::Timestamp;
use serde_json::{Value, json};

fn schedule(expression: &str, zone: &str) -> Schedule {
    let input =
        r#"{"detail-type": "Backup", "id": "<aws.scheduler.execution-id>", "time": "<aws.scheduler.scheduled-time>"}"#;
    let properties = json!({
        "ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, "Target": {"Input": input},
    });
    Schedule::read("backup-scheduler", &properties).unwrap()
}

/// The times at which it fires after this one, without their seconds.
fn times(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, mut at, mut all) = (schedule(expression, zone), after.parse::<Timestamp>().unwrap(), vec![]);
    for _ in 0..count {
        at = schedule.next(at);
        all.push(at.strftime("%m-%dT%H:%M").to_string());
    }
    all
}

#[test]
fn a_cron_expression_names_minutes_hours_days_months_weekdays_and_years() {
    let after = "2026-11-30T00:59:30Z";
    for (expression, expected) in [
        ("cron(0 1 * * ? *)", ["11-30T01:00", "12-01T01:00"]),
        ("cron(0 * * * ? *)", ["11-30T01:00", "11-30T02:00"]),
        ("cron(1/10 * ? * * *)", ["11-30T01:01", "11-30T01:11"]),
        ("cron(15,45 8-9 * * ? *)", ["11-30T08:15", "11-30T08:45"]),
        ("cron(0 12 ? * MON-FRI *)", ["11-30T12:00", "12-01T12:00"]),
        ("cron(0 12 ? * 1 *)", ["12-06T12:00", "12-13T12:00"]),
        ("cron(0 0 1 JAN,MAR ? *)", ["01-01T00:00", "03-01T00:00"]),
        ("cron(0 0 29 2 ? 2028)", ["02-29T00:00", ""]),
        ("rate(6 hours)", ["11-30T06:59", "11-30T12:59"]),
        ("rate(1 minute)", ["11-30T01:00", "11-30T01:01"]),
    ] {
        let count = expected.iter().filter(|time| !time.is_empty()).count();
        assert_eq!(times(expression, "UTC", after, count), expected[..count], "{expression}");
    }
    let never =
        |expression: &str| std::panic::catch_unwind(|| schedule(expression, "UTC").next(Timestamp::now())).is_err();
    for wrong in [
        "cron(0 1 * * *)",
        "cron(0 1 * * * *)",
        "cron(0 1 ? * ? *)",
        "cron(60 1 * * ? *)",
        "cron(0 1 L * ? *)",
        "cron(0 0 31 2 ? *)",
        "cron(0/0 1 * * ? *)",
        "rate(0 hours)",
        "rate(1 week)",
        "every day",
    ] {
        assert!(never(wrong), "{wrong}");
    }
}

#[test]
fn a_time_that_the_clocks_leave_out_is_skipped_and_one_that_comes_twice_fires_once() {
    let nightly = "cron(30 2 * * ? *)";
    // In Berlin, 28 March 2027 has no 02:30, and 25 October 2026 has it twice.
    assert_eq!(times(nightly, "Europe/Berlin", "2027-03-27T00:00:00Z", 2), ["03-27T01:30", "03-29T00:30"]);
    assert_eq!(times(nightly, "Europe/Berlin", "2026-10-24T12:00:00Z", 2), ["10-25T00:30", "10-26T01:30"]);
    assert_eq!(
        times("cron(0 20 * * ? *)", "America/New_York", "2026-11-30T00:00:00Z", 2),
        ["11-30T01:00", "12-01T01:00"]
    );
    // A rate is not looked at by the clock: a day is 24 hours.
    assert_eq!(times("rate(1 day)", "Europe/Berlin", "2026-10-24T12:00:00Z", 2), ["10-25T12:00", "10-26T12:00"]);
}

#[test]
fn a_message_says_when_it_was_due_and_which_execution_it_is() {
    let schedule = schedule("cron(0 1 * * ? *)", "UTC");
    let due: Timestamp = "2026-11-30T01:00:00Z".parse().unwrap();
    let message = |due| serde_json::from_str::<Value>(&schedule.message(due)).unwrap();
    assert_eq!(message(due)["time"], "2026-11-30T01:00:00Z");
    assert_ne!(message(due)["id"], message(schedule.next(due))["id"]);
    assert!(!schedule.sweeps());
    assert_eq!(Schedule::read("backup-scheduler", &json!({"State": "DISABLED"})), None);
}
