//! Alarms go off when the user guide of CloudWatch says so, and tell whom it says.

mod actions;
mod composites;
mod math;
mod metrics;
mod missing;
mod mutes;
mod requests;
mod stacks;

use cluster_world::{
    World,
    cloudwatch::{MetricId, State},
};
use serde_json::{Value, json};

/// A world at ten o'clock.
fn world() -> World {
    World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1)
}

/// The metric that these stories write.
fn depth() -> MetricId {
    MetricId::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "dead")])
}

/// The properties of an alarm that goes off when that metric is above 0, with these besides.
fn properties(more: &Value) -> Value {
    let mut all = json!({
        "Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": "dead"}], "Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0,
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn put(world: &mut World, name: &str, more: &Value) {
    world.create("AWS::CloudWatch::Alarm", name, &properties(more)).unwrap();
}

/// An alarm whose state a story sets: nothing is written to its metric, and it ignores that.
fn put_switch(world: &mut World, name: &str) {
    put(world, name, &json!({"MetricName": "Nothing", "TreatMissingData": "ignore"}));
    set(world, name, State::Ok);
}

fn put_composite(world: &mut World, name: &str, properties: &Value) {
    world.create("AWS::CloudWatch::CompositeAlarm", name, properties).unwrap();
}

fn set(world: &mut World, name: &str, state: State) {
    world.set_alarm_state(name, state, "by hand").unwrap();
}

fn state(world: &World, name: &str) -> State {
    world.alarm_state(name).unwrap()
}

/// The states that were told to a topic, in their order.
fn told(world: &World, topic: &str) -> Vec<String> {
    let state =
        |message: &str| serde_json::from_str::<Value>(message).unwrap()["NewStateValue"].as_str().unwrap().to_owned();
    world.published(topic).iter().map(|published| state(&published.message)).collect()
}

/// The actions of every state.
fn all_to(topic: &str) -> Value {
    json!({"AlarmActions": [topic], "OKActions": [topic], "InsufficientDataActions": [topic]})
}
