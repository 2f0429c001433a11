//! Formation, death and return, stops, hangs, full disks.

use cluster_core::neo4j::statement;
use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};
use cluster_world::{
    ec2::Contents,
    neo4j::{Phase, Reply, Tier},
};
use serde_json::json;

use super::{Asking, json_of};

#[test]
fn three_five_and_seven_cores_form_one_dbms() {
    for (cores, primaries) in [(3, 3), (5, 3), (7, 3)] {
        play(async {
            let asking = Asking { cluster: Cluster::formed(cores) };
            let dbms = asking.dbms();
            assert_eq!(asking.cluster.wire.world().neo4j.dbms.len(), 1, "{cores}: one of all");
            let enabled = dbms.servers.values().filter(|server| server.tier == Tier::Core && server.state == "Enabled");
            assert_eq!(enabled.count(), cores);
            assert_eq!(dbms.databases["system"].voters().count(), cores, "system is on every core");
            assert_eq!(dbms.databases["neo4j"].voters().count(), primaries);
            for (name, database) in &dbms.databases {
                assert!(database.leader.is_some() && database.has_majority(), "{cores}: {name} is led");
            }
            for core in 1..=cores {
                assert!(asking.is_back(core), "{cores}: core {core} answers");
                assert_eq!(json_of(asking.get(core, "/")).0, 200);
            }
            let lost = asking.cluster.wire.world().without_majority();
            assert!(lost.is_empty(), "nothing is lost that was never there: {lost:?}");
        });
    }
}

#[test]
fn a_core_answers_nobody_before_the_cluster_has_formed_and_fewer_than_the_minimum_form_none() {
    play(async {
        let asking = Asking { cluster: Cluster::new(3) };
        let volume = asking.cluster.nodes[2].volume.clone();
        asking.cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Foreign;
        let serve = |cluster: &Cluster| cluster.serving(1).is_some() && cluster.serving(2).is_some();
        asking.cluster.until("two cores run", within(minutes(5)), serve).await;
        asking.cluster.live(minutes(10)).await;
        assert_eq!((asking.phase(1), asking.phase(2)), (Some(Phase::Discovering), Some(Phase::Discovering)));
        assert_eq!(asking.get(1, "/"), Reply::Refused);
        assert!(asking.cluster.wire.world().neo4j.dbms.is_empty());
        asking.cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().contents = Contents::Blank;
        let third = asking.cluster.holder(3).unwrap();
        asking.cluster.wire.world().reboot(&third);
        asking.cluster.until("all cores run", within(minutes(5)), |cluster| cluster.serving(3).is_some()).await;
        asking.cluster.live(minutes(2)).await;
        assert!((1..=3).all(|core| asking.is_back(core)));
    });
}

#[test]
fn a_core_that_died_is_the_same_server_again_on_another_instance() {
    play(async {
        let asking = Asking::formed(3);
        let (before, instance) = (asking.member(2), asking.cluster.serving(2).unwrap());
        asking.cluster.wire.world().fell_instance(&instance);
        let raft = |asking: &Asking| asking.database("neo4j").copies[&before.server].raft.clone();
        let member_id = raft(&asking);
        asking.cluster.until("it is replaced", within(minutes(15)), |c| c.is_replaced(2, &instance)).await;
        asking.cluster.live(minutes(3)).await;
        let after = asking.member(2);
        assert_eq!((&after.server, raft(&asking)), (&before.server, member_id), "the volume has the id");
        assert_ne!(after.address, before.address);
        assert!(asking.is_back(2));
        assert_eq!(asking.dbms().servers.len(), 3, "no other server came");
        assert_eq!(asking.dbms().servers[&after.server].address, after.address);
        let lost = asking.cluster.wire.world().without_majority();
        assert!(lost.is_empty(), "two of three are a majority: {lost:?}");
    });
}

#[test]
fn a_core_with_a_blank_volume_is_another_server_and_the_old_one_keeps_its_vote() {
    play(async {
        let asking = Asking::formed(3);
        let (before, instance) = (asking.member(2), asking.cluster.serving(2).unwrap());
        asking.cluster.wire.world().fell_instance(&instance);
        let volume = asking.cluster.nodes[1].volume.clone();
        asking.cluster.wire.world().neo4j.stores.remove(&volume);
        asking.cluster.until("it is replaced", within(minutes(15)), |c| c.is_replaced(2, &instance)).await;
        asking.cluster.live(minutes(4)).await;
        let after = asking.member(2);
        assert_ne!(after.server, before.server);
        assert!(asking.is_back(2));
        let dbms = asking.dbms();
        assert_eq!((dbms.servers.len(), dbms.servers[&after.server].state), (4, "Enabled"));
        assert_eq!(dbms.databases["system"].voters().count(), 4, "the dead one still votes");
        assert_eq!(dbms.databases["system"].majority(), 3);
        let hosts = dbms.databases["neo4j"].copies.keys().collect::<Vec<_>>();
        assert!(hosts.contains(&&before.server) && !hosts.contains(&&after.server), "it hosts only system");
        let servers = asking.rows(1, statement::SERVERS);
        let of = |id: &str| servers.iter().find(|server| server["serverId"] == id).unwrap();
        assert_eq!(of(&after.server)["hosting"], json!(["system"]));
        assert_eq!(of(&before.server)["health"], "Unavailable");
        assert_eq!(of(&before.server)["requestedHosting"], json!(["neo4j", "system"]));
    });
}

#[test]
fn a_leader_that_stops_hands_over_at_once_and_one_that_dies_is_given_up_after_twenty_seconds() {
    for clean in [true, false] {
        play(async {
            let asking = Asking::formed(3);
            let old = asking.database("neo4j").leader.unwrap();
            let core = (1..=3).find(|core| asking.member(*core).server == old).unwrap();
            let task = asking.task(core);
            if clean {
                let cluster = asking.cluster.ecs_cluster.clone();
                asking.cluster.wire.world().stop(&cluster, &task);
                // DEACTIVATING, then the signal.
                asking.sleep(5).await;
                assert_eq!(asking.database("neo4j").leader, None);
                let task = asking.cluster.wire.world().ecs.clusters[&cluster].tasks[&task].clone();
                assert_eq!(task.status, "STOPPING", "it writes its checkpoint");
                asking.sleep(2).await;
            } else {
                asking.cluster.wire.world().kill_member(&task);
                asking.sleep(19).await;
                assert_eq!(asking.database("neo4j").leader.as_ref(), Some(&old), "nobody knows yet");
                asking.sleep(5).await;
            }
            let new = asking.database("neo4j").leader;
            assert!(new.is_some() && new != Some(old), "clean: {clean}: {new:?}");
        });
    }
}

#[test]
fn a_stop_takes_as_long_as_its_checkpoint() {
    for (busy, low, high) in [(false, 11, 20), (true, 44, 44)] {
        play(async {
            let asking = Asking::formed(3);
            let (task, cluster) = (asking.task(1), asking.cluster.ecs_cluster.clone());
            asking.cluster.wire.world().neo4j.members.get_mut(&task).unwrap().busy = busy;
            asking.cluster.wire.world().stop(&cluster, &task);
            asking.sleep(5).await;
            let status = || asking.cluster.wire.world().ecs.clusters[&cluster].tasks[&task].status;
            let mut took = 0;
            while status() != "STOPPED" {
                assert_eq!(status(), "STOPPING");
                asking.sleep(1).await;
                took += 1;
            }
            assert!((low..=high).contains(&took), "busy: {busy}: {took} s");
            assert!(asking.cluster.wire.world().neo4j.stores[&asking.cluster.nodes[0].volume].clean);
        });
    }
}

#[test]
fn a_process_that_stands_still_runs_for_ecs_and_answers_nobody() {
    play(async {
        let asking = Asking::formed(3);
        let task = asking.task(1);
        asking.cluster.wire.world().hang_member(&task, true);
        asking.cluster.live(minutes(3)).await;
        assert_eq!(asking.task(1), task);
        let known = asking.cluster.wire.world().ecs.clusters[&asking.cluster.ecs_cluster].tasks[&task].clone();
        assert_eq!((known.status, known.health), ("RUNNING", "HEALTHY"));
        assert_eq!(asking.get(1, "/"), Reply::Silence);
        let server = asking.member(1).server;
        let seen = asking.rows(2, statement::SERVERS);
        assert!(seen.iter().any(|row| row["serverId"] == json!(server) && row["health"] == "Unavailable"), "{seen:?}");
        let seen = asking.rows(2, statement::DATABASES);
        let row = seen.iter().find(|row| row["name"] == "system" && row["serverID"] == json!(server)).unwrap();
        assert_eq!((&row["currentStatus"], &row["address"]), (&json!("unknown"), &json!(null)));
        assert_eq!(row["statusMessage"], "Server is unavailable");
        asking.cluster.wire.world().hang_member(&task, false);
        asking.cluster.live(minutes(2)).await;
        assert!(asking.is_back(1));
    });
}

#[test]
fn a_full_disk_looks_online_stops_without_end_and_hangs_in_its_next_start() {
    play(async {
        let asking = Asking::formed(3);
        let (task, cluster) = (asking.task(1), asking.cluster.ecs_cluster.clone());
        let (server, volume) = (asking.member(1).server, asking.cluster.nodes[0].volume.clone());
        asking.cluster.wire.world().fill_disk(&volume);
        for core in [1, 2] {
            let seen = asking.rows(core, statement::DATABASES);
            let row = seen.iter().find(|row| row["name"] == "neo4j" && row["serverID"] == json!(server)).unwrap();
            assert_eq!(
                (&row["currentStatus"], &row["statusMessage"]),
                (&json!("online"), &json!("No space left on device"))
            );
        }
        assert_eq!(json_of(asking.get(1, "/")).0, 200, "the first page answers as ever");
        let query = json!({"statement": "MATCH (n) RETURN count(n)", "accessMode": "Read"});
        let login = Some(("watcher", "watcher-password"));
        let refused = asking.ask(1, &cluster_world::neo4j::Request::query("neo4j", login, &query));
        let (status, body) = json_of(refused);
        assert_eq!(
            (status, &body["errors"][0]["code"]),
            (500, &json!("Neo.DatabaseError.Transaction.TransactionStartFailed"))
        );

        asking.cluster.wire.world().stop(&cluster, &task);
        asking.cluster.live(minutes(15)).await;
        let status = asking.cluster.wire.world().ecs.clusters[&cluster].tasks[&task].status;
        assert_eq!(status, "STOPPING", "the process never ends");
        asking.cluster.live(minutes(10)).await;
        assert_ne!(asking.task(1), task, "it was killed at the end of its time");
        assert_eq!((asking.phase(1), asking.get(1, "/")), (Some(Phase::Stuck), Reply::Refused));
        let stuck = asking.task(1);
        let known = asking.cluster.wire.world().ecs.clusters[&cluster].tasks[&stuck].clone();
        assert_eq!((known.status, known.health), ("RUNNING", "HEALTHY"), "ECS sees nothing wrong");

        asking.cluster.wire.world().free_disk(&volume);
        asking.cluster.live(minutes(5)).await;
        assert_eq!(asking.phase(1), Some(Phase::Stuck), "room alone does not end it");
        asking.cluster.wire.world().kill_member(&stuck);
        asking.cluster.live(minutes(3)).await;
        assert!(asking.is_back(1));
    });
}

#[test]
fn snapshots_of_all_volumes_bring_the_users_and_the_server_ids_along() {
    play(async {
        let asking = Asking::formed(3);
        let volumes: Vec<_> = asking.cluster.nodes.iter().map(|node| node.volume.clone()).collect();
        let mut world = asking.cluster.wire.world();
        let snapshots: Vec<_> = volumes.iter().map(|volume| world.snapshot(volume, "").unwrap()).collect();
        for (volume, snapshot) in volumes.iter().zip(&snapshots) {
            let properties = json!({"AvailabilityZone": "eu-west-1a", "Size": "10", "SnapshotId": snapshot});
            let copy = world.create("AWS::EC2::Volume", "Copy", &properties).unwrap().unwrap().physical_id;
            let (old, new) = (world.neo4j.stores[volume].clone(), world.neo4j.stores[&copy].clone());
            assert_eq!((old.server, old.dbms, new.clean), (new.server, new.dbms, false));
        }
    });
}
