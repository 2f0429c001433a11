//! Stories of the dns-replicator: what the zone says while members come and go, whatever happens to the function.

use std::collections::BTreeSet;

use cluster_facts::template::read;
use cluster_lambda::Kind;
use cluster_sim::{
    cluster::{CLUSTER, Cluster, DOMAIN},
    events::{delivered, messages},
    time::play,
    wire::Fault,
};
use cluster_world::route53::RecordSet;
use serde_json::{Value, json};

/// How many records the template itself creates: the names of both tiers in Cloud Map.
const TEMPLATES: usize = 2;

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

fn addresses(range: std::ops::RangeInclusive<u8>) -> BTreeSet<String> {
    range.map(|n| format!("10.0.1.{n}")).collect()
}

/// Lets 3 cores come up and publishes them.
async fn three_cores(cluster: &Cluster) {
    cluster.scale("core", 3);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    assert_eq!(cluster.published("core"), addresses(1..=3));
}

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
        assert_eq!(
            (cluster.metric("DnsMembersBlocked", None), cluster.metric("DnsMembersBlocked", Some("core"))),
            (Some(0.0), Some(0.0))
        );
        cluster.scale("core", 4);
        cluster.scale("replica", 3);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), (6, 2), "a batch for each name");
        assert_eq!(cluster.metric("DnsChanges", None), Some(2.0));
    });
}

fn replica(kind: &str, value: &str) -> RecordSet {
    RecordSet::simple(&format!("replica.{DOMAIN}"), kind, 300, &[value])
}

/// Three cores and a replica, published but where the replicas' name is occupied; then a core stops for good.
async fn a_core_stops_while_the_other_name_holds(cluster: &Cluster, theirs: &RecordSet) {
    cluster.wire.world().route53.zones.get_mut(&cluster.zone).unwrap().put(theirs.clone());
    three_cores(cluster).await;
    cluster.scale("replica", 1);
    cluster.wire.sleep(60).await;
    let stopped = cluster.a_task("core");
    cluster.wire.world().stop(CLUSTER, &stopped);
    cluster.sweep().await.unwrap();
    assert_eq!(cluster.published("core"), cluster.fit("core"));
    assert_eq!(cluster.published("core").len(), 2, "the core that stopped has left");
}

#[test]
fn a_name_that_somebody_occupies_is_said_measured_and_left_while_the_other_is_served() {
    for (theirs, why) in [
        (
            replica("CNAME", "core.neo4j.service"),
            "a CNAME record stands under it, and Route 53 allows no other record there: remove the CNAME record",
        ),
        (
            RecordSet::weighted(&format!("replica.{DOMAIN}"), "theirs", "10.9.9.1"),
            "an A record of another routing policy stands under it, which Route 53 does not mix with multivalue: remove it",
        ),
        (
            replica("A", "10.9.9.1"),
            "an A record of another routing policy stands under it, which Route 53 does not mix with multivalue: remove it",
        ),
    ] {
        play(async {
            let cluster = Cluster::discovery();
            a_core_stops_while_the_other_name_holds(&cluster, &theirs).await;
            assert_eq!(cluster.metric("DnsDivergence", None), Some(0.0));
            assert_eq!(
                (cluster.metric("DnsMembersBlocked", None), cluster.metric("DnsMembersBlocked", Some("core"))),
                (Some(1.0), Some(0.0))
            );
            assert_eq!(cluster.metric("DnsMembersBlocked", Some("replica")), Some(1.0), "a replica waits for the name");
            assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), Some(0.0));

            let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
            let task = cluster.a_task("replica");
            let want = [
                format!("= replica.neo4j.service is occupied: {why}"),
                format!("= replica.neo4j.service {task} not published: the name is occupied"),
            ];
            let kept = answer["kept"].as_array().unwrap();
            assert!(want.iter().all(|line| kept.contains(&json!(line))), "{answer}");
            let from = cluster.wire.world().calls.len();
            cluster.wire.sleep(90).await;
            cluster.sweep().await.unwrap();
            cluster.sweep().await.unwrap();
            assert_eq!(cluster.wire.world().count_calls(from).1, 1, "the new core is written, the name never");
            let stands: Vec<_> = {
                let world = cluster.wire.world();
                world.route53.zones[&cluster.zone].under(&theirs.name).cloned().collect()
            };
            assert_eq!(stands, std::slice::from_ref(&theirs), "it is not ours");

            cluster
                .wire
                .world()
                .route53
                .zones
                .get_mut(&cluster.zone)
                .unwrap()
                .change(&[("DELETE", theirs.clone())])
                .unwrap();
            cluster.sweep().await.unwrap();
            assert_eq!(cluster.published("replica"), cluster.fit("replica"), "removed as said, and published at once");
            assert_eq!(cluster.metric("DnsMembersBlocked", None), Some(0.0));
        });
    }
}

#[test]
fn records_of_other_types_go_with_ours_and_nobody_can_occupy_a_published_name() {
    play(async {
        let cluster = Cluster::discovery();
        {
            let mut world = cluster.wire.world();
            // Small pages: types stand between the names.
            world.page = 2;
            let zone = world.route53.zones.get_mut(&cluster.zone).unwrap();
            let core = |kind, value| RecordSet::simple(&format!("core.{DOMAIN}"), kind, 300, &[value]);
            for set in [core("AAAA", "fd00::1"), core("TXT", "\"theirs\""), replica("TXT", "\"theirs\"")] {
                zone.change(&[("CREATE", set)]).unwrap();
            }
        }
        three_cores(&cluster).await;
        cluster.scale("replica", 2);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("replica")), Some(2.0));
        let mut world = cluster.wire.world();
        let zone = world.route53.zones.get_mut(&cluster.zone).unwrap();
        for late in
            [replica("CNAME", "core.neo4j.service"), RecordSet::weighted(&format!("replica.{DOMAIN}"), "w", "10.9.9.1")]
        {
            assert_eq!(zone.change(&[("CREATE", late)]).unwrap_err().code, "InvalidChangeBatch");
        }
    });
}

#[test]
fn a_reading_sees_a_cname_with_no_more_calls() {
    play(async {
        let cluster = Cluster::discovery();
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let without = cluster.wire.world().count_calls(from);
        let cname = replica("CNAME", "core.neo4j.service");
        cluster.wire.world().route53.zones.get_mut(&cluster.zone).unwrap().put(cname);
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from), without);
        assert_eq!(cluster.metric("DnsMembersBlocked", Some("replica")), Some(0.0), "nobody waits for it yet");
    });
}

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

/// Version 1 of the AWS CLI takes no `--cli-binary-format`, version 2 reads a bare payload as base64; both take bytes from a
/// file.
#[test]
fn the_command_that_shows_the_plan_runs_with_every_version_of_the_cli() {
    let command = read("infra/discovery.yaml")["Outputs"]["ShowPlan"]["Value"]["Fn::Sub"].clone();
    let command = command.as_str().unwrap();
    assert!(command.starts_with("echo '{\"dryRun\":true}' | aws lambda invoke "), "{command}");
    assert!(command.contains(" --payload fileb:///dev/stdin ") && !command.contains("binary-format"), "{command}");
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
fn a_large_foreign_zone_costs_one_jump_and_stays_as_it_is() {
    play(async {
        let cluster = Cluster::discovery();
        {
            let mut world = cluster.wire.world();
            world.page = 300;
            let zone = world.route53.zones.get_mut(&cluster.zone).unwrap();
            for n in 0..2_000 {
                zone.put(RecordSet::simple(&format!("host{n}.{DOMAIN}"), "A", 60, &["10.9.9.9"]));
            }
            zone.put(RecordSet::multivalue(&format!("core.{DOMAIN}"), "somebody-else/1", "10.9.9.1"));
        }
        three_cores_among_others(&cluster).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let lists =
            cluster.wire.world().calls[from..].iter().filter(|c| c.action == "route53:ListResourceRecordSets").count();
        assert_eq!(lists, 2, "one for each name");
        assert_eq!(cluster.wire.world().route53.zones[&cluster.zone].written(), 2_000 + 1 + 3 + TEMPLATES);
    });
}

async fn three_cores_among_others(cluster: &Cluster) {
    cluster.scale("core", 3);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    assert_eq!(cluster.published("core"), &addresses(1..=3) | &set(&["10.9.9.1"]));
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
fn a_zone_that_refuses_twice_is_a_divergence_with_the_reason() {
    play(async {
        let cluster = Cluster::discovery().with("DOMAIN", "elsewhere.example");
        cluster.scale("core", 3);
        cluster.wire.sleep(60).await;
        let failure = cluster.sweep().await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Diverged);
        let text = failure.chain();
        assert!(text.contains("core.elsewhere.example. is not permitted in zone neo4j.service."), "{text}");
        assert_eq!(cluster.metric("DnsDivergence", None), Some(1.0));
    });
}

#[test]
fn a_refusal_is_told_although_the_second_reading_fails() {
    play(async {
        let cluster = Cluster::discovery().with("DOMAIN", "elsewhere.example");
        cluster.scale("core", 3);
        cluster.wire.sleep(60).await;
        let from = cluster.wire.world().calls.len();
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let reads = cluster.wire.world().calls.len() - from;
        // The reading, one batch, which is refused, and then nothing is read any more.
        for call in reads + 2..reads + 12 {
            cluster.wire.plan(call, Fault::ServerError);
        }
        let text = cluster.sweep().await.unwrap_err().chain();
        assert!(text.contains("Route 53 refused the changes to core.elsewhere.example"), "{text}");
        assert!(text.contains("could not list"), "{text}");
    });
}

#[test]
fn a_zone_of_cloud_map_is_refused_with_what_to_do() {
    play(async {
        let cluster = Cluster::discovery();
        let managed = {
            let world = cluster.wire.world();
            world.cloud_map.namespaces.values().next().unwrap().zone.clone()
        };
        let cluster = cluster.with("HOSTED_ZONE_ID", &managed);
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        let failure = cluster.sweep().await.unwrap_err();
        let want = format!("zone {managed} belongs to Cloud Map, which lets nobody else write: use a zone of your own");
        assert_eq!(failure.to_string(), want);
        assert!(failure.chain().contains("can only be managed through AWS Cloud Map"), "{}", failure.chain());
    });
}

#[test]
fn names_that_do_not_exist_are_named_and_nothing_is_lost() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        for (variable, value, want) in [
            ("HOSTED_ZONE_ID", "Z404", "there is no hosted zone Z404: correct the parameter HostedZoneId"),
            (
                "CORE_CLOUD_MAP_SERVICE",
                "srv-404",
                "there is no Cloud Map service srv-404 for tier core: was it deleted outside of the stack?",
            ),
        ] {
            let failure = cluster.with(variable, value).sweep().await.unwrap_err();
            assert_eq!((failure.kind(), failure.to_string().as_str()), (Kind::Permanent, want));
        }
        let answer = cluster.with("ECS_CLUSTER", "no-such").invoke(json!({})).await.unwrap();
        assert_eq!(answer["changes"], json!([]));
        assert!(
            answer["kept"][0]
                .as_str()
                .unwrap()
                .contains("ECS gave no answer for the task (it belongs to cluster neo4j, not to no-such)"),
            "{answer}"
        );
        assert_eq!(cluster.published("core"), addresses(1..=3));
    });
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(cluster.metric("DnsDivergence", None), None, "looking is no pass");
        for answer in [
            cluster.invoke(json!({"dryRun": true})).await.unwrap(),
            cluster.with("DRY_RUN", "true").sweep().await.unwrap()["reconciled"].clone(),
        ] {
            let task = cluster.a_task("core");
            let change = format!("+ core.neo4j.service A 10.0.1.1 (neo4j/{task}): task is running");
            assert_eq!(answer["changes"], json!([change]));
            assert_eq!((&answer["applied"], &answer["dryRun"]), (&json!(false), &json!(true)));
        }
        assert_eq!(cluster.wire.world().calls.iter().filter(|call| call.write).count(), 0);
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("core")), None, "nothing was published");
    });
}

#[test]
fn a_malformed_message_goes_aside_an_unknown_one_is_ignored_and_the_rest_is_served() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        let events: Vec<_> = cluster.wire.world().events.drain(..).collect();
        let unknown = json!({"source": "aws.health", "detail-type": "AWS Health Event", "detail": {}}).to_string();
        let bodies = ["not json".to_owned(), unknown.clone(), delivered(events.last().unwrap()), String::new()];
        let answer = cluster.invoke(messages(&bodies)).await.unwrap();
        assert_eq!(answer["deadLettered"], json!(2));
        assert_eq!(cluster.published("core"), addresses(1..=1));
        assert_eq!(
            cluster.metric("DnsReplicationLagMs", None),
            Some(51_120.0),
            "from the event to the accepted change"
        );
        let dead = cluster.wire.world().messages.clone();
        assert_eq!(
            dead,
            [
                (cluster.variable("DEAD_LETTER_QUEUE_URL").into(), "not json".into()),
                (cluster.variable("DEAD_LETTER_QUEUE_URL").into(), "(empty)".into())
            ]
        );

        let calls = cluster.wire.world().calls.len();
        let answer = cluster.invoke(messages(&[unknown])).await.unwrap();
        assert_eq!(
            (&answer["reconciled"], cluster.wire.world().calls.len()),
            (&Value::Null, calls),
            "no reason to look"
        );
    });
}

#[test]
fn an_event_of_no_known_shape_is_refused_with_what_is_taken() {
    play(async {
        let failure = Cluster::discovery().invoke(json!({"dryrun": true})).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Permanent);
        assert!(failure.to_string().contains("{\"dryRun\": true}"), "{failure}");
        assert!(failure.chain().contains("unknown field `dryrun`"), "{}", failure.chain());
    });
}

#[test]
fn creation_makes_the_first_round_and_deletion_leaves_nothing_behind() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 2);
        cluster.wire.sleep(60).await;
        cluster.invoke(cluster.custom_resource("Create", None)).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        let id = format!("neo4j@{}/neo4j.service/{}", cluster.zone, cluster.registries.join("/"));
        assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("SUCCESS"), &json!(id)));
        assert_eq!(answer["Data"], json!({"Published": "2"}));
        assert_eq!(cluster.published("core"), addresses(1..=2));
        let foreign = RecordSet::multivalue(&format!("core.{DOMAIN}"), "somebody-else/1", "10.9.9.1");
        cluster.wire.world().route53.zones.get_mut(&cluster.zone).unwrap().put(foreign);

        // Members still run: nothing may vanish under their clients.
        cluster.invoke(cluster.custom_resource("Delete", Some(&id))).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!(answer["Status"], json!("FAILED"));
        assert!(answer["Reason"].as_str().unwrap().contains("scale its service to 0 or delete its stack"), "{answer}");
        assert_eq!(cluster.published("core").len(), 3);

        // ECS left an instance of a task that is long gone.
        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        let left = "0123456789abcdef0123456789abcdef";
        let now = cluster.wire.world().now;
        cluster.wire.world().cloud_map.register(&cluster.registries[0], left, [], true, now);
        cluster.wire.sleep(5).await;
        let failure = cluster.invoke(cluster.custom_resource("Delete", Some(&id))).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient, "Cloud Map forgets a little later, and Lambda asks again");
        cluster.wire.sleep(60).await;
        cluster.invoke(cluster.custom_resource("Delete", Some(&id))).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        assert_eq!(cluster.published("core"), set(&["10.9.9.1"]), "what is not ours stays");
        assert!(cluster.wire.world().cloud_map.services[&cluster.registries[0]].instances.is_empty());
    });
}

#[test]
fn wrong_properties_fail_the_creation_but_never_block_the_deletion() {
    play(async {
        let cluster = Cluster::discovery();
        for (property, want) in
            [("HostedZoneId", "hosted_zone_id is \"nonsense\""), ("ClusterName", "cluster_name is \"a/b\"")]
        {
            let mut create = cluster.custom_resource("Create", None);
            create["ResourceProperties"][property] =
                if property == "ClusterName" { json!("a/b") } else { json!("nonsense") };
            cluster.invoke(create.clone()).await.unwrap();
            let answer = cluster.last_answer().unwrap();
            assert_eq!(answer["Status"], json!("FAILED"));
            assert!(answer["Reason"].as_str().unwrap().contains(want), "{answer}");
            create["RequestType"] = json!("Delete");
            create["PhysicalResourceId"] = answer["PhysicalResourceId"].clone();
            cluster.invoke(create).await.unwrap();
            assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        }
    });
}

#[test]
fn another_domain_is_a_replacement_whose_deletion_cleans_the_old_names() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let old = cluster.custom_resource("Delete", Some("old"));
        let moved = cluster.with("DOMAIN", "graph.neo4j.service");
        let mut update = moved.custom_resource("Update", Some("old"));
        update["OldResourceProperties"] = old["ResourceProperties"].clone();
        moved.invoke(update.clone()).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("FAILED"), &json!("old")));
        assert!(
            answer["Reason"].as_str().unwrap().contains("scale its service to 0"),
            "too late once it is cleaned up: {answer}"
        );

        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        moved.invoke(update).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        let id = format!("neo4j@{}/graph.neo4j.service/{}", cluster.zone, cluster.registries.join("/"));
        assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("SUCCESS"), &json!(id)));
        moved.invoke(old).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        assert_eq!(cluster.published("core"), set(&[]));
    });
}

#[test]
fn other_registries_under_the_same_names_are_cleaned_up_without_the_names() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let mut old = cluster.custom_resource("Delete", Some("old"));
        // What the VPC's replacement leaves: registries that are gone, under names that live on.
        old["ResourceProperties"]["CoreCloudMapService"] = json!("srv-before");
        old["ResourceProperties"]["ReplicaCloudMapService"] = json!("srv-before");
        cluster.invoke(old).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        assert_eq!(cluster.published("core"), addresses(1..=3));
    });
}

#[test]
fn the_guard_refuses_the_deletion_while_everything_still_works() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let guard = |kind: &str| {
            let mut request = cluster.custom_resource(kind, Some("guard"));
            request["ResourceType"] = json!("Custom::DnsGuard");
            request
        };
        cluster.invoke(guard("Create")).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
        cluster.invoke(guard("Delete")).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!(answer["Status"], json!("FAILED"));
        assert!(
            answer["Reason"].as_str().unwrap().contains("is running and registered in Cloud Map service"),
            "{answer}"
        );
        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        cluster.invoke(guard("Delete")).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));
    });
}

#[test]
fn rights_that_have_not_arrived_yet_are_waited_for_and_the_last_try_answers() {
    play(async {
        let cluster = Cluster::discovery();
        let asked = cluster.wire.world().now;
        let mut create = cluster.custom_resource("Create", None);
        let date = asked.strftime("%Y%m%dT%H%M%SZ");
        create["ResponseURL"] = json!(format!("http://answers.example/cfn?X-Amz-Date={date}&X-Amz-Expires=7200"));
        cluster.wire.plan(1, Fault::Denied);
        let failure = cluster.invoke(create.clone()).await.unwrap_err();
        assert_eq!((failure.kind(), cluster.last_answer()), (Kind::Transient, None), "Lambda tries again");
        cluster.wire.sleep(60).await;
        cluster.invoke(create.clone()).await.unwrap();
        assert_eq!(cluster.last_answer().unwrap()["Status"], json!("SUCCESS"));

        cluster.wire.sleep(120).await;
        cluster.wire.plan(1, Fault::Denied);
        cluster.invoke(create).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!(answer["Status"], json!("FAILED"));
        let reason = answer["Reason"].as_str().unwrap();
        assert!(reason.contains("could not list the instances") && reason.contains("AccessDenied"), "{reason}");
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

#[test]
fn whoever_registers_while_the_last_round_works_is_not_deregistered() {
    play(async {
        let cluster = Cluster::discovery();
        three_cores(&cluster).await;
        let task = cluster.a_task("core");
        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        let register = |id: &str| {
            let mut world = cluster.wire.world();
            let long_ago = world.now - std::time::Duration::from_secs(10);
            world.cloud_map.register(&cluster.registries[0], id, [], true, long_ago);
        };
        register("0123456789abcdef0123456789abcdef");
        let late = async {
            // After the reading that clears the rest, before what follows from it.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            register(&task);
        };
        let ((), answer) = tokio::join!(biased; late, cluster.invoke(cluster.custom_resource("Delete", Some("id"))));
        assert_eq!(answer.unwrap_err().kind(), Kind::Transient);
        cluster.wire.sleep(10).await;
        let world = cluster.wire.world();
        let left: Vec<_> = world.cloud_map.services[&cluster.registries[0]].instances.keys().cloned().collect();
        assert_eq!(left, [task]);
    });
}

#[test]
fn a_warm_up_reads_every_service_that_a_round_reads_and_is_no_round() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 3);
        cluster.wire.sleep(300).await;
        let results = cluster.replicator().warm_up().await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let world = cluster.wire.world();
        let actions: BTreeSet<_> = world.calls.iter().map(|call| call.action.as_str()).collect();
        let reads = ["ecs:DescribeServices", "route53:ListResourceRecordSets", "servicediscovery:ListInstances"];
        assert_eq!(actions, BTreeSet::from(reads));
        assert!(world.calls.iter().all(|call| !call.write));
        drop(world);
        assert!(cluster.published("core").is_empty());
        assert!(cluster.metrics.lock().unwrap().is_empty(), "no metric that an alarm could mistake for a pass");
    });
}
