//! Users as the gateway declares them and logs in, and what a user of ours leaves behind.

use std::net::Ipv4Addr;

use cluster_core::neo4j::{Kind, Login, statement::MARK};
use serde_json::{Value, json};

use super::{Asking, Http, Series, Trouble, admin, ensure, is_fault, login, query, until};

const ONE: &str = "the first \"password\" of monitor";
const OTHER: &str = "the other \\ password of monitor";

fn monitor(password: &str) -> Login {
    login("monitor", password)
}

/// The user is made and changed. Community has no roles, so each declaration ends there.
pub(super) fn declared(asking: &Asking, at: Ipv4Addr) -> Result<(), Trouble> {
    let no_roles = "CREATE_ROLE: Neo.ClientError.Statement.UnsupportedAdministrationCommand";
    for (password, before) in [(ONE, None), (ONE, Some(ONE)), (OTHER, Some(ONE))] {
        if let Some(before) = before {
            asking.view(at, &monitor(before))?;
        }
        is_fault(&asking.declare(at, admin(), monitor(password))?.monitor, Kind::Failed, no_roles)?;
        asking.view(at, &monitor(password))?;
    }
    is_fault(&asking.declare(at, admin(), monitor("short"))?.monitor, Kind::Failed, "at least 8 characters")?;
    let refused = asking.declare(at, login("neo4j", "a wrong password"), monitor(ONE))?;
    is_fault(&refused.monitor, Kind::LoginRefused, "CREATE_USER")?;
    // The user `expired` is on the list of answers.
    let expired = asking.observe(at, None, Some(login("expired", "expired-password")))?;
    is_fault(&expired.view, Kind::PasswordExpired, "must be changed")?;
    // The password of before. Each round tries it once, and the fourth finds the user locked.
    for round in 1..=4 {
        let answer = asking.observe(at, None, Some(monitor(ONE)))?;
        let kind = if round <= 3 { Kind::LoginRefused } else { Kind::Locked };
        is_fault(&answer.view, kind, "LEFT_OVERS")?;
    }
    let locked = asking.observe(at, None, Some(monitor(OTHER)))?;
    is_fault(&locked.view, Kind::Locked, "Too many failed")?;
    until("the user is unlocked", || Ok(asking.view(at, &monitor(OTHER)).ok().map(drop)))
}

/// A statement whose client gave up runs on: Neo4j ends it by itself where it knows `maxExecutionTime`, and the gateway does
/// in the other series. What a person runs, and what is younger, is left alone.
pub(super) fn left_over(asking: &Asking, http: &Http, series: Series) -> Result<(), Trouble> {
    let at: Ipv4Addr =
        http.base.trim_start_matches("http://").trim_end_matches(":7474").parse().map_err(|_| "no address")?;
    let endless = |mark: &str, name: &str| {
        format!("{mark}UNWIND range(1, 1000000000000) AS {name} WITH {name} WHERE {name} < 0 RETURN {name}")
    };
    if series == Series::Calendar {
        let mut request = query("neo4j", &monitor(OTHER), &endless(MARK, "ours"), "Read", &json!({}));
        let mut body: Value =
            request.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).ok_or("no body")?;
        body["maxExecutionTime"] = json!(1);
        request.body = Some(body.to_string());
        let reply = String::from_utf8_lossy(&http.send(&request)?.body).into_owned();
        return ensure(reply.contains("TransactionTimedOutClientConfiguration"), || format!("it ended with {reply}"));
    }
    for (login, mark, name) in [(monitor(OTHER), MARK, "ours"), (monitor(OTHER), "CYPHER 5 ", "foreign")] {
        let request = query("neo4j", &login, &endless(mark, name), "Read", &json!({}));
        // It has sent its request, gives up, and closes the connection.
        let patience = std::time::Duration::from_millis(500);
        let gave_up = http.runtime.block_on(async { http.builder(&request).timeout(patience).send().await });
        ensure(gave_up.is_err(), || format!("{name} was answered"))?;
    }
    let names = || running(http);
    ensure(names()?.iter().any(|(name, _)| name == "ours"), || "the statement has ended with its client".to_owned())?;
    asking.view(at, &monitor(OTHER))?;
    ensure(names()?.iter().any(|(name, _)| name == "ours"), || "what is young is ended".to_owned())?;
    until("the left-over is old", || {
        Ok(names()?.iter().any(|(name, millis)| name == "ours" && *millis > 15_500).then_some(()))
    })?;
    asking.view(at, &monitor(OTHER))?;
    until("the left-over is ended", || Ok((!names()?.iter().any(|(name, _)| name == "ours")).then_some(())))?;
    let left = names()?;
    ensure(left.iter().any(|(name, _)| name == "foreign"), || format!("what has no mark is ended too: {left:?}"))?;
    let end = "SHOW TRANSACTIONS YIELD transactionId AS id, currentQuery AS query WHERE query CONTAINS 'UNWIND range' AND NOT query CONTAINS 'SHOW' \
         TERMINATE TRANSACTIONS id YIELD transactionId RETURN transactionId";
    let code = http.code(&admin(), end, "Read", &json!({}))?;
    ensure(code.is_none(), || format!("{code:?}"))
}

/// Returns the endless statements that run, by their names, with their ages in milliseconds.
fn running(http: &Http) -> Result<Vec<(String, u64)>, Trouble> {
    let look = "SHOW TRANSACTIONS YIELD currentQuery, elapsedTime WHERE currentQuery CONTAINS 'UNWIND range' AND NOT currentQuery CONTAINS 'SHOW' \
         RETURN currentQuery, elapsedTime.milliseconds AS millis";
    let reply = http.send(&query("system", &admin(), look, "Read", &json!({})))?;
    let body: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
    let rows = body["data"]["values"].as_array().ok_or_else(|| format!("{body}"))?;
    let name = |query: &str| if query.contains("AS ours") { "ours" } else { "foreign" }.to_owned();
    let row = |row: &Value| Some((name(row[0].as_str()?), row[1].as_u64()?));
    Ok(rows.iter().filter_map(row).collect())
}
