use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Everything that the gateway can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// What does each member say at this moment? Answered by [`Answers`](super::Answers).
    Observe(Observe),
    /// Make the user exist with its password and its rights. Answered by [`Declared`](super::Declared).
    DeclareUsers(DeclareUsers),
}

/// A member to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The id of its task.
    pub task: String,
    /// Its core's number; nothing for a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<u8>,
    /// The address of its instance, as EC2 reports it: in Cloud Map anybody with the permission could register one, and be
    /// sent a password.
    pub address: Ipv4Addr,
    /// Whether it gets only pages that need no login, because it left a statement unanswered not long ago: a statement
    /// whose client gives up runs on in the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pages_only: bool,
}

/// Asks each member what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observe {
    /// The members, each at most once.
    pub members: Vec<Asked>,
    /// The user that asks in Cypher; nothing for only what needs no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Login>,
}

/// Declares the user of [`Observe::monitor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclareUsers {
    /// The members, of which one that answers is enough.
    pub members: Vec<Asked>,
    /// The administrator who declares.
    pub admin: Login,
    /// The user to declare.
    pub monitor: Login,
}

/// A user's name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}
