//! What Route 53, Cloud Map or ECS refuses is told with the reason.

use cluster_lambda::Kind;
use cluster_sim::{cluster::Cluster, time::play, wire::Fault};
use serde_json::json;

use super::{addresses, three_cores};

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
