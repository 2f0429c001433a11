use serde_json::{Value, json};

use super::*;

fn reply(status: u16, body: &Value) -> Reply {
    text(status, &body.to_string())
}

fn text(status: u16, body: &str) -> Reply {
    Reply { status, location: None, body: body.as_bytes().to_vec() }
}

fn kind<T: std::fmt::Debug>(read: Result<T, Fault>) -> (Kind, String) {
    read.map_err(|fault| (fault.kind, fault.message)).unwrap_err()
}

fn table(fields: &[&str], values: &Value) -> Rows {
    rows(&reply(202, &json!({"data": {"fields": fields, "values": values}, "bookmarks": ["FB:"]}))).unwrap()
}

#[test]
fn the_first_page_gives_version_and_edition_also_unknown_ones() {
    for (version, edition) in [("5.26.33", "enterprise"), ("2026.08.1", "community"), ("2031.LTS-beta", "infinite")] {
        let body =
            json!({"neo4j_version": version, "neo4j_edition": edition, "query": "http://h/{databaseName}", "x": 1});
        let page = page(&reply(200, &body)).unwrap();
        assert_eq!((page.version.as_str(), page.edition.as_str()), (version, edition));
    }
}

#[test]
fn what_is_no_first_page_is_sorted() {
    for (reply, want) in [
        (text(200, "<html><body>hello</body></html>"), Kind::Unreadable),
        (text(200, "{\"neo4j_version\": \"5.2"), Kind::Unreadable),
        (text(200, ""), Kind::Unreadable),
        (text(200, "{\"management\": \"x\"}"), Kind::Unreadable),
        (text(200, "{\"neo4j_version\": 5, \"neo4j_edition\": \"enterprise\"}"), Kind::Unreadable),
        (text(206, "{}"), Kind::Unreadable),
        (text(401, ""), Kind::Unreadable),
        (text(403, ""), Kind::Forbidden),
        (text(404, ""), Kind::NotFound),
        (text(429, ""), Kind::Locked),
        (text(500, "oops"), Kind::Failed),
        (text(503, ""), Kind::Failed),
    ] {
        assert_eq!(kind(page(&reply)).0, want, "{reply:?}");
    }
    let redirect = Reply { location: Some("http://10.0.1.11:7474/browser/".into()), ..text(303, "") };
    let (found, message) = kind(page(&redirect));
    assert_eq!(found, Kind::Unreadable);
    assert_eq!(message, "a redirect (303) to http://10.0.1.11:7474/browser/, which is not followed");
}

/// The example of the manual's page on endpoints, shortened.
fn status_of(health: &Value) -> Value {
    let mut status = json!({
        "lastAppliedRaftIndex": 7, "votingMembers": ["r1", "r2", "r3"], "memberId": "r2", "leader": "r1",
        "millisSinceLastLeaderMessage": 0, "raftCommandsPerSecond": 0.0, "core": true, "participatingInRaftGroup": true,
    });
    status.as_object_mut().unwrap().extend(health.as_object().unwrap().clone());
    json!([{"databaseName": "neo4j", "databaseUuid": "f4dacc01", "databaseStatus": status}])
}

#[test]
fn both_names_of_health_are_read() {
    for (health, want) in [
        (json!({"healthy": true}), Some(true)),
        (json!({"isHealthy": true}), Some(true)),
        (json!({"isHealthy": false}), Some(false)),
        (json!({"healthy": true, "isHealthy": false}), Some(false)),
        (json!({"healthy": false, "isHealthy": true}), Some(false)),
        (json!({}), None),
    ] {
        let found = raft(&reply(200, &status_of(&health))).unwrap();
        assert_eq!(found[0].healthy, want, "{health}");
        assert_eq!((found[0].member.as_deref(), found[0].leader.as_deref()), (Some("r2"), Some("r1")));
        assert_eq!((found[0].voters.len(), found[0].applied, found[0].participating), (3, Some(7), Some(true)));
    }
}

#[test]
fn a_status_may_lack_what_the_manual_calls_optional_and_databases() {
    let missing = json!([{"databaseName": "neo4j", "databaseStatus": {"votingMembers": []}}]);
    let found = raft(&reply(200, &missing)).unwrap();
    assert_eq!((found[0].leader.as_ref(), found[0].healthy, found[0].applied), (None, None, None));
    assert_eq!(raft(&reply(200, &json!([]))).unwrap(), vec![]);
    for body in [json!({"databaseName": "neo4j"}), json!([{"databaseName": "neo4j"}]), json!([1])] {
        assert_eq!(kind(raft(&reply(200, &body))).0, Kind::Unreadable, "{body}");
    }
    let (found, message) = kind(raft(&text(401, "")));
    assert_eq!(found, Kind::Unreadable);
    assert!(message.contains("dbms.security.cluster_status_auth_enabled"), "{message}");
}

#[test]
fn an_answer_with_errors_is_a_failure_whatever_its_status() {
    let error = |code: &str| json!({"code": code, "message": "words"});
    for (status, body, want) in [
        // Rows and then an error.
        (
            202,
            json!({"data": {"fields": ["a"], "values": [[1]]},
            "errors": [error("Neo.DatabaseError.Transaction.TransactionLogError")]}),
            Kind::Failed,
        ),
        (400, json!({"errors": [error("Neo.ClientError.Statement.SyntaxError")]}), Kind::Failed),
        (401, json!({"errors": [error("Neo.ClientError.Security.Unauthorized")]}), Kind::LoginRefused),
        (429, json!({"errors": [error("Neo.ClientError.Security.AuthenticationRateLimit")]}), Kind::Locked),
        (400, json!({"errors": [error("Neo.ClientError.Security.CredentialsExpired")]}), Kind::PasswordExpired),
        (403, json!({"errors": [error("Neo.ClientError.Security.Forbidden")]}), Kind::Forbidden),
        (
            202,
            json!({"data": {"fields": [], "values": []}, "errors": [error("Neo.ClientError.Security.Forbidden")]}),
            Kind::Forbidden,
        ),
        (404, json!({"errors": [error("Neo.ClientError.Request.Invalid")]}), Kind::NotFound),
        (404, json!({"errors": [error("Neo.ClientError.Database.DatabaseNotFound")]}), Kind::NotFound),
        (401, json!({"errors": [error("")]}), Kind::LoginRefused),
        (500, json!({"errors": [{}]}), Kind::Failed),
    ] {
        assert_eq!(kind(rows(&reply(status, &body))).0, want, "{status} {body}");
    }
    assert_eq!(kind(rows(&text(401, ""))).0, Kind::LoginRefused);
    assert_eq!(kind(rows(&text(429, "slow down"))).0, Kind::Locked);
    assert_eq!(kind(rows(&text(302, ""))).0, Kind::Unreadable);
    assert_eq!(kind(rows(&text(500, "<html>"))).0, Kind::Failed);
}

#[test]
fn rows_have_to_fit_their_fields() {
    for body in [
        "{\"data\":{\"fields\":[\"a\"],\"values\":[[1]",
        "<html></html>",
        "{}",
        "{\"data\": {\"fields\": [\"a\"], \"values\": [[1, 2]]}}",
        "{\"data\": {\"fields\": [\"a\"], \"values\": [1]}}",
    ] {
        assert_eq!(kind(rows(&text(202, body))).0, Kind::Unreadable, "{body}");
    }
    // `errors` may be there and empty, and there may be fields that nobody here knows.
    let body = json!({"data": {"fields": [], "values": [], "new": 1}, "errors": [], "queryType": "s",
        "counters": {"systemUpdates": 2, "containsUpdates": true}});
    assert_eq!(rows(&reply(202, &body)).unwrap().updates, 2);
}

const SHOWN: [&str; 14] = [
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
];

fn copy(server: &str, address: &str, status: &str, message: &str) -> Value {
    let id = (status == "online").then_some("D0");
    json!(["neo4j", "standard", id, server, address, "primary", false, "online", status, message, 3, 3, 0, -4])
}

#[test]
fn copies_of_a_database_are_joined() {
    let rows = table(
        &SHOWN,
        &json!([
            copy("s1", "10.0.1.11:7687", "unknown", "Server is unavailable"),
            copy("s2", "10.0.1.12:7687", "online", "No space left on device"),
            [
                "both",
                "composite",
                null,
                "s2",
                "10.0.1.12:7687",
                null,
                false,
                "online",
                "online",
                null,
                null,
                null,
                null,
                null
            ],
            ["old", "standard", null, null, null, "unknown", null, "online", null, null, 0, -1, 0, null],
        ]),
    );
    let found = databases(&rows).unwrap();
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["neo4j", "both", "old"]);
    let neo4j = &found[0];
    assert_eq!((neo4j.id.as_deref(), neo4j.requested_primaries, neo4j.age), (Some("D0"), Some(3), Some(-4)));
    let copies: Vec<_> = neo4j.copies.iter().map(|copy| (copy.status.as_str(), copy.message.as_str())).collect();
    assert_eq!(copies, [("unknown", "Server is unavailable"), ("online", "No space left on device")]);
    assert_eq!((found[1].kind.as_str(), found[1].copies[0].role.as_ref()), ("composite", None));
    let old = &found[2];
    assert_eq!((old.requested_primaries, old.copies[0].role.as_ref(), old.copies[0].writer), (None, None, false));
    assert_eq!((old.copies[0].status.as_str(), old.copies[0].server.as_ref()), ("unknown", None));

    let short = table(&SHOWN[..3], &json!([["neo4j", "standard", null]]));
    assert_eq!(kind(databases(&short)), (Kind::Unreadable, "the column requestedStatus is missing".to_owned()));
    let wrong = table(&["name"], &json!([[{"p4ss": 1}]]));
    assert_eq!(
        kind(databases(&wrong)),
        (Kind::Unreadable, "the column name has another form than documented".to_owned())
    );
}

#[test]
fn the_asked_member_is_the_server_at_its_address() {
    let own = |rows: Value| own(&table(&SHOWN, &rows), [10, 0, 1, 11].into()).unwrap();
    let other = copy("s2", "10.0.1.12:7687", "online", "");
    let alike = copy("s3", "10.0.1.111:7687", "online", "");
    let mine = copy("s1", "10.0.1.11:7687", "online", "");
    let before = copy("s9", "10.0.1.11:7687", "unknown", "Server is unavailable");
    assert_eq!(own(json!([other, alike])), None);
    assert_eq!(own(json!([other, mine, mine])).as_deref(), Some("s1"));
    // Somebody else had the address before.
    assert_eq!(own(json!([before, mine])).as_deref(), Some("s1"));
    assert_eq!(own(json!([before])).as_deref(), Some("s9"));
    assert_eq!(own(json!([mine, copy("s9", "10.0.1.11:7687", "online", "")])), None);
}

#[test]
fn servers_and_checks_are_read() {
    let fields = ["serverId", "address", "state", "health", "hosting", "requestedHosting", "version", "tags"];
    let rows = table(
        &fields,
        &json!([
            ["s1", "10.0.1.11:7687", "Enabled", "Available", ["system", "neo4j"], ["neo4j", "system"], "5.26.33", []],
            ["s2", null, "Deallocating", "Unavailable", ["system"], null, null, null],
        ]),
    );
    let found = servers(&rows).unwrap();
    assert_eq!(found[0].hosting, found[0].requested);
    assert_eq!((found[1].address.as_ref(), found[1].version.as_ref(), found[1].requested.len()), (None, None, 0));

    let fields =
        ["database", "serverId", "replicationSuccessful", "memberStatus", "recognisedLeader", "requester", "error"];
    let rows = table(
        &fields,
        &json!([
            ["neo4j", "s1", true, "APPLYING", "s1", true, null],
            ["neo4j", "s2", false, "UNAVAILABLE", null, false, "words"],
        ]),
    );
    let found = checks(&rows).unwrap();
    assert!(found[0].requester && found[0].replicated == Some(true) && found[0].error.is_none());
    assert_eq!((found[1].leader.as_ref(), found[1].error.as_deref()), (None, Some("words")));
}

#[test]
fn only_old_statements_with_our_mark_are_left_overs() {
    let ours = format!("{}SHOW SERVERS", cluster_core::neo4j::statement::MARK);
    let theirs = "MATCH (n) RETURN '/* neo4j-gateway */', n";
    let rows = table(
        &["transactionId", "currentQuery", "millis"],
        &json!([
            ["system-transaction-1", ours, 15_001],
            ["system-transaction-2", ours, 15_000],
            ["neo4j-transaction-3", theirs, 99_000],
            ["neo4j-transaction-4", "", 99_000],
            ["neo4j-transaction-5", null, 99_000],
            ["system-transaction-6", ours, null],
        ]),
    );
    assert_eq!(left_overs(&rows, 15_000).unwrap(), ["system-transaction-1"]);
}
