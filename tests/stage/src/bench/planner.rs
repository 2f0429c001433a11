//! What a round costs the function itself, by the number of members and by what else stands in the zone.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use cluster_core::dns::{self, Change, Health, Name, Owner, Plan, Policy, Records, Registration, Task, Tier};
use cluster_sim::{
    cluster::{CLUSTER, Cluster, DOMAIN},
    time::play,
};
use cluster_world::route53::RecordSet;
use serde_json::json;

use super::median;

/// The figures of one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The decision alone, when all members join.
    pub(super) joining: Duration,
    /// The decision alone, when nothing has changed.
    pub(super) idle: Duration,
    /// A whole idle round in process: requests written and signed, answers read, decided. No network.
    pub(super) whole: Duration,
    /// Calls to AWS in an idle round.
    pub(super) calls: usize,
    /// Calls to AWS in the round in which all members join.
    pub(super) joining_calls: usize,
}

/// Measures a cluster of so many members, in a zone with so many records of others.
///
/// # Panics
/// When the function fails.
#[must_use]
pub(super) fn measure(members: u8, foreign: usize) -> Pass {
    let policy = Policy { owner: Owner::new(CLUSTER).unwrap(), ttl: 10, require_healthy: true };
    let empty = tier(members, Records::default());
    let joined = dns::plan(&empty, &policy);
    let full = tier(members, published(&joined));
    let (whole, calls, joining_calls) = play(rounds(members, foreign));
    Pass { joining: decide(&empty, &policy), idle: decide(&full, &policy), whole, calls, joining_calls }
}

fn decide(tier: &Tier, policy: &Policy) -> Duration {
    median((0..201).map(|_| timed(|| black_box(dns::plan(black_box(tier), policy)))).collect())
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    _ = work();
    began.elapsed()
}

fn tier(members: u8, records: Records) -> Tier {
    let registered = (1..=members).map(|member| Registration {
        id: format!("{member:032x}"),
        address: Some(format!("10.0.1.{member}")),
        task: Task::Known { last_status: "RUNNING".to_owned(), wanted: true, health: Health::Healthy },
    });
    Tier {
        tier: "core".to_owned(),
        name: Name::new(&format!("core.{DOMAIN}")),
        registered: registered.collect(),
        unlisted: std::collections::BTreeMap::new(),
        readiness: None,
        service: None,
        records,
    }
}

fn published(plan: &Plan) -> Records {
    Records { multivalue: plan.changes.iter().map(Change::record).cloned().collect(), occupant: None }
}

/// The time of an idle round, its calls, and those of the round before it.
async fn rounds(members: u8, foreign: usize) -> (Duration, usize, usize) {
    let cluster = populated(members, foreign);
    cluster.wire.sleep(300).await;
    let replicator = cluster.replicator();
    let calls = || cluster.wire.world().calls.len();
    let from = calls();
    replicator.handle(json!({})).await.unwrap();
    let joining_calls = calls() - from;
    let mut took = Vec::new();
    let from = calls();
    for _ in 0..21 {
        let began = Instant::now();
        replicator.handle(json!({})).await.unwrap();
        took.push(began.elapsed());
    }
    (median(took), (calls() - from) / 21, joining_calls)
}

/// A world with so many core members, and so many records of others in the zone.
#[must_use]
pub(super) fn populated(members: u8, foreign: usize) -> Cluster {
    let cluster = Cluster::discovery();
    cluster.scale("core", members);
    let mut world = cluster.wire.world();
    let zone = world.route53.zones.get_mut(&cluster.zone).unwrap();
    for n in 0..foreign {
        zone.put(RecordSet::simple(&format!("host-{n}.{DOMAIN}"), "A", 300, &["10.9.9.9"]));
    }
    drop(world);
    cluster
}
