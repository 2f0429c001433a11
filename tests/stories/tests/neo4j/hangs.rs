//! A core's Neo4j stands still, or answers pages and no statements, while ECS calls it healthy.

use cluster_core::{instance::NOT_WHOLE, neo4j::statement};
use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
    wire,
};
use cluster_world::neo4j::{Fault, Reply, Request};
use serde_json::{Value, json};

use super::{address, an_event_comes, figures, hang, look, password, safe, settled, task, whole, why};

#[test]
fn a_core_that_stands_still_is_named_and_alarms_and_the_others_may_not_stop() {
    play(async {
        let cluster = settled(3).await;
        let hung = task(&cluster, 2);
        hang(&cluster, 2, true);
        cluster.live(minutes(2)).await;
        let seen = look(&cluster).await;
        assert_eq!((&seen["cores"][1]["task"], whole(&seen)), (&json!("RUNNING"), vec![1, 3]), "{seen}");
        let said = why(&seen, 2);
        assert!(said.starts_with(&format!("its Neo4j (task {hung}) does not answer any more: ")), "{said}");
        assert_eq!(safe(&seen), [2], "what is dead already may go: {seen}");
        for core in [0, 2] {
            let reasons = seen["cores"][core]["unsafe"].to_string();
            assert!(reasons.contains("core 2 cannot be relied on: its Neo4j gave no answer"), "{reasons}");
        }
        let missing = seen["neo4j"]["missing"].as_array().unwrap();
        assert!(missing.len() == 1 && missing[0].as_str().unwrap().starts_with("core 2 does not answer"), "{seen}");
        assert_eq!(figures(&cluster), [Some(0.0), Some(1.0), Some(2.0)]);

        hang(&cluster, 2, false);
        cluster.live(minutes(2)).await;
        let seen = look(&cluster).await;
        assert_eq!((task(&cluster, 2), whole(&seen), safe(&seen)), (hung, vec![1, 2, 3], vec![1, 2, 3]), "{seen}");
        assert_eq!(figures(&cluster), [Some(1.0), Some(0.0), Some(3.0)]);
        assert_eq!(cluster.metric("CoreNotWholeSeconds", None), Some(0.0));
    });
}

#[test]
fn the_clock_of_a_core_that_stands_still_grows_also_when_events_come_in_between() {
    play(async {
        let cluster = settled(3).await;
        hang(&cluster, 2, true);
        cluster.live(minutes(1)).await;
        let mut last = 0.0;
        for minute in 1..=31 {
            for _ in 0..3 {
                an_event_comes(&cluster, 3).await;
                assert_eq!(cluster.metric("CoresNotWhole", None), Some(1.0), "minute {minute}");
                let lasts = cluster.metric("CoreNotWholeSeconds", None).unwrap();
                assert!(lasts > last, "minute {minute}: {lasts} after {last}");
                last = lasts;
            }
            cluster.live(std::time::Duration::from_secs(45)).await;
        }
        assert!(last > NOT_WHOLE.as_secs_f64(), "{last}: nobody was told");
        let began = cluster.wire.world().now;
        let since: jiff::Timestamp = look(&cluster).await["cores"][1]["since"].as_str().unwrap().parse().unwrap();
        assert!((31..=33).contains(&(began.duration_since(since).as_mins())), "{since}");
    });
}

/// How many statements that somebody has given up run in a core as the user that looks.
fn left_over(cluster: &Cluster, core: usize) -> usize {
    let password = password(cluster, "MONITOR_SECRET_ARN");
    let body = json!({
        "statement": statement::LEFT_OVERS.text, "parameters": {"user": "monitor"}, "accessMode": "Read",
    });
    let request = Request::query("system", Some(("monitor", &password)), &body);
    let address = address(cluster, core);
    let Reply::Answer(answer) = cluster.wire.world().ask_neo4j(address, &request) else { panic!("no answer") };
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    // It sees itself.
    answer["data"]["values"].as_array().unwrap().len() - 1
}

#[test]
fn a_core_that_left_a_statement_unanswered_gets_pages_only_for_ten_minutes_and_nothing_piles_up() {
    play(async {
        let cluster = settled(3).await;
        let ill = address(&cluster, 2);
        cluster.wire.world().add_fault(ill, Fault::EndlessStatements);
        cluster.live(minutes(1)).await;
        assert_eq!(left_over(&cluster, 2), 1);
        for minute in 1..=25 {
            cluster.live(minutes(1)).await;
            assert_eq!(left_over(&cluster, 2), 1, "minute {minute}: one at a time");
            // What people look at asks nothing more.
            let seen = look(&cluster).await;
            assert_eq!((left_over(&cluster, 2), whole(&seen), safe(&seen)), (1, vec![1, 3], vec![2]), "{seen}");
            let said = why(&seen, 2);
            assert!(said.starts_with("its Neo4j answers no statements: "), "{said}");
            assert_eq!(figures(&cluster)[1..], [Some(0.0), Some(3.0)], "it answers pages");
        }
        cluster.wire.world().heal(ill);
        cluster.live(minutes(11)).await;
        let seen = look(&cluster).await;
        assert_eq!((left_over(&cluster, 2), whole(&seen), safe(&seen)), (0, vec![1, 2, 3], vec![1, 2, 3]), "{seen}");
    });
}

#[test]
fn a_restart_that_died_with_the_function_is_made_up_for_within_minutes() {
    play(async {
        let cluster = settled(3).await;
        let hung = task(&cluster, 2);
        hang(&cluster, 2, true);
        // It has noted the restart, and its call never arrives.
        cluster.wire.plan_for("ecs:StopTask", 1, wire::Fault::Kill);
        tokio::select! {
            biased;
            () = cluster.wire.killed() => {}
            () = cluster.live(minutes(20)) => panic!("nobody stopped it"),
        }
        let is_stopped = |cluster: &Cluster| {
            let world = cluster.wire.world();
            world.ecs.clusters[&cluster.ecs_cluster].tasks.get(&hung).is_none_or(|task| !task.wanted)
        };
        assert!(!is_stopped(&cluster));
        cluster.until("its task is stopped", within(minutes(6)), is_stopped).await;
    });
}
