//! When the user that asks the members is declared, in the name of the administrator.

use jiff::{SignedDuration, Timestamp};

use super::{Answer, Declaration, Fault, Kind, Memory};

/// How long a declaration may take to reach every member, before another is made because of a refused login.
const SPREADS: SignedDuration = SignedDuration::from_mins(5);
/// How often a declaration is made because of missing rights, which somebody may have taken away on purpose.
const RIGHTS: SignedDuration = SignedDuration::from_hours(1);
/// How often an administrator's login is tried again that was refused. Each attempt counts towards a lock of the user, who
/// may be a person.
const REFUSED: SignedDuration = SignedDuration::from_hours(1);

/// A login of the administrator that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The version of its secret.
    pub version: String,
    /// When it was tried.
    pub at: Timestamp,
}

/// Why the user has to be declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeclared {
    /// A member refuses its login, as when it has never been declared.
    #[error("the member at {0} refuses the login of the user monitor")]
    Login(String),
    /// It would have to change its password first.
    #[error("the member at {0} wants the user monitor to change its password")]
    Password(String),
    /// It lacks rights.
    #[error("the member at {0} shows the user monitor no database but system, or forbids it what it asks")]
    Rights(String),
}

/// Returns why the user has to be declared now; nothing when it is fine, or was declared not long ago.
#[must_use]
pub fn undeclared(answers: &[Answer], memory: &Memory, now: Timestamp) -> Option<Undeclared> {
    let is_due = |pause| memory.declared.is_none_or(|at| now.duration_since(at) >= pause);
    let refused = |answer: &Answer| {
        let at = answer.address.to_string();
        match answer.view.as_ref().err()?.kind {
            Kind::LoginRefused => Some(Undeclared::Login(at)),
            Kind::PasswordExpired => Some(Undeclared::Password(at)),
            _ => None,
        }
    };
    if let Some(why) = answers.iter().find_map(refused) {
        return Some(why).filter(|_| is_due(SPREADS));
    }
    let lacks = answers.iter().find(|answer| answer.lacks_rights());
    lacks.map(|answer| Undeclared::Rights(answer.address.to_string())).filter(|_| is_due(RIGHTS))
}

impl Memory {
    /// Returns whether the administrator's login in this version of its secret may be tried.
    #[must_use]
    pub fn may_log_in(&self, version: &str, now: Timestamp) -> bool {
        let refused = self.admin_refused.as_ref().filter(|refused| refused.version == version);
        refused.is_none_or(|refused| now.duration_since(refused.at) >= REFUSED)
    }

    /// Remembers what came of a declaration with this version of the administrator's secret. Returns whether its login was
    /// refused.
    pub fn see_declaration(&mut self, result: &Result<Declaration, Fault>, version: &str, now: Timestamp) -> bool {
        let refused = [Kind::LoginRefused, Kind::PasswordExpired, Kind::Forbidden];
        match result {
            Ok(_) => (self.declared, self.admin_refused) = (Some(now), None),
            Err(fault) if refused.contains(&fault.kind) => {
                self.admin_refused = Some(Refused { version: version.to_owned(), at: now });
                return true;
            }
            Err(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neo4j::{Asked, Database, View};

    fn at(minute: i64) -> Timestamp {
        "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
    }

    fn answer(view: Result<&[&str], Kind>) -> Answer {
        let address = [10, 0, 1, 11].into();
        let asked = Asked { task: "task".into(), core: Some(1), address, pages_only: false };
        let database = |name: &&str| Database {
            name: (*name).to_owned(),
            id: None,
            kind: "standard".into(),
            requested_status: "online".into(),
            requested_primaries: None,
            requested_secondaries: None,
            current_primaries: None,
            age: None,
            copies: vec![],
        };
        let view =
            view.map(|names| View { server: None, servers: vec![], databases: names.iter().map(database).collect() });
        Answer {
            view: view.map_err(|kind| Fault::new(kind, "no")),
            ..Answer::unasked(&asked, &Fault::new(Kind::NotAsked, ""))
        }
    }

    fn why(view: Result<&[&str], Kind>, declared: Option<i64>, now: i64) -> Option<String> {
        let memory = Memory { declared: declared.map(at), ..Memory::default() };
        let fine = answer(Ok(&["neo4j", "system"]));
        undeclared(&[fine, answer(view)], &memory, at(now)).map(|why| why.to_string())
    }

    #[test]
    fn a_refused_login_is_declared_again_when_the_last_declaration_has_spread() {
        let refused = Some("the member at 10.0.1.11 refuses the login of the user monitor".to_owned());
        let table = [(None, 0, true), (Some(0), 4, false), (Some(0), 5, true)];
        for (declared, now, wanted) in table {
            let found = why(Err(Kind::LoginRefused), declared, now);
            assert_eq!(found, refused.clone().filter(|_| wanted), "{declared:?} {now}");
        }
        assert!(why(Err(Kind::PasswordExpired), None, 0).is_some_and(|why| why.contains("change its password")));
    }

    #[test]
    fn missing_rights_are_given_again_once_an_hour() {
        let blind: Result<&[&str], _> = Ok(&["system"]);
        for view in [blind, Err(Kind::Forbidden)] {
            let asked =
                [(None, 0), (Some(0), 59), (Some(0), 60)].map(|(declared, now)| why(view, declared, now).is_some());
            assert_eq!(asked, [true, false, true], "{view:?}");
        }
    }

    #[test]
    fn whatever_else_a_member_answers_is_no_reason() {
        for kind in [Kind::Silent, Kind::Locked, Kind::NotAsked, Kind::Failed, Kind::NotFound, Kind::Unreadable] {
            assert_eq!(why(Err(kind), None, 0), None, "{kind:?}");
        }
        assert_eq!(why(Ok(&["neo4j", "system"]), None, 0), None);
    }

    #[test]
    fn an_administrators_login_that_was_refused_is_tried_with_another_version_or_after_an_hour() {
        let mut memory = Memory::default();
        for kind in [Kind::LoginRefused, Kind::PasswordExpired, Kind::Forbidden] {
            assert!(memory.see_declaration(&Err(Fault::new(kind, "no")), "v1", at(0)));
            assert!(
                !memory.may_log_in("v1", at(59)) && memory.may_log_in("v1", at(60)) && memory.may_log_in("v2", at(1))
            );
        }
        // Nobody knows whether it would have been refused.
        let before = memory.clone();
        assert!(!memory.see_declaration(&Err(Fault::new(Kind::Silent, "no")), "v1", at(2)));
        assert_eq!(memory, before);
        assert!(!memory.see_declaration(&Ok(Declaration::Left), "v2", at(3)));
        assert_eq!((memory.declared, memory.admin_refused), (Some(at(3)), None));
    }
}
