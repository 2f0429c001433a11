//! The statements of the product, and what each does. Any other one is a syntax error.

use std::collections::BTreeSet;

use cluster_core::neo4j::statement::{self, Access};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Dbms, Fault, Kind, Member, Privilege, Reply, User,
    http::Answer,
    query::{Outcome, Query, Row},
    rows,
    users::SHORTEST,
};

/// How long the first statement after a start takes, in milliseconds: its planner has to start.
const FIRST: u64 = 900;

/// A statement that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    id: String,
    user: String,
    query: String,
    began: Timestamp,
    ends: Option<Timestamp>,
}

/// What is asked of a member.
pub(super) struct Asked<'a> {
    pub(super) user: &'a str,
    pub(super) database: &'a str,
    pub(super) query: &'a Query,
    pub(super) faults: &'a BTreeSet<Fault>,
    pub(super) now: Timestamp,
}

/// Returns the name of a statement of the product.
#[must_use]
fn name_of(text: &str) -> Option<&'static str> {
    statement::ALL.iter().find(|(_, statement)| statement.text == text).map(|(name, _)| *name)
}

/// Runs a statement on a member.
pub(super) fn run(member: &mut Member, dbms: &mut Dbms, asked: &Asked<'_>) -> Reply {
    let Asked { query, now, .. } = *asked;
    member.statements += 1;
    member.transactions.retain(|transaction| transaction.ends.is_none_or(|at| at > now));
    let kind = dbms.databases.get(asked.database).map(|database| database.kind);
    if kind == Some(Kind::Standard) && dbms.servers.get(&member.server).is_some_and(|server| server.full) {
        // Measured: every statement on such a database, reads too.
        let message = "The database has encountered a critical error, and needs to be restarted. Please see database logs for more details.";
        return Answer::error(500, "Neo.DatabaseError.Transaction.TransactionStartFailed", message).into();
    }
    let Some(name) = name_of(&query.statement) else {
        let message = format!("Invalid input '{}'", query.statement.chars().take(40).collect::<String>());
        return Answer::error(400, "Neo.ClientError.Statement.SyntaxError", &message).into();
    };
    let known = statement::ALL.iter().find(|(known, _)| *known == name).map(|(_, statement)| *statement);
    let missing = known.into_iter().flat_map(|known| known.parameters).find(|name| query.parameters[**name].is_null());
    if let Some(missing) = missing {
        let message = format!("Expected parameter(s): {missing}");
        return Answer::error(400, "Neo.ClientError.Statement.ParameterMissing", &message).into();
    }
    let writes = known.is_some_and(|known| known.access == Access::Write);
    if writes && query.reads {
        let message = "Writing in read access mode not allowed. Attempted write to system database";
        return Answer::error(400, "Neo.ClientError.Statement.AccessMode", message).into();
    }
    let looks_at_transactions = ["LEFT_OVERS", "END_TRANSACTIONS"].contains(&name);
    if asked.faults.contains(&Fault::EndlessStatements) && !looks_at_transactions {
        return endless(member, asked);
    }
    let first = if member.statements == 1 { FIRST } else { 0 };
    let result = if writes { change(dbms, name, asked) } else { look(member, dbms, name, asked) };
    let mut answer = match result {
        Ok(outcome) => outcome.answer(query, &member.settings),
        Err(refused) => refused,
    };
    answer.millis = first;
    answer.into()
}

/// A statement is taken and runs on. A calendar release ends it when its time is over; 5.26 does not know the field.
fn endless(member: &mut Member, asked: &Asked<'_>) -> Reply {
    let Asked { user, database, query, now, .. } = *asked;
    let patience = query.patience.filter(|_| !member.settings.is_5());
    let number = member.statements;
    member.transactions.push(Transaction {
        id: format!("{database}-transaction-{number}"),
        user: user.to_owned(),
        query: query.statement.clone(),
        began: now,
        ends: patience.map(|seconds| now + SignedDuration::from_secs(seconds.cast_signed())),
    });
    let Some(seconds) = patience else { return Reply::Silence };
    let message = "The transaction has not completed within the timeout specified at its start by the client.";
    let code = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration";
    Reply::Answer(Answer { millis: seconds * 1000, ..Answer::error(400, code, message) })
}

fn forbidden(what: &str) -> Answer {
    let message = format!("Permission has not been granted for {what}.");
    Answer::error(403, "Neo.ClientError.Security.Forbidden", &message)
}

fn wrong(message: &str) -> Answer {
    Answer::error(400, "Neo.ClientError.Statement.ArgumentError", message)
}

/// Statements that change nothing, answered by the asked member.
fn look(member: &mut Member, dbms: &Dbms, name: &str, asked: &Asked<'_>) -> Result<Outcome, Answer> {
    let Asked { user, query, faults, now, .. } = *asked;
    let rows = match name {
        "SERVERS" => {
            if !dbms.may(user, Privilege::ShowServers) {
                return Err(forbidden("SHOW SERVERS"));
            }
            rows::servers(member, dbms, faults, now)
        }
        "DATABASES" => {
            let sees =
                |name: &str| if faults.contains(&Fault::OnlySystem) { name == "system" } else { dbms.sees(user, name) };
            rows::databases(member, dbms, faults, now, sees)
        }
        "STATUS_CHECK" => {
            // It is a procedure of administrators, which takes both (operations manual, «Execute privileges»).
            if ![Privilege::StatusCheck, Privilege::BoostedStatusCheck].iter().all(|need| dbms.may(user, *need)) {
                return Err(forbidden("EXECUTE PROCEDURE dbms.cluster.statusCheck"));
            }
            rows::checks(member, dbms, faults, now)
        }
        "LEFT_OVERS" => left_overs(member, dbms, asked),
        "END_TRANSACTIONS" => return Ok(end_transactions(member, dbms, user, &query.parameters["ids"])),
        other => return Err(wrong(&format!("the world does not know what {other} does"))),
    };
    Ok(Outcome::of_rows(rows))
}

fn left_overs(member: &Member, dbms: &Dbms, asked: &Asked<'_>) -> Vec<Row> {
    let Asked { user, database, query, now, .. } = *asked;
    let own = Transaction {
        id: format!("{database}-transaction-{}", member.statements),
        user: user.to_owned(),
        query: query.statement.clone(),
        began: now,
        ends: None,
    };
    let all = member.transactions.iter().chain([&own]);
    // Everybody may see theirs.
    let seen = all.filter(|transaction| transaction.user == user || dbms.is_administrator(user));
    let wanted = seen.filter(|transaction| query.parameters["user"] == json!(transaction.user));
    let row = |transaction: &Transaction| {
        let Transaction { id, user, query, began, .. } = transaction;
        let millis = now.duration_since(*began).as_millis();
        rows::row([
            ("transactionId", json!(id)),
            ("username", json!(user)),
            ("currentQuery", json!(query)),
            ("millis", json!(i64::try_from(millis).unwrap_or(i64::MAX))),
        ])
    };
    wanted.map(row).collect()
}

fn end_transactions(member: &mut Member, dbms: &Dbms, user: &str, ids: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    for id in ids.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let number = id.rsplit_once("-transaction-").and_then(|(_, number)| number.parse::<u64>().ok());
        if number.is_none() {
            let message = format!("Could not parse id {id} (expected format: <databasename>-transaction-<id>)");
            outcome.error = Some(("Neo.ClientError.General.InvalidArguments", message));
            break;
        }
        let may = |transaction: &Transaction| transaction.user == user || dbms.is_administrator(user);
        let before = member.transactions.len();
        member.transactions.retain(|transaction| transaction.id != id || !may(transaction));
        let ended = member.transactions.len() < before;
        let message = if ended { "Transaction terminated." } else { "Transaction not found." };
        outcome.rows.push(rows::row([("transactionId", json!(id)), ("message", json!(message))]));
    }
    outcome
}

/// Statements that change users and roles: they go to the leader of `system`, wherever that is.
fn change(dbms: &mut Dbms, name: &str, asked: &Asked<'_>) -> Result<Outcome, Answer> {
    let Asked { user, query, .. } = *asked;
    if !dbms.is_administrator(user) {
        return Err(forbidden("this administration command"));
    }
    let system = dbms.databases.get("system");
    if system.is_none_or(|system| system.leader.is_none() || !system.has_majority()) {
        // Status codes, «Cluster».
        let message = "No leader of the database 'system' is known.";
        return Err(Answer::error(400, "Neo.ClientError.Cluster.NotALeader", message));
    }
    let parameter = |name: &str| query.parameters[name].as_str().unwrap_or_default().to_owned();
    let (subject, password, role) = (parameter("user"), parameter("password"), parameter("role"));
    let updates = match name {
        "CREATE_USER" | "SET_PASSWORD" if password.len() < SHORTEST => {
            return Err(wrong(&format!("A password must be at least {SHORTEST} characters.")));
        }
        "CREATE_USER" => {
            let is_new = !dbms.users.contains_key(&subject);
            dbms.users.entry(subject).or_insert_with(|| User::new(password));
            is_new
        }
        "SET_PASSWORD" => {
            let failed = |why: &str| wrong(&format!("Failed to alter the specified user '{subject}': {why}"));
            let found = dbms.users.get_mut(&subject).ok_or_else(|| failed("User does not exist."))?;
            if found.password == password {
                return Err(failed("Old password and new password cannot be the same."));
            }
            (found.password, found.expired) = (password, false);
            true
        }
        "KEEP_PASSWORD" => {
            let failed = || wrong(&format!("Failed to alter the specified user '{subject}': User does not exist."));
            dbms.users.get_mut(&subject).ok_or_else(failed)?.expired = false;
            true
        }
        "CREATE_ROLE" => {
            let is_new = !dbms.roles.contains_key(&role);
            dbms.roles.entry(role).or_default();
            is_new
        }
        "GRANT_ROLE" => {
            let failed = |why: &str| wrong(&format!("Failed to grant role '{role}' to user '{subject}': {why}"));
            if !dbms.roles.contains_key(&role) {
                return Err(failed("Role does not exist."));
            }
            let found = dbms.users.get_mut(&subject).ok_or_else(|| failed("User does not exist."))?;
            found.roles.insert(role.clone())
        }
        granted => {
            let privilege = match granted {
                "GRANT_ACCESS" => Privilege::Access,
                "GRANT_SHOW_SERVERS" => Privilege::ShowServers,
                "GRANT_STATUS_CHECK" => Privilege::StatusCheck,
                "GRANT_STATUS_CHECK_BOOSTED" => Privilege::BoostedStatusCheck,
                other => return Err(wrong(&format!("the world does not know what {other} does"))),
            };
            let failed = || wrong(&format!("Failed to grant privilege to role '{role}': Role does not exist."));
            dbms.roles.get_mut(&role).ok_or_else(failed)?.insert(privilege)
        }
    };
    Ok(Outcome::of_updates(u64::from(updates)))
}
