//! Users with their roles, and logins that are refused.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Dbms;

/// How often a login may fail, and for how long it is refused then (operations manual, «Configuration settings»,
/// `dbms.security.auth_max_failed_attempts` and `auth_lock_time`).
const FAILURES: u32 = 3;
const LOCKED: SignedDuration = SignedDuration::from_secs(5);
/// The default of `dbms.security.auth_minimum_password_length`.
pub(super) const SHORTEST: usize = 8;

/// The role that may do everything.
const ADMIN: &str = "admin";
/// Roles that come with access to all databases (operations manual, «Built-in roles and privileges»).
const READERS: [&str; 4] = ["reader", "editor", "publisher", "architect"];

/// Privileges by role.
pub(super) type Roles = BTreeMap<String, BTreeSet<Privilege>>;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its password.
    pub password: String,
    /// Whether it must change that first.
    pub expired: bool,
    /// Its roles, besides `PUBLIC`.
    pub roles: BTreeSet<String>,
}

/// What a role may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// `ACCESS ON DATABASE *`.
    Access,
    /// `SHOW SERVERS ON DBMS`.
    ShowServers,
    /// `EXECUTE PROCEDURE dbms.cluster.statusCheck`.
    StatusCheck,
    /// The same, boosted.
    BoostedStatusCheck,
}

/// Logins of a user that a member has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempts {
    failed: u32,
    last: Timestamp,
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Accepted,
    Refused,
    Locked,
}

impl User {
    /// The first user.
    #[must_use]
    pub fn administrator(password: String) -> Self {
        Self { password, expired: false, roles: [ADMIN.to_owned()].into() }
    }

    /// A user without any role.
    #[must_use]
    pub fn new(password: impl Into<String>) -> Self {
        Self { password: password.into(), expired: false, roles: BTreeSet::new() }
    }
}

impl Dbms {
    /// Whether a user may do everything.
    pub(super) fn is_administrator(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains(ADMIN))
    }

    /// Whether a user has a privilege.
    pub(super) fn may(&self, user: &str, privilege: Privilege) -> bool {
        let roles = self.users.get(user).into_iter().flat_map(|user| &user.roles);
        roles.into_iter().any(|role| {
            let reads = privilege == Privilege::Access && READERS.contains(&role.as_str());
            role == ADMIN || reads || self.roles.get(role).is_some_and(|role| role.contains(&privilege))
        })
    }

    /// Whether a user sees a database. `system` is always visible (operations manual, «List databases»), and the home database
    /// as long as nobody has taken that from `PUBLIC` («Built-in roles and privileges»).
    pub(super) fn sees(&self, user: &str, database: &str) -> bool {
        database == "system" || (database == "neo4j" && self.home_access) || self.may(user, Privilege::Access)
    }

    /// Logs a user in at a member that remembers these attempts.
    pub(super) fn log_in(
        &self,
        attempts: &mut BTreeMap<String, Attempts>,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> Login {
        // Of users that do not exist nothing is remembered.
        let Some(known) = self.users.get(user) else { return Login::Refused };
        let before = attempts.get(user).copied();
        if before.is_some_and(|before| before.failed >= FAILURES && now < before.last + LOCKED) {
            return Login::Locked;
        }
        if known.password == password {
            attempts.remove(user);
            return Login::Accepted;
        }
        let failed = before.map_or(0, |before| before.failed) + 1;
        attempts.insert(user.to_owned(), Attempts { failed, last: now });
        Login::Refused
    }
}
