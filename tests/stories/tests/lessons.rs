//! The bugs of the script that this function succeeds, each as the story in which it would show again.

mod draining;
mod predecessor;

use std::collections::BTreeSet;

use cluster_facts::template::{read, resources};
use cluster_sim::{
    cluster::{CLUSTER, Cluster},
    events::{delivered, messages},
    time::play,
    wire::Fault,
};
use serde_json::{Value, json};

/// It woke only for the current revision of a task definition, and failed on any other.
#[test]
fn a_task_of_any_revision_wakes_the_replicator() {
    let rule = resource("TaskChanges");
    let detail = rule["EventPattern"]["detail"].as_object().unwrap();
    assert_eq!(detail.keys().collect::<Vec<_>>(), ["clusterArn", "group"]);
    play(async {
        let cluster = up(3).await;
        let old = cluster.a_task("core");
        cluster.wire.world().events.clear();
        cluster.wire.world().stop(CLUSTER, &old);
        let mut event = cluster.wire.world().events.remove(0);
        let detail = event["Detail"].as_str().unwrap().replace("neo4j:1", "neo4j:0");
        event["Detail"] = json!(detail);
        cluster.invoke(messages(&[delivered(&event)])).await.unwrap();
        assert_eq!(published(&cluster).len(), 2);
    });
}

/// It acted on events alone: a lost one left a stale record for ever.
#[test]
fn a_lost_event_is_made_good_within_a_minute() {
    assert_eq!(resource("Sweep")["ScheduleExpression"], json!({"Ref": "SweepRate"}));
    assert_eq!(read("infra/queues.yaml")["Parameters"]["SweepRate"]["Default"], json!("rate(1 minute)"));
    assert_eq!(resource("Queues")["Parameters"]["SweepRate"], json!(null));
    play(async {
        let cluster = up(3).await;
        let task = cluster.a_task("core");
        cluster.wire.world().stop(CLUSTER, &task);
        cluster.wire.world().events.clear();
        cluster.sweep().await.unwrap();
        assert_eq!(published(&cluster), cluster.fit("core"));
    });
}

/// It read one page of a hundred, and published members whatever their health.
#[test]
fn the_hundred_and_first_member_is_seen_and_an_unhealthy_one_is_not_published() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 105);
        cluster.wire.sleep(20).await;
        let ill: Vec<_> = {
            let world = cluster.wire.world();
            let tasks = world.ecs.clusters[CLUSTER].wanted("core").take(10);
            tasks.map(|(id, task)| (id.clone(), task.address.to_string())).collect()
        };
        for (task, _) in &ill {
            cluster.wire.world().fail_health(CLUSTER, task);
        }
        let cluster = cluster.with("REQUIRE_HEALTHY", "false");
        cluster.sweep().await.unwrap();
        assert_eq!(published(&cluster).len(), 95);
        assert!(ill.iter().all(|(_, address)| !published(&cluster).contains(address)));
    });
}

/// It registered every member anew on each event.
#[test]
fn nothing_to_do_writes_nothing() {
    play(async {
        let cluster = up(3).await;
        let events: Vec<_> = cluster.wire.world().events.drain(..).map(|event| delivered(&event)).collect();
        let from = cluster.wire.world().calls.len();
        cluster.invoke(messages(&events)).await.unwrap();
        assert_eq!(cluster.wire.world().count_calls(from).1, 0);
    });
}

/// It removed before it added, and believed an empty list.
#[test]
fn a_list_that_comes_back_empty_empties_no_name() {
    play(async {
        let cluster = Cluster::discovery();
        // What a stale read will see: nobody.
        cluster.wire.remember();
        cluster.scale("core", 3);
        cluster.wire.sleep(60).await;
        cluster.sweep().await.unwrap();
        cluster.wire.plan(1, Fault::Stale);
        let answer = cluster.invoke(json!({})).await.unwrap();
        assert_eq!((&answer["changes"], published(&cluster).len()), (&json!([]), 3), "{answer}");
        assert_eq!(cluster.wire.struck().len(), 1);
    });
}

/// It left its records behind, so that the stack could not be deleted.
#[test]
fn a_stack_deletes_although_records_and_instances_are_left() {
    play(async {
        let cluster = up(2).await;
        cluster.wire.world().scale(CLUSTER, "core", 0);
        cluster.wire.sleep(30).await;
        assert_eq!(published(&cluster).len(), 2, "no round has come since");
        cluster.invoke(cluster.custom_resource("Delete", Some("id"))).await.unwrap();
        let mut world = cluster.wire.world();
        for registry in &cluster.registries {
            world.delete("AWS::ServiceDiscovery::Service", registry, &Value::Null).unwrap();
        }
        assert_eq!(world.route53.zones[&cluster.zone].written(), 2, "the template's own names are left");
    });
}

/// It might change every zone of the account, and kept its log for ever.
#[test]
fn rights_end_at_the_two_names_and_logs_have_an_end() {
    let statements = resource("ZoneAccess")["PolicyDocument"]["Statement"].clone();
    let change =
        statements.as_array().unwrap().iter().find(|s| s["Action"] == "route53:ChangeResourceRecordSets").unwrap();
    let conditions = &change["Condition"]["ForAllValues:StringEquals"];
    let names = &conditions["route53:ChangeResourceRecordSetsNormalizedRecordNames"];
    assert_eq!(names, &json!([{"Fn::Sub": "core.${DomainName}"}, {"Fn::Sub": "replica.${DomainName}"}]));
    assert_eq!(conditions["route53:ChangeResourceRecordSetsRecordTypes"], json!(["A"]));
    assert!(!resource("ReplicatorLogs")["RetentionInDays"].is_null());
}

/// Two of it at once undid each other's work.
#[test]
fn two_rounds_at_once_end_right() {
    play(async {
        let cluster = up(3).await;
        cluster.scale("core", 5);
        cluster.wire.sleep(60).await;
        let task = cluster.a_task("core");
        cluster.wire.world().stop(CLUSTER, &task);
        let (one, two) = (cluster.replicator(), cluster.replicator());
        let (a, b) = tokio::join!(biased; one.handle(json!({})), two.handle(json!({})));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(published(&cluster), cluster.fit("core"));
    });
}

fn resource(id: &str) -> Value {
    let both = ["infra/discovery.yaml", "infra/queues.yaml"].into_iter().flat_map(|path| resources(&read(path)));
    let found = { both }.find(|(name, _)| name == id);
    found.unwrap().1["Properties"].clone()
}

async fn up(cores: u8) -> Cluster {
    let cluster = Cluster::discovery();
    cluster.scale("core", cores);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    cluster
}

fn published(cluster: &Cluster) -> BTreeSet<String> {
    cluster.published("core")
}
