//! Metrics, statistics, periods, M of N, and how values compare.

use cluster_world::cloudwatch::{
    MetricId,
    State::{Alarm, InsufficientData, Ok},
};
use serde_json::{Value, json};

use super::{depth, properties, put, state, world};

#[test]
fn lines_in_the_embedded_metric_format_are_metrics_once_for_each_set_of_dimensions() {
    let mut world = world();
    let at = world.now.as_millisecond();
    let line = json!({
        "timestamp": "2026-11-23T10:00:00.000Z", "level": "INFO", "Cluster": "neo4j", "Tier": "core", "Waits": [1, 5], "Late": 7,
        "_aws": {"Timestamp": at, "CloudWatchMetrics": [{
            "Namespace": "Neo4jCluster", "Dimensions": [["Cluster"], ["Cluster", "Tier"]],
            "Metrics": [{"Name": "Waits", "Unit": "Count"}, {"Name": "Late", "Unit": "Seconds"}],
        }]},
    });
    world.put_line(&line).unwrap();
    world.put_line(&json!({"level": "INFO", "message": "no metric"})).unwrap();
    let cluster = json!([{"Name": "Cluster", "Value": "neo4j"}]);
    let both = json!([{"Name": "Cluster", "Value": "neo4j"}, {"Name": "Tier", "Value": "core"}]);
    let alone = json!([{"Name": "Tier", "Value": "core"}]);
    let of = |name: &str, dimensions: &Value, more: Value| {
        let mut all = json!({"Namespace": "Neo4jCluster", "MetricName": name, "Dimensions": dimensions});
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        all
    };
    put(&mut world, "Largest", &of("Waits", &both, json!({"Threshold": 4, "Unit": "Count"})));
    put(&mut world, "Sum", &of("Waits", &cluster, json!({"Threshold": 5, "Statistic": "Sum"})));
    put(&mut world, "Count", &of("Waits", &cluster, json!({"Threshold": 1, "Statistic": "SampleCount"})));
    put(&mut world, "Mean", &of("Waits", &cluster, json!({"Threshold": 3, "Statistic": "Average"})));
    put(&mut world, "Least", &of("Waits", &cluster, json!({"Threshold": 0, "Statistic": "Minimum"})));
    put(&mut world, "OtherUnit", &of("Waits", &cluster, json!({"Unit": "Seconds"})));
    put(&mut world, "OtherDimensions", &of("Waits", &alone, json!({})));
    put(&mut world, "Late", &of("Late", &cluster, json!({"Threshold": 7})));
    world.advance(60);
    let all = ["Largest", "Sum", "Count", "Mean", "Least", "OtherUnit", "OtherDimensions", "Late"];
    let states = all.map(|name| state(&world, name));
    assert_eq!(states, [Alarm, Alarm, Alarm, Ok, Alarm, InsufficientData, InsufficientData, Ok]);
    for wrong in [json!({"_aws": {}}), json!({"_aws": {"Timestamp": at, "CloudWatchMetrics": [{"Namespace": "N"}]}})] {
        assert!(world.put_line(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_comparison_is_with_the_threshold() {
    for (operator, below, at, above) in [
        ("GreaterThanThreshold", Ok, Ok, Alarm),
        ("GreaterThanOrEqualToThreshold", Ok, Alarm, Alarm),
        ("LessThanThreshold", Alarm, Ok, Ok),
        ("LessThanOrEqualToThreshold", Alarm, Alarm, Ok),
    ] {
        for (value, expected) in [(1.0, below), (2.0, at), (3.0, above)] {
            let mut world = world();
            put(&mut world, "Dead", &json!({"ComparisonOperator": operator, "Threshold": "2"}));
            world.put_metric(&depth(), value);
            world.advance(60);
            assert_eq!(state(&world, "Dead"), expected, "{value} {operator}");
        }
    }
}

#[test]
fn two_of_three_need_not_follow_each_other() {
    let mut world = world();
    put(&mut world, "Dead", &json!({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}));
    let mut states = vec![];
    for value in [0.0, 1.0, 0.0, 1.0, 0.0, 0.0] {
        world.put_metric(&depth(), value);
        world.advance(60);
        states.push(state(&world, "Dead"));
    }
    assert_eq!(states, [Ok, Ok, Ok, Alarm, Ok, Ok], "of the last three minutes, two are bad at the fourth");
}

#[test]
fn the_window_of_five_minutes_slides_by_one() {
    let mut world = world();
    put(&mut world, "Dead", &json!({"Period": 300, "Statistic": "Sum", "Threshold": 1}));
    world.set_gauge(&depth(), Some(0.0));
    world.advance(7 * 60 + 30);
    world.put_metric(&depth(), 1.0);
    world.advance(120);
    assert_eq!(state(&world, "Dead"), Ok);
    world.put_metric(&depth(), 1.0);
    world.advance(60);
    assert_eq!(state(&world, "Dead"), Alarm, "both are in the five minutes before, whatever the clock's own five");
    world.advance(120);
    assert_eq!(state(&world, "Dead"), Alarm);
    world.advance(60);
    assert_eq!(state(&world, "Dead"), Ok, "the first one has left");
}

#[test]
fn a_gauge_reports_each_minute_until_it_reports_nothing() {
    let mut world = world();
    put(&mut world, "Dead", &json!({"TreatMissingData": "missing"}));
    world.set_gauge(&depth(), Some(3.0));
    world.advance(600);
    assert_eq!(state(&world, "Dead"), Alarm);
    world.set_gauge(&depth(), Some(0.0));
    world.advance(120);
    assert_eq!(state(&world, "Dead"), Ok);
    world.set_gauge(&depth(), None);
    world.advance(600);
    assert_eq!(state(&world, "Dead"), InsufficientData);
    let other = MetricId::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "other")]);
    world.set_gauge(&other, Some(3.0));
    world.advance(120);
    assert_eq!(state(&world, "Dead"), InsufficientData, "another queue's");
}

#[test]
fn what_is_late_is_evaluated_when_it_can_be_read() {
    let mut world = world();
    world.cloudwatch.lag = 90;
    put(&mut world, "Dead", &json!({}));
    world.set_gauge(&depth(), Some(1.0));
    world.advance(60);
    assert_eq!(state(&world, "Dead"), InsufficientData);
    world.advance(60);
    assert_eq!(state(&world, "Dead"), Alarm);
}

#[test]
fn an_alarm_that_the_world_cannot_evaluate_is_refused() {
    for (more, why) in [
        (json!({"Period": 10}), "multiples of 60"),
        (json!({"Statistic": "p99"}), "no statistic \"p99\""),
        (json!({"TreatMissingData": "guess"}), "no TreatMissingData \"guess\""),
        (json!({"ComparisonOperator": "GreaterThanUpperThreshold"}), "no ComparisonOperator"),
        (json!({"DatapointsToAlarm": 2}), "DatapointsToAlarm 2 is not from 1 to EvaluationPeriods 1"),
        (json!({"EvaluationPeriods": 0, "DatapointsToAlarm": 0}), "is not from 1"),
        (json!({"EvaluationPeriods": 1441}), "too long a time"),
        (json!({"Period": 86400, "EvaluationPeriods": 8}), "too long a time"),
        (json!({"Threshold": "much"}), "Threshold \"much\" is no number"),
        (json!({"AlarmActions": ["arn:aws:ssm:eu-west-1:000000000000:opsitem:1"]}), "no action arn:aws:ssm"),
        (json!({"EvaluationWindow": {"WallClockWindow": {}}}), "sliding windows alone"),
    ] {
        let refused = world().create("AWS::CloudWatch::Alarm", "Dead", &properties(&more)).unwrap_err();
        assert!(refused.starts_with("Dead: ") && refused.contains(why), "{refused}");
    }
    world()
        .create("AWS::CloudWatch::Alarm", "Dead", &properties(&json!({"Period": 86400, "EvaluationPeriods": 7})))
        .unwrap();
}
