//! The login of the user `monitor`: when its password and its rights have to be declared again, by the administrator.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Answer, Answers, Declaration, Fault, Kind};
use crate::instance::Phase;

/// How long nothing is declared again for missing rights. Granting what is granted repairs nothing.
const RIGHTS_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long nothing is declared again for a refused login: members take over what was declared one after the other.
const LOGIN_AGAIN: SignedDuration = SignedDuration::from_mins(3);
/// How long an administrator's login that was refused is not tried again with the same secret. Each attempt counts towards
/// locking a person out, who may be logged in as the administrator at that moment.
const ADMIN_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What keeps a member from answering the user `monitor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Its login is refused.
    LoginRefused,
    /// It must change its password first.
    PasswordExpired,
    /// It is locked for some seconds, which passes by itself.
    Locked,
    /// It lacks rights: it is forbidden something, or sees nothing but `system`.
    RightsMissing,
}

/// The beginning of a sentence that ends with the members.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LoginRefused => "the login of the user monitor is refused by",
            Self::PasswordExpired => "the user monitor has to change its password on",
            Self::Locked => "the user monitor is locked for some seconds on",
            Self::RightsMissing => "the user monitor lacks rights on",
        })
    }
}

/// Returns what keeps a member from answering the user `monitor`. A member that does not answer at all says nothing.
#[must_use]
pub fn trouble(answer: &Answer) -> Option<Trouble> {
    answer.page.as_ref().ok()?;
    let fault = match &answer.view {
        Ok(view) if view.databases.iter().all(|database| database.name == "system") => {
            return Some(Trouble::RightsMissing);
        }
        Ok(_) => answer.check.as_ref().err(),
        Err(fault) => Some(fault),
    };
    match fault?.kind {
        Kind::LoginRefused => Some(Trouble::LoginRefused),
        Kind::PasswordExpired => Some(Trouble::PasswordExpired),
        Kind::Locked => Some(Trouble::Locked),
        Kind::Forbidden => Some(Trouble::RightsMissing),
        _ => None,
    }
}

impl Answers {
    /// Returns how many members refuse the monitor's login, want its password changed, or have locked it.
    #[must_use]
    pub fn logins_refused(&self) -> usize {
        self.members.iter().filter_map(trouble).filter(|trouble| *trouble != Trouble::RightsMissing).count()
    }

    /// Returns on how many members the monitor lacks rights.
    #[must_use]
    pub fn rights_missing(&self) -> usize {
        self.members.iter().filter_map(trouble).filter(|trouble| *trouble == Trouble::RightsMissing).count()
    }
}

/// What is remembered of declarations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// When the user was last declared with success.
    pub declared: Option<Timestamp>,
    /// The administrator's login that was refused last; nothing after one that was not.
    pub admin_refused: Option<AdminRefused>,
}

/// An administrator's login that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRefused {
    /// The version id of the secret that it was tried with.
    pub version: String,
    /// When it was tried.
    pub at: Timestamp,
}

impl Remembered {
    /// Remembers what came of a declaration with this version of the administrator's secret. What says nothing about the
    /// administrator's login changes nothing.
    pub fn see(&mut self, declared: &Result<Declaration, Fault>, version: &str, now: Timestamp) {
        match declared {
            Ok(_) => *self = Self { declared: Some(now), admin_refused: None },
            Err(fault) if [Kind::LoginRefused, Kind::PasswordExpired, Kind::Forbidden].contains(&fault.kind) => {
                self.admin_refused = Some(AdminRefused { version: version.to_owned(), at: now });
            }
            Err(_) => {}
        }
    }
}

/// What to do about the user `monitor`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody follows changes nothing"]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Nothing: it is locked, which passes by itself.
    Locked {
        /// Where.
        why: Why,
    },
    /// Nothing yet: it was declared not long ago.
    Wait {
        /// What is wrong.
        why: Why,
        /// When it was declared.
        declared: Timestamp,
        /// When it is declared again, if that is still wrong then.
        until: Timestamp,
    },
    /// Declare it with the administrator's login.
    Declare {
        /// What is wrong.
        why: Why,
    },
    /// It should be declared, but the administrator's login was refused.
    AdminRefused {
        /// What is wrong.
        why: Why,
        /// What was refused.
        refused: AdminRefused,
        /// When it is tried again although the secret is the same.
        until: Timestamp,
    },
}

/// Why the user `monitor` has to be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What keeps members from answering it.
    pub trouble: Trouble,
    /// Their addresses, and their tasks.
    pub members: Vec<String>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.trouble, self.members.join(", "))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("the user monitor is as it should be, as far as anybody answers"),
            Self::Locked { why } => write!(f, "{why}: the next round looks again"),
            Self::Wait { why, declared, until } => {
                write!(f, "{why}: it was declared at {declared}, and is declared again at {until} if that lasts")
            }
            Self::Declare { why } => write!(f, "{why}: it is declared with its password and its rights"),
            Self::AdminRefused { why, refused, until } => write!(
                f,
                "{why}, and the administrator's login was refused at {} with version {} of its secret: put the password that \
                 Neo4j has into the administrator's secret; the same one is tried again at {until}",
                refused.at, refused.version
            ),
        }
    }
}

/// Decides what to do about the user `monitor`. `admin` is the version id of the administrator's secret as it is now.
///
/// Only members that answer count. One that has locked the user says nothing about its password: the lock passes by itself,
/// and whoever caused it is seen by the next round.
pub fn decide(answers: &Answers, phase: Phase, remembered: &Remembered, admin: &str, now: Timestamp) -> Decision {
    let troubled = |wanted: Trouble| {
        let members: Vec<_> =
            answers.members.iter().filter(|answer| trouble(answer) == Some(wanted)).map(name).collect();
        (!members.is_empty()).then_some(Why { trouble: wanted, members })
    };
    let mut order = [Trouble::LoginRefused, Trouble::PasswordExpired, Trouble::RightsMissing].into_iter();
    if phase == Phase::Deleting {
        return Decision::Keep;
    }
    let Some(why) = order.find_map(troubled) else {
        return troubled(Trouble::Locked).map_or(Decision::Keep, |why| Decision::Locked { why });
    };
    let again = if why.trouble == Trouble::RightsMissing { RIGHTS_AGAIN } else { LOGIN_AGAIN };
    if let Some(declared) = remembered.declared
        && let Some(until) = ahead(declared, again, now)
    {
        return Decision::Wait { why, declared, until };
    }
    if let Some(refused) = remembered.admin_refused.as_ref().filter(|refused| refused.version == admin)
        && let Some(until) = ahead(refused.at, ADMIN_AGAIN, now)
    {
        return Decision::AdminRefused { why, refused: refused.clone(), until };
    }
    Decision::Declare { why }
}

/// Returns when something may be done again, unless that is now.
fn ahead(last: Timestamp, pause: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    last.checked_add(pause).ok().filter(|until| *until > now)
}

fn name(answer: &Answer) -> String {
    format!("{} (task {})", answer.address, answer.task)
}

#[cfg(test)]
mod tests;
