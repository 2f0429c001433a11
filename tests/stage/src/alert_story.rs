//! What people are told in a bad hour, on virtual time: the functions run in this process, against the modelled AWS.

use cluster_sim::{
    alerts::{self, PAGERDUTY, SLACK, add_alarm, lease, set, taken},
    cluster::Cluster,
    time::{minutes, play as simulated, seconds},
};
use cluster_world::cloudwatch::State;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    narrator::{Narrator, Row},
    stage::Trouble,
};

/// How many alarms go off in one minute.
const FLOOD: usize = 1_000;
/// How many messages Slack takes in one.
const PER_MINUTE: usize = 60;

/// What the hour was like.
struct Hour {
    /// A message to Slack, and an event of PagerDuty's.
    shown: String,
    rows: Vec<Row>,
}

/// Plays a quorum that is lost, a destination that is away, a planned drain and a flood.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let hour = async {
        let hour = tokio::task::spawn_blocking(|| simulated(live()));
        hour.await.map_err(|error| format!("the hour of alarms broke off: {error}"))
    };
    let Hour { shown, rows } = narrator.work("an hour of alarms, on virtual time", hour).await?;
    narrator.note("what Slack and PagerDuty were told of the quorum");
    narrator.lines(&shown);
    rows.into_iter().try_for_each(|row| narrator.row(row))
}

async fn live() -> Hour {
    let mut rows = Vec::new();
    let shown = a_bad_hour(&mut rows).await;
    a_planned_drain(&mut rows).await;
    a_lost_call(&mut rows).await;
    a_flood(&mut rows).await;
    Hour { shown, rows }
}

/// Two cores hang, and while they do PagerDuty is away.
async fn a_bad_hour(rows: &mut Vec<Row>) -> String {
    let mut cluster = Cluster::formed(3).quiet();
    alerts::give_destinations(&mut cluster);
    let cluster = cluster.with_alarms().await;
    cluster.live(minutes(10)).await;
    let of = |cluster: &Cluster| {
        let told = alerts::pagerduty(cluster).into_iter().filter(|told| told.key.contains("QuorumLost"));
        told.collect::<Vec<_>>()
    };

    let tasks = [2, 3].map(|core| cluster.a_task(&format!("core-{core}")));
    hang(&cluster, &tasks, true);
    let began = now(&cluster);
    let told = until(&cluster, 20, |cluster| !of(cluster).is_empty()).await;
    let answer = format!("after {} min PagerDuty has an incident, critical", passed(&cluster, began));
    rows.push(row(
        "two cores hang, and the quorum is lost",
        answer,
        told && cluster.alarm("QuorumLostAlarm") == State::Alarm,
    ));
    let shown = messages(&cluster);

    cluster.wire.world().server(PAGERDUTY).status = 503;
    hang(&cluster, &tasks, false);
    let began = now(&cluster);
    let paged = until(&cluster, 30, |cluster| {
        alerts::pages(cluster).iter().any(|page| page.starts_with("ALARM") && page.contains("UndeliveredAlert"))
    })
    .await;
    let held = paged && of(&cluster).iter().all(|told| !told.over);
    let answer = format!("after {} min the topic is told so by CloudWatch itself", passed(&cluster, began));
    rows.push(row("they are back, and PagerDuty takes nothing", answer, held));

    cluster.wire.world().server(PAGERDUTY).status = 202;
    let began = now(&cluster);
    let resolved = until(&cluster, 10, |cluster| of(cluster).last().is_some_and(|told| told.over)).await;
    let ends = of(&cluster).iter().filter(|told| told.over).count();
    let answer = format!("after {} min the same incident is resolved, once", passed(&cluster, began));
    rows.push(row("PagerDuty is back", answer, resolved && ends == 1));
    shown
}

/// A core is stopped on purpose: what that causes by itself is not told, everything else is.
async fn a_planned_drain(rows: &mut Vec<Row>) {
    let cluster = alerts::stage();
    add_alarm(&cluster, "FewerCores", &[("severity", "critical"), ("planned", "drain")]);
    add_alarm(&cluster, "Disk", &[("severity", "critical")]);
    lease(&cluster, Some(2));
    cluster.wire.sleep(1).await;
    set(&cluster, "FewerCores", State::Alarm);
    set(&cluster, "Disk", State::Alarm);
    cluster.live(minutes(20)).await;
    let told = alerts::pagerduty(&cluster);
    let held = matches!(&told[..], [one] if one.key.ends_with(":Disk"));
    lease(&cluster, None);
    set(&cluster, "FewerCores", State::Ok);
    cluster.live(minutes(2)).await;
    let held = held && alerts::pagerduty(&cluster).len() == 1;
    rows.push(row("a core is drained, and alarms say so", "only the alarm on a disk is told".to_owned(), held));
}

/// An alarm goes off, and what it calls is lost.
async fn a_lost_call(rows: &mut Vec<Row>) {
    let cluster = alerts::stage();
    add_alarm(&cluster, "Quorum", &[("severity", "critical")]);
    set(&cluster, "Quorum", State::Alarm);
    cluster.wire.world().lambda.invocations.clear();
    let began = now(&cluster);
    let told = until(&cluster, 12, |cluster| taken(cluster, PAGERDUTY) > 0).await;
    let answer = format!("after {} min the sweep has told it all the same", passed(&cluster, began));
    rows.push(row("an alarm goes off, and its call is lost", answer, told));
}

/// A thousand alarms in a minute, and Slack takes sixty.
async fn a_flood(rows: &mut Vec<Row>) {
    let cluster = alerts::stage().with("ROUTES", r#"{"to": ["slack"]}"#);
    cluster.wire.world().server(SLACK).per_minute = Some(PER_MINUTE);
    let began = now(&cluster);
    for nth in 0..FLOOD {
        let name = format!("Flood{nth}");
        add_alarm(&cluster, &name, &[("severity", "error")]);
        set(&cluster, &name, State::Alarm);
    }
    let all = until(&cluster, 30, |cluster| taken(cluster, SLACK) >= FLOOD).await;
    cluster.live(minutes(5)).await;
    let told = taken(&cluster, SLACK);
    let answer = format!("after {} min Slack has {told}: each once", passed(&cluster, began) - 5);
    rows.push(row("a thousand alarms go off, and Slack takes 60 a minute", answer, all && told == FLOOD));
}

/// Lets time pass until something is so, for so many minutes at most. Returns whether it is.
async fn until(cluster: &Cluster, most: u64, is_so: impl Fn(&Cluster) -> bool) -> bool {
    for _ in 0..most * 6 {
        if is_so(cluster) {
            return true;
        }
        cluster.live(seconds(10)).await;
    }
    is_so(cluster)
}

fn hang(cluster: &Cluster, tasks: &[String], hangs: bool) {
    for task in tasks {
        cluster.wire.world().hang_member(task, hangs);
    }
}

fn now(cluster: &Cluster) -> Timestamp {
    cluster.wire.world().now
}

fn passed(cluster: &Cluster, began: Timestamp) -> i64 {
    now(cluster).duration_since(began).as_mins()
}

fn row(event: &'static str, answer: String, held: bool) -> Row {
    Row { event, answer, held, took: None, calls: 0, writes: 0 }
}

/// The first message to Slack about the quorum, as text, and what PagerDuty was told.
fn messages(cluster: &Cluster) -> String {
    let mut world = cluster.wire.world();
    let about = |body: &Value| body.to_string().contains("QuorumLost");
    let slack = world.server(SLACK).taken.iter().find(|taken| about(&taken.body)).map(|taken| taken.body.clone());
    let event = world.server(PAGERDUTY).taken.iter().find(|taken| about(&taken.body)).map(|taken| taken.body.clone());
    let (slack, event) = (slack.unwrap_or_default(), event.unwrap_or_default());
    let mut lines = vec![format!("Slack      {}", alerts::text(&slack["text"]))];
    let blocks = slack["blocks"].as_array().or_else(|| slack["attachments"][0]["blocks"].as_array());
    for block in blocks.into_iter().flatten() {
        lines.extend(alerts::text(&block["text"]["text"]).lines().map(|line| format!("             {line}")));
    }
    lines.push(format!(
        "PagerDuty  {} {}",
        alerts::text(&event["event_action"]),
        alerts::text(&event["payload"]["summary"])
    ));
    lines.push(format!("           next step: {}", alerts::text(&event["payload"]["custom_details"]["next step"])));
    lines.join("\n")
}
