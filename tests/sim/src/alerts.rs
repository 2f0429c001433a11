//! A cluster of which only alarm-router runs, with every destination, and what these have taken.

use cluster_world::cloudwatch::State;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{cluster::Cluster, functions::ALARM_ROUTER};

/// The host of Slack's webhooks.
pub const SLACK: &str = "hooks.slack.com";
/// The host of PagerDuty's Events API.
pub const PAGERDUTY: &str = "events.pagerduty.com";
/// The host of somebody's webhook.
pub const WEBHOOK: &str = "alerts.example.org";
/// The integration key in PagerDuty's secret.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What signs webhooks.
pub const SIGNING: &str = "a secret of more than thirty-two bytes";

/// Something that a destination was told of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// The alert's key.
    pub key: String,
    /// Whether it says that the alert is over.
    pub over: bool,
}

/// Returns a formed cluster of which only the router runs, as its subject, with every destination.
#[must_use]
pub fn stage() -> Cluster {
    let mut cluster = Cluster::formed(3).quiet().only(&[ALARM_ROUTER]);
    give_destinations(&mut cluster);
    cluster
}

/// Makes the router the subject, and gives it every destination.
pub fn give_destinations(cluster: &mut Cluster) {
    cluster.subject = ALARM_ROUTER;
    let webhook = json!({"url": format!("https://{WEBHOOK}/alerts"), "secret": SIGNING});
    let slack =
        json!({"default": format!("https://{SLACK}/services/all"), "db": format!("https://{SLACK}/services/db")});
    for (variable, name, value) in [
        ("SLACK_SECRET_ARN", "slack", slack.to_string()),
        ("PAGERDUTY_SECRET_ARN", "pagerduty", KEY.to_owned()),
        ("WEBHOOK_SECRET_ARN", "webhook", webhook.to_string()),
    ] {
        let arn = format!("arn:aws:secretsmanager:eu-west-1:000000000000:secret:{name}");
        cluster.wire.world().put_secret(&arn, name, value);
        cluster.set(variable, &arn);
    }
    let page = cluster.variable("PAGE_TOPIC_ARN").to_owned();
    let mut world = cluster.wire.world();
    world.sns.topics.entry(page).or_default();
    for host in [SLACK, PAGERDUTY, WEBHOOK] {
        world.server(host);
    }
}

/// Adds an alarm that calls the router, and stays as it is set.
///
/// # Panics
/// When the world refuses it.
pub fn add_alarm(cluster: &Cluster, name: &str, tags: &[(&str, &str)]) {
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

/// Sets the state of an alarm, which calls the router if that is another one.
///
/// # Panics
/// When there is no such alarm.
pub fn set(cluster: &Cluster, alarm: &str, state: State) {
    cluster.wire.world().set_alarm_state(alarm, state, "somebody says so").unwrap();
}

/// The state table has it that this core is stopped on purpose since now, or that none is.
///
/// # Panics
/// When there is no state table.
pub fn lease(cluster: &Cluster, core: Option<u8>) {
    let mut world = cluster.wire.world();
    let since = world.now.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let mut lease = json!({"pk": {"S": "cluster"}, "sk": {"S": "lease"}, "fence": {"S": "7"}});
    if let Some(core) = core {
        lease["core"] = json!({"N": core.to_string()});
        lease["task"] = json!({"S": "task"});
        lease["cause"] = json!({"S": "drain"});
        lease["since"] = json!({"S": since});
    }
    let table = world.dynamodb.tables.get_mut(cluster.variable("STATE_TABLE")).unwrap();
    table.insert(("cluster".to_owned(), "lease".to_owned()), lease);
}

/// Returns what PagerDuty was told, in its order.
#[must_use]
pub fn pagerduty(cluster: &Cluster) -> Vec<Told> {
    let mut world = cluster.wire.world();
    let taken = world.server(PAGERDUTY).taken.iter();
    let told = taken.map(|one| Told {
        at: one.at,
        key: one.body["dedup_key"].as_str().unwrap_or_default().to_owned(),
        over: one.body["event_action"] == "resolve",
    });
    told.collect()
}

/// Returns what the webhook was told, in its order.
#[must_use]
pub fn webhook(cluster: &Cluster) -> Vec<Told> {
    let mut world = cluster.wire.world();
    let taken = world.server(WEBHOOK).taken.iter();
    let told = taken.map(|one| Told {
        at: one.at,
        key: one.body["key"].as_str().unwrap_or_default().to_owned(),
        over: one.body["status"] == "resolved",
    });
    told.collect()
}

/// Returns how many messages a host has taken.
#[must_use]
pub fn taken(cluster: &Cluster, host: &str) -> usize {
    cluster.wire.world().server(host).taken.len()
}

/// Returns the subjects that were published to the topic of whoever is woken.
#[must_use]
pub fn pages(cluster: &Cluster) -> Vec<String> {
    let page = cluster.variable("PAGE_TOPIC_ARN");
    let world = cluster.wire.world();
    world.published(page).iter().filter_map(|message| message.subject.clone()).collect()
}

/// Returns a text, or nothing of it where there is none.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
