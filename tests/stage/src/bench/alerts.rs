//! What alerts cost alarm-router: one alarm on its way through the function as it is deployed, and many that are read, routed and
//! rendered in process.

use std::{
    collections::BTreeSet,
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use cluster_core::alert::{Alert, Tree, read, render};
use cluster_sim::{alerts::add_alarm, cluster::Cluster, events::messages, functions::ALARM_ROUTER};
use cluster_world::cloudwatch::State;
use serde_json::{Value, json};

use super::{median, place::Place, process::Process, prune::peak};

/// How many alarms go off, one after the other.
const ALARMS: usize = 15;
/// Ten routes, of which most look at several labels.
const ROUTES: &str = r#"{"to": ["notify"], "routes": [
    {"match": {"severity": "critical", "tier": ["core", "control"]}, "to": ["pagerduty", "slack"], "repeatMinutes": 30},
    {"match": {"severity": ">=error", "tier": "backup"}, "to": ["slack:databases"], "holdMinutes": 10},
    {"match": {"tier": "dns"}, "to": ["slack:network"]},
    {"match": {"source": "task", "service": "core-*"}, "to": ["pagerduty"]},
    {"match": {"source": "job", "queue": ["nightly", "reports"]}, "to": ["slack:data", "webhook"]},
    {"match": {"source": "auto-scaling", "group": "shop-*"}, "to": ["slack:shop"], "continue": true},
    {"match": {"team": ["shop", "till"], "severity": ">=warning"}, "to": ["slack:shop"]},
    {"match": {"region": "us-*", "source": "alarm"}, "to": ["page", "webhook"], "continue": true},
    {"match": {"source": ["dead-letter", "unclassified"]}, "to": ["webhook"]},
    {"match": {"severity": "info"}, "to": []}
]}"#;

/// What many alerts have cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// From the text of a payload to an alert.
    pub(super) read: Duration,
    /// From an alert to its ways through the tree.
    pub(super) route: Duration,
    /// From an alert to what each of the four kinds of destination is sent.
    pub(super) render: Duration,
    /// What all of the alerts take of memory at once, in KiB.
    pub(super) kib: u64,
}

/// Measures so many alerts, of every form that is known, in turn.
///
/// # Panics
/// When a form cannot be read.
#[must_use]
pub(super) fn measure(count: usize) -> Cost {
    let (texts, tree) = (forms(), Tree::read(ROUTES, &destinations()).unwrap());
    let (mut read, mut route, mut render) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (alerts, kib) = peak(|| {
        let all = || texts.iter().cycle().flat_map(|text| alerts_of(text)).take(count).collect::<Vec<_>>();
        timed(&mut read, all)
    });
    assert_eq!(alerts.len(), count);
    timed(&mut route, || alerts.iter().for_each(|alert| _ = black_box(tree.ways(alert))));
    timed(&mut render, || alerts.iter().for_each(|alert| _ = black_box(rendered(alert))));
    Cost { read, route, render, kib }
}

fn timed<T>(took: &mut Duration, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = black_box(work());
    *took = began.elapsed();
    done
}

/// The texts of the fixtures, which have every form of a payload.
fn forms() -> Vec<String> {
    let folder = cluster_facts::root().join("shared/core/src/alert/tests/fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn alerts_of(text: &str) -> Vec<Alert> {
    read(&serde_json::from_str::<Value>(text).unwrap())
}

fn destinations() -> BTreeSet<String> {
    ["page", "notify", "slack", "pagerduty", "webhook"].map(str::to_owned).into()
}

/// The bodies of all four, as they are sent.
fn rendered(alert: &Alert) -> [String; 5] {
    let sns = render::sns(alert);
    let pagerduty = Value::from(render::pagerduty(alert).event().clone()).to_string();
    [sns.subject, sns.text, render::slack(alert).to_string(), pagerduty, render::webhook(alert)]
}

/// Measures alarms on their way through the function, and prints.
pub(super) async fn run(binary: &Path, variables: &[(String, String)], folder: &Path) {
    let cluster = Cluster::alerts_alone().quiet();
    let names: Vec<_> = (0..ALARMS).map(|nth| format!("checkout-{nth}")).collect();
    for name in &names {
        add_alarm(&cluster, name, &[("severity", "critical"), ("team", "shop")]);
    }
    let router = cluster.function_arn(ALARM_ROUTER).to_owned();
    let topic = cluster.variable("PAGE_TOPIC_ARN").to_owned();
    let Place { live, variables } = Place::of(&cluster, variables, folder).await;
    let mut process = Process::start(binary, &variables).await;
    let sweep = messages(&[json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string()]);
    process.handle(&sweep).await;
    let mut rows = vec![];
    for (what, state) in [("an alarm goes off → told", State::Alarm), ("it is over → told", State::Ok)] {
        let (mut took, mut calls) = (vec![], 0);
        for name in &names {
            let (due, before) = {
                let mut world = live.world();
                world.set_alarm_state(name, state, "somebody says so").unwrap();
                (world.take_invocations(&router), (world.calls.len(), world.published(&topic).len()))
            };
            let [due] = &due[..] else { panic!("{name} invokes the function {} times", due.len()) };
            took.push(process.handle(&due.payload).await);
            let world = live.world();
            calls = world.calls.len() - before.0;
            assert_eq!(world.published(&topic).len(), before.1 + 1, "{name} is told once");
        }
        rows.push((what.to_owned(), median(took), calls));
        let from = live.world().calls.len();
        let took = process.handle(&sweep).await;
        let open = if state == State::Alarm { ALARMS } else { 0 };
        rows.push((format!("a sweep with {open} open"), took, live.world().calls.len() - from));
    }
    println!("{ALARMS} alarms, one after the other, with a topic as their destination (medians)");
    for (what, took, calls) in rows {
        println!("  {what:<28} {:>6.1} ms, {calls} calls", took.as_secs_f64() * 1e3);
    }
    println!("  peak memory {} MiB\n", process.peak() / 1024);
    process.end().await;
}
