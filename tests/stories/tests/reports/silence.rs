//! Agents that are away, for a moment or for good, and instances that are called dead.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
    wire::Fault,
};

use super::nth;

#[test]
fn a_core_that_works_is_not_ended_because_its_agent_is_away_for_a_moment() {
    play(async {
        let cluster = Cluster::formed(3);
        // Its task connected forty minutes ago, which is what `connectivityAt` says for ever.
        cluster.live(minutes(40)).await;
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().impair(&ill);
        cluster.wire.sleep(2).await;
        cluster.wire.world().silence(&ill);
        cluster.wire.sleep(10).await;
        cluster.sweep().await.unwrap();
        assert!(
            cluster.wire.world().container_instance(&ill).is_some(),
            "its container instance is deregistered after ten seconds"
        );
        cluster.live(minutes(4)).await;
        assert_eq!(cluster.states(2)[&ill], "Terminating:Wait");
        cluster.live(minutes(3)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_none(), "after more than five minutes it is dead");
    });
}

#[test]
fn a_reconnection_that_no_round_has_seen_ends_the_silence() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        cluster.wire.world().impair(&ill);
        cluster.live_without_events(minutes(4)).await;
        // Between two rounds it is there for a moment, and away again.
        cluster.wire.sleep(30).await;
        cluster.wire.world().hear(&ill);
        cluster.wire.world().silence(&ill);
        cluster.live_without_events(minutes(4)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_some(), "it has been away for less than five minutes");
        cluster.live_without_events(minutes(2)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_none());
    });
}

#[test]
fn what_nobody_looked_at_for_long_is_not_silent_at_first_sight() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        cluster.live_without_events(minutes(1)).await;
        // The function makes no round for an hour; the agent is back at once, and lost again before it ends.
        cluster.wire.world().hear(&ill);
        cluster.wire.sleep(3600).await;
        cluster.wire.world().silence(&ill);
        cluster.wire.world().impair(&ill);
        cluster.wire.sleep(10).await;
        cluster.sweep().await.unwrap();
        assert!(cluster.wire.world().container_instance(&ill).is_some(), "it has been away for ten seconds");
    });
}

#[test]
fn what_somebody_calls_unhealthy_and_ec2_does_not_is_not_dead_and_goes_only_where_the_others_do_without() {
    play(async {
        let cluster = Cluster::formed(3);
        let called = cluster.serving(2).unwrap();
        cluster.wire.plan_for("lambda:InvokeFunction", 1_000_000, Fault::Denied);
        cluster.wire.world().silence(&called);
        cluster.wire.world().mark_unhealthy(&called);
        cluster.live(minutes(25)).await;
        assert!(cluster.wire.world().container_instance(&called).is_some(), "its Neo4j may work on");
        assert_eq!(cluster.states(2)[&called], "Terminating:Wait");
        cluster.wire.calm();
        cluster.live(minutes(10)).await;
        assert!(!cluster.states(2).contains_key(&called), "the others were asked: {:?}", cluster.states(2));
    });
}

#[test]
fn a_core_that_stops_while_its_stack_goes_is_not_orphaned_by_a_moments_silence() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.live(minutes(40)).await;
        let stopping = cluster.serving(3).unwrap();
        cluster.wire.world().silence(&stopping);
        cluster.wire.sleep(10).await;
        cluster.request_phase("Delete").await;
        cluster.live(minutes(3)).await;
        let tasks = |cluster: &Cluster| {
            let world = cluster.wire.world();
            let (_, address) = world.registered(&stopping)?;
            Some(world.ecs.clusters[&cluster.ecs_cluster].tasks.values().filter(|t| t.address == address).count())
        };
        assert_eq!(tasks(&cluster), Some(1), "Neo4j may be in the middle of its last checkpoint");
        cluster.live(minutes(4)).await;
        assert_eq!(tasks(&cluster), None, "and after five minutes nothing waits for it any more");
    });
}

#[test]
fn an_instance_of_which_ec2_says_nothing_stays_and_the_others_are_served() {
    play(async {
        let cluster = Cluster::formed(3);
        let (dead, lost) = (cluster.serving(2).unwrap(), cluster.serving(3).unwrap());
        cluster.wire.world().silence(&dead);
        cluster.wire.world().impair(&dead);
        cluster.live_without_events(minutes(5)).await;
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.sleep(75).await;
        let asked = nth(&cluster, "ec2:DescribeInstanceStatus").await;
        cluster.wire.plan(asked, Fault::Denied);
        let answer = cluster.sweep().await.unwrap_or_else(|failure| panic!("it fails the round: {}", failure.chain()));
        assert_eq!(cluster.wire.struck().len(), 1, "{answer}");
        assert!(cluster.wire.world().container_instance(&dead).is_some(), "nothing proves that it is dead");
        assert!(answer["reconciled"]["steps"].to_string().contains("attach vol-"), "{answer}");
        assert!(cluster.holder(3).is_some_and(|holder| holder != lost));
    });
}
