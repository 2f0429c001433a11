//! Container instances that are registered twice, left out of a list, or forgotten late.

use std::net::Ipv4Addr;

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
    wire::Fault,
};
use cluster_world::ecs::ContainerInstance;
use serde_json::json;

use super::registration;

#[test]
fn both_registrations_of_one_instance_are_asked_and_deregistered() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        {
            // Its agent had lost its checkpoint, and registered anew; the second registration has no task.
            let mut world = cluster.wire.world();
            let second = ContainerInstance { id: "f".repeat(32), ..registration(&mut world, &ill).clone() };
            let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
            all.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        cluster.live(minutes(1)).await;
        cluster.wire.world().impair(&ill);
        cluster.live(minutes(12)).await;
        let left = cluster.wire.world().ecs.clusters[&cluster.ecs_cluster]
            .container_instances
            .values()
            .filter(|host| host.instance.as_deref() == Some(&ill))
            .count();
        assert_eq!(left, 0, "nothing is known of it any more");
        assert!(cluster.serving(2).is_some_and(|new| new != ill), "{:?}", cluster.states(2));
    });
}

#[test]
fn a_list_that_leaves_an_instance_out_proves_nothing() {
    play(async {
        let cluster = Cluster::new(3);
        // When nothing had registered yet: that is what a stale list will say.
        cluster.wire.remember();
        cluster.form().await;
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&ill);
        cluster.wire.sleep(5).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let calls: Vec<_> = cluster.wire.world().calls[from..].iter().map(|call| call.action.clone()).collect();
        let listed = calls.iter().position(|action| action == "ecs:ListContainerInstances").unwrap();
        cluster.wire.plan(listed + 1, Fault::Stale);
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.struck().len(), 1, "the list was stale: {calls:?}");
        cluster.wire.sleep(5).await;
        assert_eq!(cluster.states(2)[&ill], "Terminating:Wait", "it is not let go for having never joined");
    });
}

#[test]
fn a_registration_that_is_deregistering_holds_nothing_up() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(1)).await;
        // Only its trunk network interface is still to go.
        cluster.set_status(2, "DEREGISTERING");
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(3)).await;
        assert!(!cluster.states(2).contains_key(&old), "{:?}", cluster.states(2));
        let world = cluster.wire.world();
        let asked = world.calls.iter().filter(|call| call.action == "ecs:DeregisterContainerInstance").count();
        assert_eq!(asked, 0);
    });
}

#[test]
fn the_ecs_cluster_can_be_deleted_although_ecs_forgets_ended_instances_late() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.wire.world().ecs.deregisters = 20 * 60;
        let took = cluster.delete(true).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
        let deleted = cluster.wire.world().delete("AWS::ECS::Cluster", &cluster.ecs_cluster, &json!({}));
        assert!(deleted.is_ok(), "{deleted:?}");
    });
}

#[test]
fn silent_registrations_of_many_replicas_cost_a_handful_of_calls() {
    play(async {
        let cluster = Cluster::formed(3);
        {
            let mut world = cluster.wire.world();
            let like = cluster.nodes[0].group.clone();
            let first = world.auto_scaling.groups[&like].members.keys().next().unwrap().clone();
            let pattern = registration(&mut world, &first).clone();
            for n in 0..100_u8 {
                let id = format!("{n:032x}");
                let instance = Some(format!("i-{n:017x}"));
                let connected = n % 3 != 0;
                let host = ContainerInstance { id, instance, connected, attributes: [].into(), ..pattern.clone() };
                world
                    .ecs
                    .clusters
                    .get_mut(&cluster.ecs_cluster)
                    .unwrap()
                    .container_instances
                    .insert(Ipv4Addr::new(10, 1, 0, n), host);
            }
        }
        let from = cluster.wire.world().calls.len();
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let calls = cluster.wire.world().count_calls(from).0;
        assert!(calls <= 12, "{calls} calls for 34 silent registrations of 103");
    });
}

#[test]
fn two_registrations_one_of_them_connected_hold_no_deletion_up() {
    play(async {
        let cluster = Cluster::formed(3);
        let instance = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&instance);
        {
            // Its agent has lost its checkpoint and registered anew; ECS counts on the task of the first registration.
            let mut world = cluster.wire.world();
            let first = registration(&mut world, &instance).clone();
            let second = ContainerInstance { id: "f".repeat(32), connected: true, ..first };
            let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
            all.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        cluster.live(minutes(1)).await;
        let took = cluster.delete(true).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
    });
}

#[test]
fn a_registration_that_outlived_its_instance_keeps_no_core_from_leaving() {
    play(async {
        let cluster = Cluster::formed(3);
        {
            // Somebody's own instance with a task of theirs: its agent was disconnected when it was terminated, and EC2 has
            // forgotten it since.
            let first = cluster.serving(1).unwrap();
            let mut world = cluster.wire.world();
            let pattern = registration(&mut world, &first).clone();
            let (id, instance) = ("f".repeat(32), Some(format!("i-{:017x}", 0xf)));
            let stale = ContainerInstance { id, instance, connected: false, attributes: [].into(), ..pattern };
            let place = Ipv4Addr::new(10, 0, 9, 9);
            let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
            all.insert(place, stale);
            world.run_task(&cluster.ecs_cluster, "cron", place);
        }
        let old = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&old);
        cluster.until("another instance serves as core 2", within(minutes(5)), |it| it.is_replaced(2, &old)).await;
        let (world, left) = (cluster.wire.world(), format!("i-{:017x}", 0xf));
        assert_eq!(world.tasks_on(&left).count(), 1, "nobody but its owner removes it");
    });
}
