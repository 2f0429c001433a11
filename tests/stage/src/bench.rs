//! What a function costs as it is deployed: its size, its start, its events, its memory, beside a hello-world of the same
//! runtime and profile in the same run. It prints and asserts no times: machines differ, ratios less so.

mod alerts;
mod drain;
mod endpoint;
mod members;
mod place;
mod planner;
mod process;
mod prune;

use std::{
    fs, mem,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cluster_sim::{
    cluster::{Cluster, DOMAIN},
    events::messages,
    functions::{ALARM_ROUTER, BACKUP_PRUNER, BACKUP_SCHEDULER, DNS_REPLICATOR, INSTANCE_DRAINER, NEO4J_GATEWAY},
};
use cluster_world::{REGION, World};
use serde_json::json;

use self::{endpoint::Endpoints, members::Members, place::Place, process::Life};
use crate::serve::Live;

/// How often each function is started.
const STARTS: usize = 31;

/// Measures and prints. The first binary is the yardstick.
///
/// # Panics
/// When a function does not answer.
pub async fn run(hello: &Path, functions: &[PathBuf]) {
    let folder = hello.parent().unwrap().join("bench-run");
    fs::create_dir_all(&folder).unwrap();
    let binaries: Vec<&Path> = [hello].into_iter().chain(functions.iter().map(PathBuf::as_path)).collect();
    let sizes: Vec<u64> = binaries.iter().map(|binary| zipped(binary, &folder)).collect();

    let cluster = planner::populated(3, 0);
    let mut variables: Vec<(String, String)> = [
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    variables.extend(cluster.environment().iter().map(|(name, value)| (name.clone(), value.clone())));
    let live = alive(&cluster);
    let endpoints = Endpoints::open(&live, &folder).await;
    variables.extend(endpoints.variables);

    let starts = STARTS * binaries.len();
    println!(
        "starting {starts} processes against AWS's modelled APIs behind TLS on loopback ({} root certificates)",
        endpoints.certificates
    );
    let body = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}});
    let event = messages(&[body.to_string()]);
    // The gateway asks members, not AWS. The drainer is alone: in a cluster each of its rounds has the gateway ask as well.
    let (three, large) = (Members::open(3, 0, &variables).await, Members::open(7, 20, &variables).await);
    let alone = drain::Alone::of(3, 0, &variables, &folder).await;
    let routing = Place::of(&Cluster::alerts_alone().quiet(), &variables, &folder).await;
    let [scheduling, pruning] = backups(&variables, &folder).await;
    let given = |binary: &Path| {
        if is(NEO4J_GATEWAY, binary) {
            (&three.variables, &three.event, &live)
        } else if is(INSTANCE_DRAINER, binary) {
            (&alone.variables, &event, &alone.live)
        } else if is(ALARM_ROUTER, binary) {
            (&routing.variables, &event, &routing.live)
        } else if is(BACKUP_SCHEDULER, binary) {
            (&scheduling.variables, &event, &scheduling.live)
        } else if is(BACKUP_PRUNER, binary) {
            (&pruning.variables, &event, &pruning.live)
        } else {
            (&variables, &event, &live)
        }
    };
    // The first life publishes the members, so that all that are measured find nothing to change.
    for binary in &binaries {
        let (variables, event, live) = given(binary);
        process::live(binary, variables, event, live).await;
    }
    let mut lives: Vec<Vec<Life>> = vec![Vec::new(); binaries.len()];
    for _ in 0..STARTS {
        // In turn, so that whatever else the machine does hits all of them.
        for (binary, lives) in binaries.iter().zip(&mut lives) {
            let (variables, event, live) = given(binary);
            lives.push(process::live(binary, variables, event, live).await);
        }
    }
    let published = live.world().route53.zones[&cluster.zone].addresses(&format!("core.{DOMAIN}")).len();
    let dns_is_kept = functions.iter().any(|function| is(DNS_REPLICATOR, function));
    assert!(published == 3 || !dns_is_kept, "the function should have published its members");
    report(&binaries, &sizes, &lives);

    for binary in binaries.iter().filter(|binary| is(NEO4J_GATEWAY, binary)) {
        sweep(binary, &large, &live).await;
    }

    for binary in binaries.iter().filter(|binary| is(INSTANCE_DRAINER, binary)) {
        drain::measure(binary, &variables, &folder).await;
    }

    for binary in binaries.iter().filter(|binary| is(ALARM_ROUTER, binary)) {
        alerts::run(binary, &variables, &folder).await;
    }

    in_process().await;
}

/// Measures what needs no process.
async fn in_process() {
    println!("measuring passes in process");
    let planned = tokio::task::spawn_blocking(|| {
        [(3, 0), (20, 0), (100, 0), (3, 10_000)]
            .map(|(members, foreign)| (members, foreign, planner::measure(members, foreign)))
    });
    println!(
        "\n{:>7} {:>16} {:>12} {:>12} {:>14} {:>11} {:>14}",
        "members", "foreign records", "plan joining", "plan idle", "idle pass", "its calls", "joining calls"
    );
    for (members, foreign, pass) in planned.await.unwrap() {
        println!(
            "{members:>7} {foreign:>16} {:>12} {:>12} {:>14} {:>11} {:>14}",
            micros(pass.joining),
            micros(pass.idle),
            micros(pass.whole),
            pass.calls,
            pass.joining_calls,
        );
    }

    println!("measuring prunes in process");
    let pruned = tokio::task::spawn_blocking(|| [100, 1_000, 10_000].map(|chains| (chains, prune::measure(chains))));
    println!(
        "\n{:>7} {:>9} {:>10} {:>12} {:>12} {:>10}",
        "chains", "objects", "plan", "its memory", "whole run", "its calls"
    );
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for (chains, cost) in pruned.await.unwrap() {
        let (plan, whole) = (format!("{:.1} ms", ms(cost.plan)), format!("{:.1} s", cost.whole.as_secs_f64()));
        let memory = format!("{} MiB", cost.plan_kib / 1024);
        println!("{chains:>7} {:>9} {plan:>10} {memory:>12} {whole:>12} {:>10}", chains * prune::OBJECTS, cost.calls);
    }

    println!("\nmeasuring alerts in process");
    let alerts = tokio::task::spawn_blocking(|| [100, 1_000, 10_000].map(|count| (count, alerts::measure(count))));
    println!(
        "\n{:>7} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "alerts", "read", "route", "render", "in all", "per alert", "their memory"
    );
    for (count, cost) in alerts.await.unwrap() {
        let (all, memory) = (cost.read + cost.route + cost.render, format!("{} KiB", cost.kib));
        let [read, route, render, whole] =
            [cost.read, cost.route, cost.render, all].map(|took| format!("{:.1} ms", ms(took)));
        let each = micros(all / u32::try_from(count).unwrap());
        println!("{count:>7} {read:>10} {route:>10} {render:>10} {whole:>10} {each:>12} {memory:>12}");
    }
}

/// Opens a cluster with backups for each of the two functions that look after them, in which nothing is due.
async fn backups(variables: &[(String, String)], folder: &Path) -> [Place; 2] {
    let mut places = vec![];
    for function in [BACKUP_SCHEDULER, BACKUP_PRUNER] {
        let mut cluster = Cluster::new(3).quiet();
        cluster.subject = function;
        places.push(Place::of(&cluster, variables, folder).await);
    }
    places.try_into().unwrap_or_else(|_| unreachable!("there are two"))
}

fn is(function: &str, binary: &Path) -> bool {
    binary.file_name().is_some_and(|name| name == function)
}

/// What one look at a large cluster costs.
async fn sweep(binary: &Path, members: &Members, aws: &Live) {
    let before = members.answered();
    let life = process::live(binary, &members.variables, &members.event, aws).await;
    let after = members.answered();
    let (calls, bytes) = ((after.0 - before.0) / process::EVENTS, (after.1 - before.1) / process::EVENTS);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("one sweep of 7 cores and 20 replicas with 11 databases, behind TLS");
    println!(
        "  first {:.0} ms ({:.0} ms of processor), later {:.0} ms",
        ms(life.first),
        ms(life.first_cpu),
        ms(life.warm)
    );
    println!("  {calls} requests, {bytes} bytes of answers, peak memory {} MiB\n", life.peak / 1024);
}

/// The world of `cluster`, in real time and with its members up.
fn alive(cluster: &Cluster) -> Live {
    let mut world = cluster.wire.world();
    let now = world.now;
    let live = Live::new(mem::replace(&mut *world, World::new(now, 1)));
    live.wind(Duration::from_mins(5));
    live
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn report(binaries: &[&Path], sizes: &[u64], lives: &[Vec<Life>]) {
    let figure = |of: &dyn Fn(&Life) -> f64| -> Vec<f64> {
        lives.iter().map(|lives| middle(lives.iter().map(of).collect())).collect()
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    print!("\n{:<34}", format!("median of {STARTS} starts"));
    for binary in binaries {
        print!(" {:>22}", binary.file_name().unwrap_or_default().to_string_lossy());
    }
    println!();
    row("zip, MB", &sizes.iter().map(|bytes| *bytes as f64 / 1e6).collect::<Vec<_>>());
    row("start → ready (init), ms", &figure(&|life| ms(life.init)));
    row("first event → answer, ms", &figure(&|life| ms(life.first)));
    row("start → first answer, ms", &figure(&|life| ms(life.init + life.first)));
    row("processor time of first event, ms", &figure(&|life| ms(life.first_cpu)));
    row("calls to AWS until then", &figure(&|life| life.calls as f64));
    row("later event → answer, ms", &figure(&|life| ms(life.warm)));
    row("peak memory, MiB", &figure(&|life| life.peak as f64 / 1024.0));
    println!();
}

fn row(name: &str, figures: &[f64]) {
    print!("{name:<34}");
    for (n, figure) in figures.iter().enumerate() {
        let ratio =
            figures.first().filter(|hello| n > 0 && **hello > 0.0).map(|hello| format!("{:.1}×", figure / hello));
        let ratio = ratio.unwrap_or_default();
        print!(" {figure:>13.2} {ratio:>8}");
    }
    println!();
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// The size of what would be uploaded, packed as the SAM CLI packs it.
fn zipped(binary: &Path, folder: &Path) -> u64 {
    let bootstrap = folder.join("bootstrap");
    let archive = folder.join("function.zip");
    fs::copy(binary, &bootstrap).unwrap();
    let packed = Command::new("python3").args(["-m", "zipfile", "-c"]).args([&archive, &bootstrap]).status().unwrap();
    assert!(packed.success(), "python3 -m zipfile failed");
    fs::metadata(archive).unwrap().len()
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The one in the middle.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
