//! The tables of «Configuring how CloudWatch alarms treat missing data», and what the text around them says.
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>.

use cluster_world::cloudwatch::{
    Missing, State,
    State::{Alarm, InsufficientData, Ok},
    judge, range,
};
use jiff::SignedDuration;
use serde_json::json;

use super::{depth, put, state, world};

/// How the page writes data points: 0 for a good one, X for a bad one, - for a missing one, the latest on the right.
fn points(row: &str) -> Vec<Option<bool>> {
    let point = |point: &str| match point {
        "0" => Some(false),
        "X" => Some(true),
        _ => None,
    };
    row.split(' ').map(point).collect()
}

const COLUMNS: [Missing; 4] = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];

/// A row: its data points, and the state in each column, nothing where it is retained.
type Row = (&'static str, [Option<State>; 4]);

fn check(rows: &[Row], to_alarm: usize) {
    for (row, states) in rows {
        for (missing, state) in COLUMNS.into_iter().zip(states) {
            assert_eq!(judge(&points(row), 3, to_alarm, missing), *state, "{row}, {missing:?}");
        }
    }
}

#[test]
fn three_of_three() {
    let rows: [Row; 5] = [
        ("0 - X - X", [Some(Ok); 4]),
        ("0 - - - -", [Some(Ok); 4]),
        ("- - - - -", [Some(InsufficientData), None, Some(Alarm), Some(Ok)]),
        ("0 X X - X", [Some(Alarm); 4]),
        ("- - X - -", [Some(Alarm), None, Some(Alarm), Some(Ok)]),
    ];
    check(&rows, 3);
}

#[test]
fn two_of_three() {
    let rows: [Row; 5] = [
        ("0 - X - X", [Some(Alarm); 4]),
        ("0 0 X 0 X", [Some(Alarm); 4]),
        ("0 - X - -", [Some(Ok), Some(Ok), Some(Alarm), Some(Ok)]),
        ("- - - - 0", [Some(Ok), Some(Ok), Some(Alarm), Some(Ok)]),
        ("- - - X -", [Some(Alarm), None, Some(Alarm), Some(Ok)]),
    ];
    check(&rows, 2);
}

#[test]
fn an_alarm_is_not_premature() {
    // «The alarm does not go immediately into ALARM state when the data is either - - - - X or - - - X - and Datapoints to Alarm is 3.»
    for row in ["- - - - X", "- - - X -"] {
        assert_eq!(judge(&points(row), 3, 3, Missing::Missing), None, "{row}");
    }
    // «If no data points in the evaluation range are missing», only the latest of them count.
    assert_eq!(judge(&points("X X 0 0 0"), 3, 3, Missing::Missing), Some(Ok));
    assert_eq!(range(3), 5, "the page's own example");
}

/// The states at the end of each minute, while the metric is written in some of them.
fn minutes(treat: &str, periods: usize, written: &str) -> Vec<State> {
    let mut world = world();
    let more = json!({"EvaluationPeriods": periods, "TreatMissingData": treat});
    put(&mut world, "Dead", &more);
    let mut states = vec![];
    for minute in points(written) {
        world.advance_to(world.now + SignedDuration::from_secs(30));
        if let Some(breaches) = minute {
            world.put_metric(&depth(), if breaches { 1.0 } else { 0.0 });
        }
        world.advance_to(world.now + SignedDuration::from_secs(30));
        states.push(state(&world, "Dead"));
    }
    states
}

#[test]
fn an_alarm_is_insufficient_until_it_is_evaluated_and_looks_back_further_than_its_periods() {
    let mut new = world();
    put(&mut new, "Dead", &json!({}));
    assert_eq!(state(&new, "Dead"), InsufficientData);
    assert_eq!(minutes("missing", 1, "0 X - - -")[..], [Ok, Alarm, Alarm, Alarm, InsufficientData]);
    assert_eq!(minutes("ignore", 1, "0 X - - - -")[..], [Ok, Alarm, Alarm, Alarm, Alarm, Alarm]);
    assert_eq!(minutes("notBreaching", 1, "0 X - - -")[..], [Ok, Alarm, Alarm, Alarm, Ok]);
    // What is silent is taken for broken only when the last word of it has left the evaluation range.
    assert_eq!(minutes("breaching", 2, "0 - - - -")[..], [Ok, Ok, Ok, Ok, Alarm]);
}
