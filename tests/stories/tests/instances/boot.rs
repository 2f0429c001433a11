//! Cores boot for the first time, each on its own volume, whatever is on it and whoever is late.

use cluster_sim::{
    cluster::{Cluster, ZONES},
    events::{delivered, messages},
    time::{minutes, play, within},
};
use cluster_world::ec2::Contents;

#[test]
fn three_cores_boot_for_the_first_time_each_on_its_own_volume() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.form().await;
        for core in 1..=3 {
            assert_eq!(cluster.holder(core), cluster.serving(core), "core {core}");
            assert_eq!(cluster.contents(core), Contents::Xfs, "core {core}: a blank volume is formatted");
        }
        let world = cluster.wire.world();
        let attached = world.calls.iter().filter(|call| call.action == "ec2:AttachVolume").count();
        assert_eq!(attached, 3, "each volume is attached once");
        assert!(world.ecs.clusters[&cluster.ecs_cluster].container_instances.values().all(|host| !host.root_disk));
    });
}

#[test]
fn events_alone_bring_a_core_up_without_waiting_for_a_sweep() {
    play(async {
        let cluster = Cluster::new(3);
        // Launched, attached, registered: each is told at once but for the running instance, which only a sweep sees.
        for _ in 0..12 {
            cluster.wire.sleep(5).await;
            let events = std::mem::take(&mut cluster.wire.world().events);
            for event in events {
                cluster.invoke(messages(&[delivered(&event)])).await.unwrap();
            }
        }
        assert_eq!(cluster.holder(1), cluster.in_state(1, "InService"));
    });
}

#[test]
fn sweeps_alone_bring_cores_up_when_every_event_is_lost() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.live_without_events(minutes(6)).await;
        for core in 1..=3 {
            assert!(cluster.serving(core).is_some(), "core {core}: {:?}", cluster.states(core));
        }
    });
}

#[test]
fn a_volume_that_carries_something_else_is_left_alone_and_its_instance_refused() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[1].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Foreign;
        cluster.live(minutes(15)).await;
        let first = cluster.in_state(2, "Pending:Wait").unwrap();
        cluster.live(minutes(10)).await;
        assert_eq!(cluster.contents(2), Contents::Foreign, "what is on a volume is never overwritten");
        assert!(cluster.serving(2).is_none());
        assert!(!cluster.states(2).contains_key(&first), "an agent that never registers is refused");
        let refused =
            cluster.metrics.lock().unwrap().iter().filter_map(|line| line["LaunchesAbandoned"].as_f64()).sum::<f64>();
        assert!(refused >= 1.0, "people are told");
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some(), "the others are not held up");
    });
}

#[test]
fn a_formatted_volume_is_mounted_as_it_is() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[0].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Xfs;
        cluster.until("core 1 serves", within(minutes(5)), |c| c.serving(1).is_some()).await;
    });
}

#[test]
fn a_volume_with_the_tags_of_another_core_or_cluster_is_never_attached() {
    for (tag, value) in [("neo4j:core", "1"), ("neo4j:cluster", "other")] {
        play(async {
            let cluster = Cluster::new(3);
            let volume = cluster.nodes[1].volume.clone();
            cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().tags.insert(tag.to_owned(), value.to_owned());
            cluster.live(minutes(20)).await;
            assert_eq!(cluster.holder(2), None, "{tag}");
            assert_eq!(
                cluster.metric("InstancesStuck", None),
                Some(1.0),
                "{tag}: time does not mend it, so people are told"
            );
            let first = cluster.in_state(2, "Pending:Wait").unwrap();
            cluster.live(minutes(20)).await;
            assert!(!cluster.states(2).contains_key(&first), "{tag}: its hook runs out without heartbeats");
            assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some(), "{tag}");
        });
    }
}

#[test]
fn a_refused_attachment_is_tried_again_and_holds_nobody_else_up() {
    play(async {
        let cluster = Cluster::new(3);
        let errors = ["AttachmentLimitExceeded", "RequestLimitExceeded", "IncorrectState", "UnauthorizedOperation"];
        cluster.wire.world().ec2.attach_errors.extend(errors);
        cluster.form().await;
    });
}

#[test]
fn an_instance_that_starts_while_the_function_is_away_is_replaced_when_its_hook_runs_out() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        let first = cluster.in_state(1, "Pending:Wait").unwrap();
        cluster.wire.sleep(31 * 60).await;
        assert!(!cluster.states(1).contains_key(&first), "{:?}", cluster.states(1));
        cluster.until("core 1 serves again", within(minutes(6)), |c| c.is_replaced(1, &first)).await;
    });
}

#[test]
fn a_zone_without_capacity_holds_up_its_own_core_only() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        let first = cluster.in_state(2, "Pending:Wait").or(cluster.in_state(2, "Pending"));
        if let Some(first) = first {
            cluster.wire.world().lose_instance(&first);
        }
        cluster.live(minutes(10)).await;
        assert!(cluster.serving(2).is_none());
        assert!(cluster.serving(1).is_some() && cluster.serving(3).is_some());
        cluster.wire.world().ec2.no_capacity.clear();
        cluster.until("core 2 serves", within(minutes(8)), |c| c.serving(2).is_some()).await;
    });
}
