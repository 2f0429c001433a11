//! The answers of a healthy member.

use std::collections::BTreeSet;

use cluster_core::neo4j::statement;
use cluster_facts::answers::{Answers, User as Account};
use cluster_sim::time::play;
use cluster_world::neo4j::{Reply, Request, User, http::basic};
use serde_json::{Value, json};

use super::{Asking, json_of};

#[test]
fn every_statement_of_the_product_is_known() {
    play(async {
        let asking = Asking::formed(3);
        let parameters = json!({
            "timeout": 1000, "user": "somebody", "ids": [], "password": "some-password", "role": "some-role",
        });
        for (name, statement) in statement::ALL {
            let (_, answer) = asking.put(1, ("watcher", "watcher-password"), *statement, &parameters);
            let known = !answer.to_string().contains("the world does not know");
            assert!(
                known && answer["errors"][0]["code"] != "Neo.ClientError.Statement.SyntaxError",
                "{name}: {answer}"
            );
        }
    });
}

#[test]
fn members_agree_on_servers_databases_and_raft() {
    play(async {
        let asking = Asking::formed(5);
        let raft = |core: usize| json_of(asking.get(core, "/dbms/cluster/status")).1;
        let of = |raft: &Value, name: &str| {
            let found = raft.as_array().unwrap().iter().find(|entry| entry["databaseName"] == name);
            found.map(|entry| entry["databaseStatus"].clone())
        };
        let servers: BTreeSet<_> = (1..=5).map(|core| asking.member(core).server).collect();
        let (mut members, mut hosts) = (BTreeSet::new(), 0);
        for core in 1..=5 {
            let system = of(&raft(core), "system").unwrap();
            let (member, voters) = (system["memberId"].as_str().unwrap().to_owned(), system["votingMembers"].clone());
            assert_eq!(voters.as_array().unwrap().len(), 5);
            assert!(voters.as_array().unwrap().contains(&json!(member)) && !servers.contains(&member));
            assert_eq!(
                (&system["healthy"], &system["leader"]),
                (&json!(true), &of(&raft(1), "system").unwrap()["leader"])
            );
            members.insert(member);
            hosts += usize::from(of(&raft(core), "neo4j").is_some());
            assert_eq!(asking.rows(core, statement::DATABASES).len(), 8);
            let seen = asking.rows(core, statement::SERVERS);
            assert!(
                seen.len() == 5 && seen.iter().all(|row| row["state"] == "Enabled" && row["health"] == "Available")
            );
        }
        assert_eq!((members.len(), hosts), (5, 3), "each has an id of its own, and three host neo4j");
        let databases = asking.rows(1, statement::DATABASES);
        let writers: Vec<_> = databases.iter().filter(|row| row["writer"] == true).map(|row| &row["name"]).collect();
        assert_eq!(writers, ["neo4j", "system"]);
        for row in &databases {
            let requested = if row["name"] == "system" { 5 } else { 3 };
            assert_eq!(
                (&row["requestedPrimariesCount"], &row["currentPrimariesCount"]),
                (&json!(requested), &json!(requested))
            );
            assert_eq!(
                (&row["currentStatus"], &row["statusMessage"], &row["role"]),
                (&json!("online"), &json!(""), &json!("primary"))
            );
        }
    });
}

#[test]
fn databases_in_every_state_are_shown() {
    play(async {
        let asking = Asking::formed(3);
        let name = asking.cluster.ecs_cluster.clone();
        {
            let mut world = asking.cluster.wire.world();
            assert!(world.create_database(&name, "orders", 3, 0) && world.create_composite(&name, "all"));
        }
        let of = |database: &str| -> Vec<Value> {
            asking.rows(1, statement::DATABASES).into_iter().filter(|row| row["name"] == database).collect()
        };
        let statuses =
            |database: &str| of(database).iter().map(|row| row["currentStatus"].to_string()).collect::<BTreeSet<_>>();
        assert_eq!(statuses("orders"), ["\"starting\"".to_owned()].into(), "it is being created");
        asking.sleep(30).await;
        assert_eq!(statuses("orders"), ["\"online\"".to_owned()].into());
        let composite = of("all");
        assert_eq!(
            (composite.len(), &composite[0]["type"], &composite[0]["requestedPrimariesCount"]),
            (3, &json!("composite"), &json!(null))
        );
        let server = asking.member(1).server;
        asking.cluster.wire.world().break_copy(&name, "orders", &server, "quarantined", "It broke");
        let broken: Vec<_> = of("orders").into_iter().filter(|row| row["currentStatus"] == "quarantined").collect();
        assert_eq!(
            (broken.len(), &broken[0]["role"], &broken[0]["statusMessage"]),
            (1, &json!("unknown"), &json!("It broke"))
        );
        let raft = |core: usize| json_of(asking.get(core, "/dbms/cluster/status")).1.to_string();
        assert!(!raft(1).contains("orders") && raft(2).contains("orders"), "what is not available is left out");
        asking.cluster.wire.world().want_database(&name, "orders", false);
        assert_eq!(statuses("orders"), ["\"offline\"".to_owned()].into());
        assert_eq!(of("orders")[0]["requestedStatus"], "offline");
        asking.cluster.wire.world().drop_database(&name, "orders");
        assert_eq!(statuses("orders"), ["\"deallocating\"".to_owned()].into());
        asking.sleep(10).await;
        assert!(of("orders").is_empty());
    });
}

#[test]
fn a_copy_that_lags_cannot_be_counted_on() {
    play(async {
        let asking = Asking::formed(3);
        let (name, server) = (asking.cluster.ecs_cluster.clone(), asking.member(2).server);
        let applied = |core: usize| {
            json_of(asking.get(core, "/dbms/cluster/status")).1[0]["databaseStatus"]["lastAppliedRaftIndex"]
                .as_i64()
                .unwrap()
        };
        assert_eq!(applied(1), applied(2));
        asking.cluster.wire.world().set_lag(&name, "neo4j", &server, 5_000);
        assert_eq!(applied(1) - applied(2), 5_000);
        let checks = asking.rows(1, statement::STATUS_CHECK);
        let behind: Vec<_> = checks.iter().filter(|row| row["memberStatus"] == "UNAVAILABLE").collect();
        assert_eq!(
            (behind.len(), &behind[0]["serverId"], &behind[0]["replicationSuccessful"]),
            (1, &json!(server), &json!(true))
        );
    });
}

#[test]
fn the_model_answers_what_the_real_one_answered_and_what_the_manual_says() {
    play(async {
        let asking = Asking { cluster: cluster_sim::cluster::Cluster::formed(3).only(&[]) };
        let (name, address) = (asking.cluster.ecs_cluster.clone(), asking.member(1).address);
        let admin = super::users::admin(&asking).1;
        let list = Answers::read(&admin);
        asking.cluster.wire.world().administer(&name, |dbms, _| {
            dbms.users.remove("monitor");
            for Account { username, password, change_required } in &list.users {
                let user = User { expired: *change_required, ..User::new(password) };
                dbms.users.insert(username.clone(), user);
                dbms.users.get_mut(username).unwrap().roles.insert("admin".to_owned());
            }
        });
        let mut compared = [0, 0];
        for case in list.cases.iter().filter(|case| case.is_for_the_model) {
            let asked = case.request.clone();
            let request = Request {
                method: asked.method.to_owned(),
                path: asked.path,
                authorization: asked.login.map(|(user, password)| basic(&user, &password)),
                accept: Some(asked.accept),
                content_type: asked.body.as_ref().map(|_| asked.content_type),
                body: asked.body.unwrap_or_default().into_bytes(),
            };
            let reply = asking.cluster.wire.world().ask_neo4j(address, &request);
            let Reply::Answer(answer) = reply else { panic!("{}: {reply:?}", case.name) };
            let location = answer.headers.iter().find(|(name, _)| *name == "location").map(|(_, value)| value.as_str());
            let difference = case.difference(answer.status, location, &answer.body);
            assert_eq!(difference, None);
            compared[usize::from(!case.is_real())] += 1;
            // A user that the list makes may do everything, as every user of Community.
            asking.cluster.wire.world().administer(&name, |dbms, _| {
                if let Some(new) = dbms.users.get_mut("new") {
                    new.roles.insert("admin".to_owned());
                }
            });
        }
        assert!(compared[0] >= 30 && compared[1] >= 9, "the list lost its cases: {compared:?}");
    });
}
