//! The time without a majority, and whose doing it was.

use cluster_sim::time::{minutes, play, within};

use super::{Asking, seconds};

#[test]
fn two_of_three_cores_that_aws_takes_are_the_majority_and_the_time_until_one_is_back_counts() {
    play(async {
        let asking = Asking::formed(3);
        let instances = [1, 3].map(|core| asking.cluster.serving(core).unwrap());
        asking.cluster.wire.world().fell_instance(&instances[0]);
        asking.sleep(30).await;
        assert_eq!(seconds(asking.lost("neo4j").aws), 0, "one is no majority");
        asking.cluster.wire.world().fell_instance(&instances[1]);
        asking.sleep(30).await;
        assert_eq!(seconds(asking.lost("neo4j").aws), 30);
        assert_eq!(seconds(asking.lost("system").aws), 30);
        assert!(asking.database("neo4j").leader.is_none(), "nobody can be elected");
        asking
            .cluster
            .until("both are replaced", within(minutes(20)), |c| {
                c.is_replaced(1, &instances[0]) && c.is_replaced(3, &instances[1])
            })
            .await;
        asking.cluster.live(minutes(8)).await;
        assert!((1..=3).all(|core| asking.is_back(core)), "{}", asking.cluster.picture());
        let lost = asking.lost("neo4j");
        assert!(seconds(lost.aws) > 60, "{lost}");
        assert_eq!(seconds(lost.voluntary() + lost.itself), 0, "{lost}");
        asking.cluster.live(minutes(5)).await;
        assert_eq!(asking.lost("neo4j"), lost, "it stands still");
    });
}

#[test]
fn who_takes_the_one_that_is_too_many_is_to_blame() {
    play(async {
        let asking = Asking::formed(3);
        let cluster = asking.cluster.ecs_cluster.clone();
        let instance = asking.cluster.serving(1).unwrap();
        let (second, third) = (asking.task(2), asking.task(3));
        asking.cluster.wire.world().fell_instance(&instance);
        asking.sleep(1).await;
        asking.cluster.wire.world().stop(&cluster, &second);
        asking.sleep(15).await;
        let lost = asking.lost("neo4j");
        assert_eq!((seconds(lost.aws), seconds(lost.people)), (0, 10), "from the signal on: {lost}");

        let asking = Asking::formed(3);
        asking.cluster.wire.world().stop(&cluster, &second);
        asking.sleep(15).await;
        asking.cluster.wire.world().fell_instance(&instance);
        asking.sleep(10).await;
        let lost = asking.lost("neo4j");
        assert_eq!((seconds(lost.aws), seconds(lost.people)), (10, 0), "the stop had left a majority: {lost}");

        let asking = Asking::formed(3);
        for task in [&second, &third] {
            asking.cluster.wire.world().hang_member(task, true);
        }
        asking.sleep(10).await;
        assert_eq!(seconds(asking.lost("system").itself), 10, "nobody's doing");
    });
}

#[test]
fn a_call_of_a_function_is_told_from_what_people_do() {
    play(async {
        let asking = Asking::formed(3);
        let cluster = asking.cluster.ecs_cluster.clone();
        for core in [1, 2] {
            let body = serde_json::json!({"cluster": cluster, "task": asking.task(core)});
            let request = super::super::target("AmazonEC2ContainerServiceV20141113.StopTask", &body);
            asking.cluster.wire.world().answer(&request);
        }
        asking.sleep(15).await;
        let lost = asking.lost("neo4j");
        assert_eq!((seconds(lost.functions), seconds(lost.people), seconds(lost.aws)), (10, 0, 0), "{lost}");
        assert!(lost.to_string().contains("10 s (functions 10 s)"), "{lost}");
    });
}

#[test]
fn a_database_that_nobody_wants_loses_nothing_and_one_with_a_single_primary_goes_with_its_server() {
    play(async {
        let asking = Asking::formed(3);
        let cluster = asking.cluster.ecs_cluster.clone();
        {
            let mut world = asking.cluster.wire.world();
            assert!(world.create_database(&cluster, "single", 1, 0) && world.create_database(&cluster, "off", 3, 0));
            assert!(!world.create_database(&cluster, "toomany", 5, 0), "there are three cores");
        }
        asking.sleep(30).await;
        asking.cluster.wire.world().want_database(&cluster, "off", false);
        let host = asking.database("single").copies.keys().next().unwrap().clone();
        let core = (1..=3).find(|core| asking.member(*core).server == host).unwrap();
        asking.hang(core, true);
        asking.sleep(10).await;
        assert_eq!(seconds(asking.lost("single").itself), 10);
        let other = (1..=3).find(|other| *other != core).unwrap();
        asking.hang(other, true);
        asking.sleep(10).await;
        assert_eq!(seconds(asking.lost("neo4j").itself), 10);
        assert_eq!(seconds(asking.lost("off").itself), 0);
    });
}
