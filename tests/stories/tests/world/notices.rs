//! What AWS says before it takes an instance, and what it does then.

use cluster_sim::{
    cluster::Cluster,
    events::Rule,
    time::{minutes, play, seconds},
};
use cluster_world::neo4j::Cause;
use serde_json::{Value, json};

use super::Core;

fn event(core: &Core, kind: &str) -> Value {
    let all: Vec<_> = core.world.events.iter().filter(|event| event["DetailType"] == kind).collect();
    assert_eq!(all.len(), 1, "{kind}");
    let detail: Value = serde_json::from_str(all[0]["Detail"].as_str().unwrap()).unwrap();
    json!({"source": all[0]["Source"], "resources": all[0]["Resources"], "detail": detail})
}

#[test]
fn spot_says_so_two_minutes_before_it_takes_an_instance_and_asks_no_hook() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.interrupt(&instance);
    let said = event(&core, "EC2 Spot Instance Interruption Warning");
    assert_eq!(said["source"], "aws.ec2");
    assert_eq!(said["detail"], json!({"instance-id": instance, "instance-action": "terminate"}));
    assert_eq!(said["resources"], json!([format!("arn:aws:ec2:eu-west-1a:instance/{instance}")]));
    core.world.advance(60);
    core.world.interrupt(&instance);
    core.world.advance(59);
    assert_eq!(core.world.ec2.instances[&instance].state, "running");
    core.world.advance(1);
    assert_eq!(core.world.ec2.instances[&instance].state, "shutting-down", "a second notice puts nothing off");
    core.world.advance(60);
    assert!(core.world.auto_scaling.member(&instance).is_none(), "its group notices afterwards");
    assert_eq!(core.events("EC2 Instance-terminate Lifecycle Action"), 0);
}

#[test]
fn spot_takes_an_instance_in_the_middle_of_its_hook() {
    let mut core = Core::up();
    let instance = core.instance();
    core.terminate(&instance).unwrap();
    core.world.interrupt(&instance);
    core.world.advance(120 + 60);
    assert!(core.world.auto_scaling.member(&instance).is_none());
}

#[test]
fn a_recommendation_ends_nothing_and_both_are_heard_about_instances_of_others() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.recommend_rebalance(&instance);
    assert_eq!(event(&core, "EC2 Instance Rebalance Recommendation")["detail"], json!({"instance-id": instance}));
    core.world.advance(3600);
    assert_eq!(core.world.ec2.instances[&instance].state, "running");
    core.world.interrupt("i-0123456789abcdef0");
    let said = event(&core, "EC2 Spot Instance Interruption Warning");
    assert_eq!(said["detail"]["instance-id"], "i-0123456789abcdef0");
}

#[test]
fn scheduled_events_are_described_before_and_after_they_happen_or_are_canceled() {
    let mut core = Core::up();
    let instance = core.instance();
    let statuses = "Action=DescribeInstanceStatus&Version=2016-11-15&IncludeAllInstances=true";
    assert!(!core.ask(statuses).body.contains("eventsSet"));
    let canceled = core.world.schedule(&instance, "instance-stop", 3600);
    core.world.schedule(&instance, "system-reboot", 7200);
    core.world.schedule(&instance, "instance-retirement", 24 * 3600);
    let said = core.ask(statuses).body;
    assert!(
        said.contains("<code>instance-stop</code><description>The instance is scheduled to stop</description>"),
        "{said}"
    );
    assert!(said.contains("<notBefore>2026-11-23T11:01:15Z</notBefore>"), "{said}");
    core.world.cancel_scheduled(&canceled);
    core.world.advance(3600);
    assert!(core.ask(statuses).body.contains("<description>[Canceled] The instance is scheduled to stop"));
    assert!(core.container_instance(&instance).connected, "nothing came of it");
    core.world.advance(3601);
    assert!(!core.container_instance(&instance).connected, "it boots");
    assert!(core.ask(statuses).body.contains("<description>[Completed] The instance is scheduled for maintenance"));
    core.world.advance(24 * 3600 - 7200 - 3);
    assert_eq!(core.world.ec2.instances[&instance].state, "running");
    core.world.advance(5);
    assert_eq!(core.world.ec2.instances[&instance].state, "shutting-down");
}

/// Whose doing a member's end is after a notice: of whoever stops it while there is time, and of AWS in the end.
#[test]
fn who_stops_a_member_at_the_last_moment_has_not_chosen_to() {
    for (wait, expected) in [(40, Cause::People), (56, Cause::Aws)] {
        play(async {
            let cluster = Cluster::formed(3).quiet().only(&[]);
            let instance = cluster.serving(2).unwrap();
            let task = cluster.task(&instance).unwrap();
            let server = cluster.wire.world().neo4j.members[&task].server.clone();
            cluster.wire.world().interrupt(&instance);
            cluster.wire.sleep(wait).await;
            cluster.empty(2);
            cluster.wire.sleep(30).await;
            let world = cluster.wire.world();
            let down = world.neo4j.dbms_in(&cluster.ecs_cluster).unwrap().servers[&server].down;
            assert_eq!(down.unwrap().cause, expected, "stopped {wait} s after the notice");
        });
    }
}

/// A rule whose target is a queue with a delay brings its events that much later, once for each queue.
#[test]
fn a_queue_with_a_delay_keeps_an_event_back() {
    play(async {
        let pattern = json!({"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]});
        let rule = |delay| Rule { pattern: pattern.clone(), function: "instance-drainer".to_owned(), delay };
        let cluster = Cluster::formed(3).with_rules(vec![rule(0), rule(75)]);
        let taken = || {
            let events = std::mem::take(&mut cluster.wire.world().events);
            cluster.matching("instance-drainer", events).len()
        };
        taken();
        cluster.wire.world().interrupt("i-0123456789abcdef0");
        assert_eq!(taken(), 1);
        cluster.wire.sleep(74).await;
        assert_eq!(taken(), 0);
        cluster.wire.sleep(1).await;
        assert_eq!((taken(), taken()), (1, 0));
        cluster.live(seconds(5)).await;
        cluster.live(minutes(1)).await;
    });
}
