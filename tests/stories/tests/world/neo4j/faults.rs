//! Every fault that can be put on a member is to be seen in what it answers.

use cluster_core::neo4j::statement;
use cluster_sim::time::play;
use cluster_world::neo4j::{Fault, Reply, Request};
use serde_json::{Value, json};

use super::{Asking, json_of, rows};

const MONITOR: (&str, &str) = ("watcher", "watcher-password");

fn databases(asking: &Asking) -> (u16, Value) {
    asking.put(1, MONITOR, statement::DATABASES, &json!({}))
}

fn fault(asking: &Asking, fault: Fault) {
    let address = asking.member(1).address;
    let mut world = asking.cluster.wire.world();
    world.heal(address);
    world.add_fault(address, fault);
}

#[test]
fn a_connection_breaks_in_every_way() {
    play(async {
        let asking = Asking::formed(3);
        for (what, reply) in [
            (Fault::Silence, Reply::Silence),
            (Fault::Unreachable, Reply::Unreachable),
            (Fault::Refused, Reply::Refused),
            (Fault::Reset, Reply::Reset),
        ] {
            fault(&asking, what);
            assert_eq!(asking.get(1, "/"), reply);
        }
        fault(&asking, Fault::HalfClosed);
        let Reply::HalfClosed(half) = asking.get(1, "/") else { panic!("it is whole") };
        assert!(half.status == 200 && serde_json::from_slice::<Value>(&half.body).is_err());
        let address = asking.member(1).address;
        asking.cluster.wire.world().heal(address);
        assert_eq!(json_of(asking.get(1, "/")).0, 200);
        assert_eq!(asking.cluster.wire.world().ask_neo4j([10, 0, 9, 9].into(), &Request::get("/")), Reply::Unreachable);
    });
}

#[test]
fn another_status_or_another_page_comes() {
    play(async {
        let asking = Asking::formed(3);
        for status in [401, 403, 404, 429, 500] {
            fault(&asking, Fault::Status(status));
            assert_eq!((json_of(asking.get(1, "/")).0, databases(&asking).0), (status, status));
            fault(&asking, Fault::StatementStatus(status));
            assert_eq!((json_of(asking.get(1, "/")).0, databases(&asking).0), (200, status));
        }
        let answer = |asking: &Asking| {
            let Reply::Answer(answer) = asking.get(1, "/dbms/cluster/status") else { panic!("no answer") };
            answer
        };
        fault(&asking, Fault::Redirect);
        assert_eq!((answer(&asking).status, answer(&asking).headers[0].0), (302, "location"));
        fault(&asking, Fault::Html);
        assert!(answer(&asking).body.starts_with(b"<!doctype html>"));
        fault(&asking, Fault::Huge);
        assert!(answer(&asking).body.len() > 50_000_000);
        fault(&asking, Fault::Truncated);
        assert!(answer(&asking).status == 200 && serde_json::from_slice::<Value>(&answer(&asking).body).is_err());
        fault(&asking, Fault::Community);
        let (status, body) = json_of(asking.get(1, "/dbms/cluster/status"));
        assert_eq!((status, &body["errors"][0]["code"]), (404, &json!("Neo.ClientError.Request.Invalid")));
    });
}

#[test]
fn an_answer_is_shaped_otherwise() {
    play(async {
        let asking = Asking::formed(3);
        fault(&asking, Fault::RowsThenError);
        let (status, body) = databases(&asking);
        assert!(status == 202 && !rows(&body).is_empty() && body["errors"][0]["code"].is_string());
        fault(&asking, Fault::UnknownFields);
        assert!(databases(&asking).1["nobodyKnows"].is_object());
        assert_eq!(json_of(asking.get(1, "/dbms/cluster/status")).1[0]["nobodyKnows"], true);
        fault(&asking, Fault::IsHealthy);
        let raft = json_of(asking.get(1, "/dbms/cluster/status")).1;
        assert!(raft[0]["databaseStatus"]["isHealthy"] == true && raft[0]["databaseStatus"]["healthy"].is_null());
    });
}

#[test]
fn a_member_says_what_is_not_so() {
    play(async {
        let asking = Asking::formed(3);
        let before = databases(&asking).1;
        let seen = || rows(&databases(&asking).1);
        fault(&asking, Fault::LeavesOut("neo4j".to_owned()));
        assert!(seen().iter().all(|row| row["name"] == "system"));
        assert_eq!(json_of(asking.get(1, "/dbms/cluster/status")).1.as_array().unwrap().len(), 1);
        fault(&asking, Fault::Message("neo4j".to_owned(), "It hurts".to_owned()));
        let own = asking.member(1).server;
        let hurts: Vec<_> = seen().into_iter().filter(|row| row["statusMessage"] == "It hurts").collect();
        assert_eq!(
            (hurts.len(), &hurts[0]["currentStatus"], &hurts[0]["serverID"]),
            (1, &json!("online"), &json!(own))
        );
        fault(&asking, Fault::ClockSkew(-3600));
        let age = |rows: &[Value]| rows[0]["age"].as_i64().unwrap();
        let (skewed, right) = (age(&seen()), age(&rows(&before)));
        assert!(skewed < 0 && (3599..=3600).contains(&(right - skewed)), "{skewed}, {right}");
        fault(&asking, Fault::Version("2031.02.0-beta".to_owned()));
        assert_eq!(json_of(asking.get(1, "/")).1["neo4j_version"], "2031.02.0-beta");
        fault(&asking, Fault::OnlySystem);
        assert!(seen().iter().all(|row| row["name"] == "system"));
        fault(&asking, Fault::PasswordExpired);
        assert_eq!(databases(&asking).1["errors"][0]["code"], "Neo.ClientError.Security.CredentialsExpired");
        fault(&asking, Fault::LoginRefused);
        assert_eq!(databases(&asking).0, 401);
        fault(&asking, Fault::SomebodyElse);
        let at = format!("{}:7687", asking.member(1).address);
        let ids: Vec<_> =
            seen().iter().filter(|row| row["address"] == at.as_str()).map(|row| row["serverID"].clone()).collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| *id != json!(own)), "{ids:?}");
        assert!(asking.dbms().servers.contains_key(&own), "the others know nothing of it");
    });
}

#[test]
fn a_statement_without_an_end_runs_on_until_somebody_ends_it() {
    play(async {
        let asking = Asking::formed(3);
        fault(&asking, Fault::EndlessStatements);
        let body = |statement: &str| json!({"statement": statement, "accessMode": "Read", "maxExecutionTime": 3});
        let request = Request::query("system", Some(MONITOR), &body(statement::DATABASES.text));
        assert_eq!(asking.ask(1, &request), Reply::Silence, "5.26 does not know the limit");
        asking.sleep(20).await;
        let of_monitor = json!({"user": "watcher"});
        let left = rows(&asking.put(1, MONITOR, statement::LEFT_OVERS, &of_monitor).1);
        let old: Vec<_> = left.iter().filter(|row| row["currentQuery"] == statement::DATABASES.text).collect();
        assert_eq!((old.len(), old[0]["millis"].as_i64().unwrap() / 1000), (1, 20));
        let ids = json!({"ids": [old[0]["transactionId"]]});
        let ended = rows(&asking.put(1, MONITOR, statement::END_TRANSACTIONS, &ids).1);
        assert_eq!(ended[0]["message"], "Transaction terminated.");
        assert_eq!(rows(&asking.put(1, MONITOR, statement::LEFT_OVERS, &of_monitor).1).len(), 1, "it sees itself");
    });
}
