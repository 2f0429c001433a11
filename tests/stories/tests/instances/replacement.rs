//! An instance is lost, ill, silent or retained, and its core heals.

use cluster_sim::{
    cluster::Cluster,
    functions::INSTANCE_DRAINER,
    time::{minutes, play, within},
    wire::Fault,
};
use cluster_world::ec2::Contents;

/// A formed cluster in which nobody answers the function what Neo4j says, so that nothing proves that a core may stop. A drain is
/// given up after 20 minutes.
fn unproven() -> Cluster {
    let cluster = Cluster::formed(3);
    cluster.wire.plan_for("lambda:InvokeFunction", 1_000_000, Fault::Denied);
    cluster.with("CORE_DRAIN_TIMEOUT_MINUTES", "20")
}

#[test]
fn a_lost_instance_is_replaced_and_the_new_one_gets_the_same_volume() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&old);
        cluster.until("core 2 serves again", within(minutes(8)), |c| c.is_replaced(2, &old)).await;
        assert_eq!(cluster.contents(2), Contents::Xfs);
        let untouched: Vec<_> = [1, 3].map(|core| cluster.serving(core).is_some()).into();
        assert_eq!(untouched, [true, true]);
    });
}

#[test]
fn a_replacement_waits_for_the_volume_as_long_as_its_holder_lives() {
    play(async {
        let cluster = unproven();
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(10)).await;
        let new = cluster.in_state(2, "Pending:Wait").expect("Auto Scaling launches before the old one is gone");
        assert_eq!(cluster.states(2)[&old], "Terminating:Wait", "nothing proves that the others have a quorum");
        assert!(cluster.metric("DrainWaitSeconds", None) > Some(300.0), "it waits");
        // Its time is over: it is kept, with its task and the volume.
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
        cluster
            .until("people are told", within(minutes(2)), |c| c.metric("InstancesRetained", None) == Some(1.0))
            .await;
        // Later than the time-outs of both hooks, the same new instance still waits.
        cluster.live(minutes(70)).await;
        let waits = cluster.metric_beside("InstancesRetained", "DrainWaitSeconds", None);
        assert_eq!(waits, Some(0.0), "its alarm is the one of retained instances");
        assert_eq!(cluster.in_state(2, "Pending:Wait"), Some(new.clone()));
        assert_eq!(cluster.holder(2), Some(old.clone()), "a volume is never taken from who has it");
        // People end the old instance.
        cluster.wire.world().lose_instance(&old);
        cluster.until("core 2 serves", within(minutes(8)), |c| c.serving(2).as_ref() == Some(&new)).await;
    });
}

#[test]
fn a_reboot_keeps_instance_and_volume_and_asks_nothing_of_the_function() {
    play(async {
        let cluster = Cluster::formed(3).only(&[INSTANCE_DRAINER]);
        let before: Vec<_> = (1..=3).map(|core| cluster.serving(core)).collect();
        let from = cluster.wire.world().calls.len();
        cluster.wire.world().reboot(before[0].as_deref().unwrap());
        cluster.live(minutes(5)).await;
        assert_eq!((1..=3).map(|core| cluster.serving(core)).collect::<Vec<_>>(), before);
        let world = cluster.wire.world();
        let writes = world.calls.iter().skip(from).filter(|call| call.write);
        let writes: Vec<_> = writes.filter(|call| !call.action.starts_with("dynamodb:")).collect();
        assert!(writes.is_empty(), "nothing is written but how long it was away: {writes:?}");
    });
}

#[test]
fn an_agent_that_is_away_for_a_moment_costs_no_core() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        for _ in 0..5 {
            cluster.wire.world().silence(&ill);
            cluster.live(minutes(3)).await;
            cluster.wire.world().hear(&ill);
            cluster.live(minutes(1)).await;
        }
        assert_eq!(cluster.serving(2), Some(ill));
    });
}

#[test]
fn a_core_whose_tasks_have_stopped_is_let_go() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(2)).await;
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(10)).await;
        assert!(!cluster.states(2).contains_key(&old), "{:?}", cluster.states(2));
        assert!(cluster.serving(2).is_some_and(|new| new != old));
    });
}

#[test]
fn a_dead_instance_is_deregistered_and_its_core_heals() {
    play(async {
        let cluster = Cluster::formed(3);
        let dead = cluster.serving(2).unwrap();
        // A kernel that hangs: ECS loses the agent, then EC2's status checks fail.
        cluster.wire.world().silence(&dead);
        cluster.live(minutes(2)).await;
        cluster.wire.world().impair(&dead);
        cluster.live(minutes(2)).await;
        assert_eq!(cluster.states(2)[&dead], "Terminating:Wait", "agents are away for moments");
        cluster.until("core 2 serves again", within(minutes(12)), |c| c.is_replaced(2, &dead)).await;
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some());
    });
}

#[test]
fn a_registration_that_a_lost_instance_left_behind_does_not_keep_its_core_from_healing() {
    play(async {
        let cluster = Cluster::formed(3);
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&lost);
        cluster.live(minutes(2)).await;
        cluster.wire.world().lose_instance(&lost);
        cluster.until("core 2 serves again", within(minutes(12)), |c| c.is_replaced(2, &lost)).await;
        let world = cluster.wire.world();
        assert!(world.container_instance(&lost).is_none(), "ECS would count on its task for ever");
    });
}

#[test]
fn a_retained_instance_goes_once_people_have_emptied_it() {
    play(async {
        let cluster = unproven();
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster
            .until("the instance is retained", within(minutes(40)), |c| c.states(2)[&old] == "Terminating:Retained")
            .await;
        cluster.empty(2);
        cluster.until("core 2 serves again", within(minutes(10)), |c| c.is_replaced(2, &old)).await;
    });
}
