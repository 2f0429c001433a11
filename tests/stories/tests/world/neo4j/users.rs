//! Users, their rights, and logins that are refused.

use cluster_core::neo4j::statement::{self, Statement};
use cluster_sim::{cluster::Cluster, time::play};
use serde_json::{Value, json};

use super::{Asking, rows};

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["errors"][0]["code"].as_str().unwrap_or_default())
}

/// The administrator's login, as the first formation took it from the secret.
pub(super) fn admin(asking: &Asking) -> (&'static str, String) {
    let world = asking.cluster.wire.world();
    let arn = world.secrets_manager.secrets.keys().find(|arn| arn.contains("Admin")).unwrap();
    ("neo4j", world.secrets_manager.field(arn, "password").unwrap())
}

#[test]
fn the_first_formation_takes_the_administrator_from_the_secret_and_keeps_it() {
    play(async {
        let asking = Asking { cluster: Cluster::formed(3) };
        let (user, password) = admin(&asking);
        let sees = |password: &str| asking.put(1, (user, password), statement::SERVERS, &json!({}));
        assert_eq!(sees(&password).0, 202);
        let arn = asking
            .cluster
            .wire
            .world()
            .secrets_manager
            .secrets
            .keys()
            .find(|arn| arn.contains("Admin"))
            .unwrap()
            .clone();
        asking
            .cluster
            .wire
            .world()
            .set_secret(&arn, json!({"username": "neo4j", "password": "another-one"}).to_string());
        assert_eq!(code(&sees("another-one")), (401, "Neo.ClientError.Security.Unauthorized"));
        assert_eq!(sees(&password).0, 202, "what is in the secret later counts for nothing");
    });
}

#[test]
fn the_fourth_login_after_three_wrong_ones_waits_for_five_seconds_at_that_member_only() {
    play(async {
        let asking = Asking::formed(3);
        let put =
            |core: usize, password: &str| asking.put(core, ("watcher", password), statement::DATABASES, &json!({}));
        for _ in 0..3 {
            assert_eq!(code(&put(1, "wrong")), (401, "Neo.ClientError.Security.Unauthorized"));
        }
        let limited = (429, "Neo.ClientError.Security.AuthenticationRateLimit");
        assert_eq!(code(&put(1, "watcher-password")), limited, "also the right one");
        assert_eq!(put(2, "watcher-password").0, 202, "elsewhere nobody knows");
        asking.sleep(5).await;
        assert_eq!(put(1, "watcher-password").0, 202);
        for _ in 0..3 {
            put(1, "wrong");
        }
        assert_eq!(code(&put(1, "wrong")), limited);
        let nobody = || asking.put(1, ("nobody", "wrong"), statement::DATABASES, &json!({}));
        assert!((0..5).all(|_| nobody().0 == 401), "of users that do not exist nothing is remembered");
    });
}

#[test]
fn a_user_is_declared_step_by_step_and_sees_what_its_role_may() {
    play(async {
        let asking = Asking { cluster: Cluster::formed(3) };
        let (user, password) = admin(&asking);
        let name = asking.cluster.ecs_cluster.clone();
        assert!(asking.cluster.wire.world().create_database(&name, "orders", 3, 0));
        asking.sleep(20).await;
        let declare = |statement: Statement, parameters: &Value| {
            let (status, answer) = asking.put(2, (user, &password), statement, parameters);
            assert_eq!(status, 202, "{answer}");
            answer["counters"]["systemUpdates"].as_u64().unwrap()
        };
        let monitor = json!({"user": "watcher", "password": "watcher-password", "role": "watchers"});
        assert_eq!([1, 0].map(|_| declare(statement::CREATE_USER, &monitor)), [1, 0]);
        let look =
            |statement: Statement| asking.put(3, ("watcher", "watcher-password"), statement, &json!({"timeout": 1000}));
        let sees = || {
            let mut names: Vec<_> =
                rows(&look(statement::DATABASES).1).iter().map(|row| row["name"].to_string()).collect();
            names.dedup();
            names.join(" ")
        };
        let forbidden = (403, "Neo.ClientError.Security.Forbidden");
        assert_eq!(sees(), "\"neo4j\" \"system\"", "PUBLIC may see the home database, and system is always visible");
        asking.cluster.wire.world().administer(&name, |dbms, _| dbms.home_access = false);
        assert_eq!(sees(), "\"system\"");
        assert_eq!(code(&look(statement::SERVERS)), forbidden);
        assert_eq!(code(&look(statement::CREATE_ROLE)), (400, "Neo.ClientError.Statement.ParameterMissing"));
        assert_eq!(code(&asking.put(3, ("watcher", "watcher-password"), statement::CREATE_ROLE, &monitor)), forbidden);
        for statement in [
            statement::CREATE_ROLE,
            statement::GRANT_ROLE,
            statement::GRANT_ACCESS,
            statement::GRANT_SHOW_SERVERS,
            statement::GRANT_STATUS_CHECK,
        ] {
            assert_eq!([1, 0].map(|_| declare(statement, &monitor)), [1, 0], "{}", statement.text);
        }
        assert_eq!(sees(), "\"neo4j\" \"orders\" \"system\"");
        assert_eq!(rows(&look(statement::SERVERS).1).len(), 3);
        assert_eq!(code(&look(statement::STATUS_CHECK)), forbidden, "it has to be boosted, too");
        declare(statement::GRANT_STATUS_CHECK_BOOSTED, &monitor);
        let checks = rows(&look(statement::STATUS_CHECK).1);
        assert_eq!(checks.len(), 9);
        assert!(checks.iter().all(|row| row["replicationSuccessful"] == true && row["memberStatus"] == "APPLYING"));
        assert_eq!(checks.iter().filter(|row| row["requester"] == true).count(), 3);
    });
}

#[test]
fn a_password_that_must_be_changed_is_no_login() {
    play(async {
        let asking = Asking::formed(3);
        let name = asking.cluster.ecs_cluster.clone();
        asking.cluster.wire.world().administer(&name, |dbms, _| dbms.users.get_mut("watcher").unwrap().expired = true);
        let answer = asking.put(1, ("watcher", "watcher-password"), statement::DATABASES, &json!({}));
        assert_eq!(code(&answer), (400, "Neo.ClientError.Security.CredentialsExpired"));
        let (user, password) = admin(&asking);
        let other = json!({"user": "watcher", "password": "another-password"});
        assert_eq!(asking.put(1, (user, &password), statement::SET_PASSWORD, &other).0, 202);
        assert_eq!(asking.put(1, ("watcher", "another-password"), statement::DATABASES, &json!({})).0, 202);
    });
}

#[test]
fn nobody_is_declared_without_a_majority_of_system() {
    play(async {
        let asking = Asking::formed(3);
        let (user, password) = admin(&asking);
        for core in [2, 3] {
            asking.hang(core, true);
        }
        asking.sleep(30).await;
        let role = json!({"role": "watchers"});
        let answer = asking.put(1, (user, &password), statement::CREATE_ROLE, &role);
        assert_eq!(code(&answer), (400, "Neo.ClientError.Cluster.NotALeader"));
        assert_eq!(asking.put(1, (user, &password), statement::SERVERS, &json!({})).0, 202, "it still sees");
    });
}
