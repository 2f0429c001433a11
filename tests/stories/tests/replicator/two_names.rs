//! Each name is served whatever becomes of the other.

use cluster_lambda::Kind;
use cluster_sim::{
    cluster::{CLUSTER, Cluster},
    time::play,
    wire::Fault,
};
use serde_json::json;

use super::{set, three_cores};

/// A core stops for good and a replica joins: a batch for each name, at the 5th and the 6th call of the round.
async fn both_names_change(cluster: &Cluster) {
    three_cores(cluster).await;
    cluster.scale("replica", 1);
    cluster.wire.sleep(60).await;
    let stopped = cluster.a_task("core");
    cluster.wire.world().stop(CLUSTER, &stopped);
    cluster.wire.world().events.clear();
    cluster.metrics.lock().unwrap().clear();
}

const CORE_BATCH: usize = 5;

#[test]
fn whatever_becomes_of_one_batch_the_other_is_written() {
    // A denied call is not tried again, others as often as the SDK tries.
    for (fault, times) in [(Fault::Outage, 1), (Fault::Denied, 1), (Fault::Hang, 3), (Fault::Throttle, 3)] {
        play(async {
            let cluster = Cluster::discovery();
            both_names_change(&cluster).await;
            for nth in 0..times {
                cluster.wire.plan(CORE_BATCH + nth, fault);
            }
            let failure = cluster.sweep().await.unwrap_err();
            let text = failure.chain();
            assert!(
                text.starts_with("could not change the records of core.neo4j.service in zone"),
                "{fault:?}: {text}"
            );
            assert_eq!(cluster.published("core").len(), 3, "{fault:?}");
            assert_eq!(cluster.published("replica"), set(&["10.0.2.1"]), "{fault:?}");
            assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), Some(1.0), "{fault:?}");
        });
    }
}

#[test]
fn a_name_that_is_refused_twice_diverges_and_the_other_is_written_and_measured() {
    play(async {
        let cluster = Cluster::discovery();
        both_names_change(&cluster).await;
        // Refused, the replicas' written, read once more (4 calls), refused again.
        cluster.wire.plan(CORE_BATCH, Fault::Refuse);
        cluster.wire.plan(CORE_BATCH + 6, Fault::Refuse);
        let failure = cluster.sweep().await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Diverged);
        let text = failure.chain();
        assert!(text.starts_with("Route 53 refused the changes to core.neo4j.service in zone"), "{text}");
        assert!(!text.contains("replica"), "{text}");
        assert_eq!(cluster.published("core").len(), 3);
        assert_eq!(cluster.published("replica"), set(&["10.0.2.1"]));
        assert_eq!(cluster.metric("DnsDivergence", None), Some(1.0));
        assert_eq!(cluster.metric("DnsChanges", None), Some(1.0));
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), Some(1.0));
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("core")), None, "nobody knows");
        let of_replicas = cluster.metrics.lock().unwrap().iter().filter(|line| line["Tier"] == "replica").count();
        assert_eq!(of_replicas, 1, "the second round is the refused name's alone");
    });
}

#[test]
fn two_names_that_fail_are_both_named() {
    play(async {
        let cluster = Cluster::discovery().with("DOMAIN", "elsewhere.example");
        cluster.scale("core", 1);
        cluster.scale("replica", 1);
        cluster.wire.sleep(60).await;
        let failure = cluster.sweep().await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Diverged);
        let text = failure.chain();
        for name in ["core", "replica"] {
            assert!(text.contains(&format!("the changes to {name}.elsewhere.example in zone")), "{text}");
            assert!(
                text.contains(&format!("{name}.elsewhere.example. is not permitted in zone neo4j.service.")),
                "{text}"
            );
        }
    });
}

#[test]
fn a_tier_that_cannot_be_read_keeps_its_name_and_does_not_freeze_the_other() {
    play(async {
        let cluster = Cluster::discovery();
        both_names_change(&cluster).await;
        let broken = cluster.with("REPLICA_CLOUD_MAP_SERVICE", "srv-404");
        let failure = broken.sweep().await.unwrap_err();
        let want = "there is no Cloud Map service srv-404 for tier replica: was it deleted outside of the stack?";
        assert_eq!((failure.kind(), failure.to_string().as_str()), (Kind::Permanent, want));
        assert_eq!(cluster.published("core").len(), 2, "the core that stopped has left");
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("core")), Some(2.0));
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), None);
        assert_eq!(cluster.metric("DnsDivergence", None), None, "its absence is what silence is alarmed on");

        cluster.sweep().await.unwrap();
        let core = cluster.a_task("core");
        cluster.wire.world().stop(CLUSTER, &core);
        // The replicas' list fails for as long as the SDK tries.
        cluster.wire.plan(2, Fault::Hang);
        cluster.wire.plan(4, Fault::Hang);
        cluster.wire.plan(5, Fault::Hang);
        let failure = cluster.sweep().await.unwrap_err();
        assert!(failure.to_string().contains("list the instances of the replica Cloud Map service"), "{failure}");
        assert_eq!(cluster.published("core"), cluster.fit("core"));
        assert_eq!(cluster.published("replica"), set(&["10.0.2.1"]), "from a failed reading nothing is concluded");
    });
}

#[test]
fn what_ecs_does_not_say_of_one_service_does_not_freeze_the_other_name() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let stopped = cluster.a_task("core");
        cluster.wire.world().stop(CLUSTER, &stopped);
        // The replicas' service alone is asked for, after two lists, the records and the tasks.
        cluster.wire.plan(5, Fault::Outage);
        let failure = cluster.sweep().await.unwrap_err();
        assert!(failure.chain().starts_with("could not describe the services of cluster neo4j"), "{}", failure.chain());
        assert_eq!(cluster.published("core"), cluster.fit("core"));
        assert_eq!(cluster.published("core").len(), 2);
    });
}

#[test]
fn a_dry_run_shows_both_names() {
    play(async {
        let cluster = Cluster::discovery();
        both_names_change(&cluster).await;
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let changes: Vec<_> = answer["changes"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let [leaves, joins] = changes[..] else { panic!("{answer}") };
        assert!(
            leaves.starts_with("- core.neo4j.service A") && joins.starts_with("+ replica.neo4j.service A"),
            "{answer}"
        );
        assert_eq!(answer["published"], json!({"core": 2, "replica": 1}));
    });
}

#[test]
fn the_last_round_removes_one_name_whatever_becomes_of_the_other() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 2);
        cluster.scale("replica", 2);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        for service in ["core", "replica"] {
            cluster.wire.world().scale(CLUSTER, service, 0);
        }
        cluster.wire.sleep(30).await;
        // Two lists, the records, both batches, the records once more, the cores' batch.
        cluster.wire.plan(4, Fault::Refuse);
        cluster.wire.plan(7, Fault::Refuse);
        cluster.invoke(cluster.custom_resource("Delete", Some("id"))).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!(answer["Status"], json!("FAILED"));
        let reason = answer["Reason"].as_str().unwrap();
        assert!(reason.starts_with("Route 53 refused the changes to core.neo4j.service in zone"), "{reason}");
        assert_eq!((cluster.published("core").len(), cluster.published("replica").len()), (2, 0));
        cluster.invoke(cluster.custom_resource("Delete", Some("id"))).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        assert_eq!(cluster.published("core").len(), 0);
    });
}

/// Publishes three cores of two services, and lets one service want no more.
async fn one_of_two_services_ends(cluster: &Cluster) {
    cluster.scale("core", 2);
    cluster.scale("core-spare", 1);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    assert_eq!(cluster.published("core"), set(&["10.0.1.1", "10.0.1.2", "10.0.3.1"]), "members of both services");
    cluster.wire.world().scale(CLUSTER, "core", 0);
}

#[test]
fn a_name_leads_to_the_tasks_of_all_services_of_its_tier() {
    play(async {
        let cluster = Cluster::discovery();
        one_of_two_services_ends(&cluster).await;
        cluster.wire.sleep(30).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&["10.0.3.1"]));
        // The last one restarts: no member is left, and the tier is not emptied, since one service wants a task.
        let last = cluster.a_task("core-spare");
        cluster.wire.world().stop(CLUSTER, &last);
        cluster.wire.sleep(15).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&["10.0.3.1"]));
        // Now neither wants any.
        cluster.wire.world().scale(CLUSTER, "core-spare", 0);
        cluster.wire.sleep(30).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]));
    });
}

#[test]
fn without_an_answer_about_one_of_its_services_a_name_is_never_emptied() {
    play(async {
        let cluster = Cluster::discovery();
        one_of_two_services_ends(&cluster).await;
        cluster.wire.world().scale(CLUSTER, "core-spare", 0);
        cluster.wire.sleep(30).await;
        let published = cluster.published("core");
        // ECS leaves one of both out of its answer, or gives another reason than that it is missing.
        for (name, unknown) in [("core-spare", None), ("core-spare", Some("ACCESS_DENIED")), ("core", None)] {
            cluster.wire.world().ecs.undescribed = [(name.to_owned(), unknown)].into();
            let swept = cluster.sweep().await;
            assert_eq!(swept.is_err(), unknown.is_some(), "{swept:?}");
            assert_eq!(cluster.published("core"), published, "{name}: {unknown:?}");
        }
        cluster.wire.world().ecs.undescribed.clear();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]), "both say that they want none");
    });
}

#[test]
fn a_service_that_does_not_exist_wants_nothing_and_more_than_ten_are_asked_for_in_pages() {
    play(async {
        let names: Vec<_> = (1..=23).map(|n| format!("none-{n}")).chain(["core".to_owned()]).collect();
        let cluster = Cluster::discovery().with("CORE_ECS_SERVICES", &names.join(","));
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        let task = cluster.a_task("core");
        cluster.wire.world().stop(CLUSTER, &task);
        cluster.wire.sleep(15).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let is_asked = |call: &&cluster_world::Call| call.action == "ecs:DescribeServices";
        let asked = cluster.wire.world().calls.iter().skip(from).filter(is_asked).count();
        // 24 and the replicas' one, at most ten at once.
        assert_eq!((asked, cluster.published("core")), (3, set(&["10.0.1.1"])), "the one that exists wants a task");
        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]));
    });
}
