//! What a member can answer to `observe`, and that it never spoils what the others said.

use cluster_core::neo4j::{Answer, Fault, Kind, Observe, statement::MARK};
use neo4j_gateway::INVOCATION;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stub::{ADMIN, MONITOR, Members, Said, address, asked, error, healthy, login, observed, rows, said};

fn kind<T>(part: &Result<T, Fault>) -> Option<Kind> {
    part.as_ref().err().map(|fault| fault.kind)
}

/// The kinds of the faults of page, Raft, view and check.
fn kinds(answer: &Answer) -> [Option<Kind>; 4] {
    [kind(&answer.page), kind(&answer.raft), kind(&answer.view), kind(&answer.check)]
}

#[tokio::test(start_paused = true)]
async fn a_healthy_cluster_answers_everything() {
    let members = Members::default();
    let answers = members.observe(&[1, 2, 3, 0]).await;
    for (answer, core) in answers.iter().zip([1, 2, 3, 0]) {
        assert_eq!(
            (answer.task.as_str(), answer.page.as_ref().unwrap().version.as_str()),
            (format!("t{core}").as_str(), "5.26.33")
        );
        let view = answer.view.as_ref().unwrap();
        assert_eq!((view.server.as_deref(), view.databases.len()), (Some(format!("s{core}").as_str()), 1));
        assert_eq!(view.databases[0].copies.len(), 4);
        if core > 0 {
            assert_eq!((answer.raft.as_ref().unwrap().len(), view.servers.len()), (2, 3));
            assert!(answer.check.as_ref().unwrap()[usize::from(core) - 1].requester);
            let order = ["/", "/dbms/cluster/status", "LEFT_OVERS", "SERVERS", "DATABASES", "STATUS_CHECK"];
            assert_eq!(members.sent_to(core), order);
        } else {
            assert_eq!(kinds(answer), [None, Some(Kind::NotAsked), None, Some(Kind::NotAsked)]);
            assert_eq!(members.sent_to(0), ["/", "LEFT_OVERS", "DATABASES"]);
        }
    }
    let modes: Vec<_> = members.sent().into_iter().filter(|(_, _, body)| !body.is_null()).collect();
    for (_, name, body) in &modes {
        assert_eq!((&body["accessMode"], &body["maxExecutionTime"]), (&json!("Read"), &json!(2)), "{name}");
        assert!(body["statement"].as_str().unwrap().starts_with(MARK), "{name}");
    }
    assert_eq!(modes.len(), 4 * 3 + 2);
}

#[tokio::test(start_paused = true)]
async fn each_wrong_answer_is_that_members_alone() {
    let healthy = Members::default().observe(&[1, 2, 3]).await;
    let (not, silent) = (Some(Kind::NotAsked), Some(Kind::Silent));
    let text = |status: u16, body: &str| Said::Text(status, body.to_owned());
    let broken = json!({"data": {"fields": ["a"], "values": [[1]]}, "errors": [{"code": "Neo.DatabaseError.General.UnknownError", "message": "x"}]});
    let large = "x".repeat((1 << 20) + 1);
    for (to, what, want) in [
        ("/", Said::Nothing, [silent, not, not, not]),
        ("/", Said::Refused, [Some(Kind::Unreachable), not, not, not]),
        ("/", text(200, "<html>"), [Some(Kind::Unreadable), not, not, not]),
        ("/", text(302, ""), [Some(Kind::Unreadable), not, not, not]),
        ("/", text(500, "oops"), [Some(Kind::Failed), not, not, not]),
        ("/", text(200, &large), [Some(Kind::TooLarge), not, not, not]),
        // What hangs there would hang in Cypher as well.
        ("/dbms/cluster/status", Said::Nothing, [None, silent, not, not]),
        ("/dbms/cluster/status", text(404, ""), [None, Some(Kind::NotFound), None, None]),
        ("/dbms/cluster/status", text(401, ""), [None, Some(Kind::Unreadable), None, None]),
        ("/dbms/cluster/status", text(200, "[{\"databaseName\""), [None, Some(Kind::Unreadable), None, None]),
        ("LEFT_OVERS", Said::Nothing, [None, None, silent, not]),
        (
            "LEFT_OVERS",
            error(401, "Neo.ClientError.Security.Unauthorized"),
            [None, None, Some(Kind::LoginRefused), not],
        ),
        (
            "LEFT_OVERS",
            error(429, "Neo.ClientError.Security.AuthenticationRateLimit"),
            [None, None, Some(Kind::Locked), not],
        ),
        (
            "LEFT_OVERS",
            error(400, "Neo.ClientError.Security.CredentialsExpired"),
            [None, None, Some(Kind::PasswordExpired), not],
        ),
        ("LEFT_OVERS", error(403, "Neo.ClientError.Security.Forbidden"), [None, None, None, None]),
        ("LEFT_OVERS", error(500, "Neo.DatabaseError.General.UnknownError"), [None, None, None, None]),
        ("SERVERS", error(403, "Neo.ClientError.Security.Forbidden"), [None, None, Some(Kind::Forbidden), not]),
        ("SERVERS", Said::Nothing, [None, None, silent, not]),
        ("DATABASES", said(202, &broken), [None, None, Some(Kind::Failed), not]),
        ("DATABASES", text(202, "{\"data\":{"), [None, None, Some(Kind::Unreadable), not]),
        ("DATABASES", text(202, &large), [None, None, Some(Kind::TooLarge), not]),
        (
            "STATUS_CHECK",
            error(400, "Neo.ClientError.Procedure.ProcedureNotFound"),
            [None, None, None, Some(Kind::Failed)],
        ),
        ("STATUS_CHECK", Said::Nothing, [None, None, None, silent]),
        ("STATUS_CHECK", Said::Refused, [None, None, None, Some(Kind::Unreachable)]),
    ] {
        let members = Members::default().says(2, to, [what.clone()]);
        let answers = members.observe(&[1, 2, 3]).await;
        assert_eq!(kinds(&answers[1]), want, "{to}: {what:?}");
        assert_eq!((&answers[0], &answers[2]), (&healthy[0], &healthy[2]), "{to}: {what:?}");
        // Nothing comes after a silence or a refused login, and nothing is tried twice.
        let sent = members.sent_to(2);
        assert_eq!(sent.iter().filter(|name| *name == to).count(), 1, "{to}: {sent:?}");
        if want[2].is_some_and(|kind| kind != Kind::NotAsked) {
            assert_ne!(sent.last().unwrap(), "STATUS_CHECK", "{to}: {sent:?}");
        }
        if to == "LEFT_OVERS" && want[2].is_some() {
            assert_eq!(sent.last().unwrap(), to, "{sent:?}");
        }
    }
}

/// None of these is a fault: what they mean is decided elsewhere.
#[tokio::test(start_paused = true)]
async fn what_is_odd_but_well_formed_is_handed_on() {
    let columns = [
        "name",
        "type",
        "databaseID",
        "serverID",
        "address",
        "role",
        "writer",
        "requestedStatus",
        "currentStatus",
        "statusMessage",
        "currentPrimariesCount",
        "requestedPrimariesCount",
        "requestedSecondariesCount",
        "age",
        "new",
    ];
    let row = |name: &str, address: &str, message: &str, age: i64| json!([name, "standard", "D", "s2", address, "primary", true, "online", "online", message, 3, 3, 0, age, {"x": 1}]);
    let full = "No space left on device";
    for (what, database, message, age, server) in [
        (json!([row("neo4j", "10.0.2.11:7687", full, 99)]), "neo4j", full, 99, Some("s2")),
        // The member's clock is behind that of the one that created the database.
        (json!([row("neo4j", "10.0.2.11:7687", "", -40)]), "neo4j", "", -40, Some("s2")),
        // A user without rights sees only this.
        (json!([row("system", "10.0.2.11:7687", "", 9)]), "system", "", 9, Some("s2")),
        // Nothing is at the asked address: it is somebody else's.
        (json!([row("neo4j", "10.0.9.9:7687", "", 9)]), "neo4j", "", 9, None),
    ] {
        let root = said(200, &json!({"neo4j_version": "2099.13", "neo4j_edition": "enterprise"}));
        let members = Members::default().says(2, "/", [root]).says(2, "DATABASES", [rows(&columns, &what)]);
        let answers = members.observe(&[1, 2, 3]).await;
        assert_eq!(kinds(&answers[1]), [None; 4], "{what}");
        assert_eq!(answers[1].page.as_ref().unwrap().version, "2099.13");
        let view = answers[1].view.as_ref().unwrap();
        let copy = &view.databases[0].copies[0];
        assert_eq!(view.databases.len(), 1, "{what}");
        assert_eq!((view.databases[0].name.as_str(), view.databases[0].age), (database, Some(age)));
        assert_eq!((copy.status.as_str(), copy.message.as_str(), view.server.as_deref()), ("online", message, server));
    }
}

#[tokio::test(start_paused = true)]
async fn pages_only_and_no_login_mean_no_statement() {
    let members = Members::default();
    let pages_only = cluster_core::neo4j::Asked { pages_only: true, ..asked(1) };
    let request = Observe { members: vec![pages_only, asked(2)], monitor: Some(login("monitor", MONITOR)) };
    let answers = observed(&members.gateway(), request).await;
    assert_eq!(kinds(&answers[0]), [None, None, Some(Kind::NotAsked), Some(Kind::NotAsked)]);
    assert_eq!(kinds(&answers[1]), [None; 4]);
    let answers = observed(&members.gateway(), Observe { members: vec![asked(3)], monitor: None }).await;
    assert_eq!(kinds(&answers[0]), [None, None, Some(Kind::NotAsked), Some(Kind::NotAsked)]);
    for core in [1, 3] {
        assert_eq!(members.sent_to(core), ["/", "/dbms/cluster/status"]);
    }
}

#[tokio::test(start_paused = true)]
async fn only_old_left_overs_of_ours_are_ended_before_anything_else() {
    let ours = format!("{MARK}SHOW DATABASES");
    let running = json!([
        ["system-transaction-7", ours, 16_000],
        ["system-transaction-8", ours, 400],
        ["neo4j-transaction-9", "MATCH (n) RETURN n", 99_000]
    ]);
    let members =
        Members::default().says(1, "LEFT_OVERS", [rows(&["transactionId", "currentQuery", "millis"], &running)]);
    let answers = members.observe(&[1]).await;
    assert_eq!(kinds(&answers[0]), [None; 4]);
    let sent = members.sent();
    let (_, _, look) = sent.iter().find(|(_, name, _)| name == "LEFT_OVERS").unwrap();
    assert_eq!(look["parameters"], json!({"user": "monitor"}));
    let end = sent.iter().position(|(_, name, _)| name == "END_TRANSACTIONS").unwrap();
    assert_eq!(sent[end].2["parameters"], json!({"ids": ["system-transaction-7"]}));
    assert_eq!(sent[end + 1].1, "SERVERS");
}

#[tokio::test(start_paused = true)]
async fn an_invocation_ends_in_time_however_many_are_silent() {
    let mut members = Members::default();
    for core in [2, 3] {
        members = members.says(core, "/", [Said::Nothing]);
    }
    // Each of these takes nearly as long as one may, without being silent.
    members = members.says(4, "LEFT_OVERS", [Said::Nothing]).says(5, "/dbms/cluster/status", [Said::Nothing]);
    let began = Instant::now();
    let answers = members.observe(&[1, 2, 3, 4, 5]).await;
    assert_eq!(kinds(&answers[0]), [None; 4]);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert!(began.elapsed() < INVOCATION);
    assert!(answers[1].page.as_ref().unwrap_err().message.contains("within 3.0 s"));
}

/// A member that is slow each time, without being silent, gets no more time than the invocation has.
#[tokio::test(start_paused = true)]
async fn an_invocation_ends_in_time_however_slow_one_is() {
    for (millis, kind, took) in [(2_500, Kind::NotAsked, 7_500), (2_300, Kind::Silent, 8_000)] {
        let mut members = Members::default();
        for to in ["/", "/dbms/cluster/status", "LEFT_OVERS", "SERVERS"] {
            members = members.says(2, to, [Said::Late(millis, Box::new(healthy(address(2), to)))]);
        }
        let began = Instant::now();
        let answers = members.observe(&[1, 2]).await;
        assert_eq!(began.elapsed().as_millis(), took);
        assert_eq!(
            (kinds(&answers[0]), kinds(&answers[1])),
            ([None; 4], [None, None, Some(kind), Some(Kind::NotAsked)])
        );
        assert!(members.sent_to(2).iter().all(|sent| sent != "DATABASES"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_password_is_repeated() {
    let repeated = |password: &str| {
        let code = "Neo.ClientError.Statement.SyntaxError";
        said(400, &json!({"errors": [{"code": code, "message": format!("you sent {password}")}]}))
    };
    let members = Members::default()
        .says(1, "SERVERS", [repeated(MONITOR)])
        .says(2, "DATABASES", [Said::Text(202, format!("no JSON, but {MONITOR}"))])
        .says(3, "STATUS_CHECK", [Said::Text(302, json!({"you": MONITOR}).to_string())]);
    let answers = members.observe(&[1, 2, 3]).await;
    let text = format!("{answers:?}");
    assert!(!text.contains("m0nitor") && text.contains("you sent …"), "{text}");
    let declared = members.says(4, "CREATE_USER", [repeated(ADMIN)]).declare(&[4]).await;
    assert!(!format!("{declared:?}").contains(ADMIN) && format!("{declared:?}").contains("you sent …"), "{declared:?}");
    let login = login("monitor", MONITOR);
    assert!(!format!("{login:?}").contains("m0nitor"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_fails_and_asks_nobody() {
    let members = Members::default();
    for payload in [json!({}), json!({"observe": {"members": []}}), Value::Null] {
        let refused = members.gateway().handle(payload).await.unwrap_err();
        assert!(refused.to_string().starts_with("the request is wrong: "), "{refused}");
    }
    assert_eq!(members.sent().len(), 0);
}
