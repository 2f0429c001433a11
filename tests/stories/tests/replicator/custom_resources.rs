//! The stack's custom resources: the first round, the last one, the guard, and changes between them.

use cluster_lambda::Kind;
use cluster_sim::{
    cluster::{CLUSTER, Cluster, DOMAIN},
    time::play,
    wire::Fault,
};
use cluster_world::route53::RecordSet;
use serde_json::json;

use super::{addresses, set, three_cores};

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
