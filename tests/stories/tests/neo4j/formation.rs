//! A cluster that has formed is seen.

use std::collections::BTreeSet;

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, within},
};
use cluster_world::neo4j::Phase;
use serde_json::json;

use super::{dbms, figures, logs_in, look, password, safe, settled, whole};

#[test]
fn the_monitor_is_declared_by_itself_with_the_generated_password_and_its_rights() {
    play(async {
        let cluster = Cluster::new(3);
        let answer = |cluster: &Cluster| {
            let world = cluster.wire.world();
            world.neo4j.members.values().filter(|member| member.phase == Phase::Serving).count() == 3
        };
        cluster.until("every Neo4j answers", within(minutes(8)), answer).await;
        assert!(!dbms(&cluster).users.contains_key("monitor"), "nobody has declared it by then");
        cluster.live(minutes(2)).await;
        let declared = dbms(&cluster).users["monitor"].clone();
        let generated = password(&cluster, "MONITOR_SECRET_ARN");
        assert_eq!((&declared.password, declared.expired, generated.len() >= 32), (&generated, false, true));
        assert!((1..=3).all(|core| logs_in(&cluster, core, "monitor", &generated) == 202));
        cluster.live(minutes(1)).await;
        let seen = look(&cluster).await;
        assert_eq!((safe(&seen), &seen["neo4j"]["margin"]), (vec![1, 2, 3], &json!(1)), "{seen}");
        let users: BTreeSet<_> = dbms(&cluster).users.into_keys().collect();
        assert_eq!(users, ["monitor", "neo4j"].map(str::to_owned).into());
    });
}

#[test]
fn all_is_well_with_a_cluster_that_has_formed() {
    for cores in [3, 5, 7] {
        play(async {
            let cluster = settled(cores).await;
            let seen = look(&cluster).await;
            let all: Vec<_> = (1..=u64::try_from(cores).unwrap()).collect();
            assert_eq!((safe(&seen), whole(&seen)), (all.clone(), all), "{seen}");
            let answering = Some(f64::from(u32::try_from(cores).unwrap()));
            // The default database has three primaries, of which two are a majority, however many cores there are.
            assert_eq!(figures(&cluster), [Some(1.0), Some(0.0), answering]);
            for fault in ["MonitorLoginsRefused", "MonitorRightsMissing", "CoresNotWhole", "CoreNotWholeSeconds"] {
                assert_eq!(cluster.metric_beside("MembersAnswering", fault, None), Some(0.0), "{fault}");
            }
            let table = seen["table"].as_str().unwrap();
            assert!((1..=cores).all(|core| table.contains(&format!("core {core}"))), "{table}");
            assert!(!seen.to_string().contains(&password(&cluster, "MONITOR_SECRET_ARN")), "no password is shown");
        });
    }
}

#[test]
fn a_sweep_in_which_all_is_well_makes_nine_calls_and_writes_nothing() {
    play(async {
        let cluster = settled(3).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let world = cluster.wire.world();
        let made: Vec<_> = world.calls[from..].iter().map(|call| call.action.clone()).collect();
        assert_eq!(world.count_calls(from), (9, 0), "{made:?}");
        let count = |action: &str| made.iter().filter(|made| *made == action).count();
        assert_eq!((count("lambda:InvokeFunction"), count("secretsmanager:GetSecretValue")), (1, 0), "{made:?}");
    });
}
