//! The user that looks is refused: it is declared again, or people are told which secret is wrong.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
};
use cluster_world::neo4j::Privilege;
use serde_json::json;

use super::{dbms, logs_in, look, password, safe, secret, set_password, settled, whole};

/// What the users of an old cluster have, which snapshots bring along.
const OLD: &str = "of-the-old-cluster";

/// How often the gateway was asked to declare users.
fn declarations(cluster: &Cluster) -> usize {
    let world = cluster.wire.world();
    world.calls.iter().filter(|call| call.action == "lambda:InvokeFunction" && call.write).count()
}

/// Gives the secret of the administrator this password.
fn give_admin(cluster: &Cluster, password: &str) {
    let value = json!({"username": "neo4j", "password": password}).to_string();
    let arn = secret(cluster, "ADMIN_SECRET_ARN");
    cluster.wire.world().set_secret(&arn, value);
}

fn refused(cluster: &Cluster) -> Option<f64> {
    cluster.metric_beside("MembersAnswering", "MonitorLoginsRefused", None)
}

#[test]
fn the_monitor_of_an_old_cluster_is_declared_again_where_the_administrator_is_known() {
    play(async {
        let cluster = settled(3).await;
        set_password(&cluster, "monitor", OLD);
        let before = declarations(&cluster);
        cluster.live(minutes(1)).await;
        assert_eq!((refused(&cluster), declarations(&cluster) - before), (Some(3.0), 1));
        assert_eq!(cluster.metric("QuorumMargin", None), Some(1.0), "absent: the last one is of the sweep before");
        assert_eq!(dbms(&cluster).users["monitor"].password, password(&cluster, "MONITOR_SECRET_ARN"));
        cluster.live(minutes(1)).await;
        let seen = look(&cluster).await;
        assert_eq!((refused(&cluster), safe(&seen), whole(&seen)), (Some(0.0), vec![1, 2, 3], vec![1, 2, 3]), "{seen}");
        cluster.live(minutes(10)).await;
        assert_eq!(declarations(&cluster) - before, 1, "once is enough");
    });
}

#[test]
fn a_monitor_whose_password_must_be_changed_or_whose_rights_are_gone_is_declared_again() {
    play(async {
        let cluster = settled(3).await;
        cluster.wire.world().administer(&cluster.ecs_cluster, |dbms, _| {
            dbms.users.get_mut("monitor").unwrap().expired = true;
        });
        cluster.live(minutes(2)).await;
        assert_eq!((safe(&look(&cluster).await), refused(&cluster)), (vec![1, 2, 3], Some(0.0)));
        cluster.wire.world().administer(&cluster.ecs_cluster, |dbms, _| {
            for role in dbms.roles.values_mut() {
                role.remove(&Privilege::ShowServers);
            }
        });
        cluster.live(minutes(1)).await;
        assert_eq!(cluster.metric("MonitorRightsMissing", None), Some(3.0));
        let seen = look(&cluster).await;
        assert_eq!((safe(&seen), whole(&seen)), (vec![], vec![1, 2, 3]), "a fault of rights, not of cores: {seen}");
        // Within an hour of the last declaration nothing is granted again: what was granted a moment ago and is gone was taken.
        cluster.live(minutes(61)).await;
        let seen = look(&cluster).await;
        let missing = cluster.metric_beside("MembersAnswering", "MonitorRightsMissing", None);
        assert_eq!((safe(&seen), missing), (vec![1, 2, 3], Some(0.0)), "{seen}");
    });
}

#[test]
fn a_wrong_secret_of_the_administrator_is_tried_once_an_hour_named_and_locks_nobody_out() {
    play(async {
        let cluster = settled(3).await;
        for user in ["monitor", "neo4j"] {
            set_password(&cluster, user, OLD);
        }
        let before = declarations(&cluster);
        for minute in 1..=59 {
            cluster.live(minutes(1)).await;
            assert_eq!((refused(&cluster), declarations(&cluster) - before), (Some(3.0), 1), "minute {minute}");
            for core in 1..=3 {
                assert_eq!(logs_in(&cluster, core, "neo4j", OLD), 202, "minute {minute}: a person is locked out");
            }
        }
        // Too many attempts in a row lock a user for five seconds, which is another answer.
        let locked = look(&cluster).await["neo4j"]["monitor"].to_string();
        assert!(locked.contains("the user monitor is locked for some seconds on 10."), "{locked}");
        cluster.wire.sleep(10).await;
        let seen = look(&cluster).await;
        assert_eq!(declarations(&cluster) - before, 1, "a dry run declares nobody");
        let said = seen["neo4j"]["monitor"].as_str().unwrap();
        assert!(said.contains(&secret(&cluster, "ADMIN_SECRET_ARN")), "{said}");
        assert!(said.starts_with("the login of the user monitor is refused by 10."), "{said}");
        assert_eq!(
            (safe(&seen), whole(&seen)),
            (vec![], vec![1, 2, 3]),
            "a refused login is no fault of a core: {seen}"
        );
        cluster.live(minutes(3)).await;
        assert_eq!(declarations(&cluster) - before, 2, "and once more an hour later");

        // Another wrong one is tried at once, and once; so is the right one.
        give_admin(&cluster, "another-wrong-one");
        cluster.live(minutes(5)).await;
        assert_eq!((refused(&cluster), declarations(&cluster) - before), (Some(3.0), 3));
        give_admin(&cluster, OLD);
        cluster.live(minutes(2)).await;
        let seen = look(&cluster).await;
        assert_eq!((refused(&cluster), declarations(&cluster) - before), (Some(0.0), 4));
        assert_eq!(safe(&seen), [1, 2, 3], "{seen}");
    });
}

#[test]
fn a_monitors_secret_that_was_rotated_is_declared() {
    play(async {
        let cluster = settled(3).await;
        let arn = secret(&cluster, "MONITOR_SECRET_ARN");
        let value = json!({"username": "monitor", "password": "rotated-password"}).to_string();
        cluster.wire.world().set_secret(&arn, value);
        // The login is kept for an hour, and works until somebody sets the new one.
        cluster.live(minutes(63)).await;
        assert_eq!(dbms(&cluster).users["monitor"].password, "rotated-password");
        assert_eq!((refused(&cluster), safe(&look(&cluster).await)), (Some(0.0), vec![1, 2, 3]));
    });
}

#[test]
fn a_secret_of_the_monitor_that_cannot_be_read_is_named_and_alarms() {
    play(async {
        let cluster = Cluster::formed(3);
        let arn = secret(&cluster, "MONITOR_SECRET_ARN");
        cluster.wire.world().set_secret(&arn, "no JSON".to_owned());
        cluster.live(minutes(7)).await;
        assert_eq!((refused(&cluster), cluster.metric("MembersAnswering", None)), (Some(3.0), Some(3.0)));
        let seen = look(&cluster).await;
        let said = seen["neo4j"]["monitor"].as_str().unwrap();
        assert!(said.contains(&arn) && said.contains("correct it"), "{said}");
        assert_eq!((safe(&seen), whole(&seen)), (vec![], vec![1, 2, 3]), "{seen}");
    });
}
