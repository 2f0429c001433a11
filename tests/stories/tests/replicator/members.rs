//! Members come, go and are counted, and every round converges.

use cluster_sim::{
    cluster::{CLUSTER, Cluster},
    time::play,
    wire::Fault,
};
use serde_json::json;

use super::{addresses, set, three_cores};

#[test]
fn members_join_turn_unhealthy_are_replaced_and_leave() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]));

        cluster.scale("core", 3);
        cluster.wire.sleep(20).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]), "tasks run, but no health check has passed");
        cluster.wire.sleep(30).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=3));

        let ill = cluster.a_task("core");
        cluster.wire.world().fail_health(CLUSTER, &ill);
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), cluster.fit("core"), "gone at once, long before Cloud Map acts");
        assert_eq!(cluster.published("core").len(), 2);
        cluster.wire.sleep(90).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=3), "its replacement is in");

        cluster.scale("core", 5);
        cluster.scale("replica", 2);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=5));
        assert_eq!(cluster.published("replica"), set(&["10.0.2.1", "10.0.2.2"]));

        let all: Vec<_> = cluster.wire.world().ecs.clusters[CLUSTER].wanted("core").map(|(id, _)| id.clone()).collect();
        for task in &all {
            cluster.wire.world().stop(CLUSTER, task);
        }
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=5), "a full restart: an empty answer is not believed");
        cluster.wire.sleep(90).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=5), "by now other tasks, on the same instances");
        assert!(all.iter().all(|task| cluster.wire.world().ecs.clusters[CLUSTER].tasks[task].status == "STOPPED"));

        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), set(&[]), "ECS itself wants no tasks");
        assert_eq!(cluster.published("replica"), set(&["10.0.2.1", "10.0.2.2"]));
    });
}

#[test]
fn an_idle_round_reads_little_and_writes_nothing_and_a_change_is_one_write() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (5, 0), "2 × ListInstances, tasks, services, records");
        cluster.scale("replica", 2);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (5, 1), "nobody asks for services now, and one batch");
        assert_eq!(cluster.metric("DnsChanges", None), Some(2.0));
        assert_eq!(cluster.metric("DnsDivergence", None), Some(0.0));
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), Some(2.0));
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (4, 0));
        assert_eq!(cluster.metric_beside("DnsDivergence", "DnsChanges", None), Some(0.0));
        for tier in [None, Some("core")] {
            assert_eq!(cluster.metric("DnsMembersBlocked", tier), None, "what is 0 costs nothing: {tier:?}");
        }
        cluster.scale("core", 4);
        cluster.scale("replica", 3);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (6, 2), "a batch for each name");
        assert_eq!(cluster.metric("DnsChanges", None), Some(2.0));
    });
}

#[test]
fn killed_at_any_call_one_clean_round_converges() {
    // Join and leave at once: one member is ill, two more have come.
    let story = |fault: Option<(usize, Fault)>| {
        play(async move {
            let cluster = Cluster::discovery();
            three_cores(&cluster).await;
            cluster.scale("core", 5);
            cluster.wire.sleep(60).await;
            let ill = cluster.a_task("core");
            cluster.wire.world().fail_health(CLUSTER, &ill);
            let from = cluster.wire.world().calls.len();
            if let Some((nth, fault)) = fault {
                cluster.wire.plan(nth, fault);
            }
            let struck = tokio::select! {
                biased;
                () = cluster.wire.killed() => true,
                _ = cluster.sweep() => false,
            };
            let calls = cluster.wire.world().count_calls(from).0;
            assert_eq!(cluster.wire.struck().len(), usize::from(fault.is_some()), "{fault:?} never came");
            assert!(!cluster.published("core").is_empty(), "{fault:?} emptied the name");
            cluster.sweep().await.unwrap();
            assert_eq!(cluster.published("core"), cluster.fit("core"), "{fault:?} did not converge");
            let from = cluster.wire.world().calls.len();
            cluster.sweep().await.unwrap();
            assert_eq!(cluster.wire.world().count_calls(from).1, 0, "{fault:?}: the next round has nothing to write");
            (calls, struck)
        })
    };
    let (calls, struck) = story(None);
    assert!(calls >= 6 && !struck);
    for nth in 1..=calls {
        for fault in [Fault::Kill, Fault::KillAfterEffect] {
            assert!(story(Some((nth, fault))).1, "call {nth} of {calls} was not struck");
        }
        for fault in [Fault::Throttle, Fault::ServerError, Fault::Reset, Fault::ResetAfterEffect, Fault::Hang] {
            story(Some((nth, fault)));
        }
    }
}

#[test]
fn every_page_is_read() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.wire.world().page = 2;
        cluster.scale("core", 7);
        cluster.scale("replica", 5);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=7));
        assert_eq!(cluster.published("replica").len(), 5);
        // Had one of our own records been overlooked, its creation would be refused now.
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from).1, 0);
    });
}

#[test]
fn a_batch_is_atomic_a_second_writer_harms_nothing_and_the_zone_is_looked_at_again() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 3);
        cluster.wire.sleep(60).await;
        // Somebody wrote our second member between our observation and our batch: an earlier round that was thought dead.
        let (first, second) = (cluster.replicator(), cluster.replicator());
        let sweep = || json!({});
        let (a, b) = tokio::join!(biased; first.handle(sweep()), second.handle(sweep()));
        assert_eq!((&a.unwrap()["applied"], &b.unwrap()["applied"]), (&json!(true), &json!(false)));
        let writes = cluster.wire.world().calls.iter().filter(|call| call.write).count();
        assert_eq!(writes, 2, "both wrote, one was refused as a whole and found nothing left to do");
        assert_eq!(cluster.published("core"), addresses(1..=3));
    });
}

#[test]
fn more_members_than_a_name_holds_are_counted_and_all_are_asked_for_in_time() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 120);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core").len(), 100);
        assert_eq!(cluster.metric("DnsMembersTruncated", Some("core")), Some(20.0));
        let tasks = cluster.wire.world().calls[from..].iter().filter(|call| call.action == "ecs:DescribeTasks").count();
        assert_eq!(tasks, 2, "a hundred at a time, which is all that ECS takes");
        let before = cluster.published("core");
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), before, "the choice does not move");
    });
}

#[test]
fn tasks_of_another_cluster_are_neither_published_nor_taken_for_stopped() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let other = cluster.with("ECS_CLUSTER", "other");
        cluster.wire.world().ecs.clusters.entry("other".to_owned()).or_default();
        other.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), addresses(1..=3));
        let failure = other.invoke(other.custom_resource("Delete", Some("id"))).await.unwrap_err();
        assert!(failure.to_string().contains("it belongs to cluster neo4j, not to other"), "{failure}");
        assert_eq!(cluster.published("core"), addresses(1..=3));
    });
}

#[test]
fn a_page_that_is_cut_short_removes_nobody() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.wire.world().page = 2;
        cluster.scale("core", 5);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        cluster.wire.plan(1, Fault::CutPage);
        let answer = cluster.invoke(json!({})).await.unwrap();
        assert_eq!(answer["changes"], json!([]), "{answer}");
        assert!(
            answer["kept"][0].as_str().unwrap().contains("Cloud Map does not list it, but its task is running"),
            "{answer}"
        );
        assert_eq!(cluster.published("core"), addresses(1..=5));
    });
}
