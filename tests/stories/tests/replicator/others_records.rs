//! What others have in the zone: a name that they occupy, records beside ours, a large zone.

use cluster_sim::{
    cluster::{CLUSTER, Cluster, DOMAIN},
    time::play,
};
use cluster_world::route53::RecordSet;
use serde_json::json;

use super::{addresses, set, three_cores};

/// How many records the template itself creates: the names of both tiers in Cloud Map.
const TEMPLATES: usize = 2;

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
                (Some(1.0), None)
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
            assert_eq!(cluster.metric_beside("DnsDivergence", "DnsMembersBlocked", None), Some(0.0));
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
        assert!(cluster.metric("DnsRecordsPublished", Some("replica")).is_some());
        assert_eq!(cluster.metric("DnsMembersBlocked", Some("replica")), None, "nobody waits for it yet");
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
