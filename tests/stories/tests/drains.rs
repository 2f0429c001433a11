//! Cores leave, one at a time and never against the others, whatever happens in the middle. What each story looks like is kept
//! as a table of changes: by core the states of its instances, how many votes there are, and who holds the lease.

mod chronicle;

use cluster_sim::{
    cluster::{Cluster, ZONES},
    time::{hours, minutes, play, seconds, within},
    wire::Fault,
};
use cluster_world::Request;

use chronicle::{Chronicle, lease, replicas};

/// People terminate the instance of a core by way of its group.
fn terminate(cluster: &Cluster, core: usize) -> String {
    let instance = cluster.holder(core).unwrap();
    let action = "Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&ShouldDecrementDesiredCapacity=false";
    let body = format!("{action}&InstanceId={instance}").into_bytes();
    let (method, path, query) = ("POST".to_owned(), "/".to_owned(), String::new());
    let answer = cluster.wire.world().answer(&Request { method, path, query, body, ..Request::default() });
    assert_eq!(answer.status, 200, "{}", answer.body);
    instance
}

fn hang(cluster: &Cluster, core: usize) {
    let task = cluster.task(&cluster.serving(core).unwrap()).unwrap();
    cluster.wire.world().hang_member(&task, true);
}

/// Whether the function hears anything of AWS.
fn off(cluster: &Cluster, is_off: bool) {
    if is_off {
        cluster.wire.plan_for("autoscaling:DescribeAutoScalingGroups", 1_000_000, Fault::Denied);
    } else {
        cluster.wire.calm();
    }
}

/// A formed cluster whose cores are whole.
async fn settled(cores: usize) -> Cluster {
    let cluster = Cluster::formed(cores).quiet();
    cluster.live(minutes(6)).await;
    cluster
}

#[test]
fn two_instances_are_terminated_by_hand_and_the_first_core_rejoins_slowly() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("people terminate cores 2 and 3; there is no room for the successor of core 2 for half an hour");
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        terminate(&cluster, 2);
        terminate(&cluster, 3);
        told.live(minutes(30)).await;
        told.say("there is room again");
        cluster.wire.world().ec2.no_capacity.clear();
        told.until_whole(within(minutes(30))).await;
        insta::assert_snapshot!("terminated_by_hand", told.told());
    });
}

#[test]
fn a_zone_is_lost_and_another_core_waits_for_it() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("zone b is lost");
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        let lost = cluster.holder(2).unwrap();
        cluster.wire.world().fell_instance(&lost);
        told.live(minutes(2)).await;
        told.say("people terminate core 1");
        terminate(&cluster, 1);
        told.live(minutes(20)).await;
        assert!(cluster.serving(1).is_none() && cluster.task(&cluster.holder(1).unwrap()).is_some(), "it runs on");
        told.say("the zone is back");
        cluster.wire.world().ec2.no_capacity.clear();
        told.until_whole(within(minutes(30))).await;
        insta::assert_snapshot!("zone_loss", told.told());
    });
}

#[test]
fn spot_takes_two_cores_at_once_and_both_end_cleanly() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("EC2 says that it takes cores 1 and 3");
        for core in [1, 3] {
            let instance = cluster.holder(core).unwrap();
            cluster.wire.world().interrupt(&instance);
        }
        told.live(seconds(115)).await;
        for core in [1, 3] {
            let store = cluster.wire.world().neo4j.stores[&cluster.nodes[core - 1].volume].clone();
            assert!(store.clean, "core {core} wrote its checkpoint\n{}", told.text);
        }
        told.until_whole(within(minutes(30))).await;
        assert!(cluster.metric("StopsWithoutQuorum", None).is_some());
        insta::assert_snapshot!("two_spot_warnings", told.told());
    });
}

#[test]
fn a_sick_core_that_answers_nothing_can_be_replaced() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("the Neo4j of core 2 stands still, and people terminate its instance");
        hang(&cluster, 2);
        told.live(minutes(2)).await;
        terminate(&cluster, 2);
        told.until_whole(within(minutes(60))).await;
        insta::assert_snapshot!("sick_core", told.told());
    });
}

#[test]
fn a_core_that_hangs_is_restarted_where_it_is() {
    play(async {
        let cluster = settled(3).await;
        let before = cluster.serving(2);
        let mut told = Chronicle::of(&cluster);
        told.say("the Neo4j of core 2 stands still");
        hang(&cluster, 2);
        told.until("it is stopped", within(minutes(20)), |cluster| !lease(cluster).is_empty()).await;
        told.until_whole(within(minutes(40))).await;
        assert_eq!(cluster.serving(2), before, "its instance stays");
        insta::assert_snapshot!("hanging_core", told.told());
    });
}

#[test]
fn three_full_disks_that_were_grown_are_healed_one_after_the_other() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("the disks of all cores are full");
        let volumes: Vec<_> = cluster.nodes.iter().map(|node| node.volume.clone()).collect();
        for volume in &volumes {
            cluster.wire.world().fill_disk(volume);
        }
        told.live(minutes(5)).await;
        told.say("a larger size is deployed");
        for volume in &volumes {
            cluster.wire.world().free_disk(volume);
        }
        let healed = |cluster: &Cluster| {
            let world = cluster.wire.world();
            world.neo4j.dbms_in(&cluster.ecs_cluster).unwrap().servers.values().all(|server| !server.full)
        };
        told.until("every core was restarted", within(hours(3)), healed).await;
        told.until_whole(within(minutes(30))).await;
        insta::assert_snapshot!("full_disks", told.told());
    });
}

#[test]
fn spot_takes_a_core_in_the_middle_of_the_drain_of_another() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("people terminate core 1");
        terminate(&cluster, 1);
        told.live(seconds(20)).await;
        told.say("EC2 says that it takes core 3");
        let instance = cluster.holder(3).unwrap();
        cluster.wire.world().interrupt(&instance);
        told.until_whole(within(minutes(30))).await;
        insta::assert_snapshot!("spot_within_a_drain", told.told());
    });
}

#[test]
fn a_lease_outlives_two_hours_in_which_nobody_looks() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("people terminate core 2, and the function stops looking when it has been stopped");
        terminate(&cluster, 2);
        told.until("the lease is held", within(minutes(3)), |cluster| !lease(cluster).is_empty()).await;
        off(&cluster, true);
        terminate(&cluster, 3);
        cluster.wire.sleep(2 * 3600).await;
        told.look();
        told.say("the function looks again");
        off(&cluster, false);
        told.until_whole(within(minutes(60))).await;
        insta::assert_snapshot!("lease_of_two_hours", told.told());
    });
}

#[test]
fn one_of_five_is_missing_and_another_is_drained() {
    play(async {
        let cluster = settled(5).await;
        let mut told = Chronicle::of(&cluster);
        told.say("core 5 is lost, and there is no room for it");
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        let lost = cluster.holder(5).unwrap();
        cluster.wire.world().fell_instance(&lost);
        told.live(minutes(3)).await;
        told.say("people terminate core 1");
        let old = terminate(&cluster, 1);
        told.until("core 1 is replaced", within(minutes(30)), |cluster| cluster.is_replaced(1, &old)).await;
        told.say("there is room again");
        cluster.wire.world().ec2.no_capacity.clear();
        told.until_whole(within(minutes(30))).await;
        insta::assert_snapshot!("one_of_five", told.told());
    });
}

#[test]
fn replicas_are_scaled_in_without_the_gate() {
    play(async {
        let cluster = Cluster::formed_as("replicas").quiet();
        cluster.live(minutes(6)).await;
        assert_eq!(replicas(&cluster).len(), 2);
        let (replica, _) = replicas(&cluster).pop_first().unwrap();
        let group = cluster.wire.world().auto_scaling.group_of(&replica).unwrap().to_owned();
        hang(&cluster, 2);
        let mut told = Chronicle::of(&cluster);
        told.say("a core hangs, so that no other may stop, and the replicas are scaled in");
        cluster.wire.world().want(&group, 1);
        told.until("one replica is left", within(minutes(5)), |cluster| replicas(cluster).len() == 1).await;
        insta::assert_snapshot!("replicas_scaled_in", told.told());
    });
}

#[test]
fn a_drain_of_a_degraded_cluster_waits_is_given_up_and_ends_later() {
    play(async {
        let cluster = settled(3).await.with("CORE_DRAIN_TIMEOUT_MINUTES", "20");
        let mut told = Chronicle::of(&cluster);
        told.say("core 3 is lost, and there is no room for it");
        cluster.wire.world().ec2.no_capacity.insert(ZONES[2].to_owned());
        let lost = cluster.holder(3).unwrap();
        cluster.wire.world().fell_instance(&lost);
        told.live(minutes(3)).await;
        told.say("people terminate core 2");
        let old = terminate(&cluster, 2);
        let kept = |cluster: &Cluster| cluster.states(2)[&old] == "Terminating:Retained";
        told.until("it is kept", within(minutes(30)), kept).await;
        assert_eq!(cluster.metric("DrainsAbandoned", None), Some(1.0));
        told.say("there is room again");
        cluster.wire.world().ec2.no_capacity.clear();
        told.until_whole(within(minutes(40))).await;
        insta::assert_snapshot!("degraded", told.told());
    });
}

#[test]
fn the_function_is_off_for_three_days() {
    play(async {
        let cluster = settled(3).await;
        let mut told = Chronicle::of(&cluster);
        told.say("nobody looks for three days, in which core 2 begins to hang, and people terminate core 3");
        off(&cluster, true);
        hang(&cluster, 2);
        terminate(&cluster, 3);
        cluster.wire.sleep(3 * 24 * 3600).await;
        told.look();
        told.say("the function looks again");
        off(&cluster, false);
        cluster.wire.world().events.clear();
        told.live(minutes(9)).await;
        assert!(lease(&cluster).is_empty(), "nobody is restarted before ten minutes of its own");
        told.until_whole(within(hours(3))).await;
        insta::assert_snapshot!("three_days_off", told.told());
    });
}

#[test]
fn the_stack_is_deleted_in_the_middle_of_a_drain() {
    play(async {
        let cluster = Cluster::new(3).quiet();
        cluster.form().await;
        terminate(&cluster, 2);
        cluster.until("the lease is held", within(minutes(3)), |cluster| !lease(cluster).is_empty()).await;
        let took = cluster.delete(true).await;
        let world = cluster.wire.world();
        assert!(world.auto_scaling.groups.is_empty() && world.ec2.volumes.is_empty(), "{}", cluster.picture());
        assert_eq!(world.ec2.snapshots.len(), 3);
        assert!(took <= minutes(30), "the deletion took {took:?}");
    });
}
