//! Input of every wrong kind: what is said about it, and that nothing is lost by it. What the decision refuses by itself
//! (addresses, duplicates, a full name) is tested with the decision, wrong variables with the configuration.

use cluster_lambda::Kind;
use cluster_sim::{
    cluster::{CLUSTER, Cluster},
    events::{delivered, messages},
    time::play,
    wire::Fault,
};
use serde_json::{Value, json};

async fn three_cores() -> Cluster {
    let cluster = Cluster::discovery();
    cluster.scale("core", 3);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    cluster
}

/// Registers something by hand in the core's Cloud Map service.
fn register(cluster: &Cluster, id: &str, attributes: &[(&str, &str)]) {
    let mut world = cluster.wire.world();
    let now = world.now;
    world.cloud_map.register(&cluster.registries[0], id, [], true, now);
    let instance = world.cloud_map.services.get_mut(&cluster.registries[0]).unwrap().instances.get_mut(id).unwrap();
    instance.attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
}

#[test]
fn instances_that_are_no_members_are_named_and_the_members_stay() {
    play(async {
        let cluster = three_cores().await;
        // Running tasks of the replicas' service stand for members with an attribute gone wrong.
        cluster.scale("replica", 3);
        cluster.wire.sleep(60).await;
        let tasks: Vec<_> =
            cluster.wire.world().ecs.clusters[CLUSTER].wanted("replica").map(|(id, _)| id.clone()).collect();
        register(&cluster, "by-hand", &[("AWS_INSTANCE_IPV4", "10.0.1.77")]);
        register(&cluster, &tasks[0], &[]);
        register(&cluster, &tasks[1], &[("AWS_INSTANCE_IPV4", "fd00::1"), ("AWS_INSTANCE_IPV6", "fd00::1")]);
        register(&cluster, &tasks[2], &[("AWS_INSTANCE_IPV4", "10.0.1.1")]);
        cluster.wire.sleep(5).await;
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let said = answer["kept"].to_string();
        for why in [
            "by-hand not published: instance was not registered by ECS".to_owned(),
            format!("{} not published: instance has no AWS_INSTANCE_IPV4 attribute", tasks[0]),
            format!("{} not published: address \\\"fd00::1\\\" is not a usable IPv4 address", tasks[1]),
            format!("{} not published: address is published for member", tasks[2]),
        ] {
            assert!(said.contains(&why), "{why} in {said}");
        }
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.published("core"), cluster.fit("core"));
    });
}

#[test]
fn an_event_of_a_service_that_nobody_knows_is_only_a_reason_to_look() {
    play(async {
        let cluster = three_cores().await;
        let task = cluster.a_task("core");
        cluster.wire.world().events.clear();
        cluster.wire.world().stop(CLUSTER, &task);
        let mut event = cluster.wire.world().events.remove(0);
        event["Detail"] = json!(r#"{"group": "service:unknown", "taskArn": 7}"#);
        cluster.invoke(messages(&[delivered(&event)])).await.unwrap();
        assert_eq!(cluster.published("core"), cluster.fit("core"));
    });
}

#[test]
fn a_malformed_message_does_not_block_its_group_even_when_the_round_fails_first() {
    play(async {
        let cluster = three_cores().await;
        let bodies = [
            "{\"source\": 1}".to_owned(),
            json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string(),
        ];
        // The dead-letter queue is out of reach: the batch fails as a whole, and comes again.
        cluster.wire.plan(1, Fault::Outage);
        let failure = cluster.invoke(messages(&bodies)).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient);
        assert!(
            failure.chain().starts_with("could not move a message to the dead-letter queue"),
            "{}",
            failure.chain()
        );
        let answer = cluster.invoke(messages(&bodies)).await.unwrap();
        assert_eq!((&answer["deadLettered"], cluster.wire.world().messages.len()), (&json!(1), 1));
        assert_ne!(answer["reconciled"], Value::Null);
    });
}

#[test]
fn throttling_that_lasts_is_said_with_the_step_and_changes_nothing() {
    play(async {
        let cluster = three_cores().await;
        // Every call of the round, and every retry of it.
        for nth in 1..=12 {
            cluster.wire.plan(nth, Fault::Throttle);
        }
        let failure = cluster.sweep().await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient);
        let text = failure.chain();
        assert!(text.starts_with("could not list the "), "{text}");
        assert!(text.contains("Rate exceeded"), "{text}");
        assert_eq!(cluster.published("core").len(), 3);
    });
}

#[test]
fn an_event_from_the_future_has_no_negative_lag() {
    play(async {
        let cluster = three_cores().await;
        let task = cluster.a_task("core");
        cluster.wire.world().events.clear();
        cluster.wire.world().stop(CLUSTER, &task);
        let mut event = cluster.wire.world().events.remove(0);
        event["Time"] = json!("2031-01-01T00:00:00Z");
        cluster.invoke(messages(&[delivered(&event)])).await.unwrap();
        assert_eq!(cluster.metric("DnsReplicationLagMs", None), Some(0.0));
    });
}

#[test]
fn events_that_are_no_events_are_refused_with_what_is_wrong() {
    play(async {
        let cluster = Cluster::discovery();
        for (event, what) in [
            (json!({"Records": "none"}), "unknown event: its Records are not a list"),
            (
                json!({"RequestType": "Create"}),
                "unknown event: it looks like a custom resource, but has no text ResponseURL",
            ),
            (json!([1, 2]), "unknown event: it is not a JSON object"),
            (json!("hello"), "unknown event: it is not a JSON object"),
            (json!({"source": "aws.ecs"}), "unknown event: it cannot be read as a person's request"),
        ] {
            let failure = cluster.invoke(event).await.unwrap_err();
            assert_eq!(failure.kind(), Kind::Permanent);
            assert!(failure.chain().starts_with(what), "{}", failure.chain());
        }
        let mut other = cluster.custom_resource("Create", None);
        other["ResourceType"] = json!("Custom::Other");
        cluster.invoke(other).await.unwrap();
        let answer = cluster.last_answer().unwrap();
        assert_eq!(
            (&answer["Status"], answer["Reason"].as_str().unwrap().contains("Custom::Other")),
            (&json!("FAILED"), true)
        );
    });
}
