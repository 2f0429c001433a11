//! A disk without room, and a member that hangs in its start.

use cluster_sim::time::{minutes, play};
use cluster_world::neo4j::Phase;

use super::{an_event_comes, figures, hang, look, member, safe, settled, task, whole, why};

#[test]
fn a_core_whose_disk_is_full_is_named_with_its_own_words_and_one_that_hangs_in_its_start_too() {
    play(async {
        let cluster = settled(3).await;
        let volume = cluster.nodes[2].volume.clone();
        cluster.wire.world().fill_disk(&volume);
        cluster.live(minutes(1)).await;
        let seen = look(&cluster).await;
        let said = why(&seen, 3);
        assert_eq!(said, "its copy of database neo4j is online, «No space left on device»");
        assert_eq!((whole(&seen), safe(&seen)), (vec![1, 2], vec![3]), "{seen}");
        assert_eq!(figures(&cluster), [Some(0.0), Some(0.0), Some(3.0)]);

        // It is started again, and its disk is still full: it never opens a port, and ECS takes it for healthy.
        let before = task(&cluster, 3);
        cluster.wire.world().kill_member(&before);
        cluster.live(minutes(7)).await;
        let stuck = task(&cluster, 3);
        assert_eq!(member(&cluster, 3).phase, Phase::Stuck);
        let said = why(&look(&cluster).await, 3);
        assert!(said.starts_with("its Neo4j has not answered yet: ") && said.contains(&stuck), "{said}");
        cluster.live(minutes(5)).await;
        let seen = look(&cluster).await;
        let said = why(&seen, 3);
        assert!(said.starts_with("its Neo4j has never answered, ") && said.contains(&stuck), "{said}");
        assert!(said.contains("look at its log, and at the free space of its volume"), "{said}");
        assert_eq!((task(&cluster, 3), figures(&cluster)), (stuck.clone(), [Some(0.0), Some(1.0), Some(2.0)]));

        cluster.wire.world().free_disk(&volume);
        cluster.wire.world().kill_member(&stuck);
        cluster.live(minutes(8)).await;
        let seen = look(&cluster).await;
        assert_eq!((whole(&seen), safe(&seen)), (vec![1, 2, 3], vec![1, 2, 3]), "{seen}");
    });
}

#[test]
fn two_cores_that_are_not_whole_are_counted_alike_in_sweeps_and_in_rounds_that_events_wake() {
    play(async {
        let cluster = settled(3).await;
        let volume = cluster.nodes[2].volume.clone();
        cluster.wire.world().fill_disk(&volume);
        hang(&cluster, 1, true);
        cluster.live(minutes(2)).await;
        for _ in 0..5 {
            assert_eq!(cluster.metric("CoresNotWhole", None), Some(2.0), "a sweep");
            an_event_comes(&cluster, 2).await;
            assert_eq!(cluster.metric("CoresNotWhole", None), Some(2.0), "an event");
            cluster.live(minutes(1)).await;
        }
        assert!(figures(&cluster)[0] < Some(0.0), "the majority of neo4j is gone: {:?}", figures(&cluster));
        assert_eq!(safe(&look(&cluster).await), [] as [u64; 0]);
    });
}
