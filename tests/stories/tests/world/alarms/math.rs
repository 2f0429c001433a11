//! Alarms on metric math.

use cluster_world::{
    World,
    cloudwatch::{
        MetricId, State,
        State::{Alarm, InsufficientData, Ok},
    },
};
use serde_json::{Value, json};

use super::{state, world};

fn metric(name: &str) -> MetricId {
    MetricId::new("Stories", name, &[])
}

/// An alarm that goes off when an expression of the metrics m1, m2 and m3 is above 0.
fn alarm(expression: &str, period: i64, more: &Value) -> Value {
    let stat = |id: &str| {
        let metric = json!({"Namespace": "Stories", "MetricName": id});
        json!({"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Average"}, "ReturnData": false})
    };
    let mut all = json!({
        "Metrics": [{"Id": "e1", "Expression": expression, "ReturnData": true}, stat("m1"), stat("m2"), stat("m3")],
        "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0,
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

/// What an expression makes of one minute's values of the three metrics: the value, or nothing.
fn value(expression: &str, values: [Option<f64>; 3]) -> Option<f64> {
    let mut world = world();
    // Always in ALARM where there is a value, and the reason says which.
    let more = json!({"Threshold": -1e9, "TreatMissingData": "missing"});
    world.create("AWS::CloudWatch::Alarm", "Math", &alarm(expression, 60, &more)).unwrap();
    for (name, value) in ["m1", "m2", "m3"].into_iter().zip(values) {
        if let Some(value) = value {
            world.put_metric(&metric(name), value);
        }
    }
    world.advance(60);
    let alarm = &world.cloudwatch.alarms["Math"].now;
    (alarm.state == Alarm).then(|| {
        alarm.reason.split(['[', ' ']).find_map(|word| word.parse::<f64>().ok().filter(|_| word.contains('.')))
    })?
}

#[test]
fn expressions_are_computed_as_the_page_says() {
    let all = [Some(6.0), Some(3.0), Some(-2.0)];
    for (expression, expected) in [
        ("m1 + m2 * m3", 0.0),
        ("(m1 + m2) * m3", -18.0),
        ("m1 - m2 - m3", 5.0),
        ("m1 / m2", 2.0),
        ("2 ^ m2", 8.0),
        ("-m1 + 10", 4.0),
        ("m1 > m2", 1.0),
        ("m1 == 6 AND m2 < 3", 0.0),
        ("m1 == 6 || m2 < 3", 1.0),
        ("(m1 > 0) + (m2 > 0) + (m3 > 0)", 2.0),
        ("MIN([m1, m2, m3])", -2.0),
        ("MAX([m1, m2, m3])", 6.0),
        ("SUM([m1, m2, m3])", 7.0),
        ("AVG([m1, m2])", 4.5),
        ("ABS(m3)", 2.0),
        ("CEIL(m1 / 4)", 2.0),
        ("FLOOR(m1 / 4)", 1.0),
        ("IF(m1 > 5, m2, m3)", 3.0),
        ("IF(m1 > 7, m2, m3)", -2.0),
        ("m1 / PERIOD(m1) * 60", 6.0),
        ("TIME_SERIES(MAX(m1))", 6.0),
    ] {
        assert_eq!(value(expression, all), Some(expected), "{expression}");
    }
}

#[test]
fn what_is_missing_counts_as_zero_where_another_has_a_value() {
    let one = [Some(6.0), None, None];
    for (expression, expected) in [
        ("m1 + m2", Some(6.0)),
        ("m2 - m1", Some(-6.0)),
        ("m2 + 1", None),
        ("m2 + m3", None),
        ("m1 / m2", None),
        ("m1 / MAX(m2)", None),
        ("MIN([m1, m2])", Some(6.0)),
        ("(m1 > 0) + (m2 > 0)", Some(1.0)),
        ("FILL(m2, 4)", Some(4.0)),
        ("IF(m1, m2, m3)", Some(0.0)),
        ("IF(m1 > 7, m1)", None),
        ("IF(m2 > 7, m1, m1)", None),
    ] {
        assert_eq!(value(expression, one), expected, "{expression}");
    }
}

#[test]
fn what_it_does_not_know_it_refuses_when_the_alarm_is_made() {
    for (expression, why) in [
        ("SLOPE(m1)", "no function SLOPE"),
        ("SEARCH(m1)", "no function SEARCH"),
        ("m1 + m9", "no metric or expression has the id m9"),
        ("m1 +", "ends too early"),
        ("m1 m2", "m2 is too much"),
        ("(m1", ") is missing"),
        ("MAX(m1)", "no single series"),
        ("e1 + m1", "circle"),
        ("m1 % 2", "% is too much"),
        ("FILL(m1, LINEAR)", "no metric or expression has the id LINEAR"),
    ] {
        let refused = world().create("AWS::CloudWatch::Alarm", "Math", &alarm(expression, 60, &json!({}))).unwrap_err();
        assert!(refused.contains(why), "{expression}: {refused}");
    }
}

/// The states of an alarm that goes off when a disk will be full within a day at its pace of the last six hours.
fn states_while(percent_an_hour: f64, hours: usize) -> (Vec<State>, World) {
    let mut world = world();
    let seconds = "IF(RATE(m1) < 0, m1 / -RATE(m1), 1000000)";
    let more = json!({"ComparisonOperator": "LessThanThreshold", "Threshold": 86400, "TreatMissingData": "ignore"});
    world.create("AWS::CloudWatch::Alarm", "Full", &alarm(seconds, 21600, &more)).unwrap();
    let (mut free, mut states) = (60.0, vec![]);
    for _ in 0..hours {
        world.set_gauge(&metric("m1"), Some(free));
        world.advance(3600);
        free -= percent_an_hour;
        states.push(state(&world, "Full"));
    }
    (states, world)
}

#[test]
fn a_rate_is_that_of_a_second_between_two_periods() {
    let (slow, _) = states_while(0.5, 24);
    assert_eq!(slow.last(), Some(&Ok), "48 % last four days");
    assert!(!slow.contains(&Alarm));
    let (fast, world) = states_while(2.0, 24);
    assert_eq!(fast.last(), Some(&Alarm), "at 2 % an hour a disk is full within a day once less than 48 % is free");
    let first = fast.iter().position(|state| *state == Alarm).unwrap();
    assert!((7..=12).contains(&first), "after {first} hours: {fast:?}");
    assert!(world.cloudwatch.faults.is_empty());
    assert_eq!(fast[0], InsufficientData, "nothing came before");
}

#[test]
fn fill_repeats_and_differences_reach_over_a_gap() {
    let mut world = world();
    let put = |world: &mut World, name: &str, expression: &str| {
        world.create("AWS::CloudWatch::Alarm", name, &alarm(expression, 60, &json!({}))).unwrap();
    };
    put(&mut world, "Diff", "DIFF(m1) - 2");
    put(&mut world, "Rate", "RATE(m1) * 60 - 1.4");
    put(&mut world, "Repeat", "FILL(m2, REPEAT)");
    world.put_metric(&metric("m1"), 1.0);
    world.put_metric(&metric("m2"), 1.0);
    world.advance(120);
    world.put_metric(&metric("m1"), 4.0);
    world.advance(60);
    assert_eq!(state(&world, "Diff"), Alarm, "3 more");
    assert_eq!(state(&world, "Rate"), Alarm, "1.5 a minute");
    assert_eq!(state(&world, "Repeat"), Alarm, "in its last minute, too");
}
