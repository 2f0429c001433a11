//! The names lead to members whose Neo4j answers.

use std::collections::BTreeSet;

use cluster_sim::{
    cluster::Cluster,
    functions::DNS_REPLICATOR,
    time::{minutes, play, seconds},
    wire::Fault,
};
use cluster_world::neo4j::Phase;
use serde_json::json;

use super::{member, task};

/// The sort key under which it is remembered who answers.
const READINESS: &str = "dns-readiness";

fn formed() -> Cluster {
    let mut cluster = Cluster::formed(3);
    cluster.subject = DNS_REPLICATOR;
    cluster
}

fn ids(cluster: &Cluster) -> BTreeSet<String> {
    let world = cluster.wire.world();
    let zone = &world.route53.zones[&cluster.zone];
    let sets = zone.under("core.neo4j.service").filter_map(|set| set.set_identifier.clone());
    sets.filter_map(|id| id.split_once('/').map(|(_, id)| id.to_owned())).collect()
}

/// Lets a core start anew with a full disk: it hangs in its start, and ECS takes it for healthy.
async fn hangs_in_its_start(cluster: &Cluster, core: usize) -> String {
    let volume = cluster.nodes[core - 1].volume.clone();
    let old = task(cluster, core);
    cluster.wire.world().fill_disk(&volume);
    cluster.wire.world().kill_member(&old);
    let new = |cluster: &Cluster| {
        let mut fit = cluster.fit_members("core").into_iter();
        fit.any(|fit| fit != old && cluster.wire.world().neo4j.members.get(&fit).is_some_and(|m| m.disk == volume))
    };
    cluster.until("ECS calls the new task healthy", cluster_sim::time::within(minutes(5)), new).await;
    assert_eq!(member(cluster, core).phase, Phase::Stuck);
    task(cluster, core)
}

/// Lets time pass, and holds that the name leads somewhere all the while.
async fn live_named(cluster: &Cluster, minutes: i64) {
    // What hangs takes its time.
    let until = cluster.wire.world().now + jiff::SignedDuration::from_mins(minutes);
    while cluster.wire.world().now < until {
        cluster.step().await;
        assert!(!ids(cluster).is_empty(), "{}", cluster.picture());
    }
}

fn remembered(cluster: &Cluster) -> bool {
    let world = cluster.wire.world();
    world.dynamodb.tables.values().flat_map(|table| table.keys()).any(|(_, sk)| sk == READINESS)
}

fn actions(cluster: &Cluster, from: usize) -> Vec<String> {
    cluster.wire.world().calls[from..].iter().map(|call| call.action.clone()).collect()
}

#[test]
fn a_member_that_hangs_in_its_start_is_not_published_until_it_answers() {
    play(async {
        let cluster = formed();
        let stuck = hangs_in_its_start(&cluster, 2).await;
        for _ in 0..30 {
            live_named(&cluster, 1).await;
            assert!(!ids(&cluster).contains(&stuck) && ids(&cluster).len() == 2, "{}", cluster.picture());
        }
        let seen = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert!(seen["kept"].to_string().contains(&stuck), "{seen}");
        let volume = cluster.nodes[1].volume.clone();
        cluster.wire.world().free_disk(&volume);
        cluster.wire.world().kill_member(&stuck);
        cluster.live(minutes(4)).await;
        assert_eq!(ids(&cluster), (1..=3).map(|core| task(&cluster, core)).collect());
        assert!(!remembered(&cluster), "there is nothing to remember");
    });
}

#[test]
fn while_nobody_can_be_asked_a_new_member_waits_for_five_minutes_and_leaves_if_it_does_not_answer_then() {
    for fault in [Fault::Denied, Fault::Hang, Fault::ResetAfterEffect] {
        play(async {
            let cluster = formed();
            cluster.wire.plan_for("lambda:InvokeFunction", usize::MAX, fault);
            let stuck = hangs_in_its_start(&cluster, 2).await;
            live_named(&cluster, 4).await;
            assert!(!ids(&cluster).contains(&stuck), "{fault:?}: one time-out is no silence");
            live_named(&cluster, 3).await;
            assert!(ids(&cluster).contains(&stuck) && ids(&cluster).len() == 3, "{fault:?}: {}", cluster.picture());
            live_named(&cluster, 10).await;
            assert_eq!(ids(&cluster).len(), 3, "{fault:?}: it stays as long as nobody is heard");
            cluster.wire.calm();
            live_named(&cluster, 2).await;
            assert!(!ids(&cluster).contains(&stuck) && ids(&cluster).len() == 2, "{fault:?}: others answer");
        });
    }
}

#[test]
fn a_member_that_was_published_unheard_and_answers_later_stays_and_is_forgotten() {
    play(async {
        let cluster = formed();
        cluster.wire.plan_for("lambda:InvokeFunction", usize::MAX, Fault::Denied);
        let old = task(&cluster, 2);
        cluster.wire.world().kill_member(&old);
        live_named(&cluster, 9).await;
        let new = task(&cluster, 2);
        assert!(ids(&cluster).contains(&new) && remembered(&cluster), "{}", cluster.picture());
        cluster.wire.calm();
        live_named(&cluster, 2).await;
        assert!(ids(&cluster).contains(&new) && !remembered(&cluster));
    });
}

#[test]
fn the_name_is_never_emptied_though_all_members_start_anew_and_nobody_can_be_asked() {
    play(async {
        let cluster = formed();
        cluster.wire.plan_for("lambda:InvokeFunction", usize::MAX, Fault::Denied);
        for core in 1..=3 {
            let task = task(&cluster, core);
            cluster.wire.world().kill_member(&task);
        }
        live_named(&cluster, 12).await;
        assert_eq!(ids(&cluster), (1..=3).map(|core| task(&cluster, core)).collect(), "{}", cluster.picture());
    });
}

#[test]
fn a_round_in_which_nobody_joins_reads_one_item_more_and_asks_nobody() {
    play(async {
        let cluster = formed();
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let made = actions(&cluster, from);
        let of = |service: &str| made.iter().filter(|action| action.starts_with(service)).collect::<Vec<_>>();
        assert_eq!((of("lambda:").len(), of("dynamodb:")), (0, vec![&"dynamodb:GetItem".to_owned()]), "{made:?}");
        assert_eq!(cluster.wire.world().count_calls(from).1, 0, "{made:?}");
    });
}

#[test]
fn what_only_watches_remembers_its_silence_and_what_only_looks_writes_nothing() {
    play(async {
        let mut cluster = formed().only(&[DNS_REPLICATOR]);
        cluster.set("DRY_RUN", "true");
        cluster.wire.plan_for("lambda:InvokeFunction", usize::MAX, Fault::Denied);
        let stuck = hangs_in_its_start(&cluster, 2).await;
        for looks in [true, false] {
            let before = ids(&cluster);
            let from = cluster.wire.world().calls.len();
            for _ in 0..7 {
                cluster.wire.sleep(60).await;
                let round = if looks { cluster.invoke(json!({"dryRun": true})).await } else { cluster.sweep().await };
                round.unwrap();
            }
            let world = cluster.wire.world();
            let written: BTreeSet<_> =
                world.calls[from..].iter().filter(|call| call.write).map(|call| call.action.as_str()).collect();
            let want = if looks { BTreeSet::new() } else { ["dynamodb:PutItem"].into() };
            assert_eq!(written, want, "looks: {looks}");
            drop(world);
            assert!(ids(&cluster) == before && !before.contains(&stuck), "looks: {looks}");
        }
        let seen = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let planned = seen["changes"].to_string();
        assert!(planned.contains("+ core.neo4j.service A") && planned.contains(&stuck), "after five minutes: {seen}");
    });
}

#[test]
fn discovery_by_itself_asks_nobody_and_remembers_nothing() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 3);
        cluster.live(seconds(180)).await;
        assert_eq!(cluster.published("core").len(), 3);
        let made = actions(&cluster, 0);
        let asks = made.iter().filter(|action| action.starts_with("lambda:") || action.starts_with("dynamodb:"));
        assert_eq!(asks.count(), 0, "{made:?}");
    });
}
