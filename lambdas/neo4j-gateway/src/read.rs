//! Reads what members answer. Fields that nobody here knows are ignored.

mod pages;
mod query;
mod rows;

use cluster_core::neo4j::{Fault, Kind};

pub(crate) use self::{
    pages::{page, raft},
    query::{Rows, rows},
    rows::{checks, databases, left_overs, own, servers},
};
use crate::{ask::Reply, faults::fault};

/// Returns why an answer is no success by its HTTP status alone.
fn status(reply: &Reply) -> Fault {
    let status = reply.status;
    let (kind, text) = match status {
        300..=399 => {
            let to = reply.location.as_deref().unwrap_or("nowhere");
            (Kind::Unreadable, format!("a redirect ({status}) to {to}, which is not followed"))
        }
        401 => (Kind::LoginRefused, "the login was refused (401)".to_owned()),
        403 => (Kind::Forbidden, "forbidden (403)".to_owned()),
        404 => (Kind::NotFound, "there is no such page (404)".to_owned()),
        429 => (Kind::Locked, "the user is locked after refused logins (429)".to_owned()),
        200..=299 => (Kind::Unreadable, format!("another answer ({status}) than documented: {}", beginning(reply))),
        _ => (Kind::Failed, format!("status {status}: {}", beginning(reply))),
    };
    fault(kind, &text)
}

/// Returns a fault of an answer that has another shape than documented.
fn unreadable(reply: &Reply, why: &str) -> Fault {
    fault(Kind::Unreadable, &format!("{why}: {}", beginning(reply)))
}

/// Shows how an answer begins.
fn beginning(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(reply.body.get(..120).unwrap_or(&reply.body)).into_owned();
    if text.trim().is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
