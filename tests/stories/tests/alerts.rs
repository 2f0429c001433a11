//! Whom alarm-router tells of what, how often, and what becomes of it when it or a destination fails.

mod delivery;
mod incidents;
mod inputs;
mod routes;

use cluster_sim::{
    cluster::Cluster,
    functions::ALARM_ROUTER,
    time::{minutes, seconds},
};
use cluster_world::cloudwatch::State;
use serde_json::{Value, json};

/// The host of Slack's webhooks.
const SLACK: &str = "hooks.slack.com";
/// The host of PagerDuty's Events API.
const PAGERDUTY: &str = "events.pagerduty.com";
/// The host of somebody's webhook.
const WEBHOOK: &str = "alerts.example.org";
/// The routing key in PagerDuty's secret.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What signs webhooks.
const SIGNING: &str = "a secret of more than thirty-two bytes";

/// Returns a cluster of which only the router runs, with every destination.
fn stage() -> Cluster {
    let mut cluster = Cluster::formed(3).quiet().only(&[ALARM_ROUTER]);
    cluster.subject = ALARM_ROUTER;
    let webhook = json!({"url": format!("https://{WEBHOOK}/alerts"), "secret": SIGNING}).to_string();
    let slack =
        json!({"default": format!("https://{SLACK}/services/all"), "db": format!("https://{SLACK}/services/db")});
    for (variable, name, value) in [
        ("SLACK_SECRET_ARN", "slack", slack.to_string()),
        ("PAGERDUTY_SECRET_ARN", "pagerduty", KEY.to_owned()),
        ("WEBHOOK_SECRET_ARN", "webhook", webhook),
    ] {
        let arn = format!("arn:aws:secretsmanager:eu-west-1:000000000000:secret:{name}");
        cluster.wire.world().put_secret(&arn, name, value);
        cluster.set(variable, &arn);
    }
    let page = cluster.variable("PAGE_TOPIC_ARN").to_owned();
    {
        let mut world = cluster.wire.world();
        world.sns.topics.entry(page).or_default();
        for host in [SLACK, PAGERDUTY, WEBHOOK] {
            world.server(host);
        }
    }
    cluster
}

/// The same, in which all alerts take this tree's ways.
fn stage_with(routes: &str) -> Cluster {
    stage().with("ROUTES", routes)
}

/// Adds an alarm that calls the router, and stays as it is set.
fn add_alarm(cluster: &Cluster, name: &str, tags: &[(&str, &str)]) {
    let router = cluster.function_arn(ALARM_ROUTER).to_owned();
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    let properties = json!({
        "AlarmName": name, "AlarmDescription": format!("{name} is wrong. Look at it."), "Namespace": "Test",
        "MetricName": name, "Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore",
        "AlarmActions": [router], "OKActions": [router], "Tags": tags,
    });
    cluster.wire.world().create("AWS::CloudWatch::Alarm", name, &properties).unwrap();
}

fn set(cluster: &Cluster, alarm: &str, state: State) {
    cluster.wire.world().set_alarm_state(alarm, state, "somebody says so").unwrap();
}

/// What PagerDuty has taken: action and key, in their order.
fn pagerduty(cluster: &Cluster) -> Vec<(String, String)> {
    let mut world = cluster.wire.world();
    let taken = world.server(PAGERDUTY).taken.iter();
    taken.map(|one| (text(&one.body["event_action"]), text(&one.body["dedup_key"]))).collect()
}

/// How many messages a host has taken.
fn taken(cluster: &Cluster, host: &str) -> usize {
    cluster.wire.world().server(host).taken.len()
}

/// The subjects that were published to the topic of whoever is woken.
fn pages(cluster: &Cluster) -> Vec<String> {
    let page = cluster.variable("PAGE_TOPIC_ARN").to_owned();
    let world = cluster.wire.world();
    world.published(&page).iter().filter_map(|message| message.subject.clone()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Lets a minute and a bit pass, so that a sweep has come.
async fn a_sweep(cluster: &Cluster) {
    cluster.live(minutes(1) + seconds(10)).await;
}
