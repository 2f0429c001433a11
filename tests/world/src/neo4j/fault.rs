//! What a member can answer wrongly. A story puts it on an address; what is there behaves so until the story takes it away.

use super::{Reply, Request, http::Answer};

/// Something wrong with what an address answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It takes connections, and answers nothing.
    Silence,
    /// Nothing comes back at all, not even a refusal: a security group, or an instance that has gone.
    Unreachable,
    /// The connection is refused.
    Refused,
    /// It sends the head and the first half of an answer, and then nothing.
    HalfClosed,
    /// It breaks the connection.
    Reset,
    /// Every page and statement is answered with this status: 401, 403, 404, 429 or 500.
    Status(u16),
    /// Every statement is, while the pages answer.
    StatementStatus(u16),
    /// It leads to another place.
    Redirect,
    /// A web page.
    Html,
    /// The first half of the JSON, as if that were all.
    Truncated,
    /// Rows, and then an error.
    RowsThenError,
    /// Fields that nobody knows.
    UnknownFields,
    /// `isHealthy` instead of `healthy`.
    IsHealthy,
    /// An answer of 50 MB.
    Huge,
    /// A database is left out of every answer.
    LeavesOut(String),
    /// A database is `online` with this message.
    Message(String, String),
    /// Its clock is off by so many seconds.
    ClockSkew(i64),
    /// Another version.
    Version(String),
    /// Every user sees only `system`.
    OnlySystem,
    /// Every user must change its password first.
    PasswordExpired,
    /// Every login is refused.
    LoginRefused,
    /// Statements are taken and run for ever; only what looks at transactions is answered.
    EndlessStatements,
    /// The address is that of another Neo4j, with another server id.
    SomebodyElse,
    /// Only what needs no login is answered as by Community, which has no cluster.
    Community,
}

/// How much [`Fault::Huge`] is.
const HUGE: usize = 50 << 20;

impl Fault {
    /// What comes instead of any answer, before the member has seen the request.
    pub(super) fn before(&self, request: &Request) -> Option<Reply> {
        let answer = |status: u16, kind: &'static str, body: &str| {
            Some(Reply::Answer(Answer {
                status,
                headers: vec![("content-type", kind.to_owned())],
                body: body.into(),
                millis: 0,
            }))
        };
        match self {
            Self::Silence => Some(Reply::Silence),
            Self::Unreachable => Some(Reply::Unreachable),
            Self::Refused => Some(Reply::Refused),
            Self::Reset => Some(Reply::Reset),
            Self::Status(status) => Some(of_status(*status)),
            Self::StatementStatus(status) if request.method == "POST" => Some(of_status(*status)),
            Self::Redirect => {
                let headers = vec![("location", "https://login.example/".to_owned())];
                Some(Reply::Answer(Answer { status: 302, headers, body: vec![], millis: 0 }))
            }
            Self::Html => answer(200, "text/html", "<!doctype html><title>Sign in</title>"),
            Self::Huge => answer(200, "application/json", &format!("{{\"padding\": \"{}\"}}", "0".repeat(HUGE))),
            _ => None,
        }
    }

    /// What becomes of an answer on its way.
    pub(super) fn after(&self, request: &Request, reply: Reply) -> Reply {
        let Reply::Answer(mut answer) = reply else { return reply };
        let is_query = request.method == "POST";
        match self {
            Self::HalfClosed => {
                answer.body.truncate(answer.body.len() / 2);
                return Reply::HalfClosed(answer);
            }
            Self::Truncated => answer.body.truncate(answer.body.len() / 2),
            Self::UnknownFields => answer.edit(|body| {
                if let Some(body) = body.as_object_mut() {
                    body.insert("nobodyKnows".to_owned(), serde_json::json!({"this": [1, null]}));
                }
                for entry in body.as_array_mut().into_iter().flatten().filter_map(|entry| entry.as_object_mut()) {
                    entry.insert("nobodyKnows".to_owned(), serde_json::json!(true));
                }
            }),
            Self::RowsThenError if is_query && answer.status == 202 => answer.edit(|body| {
                let message = "An unexpected error has occurred.";
                let error = serde_json::json!({"code": "Neo.DatabaseError.General.UnknownError", "message": message});
                body["errors"] = serde_json::json!([error]);
            }),
            Self::IsHealthy => answer.edit(|body| {
                let entries = body.as_array_mut().into_iter().flatten();
                for status in entries.filter_map(|entry| entry["databaseStatus"].as_object_mut()) {
                    if let Some(healthy) = status.remove("healthy") {
                        status.insert("isHealthy".to_owned(), healthy);
                    }
                }
            }),
            _ => {}
        }
        Reply::Answer(answer)
    }
}

/// An error page of Neo4j with a status, or of whatever stands before it.
fn of_status(status: u16) -> Reply {
    match status {
        401 => Answer::unauthorized().into(),
        403 => Answer::error(403, "Neo.ClientError.Security.Forbidden", "Access denied.").into(),
        404 => Answer::error(404, "Neo.ClientError.Request.Invalid", "Not Found").into(),
        429 => Answer::locked().into(),
        _ => {
            Answer::error(status, "Neo.DatabaseError.General.UnknownError", "An unexpected error has occurred.").into()
        }
    }
}
