use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use jiff::{SignedDuration, Timestamp};

use super::{Answer, Asked, Kind, monitor};

/// How long a member that left a statement unanswered is asked for pages only. The statement runs on in the server, and
/// another would only be put beside it.
const PAGES_ONLY: SignedDuration = SignedDuration::from_mins(10);
/// How long a member may take for its first statements: Neo4j has to warm up its planner, which took 7 s on a busy machine.
const WARMING: SignedDuration = SignedDuration::from_mins(2);
/// The shortest time between two sweeps: what people ask for in between is none.
const SWEEP: SignedDuration = SignedDuration::from_secs(45);
/// The longest time between two sweeps that count as one after the other.
const GAP: SignedDuration = SignedDuration::from_mins(3);

/// What is remembered of Neo4j from one sweep to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When members answered for the first time, by task.
    pub answered: BTreeMap<String, Timestamp>,
    /// When members left a statement unanswered, by task.
    pub unanswered: BTreeMap<String, Timestamp>,
    /// The databases that the status check replicated nowhere in the last sweep.
    pub down: BTreeMap<String, Down>,
    /// The server id of each core.
    pub servers: BTreeMap<u8, String>,
    /// What is remembered of declaring the user that asks.
    pub monitor: monitor::Remembered,
}

/// How long a database has been down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// In how many sweeps, one after the other; no more than two matter.
    pub sweeps: u8,
    /// When it was last seen.
    pub seen: Timestamp,
}

impl Memory {
    /// Returns whether a member gets only pages that need no login.
    #[must_use]
    pub fn pages_only(&self, task: &str, now: Timestamp) -> bool {
        self.unanswered.get(task).is_some_and(|at| now.duration_since(*at) < PAGES_ONLY)
    }

    /// Returns the databases that were down in the last sweep, and in the one before that.
    #[must_use]
    pub fn down_before(&self, now: Timestamp) -> [BTreeSet<String>; 2] {
        [1, 2].map(|sweeps| {
            let down = self.down.iter().filter(|(_, down)| down.sweeps >= sweeps && down.is_last(now));
            down.map(|(database, _)| database.clone()).collect()
        })
    }

    /// Remembers who answered, and who left a statement unanswered. Forgets members that are gone, and those that may be
    /// asked again.
    pub fn see_answers(&mut self, asked: &[Asked], answers: &[Answer], now: Timestamp) {
        let (known, answered) = (mem::take(&mut self.unanswered), mem::take(&mut self.answered));
        for member in asked {
            let answer = answers.iter().find(|answer| answer.task == member.task);
            let first = answered.get(&member.task).copied();
            if let Some(at) = first.or(answer.is_some_and(|answer| answer.page.is_ok()).then_some(now)) {
                self.answered.insert(member.task.clone(), at);
            }
            let warm = first.is_some_and(|first| now.duration_since(first) >= WARMING);
            let silent = warm && answer.is_some_and(Answer::left_statement_unanswered);
            let before = known.get(&member.task).copied().filter(|at| now.duration_since(*at) < PAGES_ONLY);
            if let Some(at) = before.or(silent.then_some(now)) {
                self.unanswered.insert(member.task.clone(), at);
            }
        }
    }

    /// Remembers the databases that are down now.
    pub fn see_down(&mut self, down: &BTreeSet<String>, now: Timestamp) {
        let known = mem::take(&mut self.down);
        self.down = down
            .iter()
            .map(|database| {
                let before = known.get(database).copied().filter(|down| down.is_last(now));
                let down = match before {
                    Some(down) if now.duration_since(down.seen) < SWEEP => down,
                    Some(down) => Down { sweeps: (down.sweeps + 1).min(2), seen: now },
                    None => Down { sweeps: 1, seen: now },
                };
                (database.clone(), down)
            })
            .collect();
    }

    /// Remembers the server id of each core that has none yet, or whose old server no member knows any more: somebody has
    /// dropped it. Two cores never have the same.
    pub fn see_servers(&mut self, asked: &[Asked], answers: &[Answer]) {
        for member in asked {
            let Some(core) = member.core else { continue };
            let view =
                answers.iter().find(|answer| answer.task == member.task).and_then(|answer| answer.view.as_ref().ok());
            let Some(id) = view.and_then(|view| view.server.as_ref()) else { continue };
            let known = |id: &String| {
                let mut views = answers.iter().filter_map(|answer| answer.view.as_ref().ok());
                views.any(|view| view.servers.iter().any(|server| server.id == *id))
            };
            let keeps = self.servers.get(&core).is_some_and(|old| old == id || known(old) || !known(id));
            let taken = self.servers.iter().any(|(other, of)| *other != core && of == id);
            if !keeps && !taken {
                self.servers.insert(core, id.clone());
            }
        }
    }
}

impl Down {
    fn is_last(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) <= GAP
    }
}

impl Answer {
    /// Returns whether a statement was sent to the member and never answered, though the member answers pages.
    fn left_statement_unanswered(&self) -> bool {
        let silent = |fault: &super::Fault| fault.kind == Kind::Silent;
        self.page.is_ok() && (self.view.as_ref().is_err_and(silent) || self.check.as_ref().is_err_and(silent))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::neo4j::{Fault, Page, Server, View};

    fn at(minute: i64) -> Timestamp {
        "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
    }

    fn asked(core: u8) -> Asked {
        let address = Ipv4Addr::new(10, 0, core, 1);
        Asked { task: format!("task-{core}"), core: Some(core), address, pages_only: false }
    }

    fn answer(core: u8, server: Option<&str>, servers: &[&str]) -> Answer {
        let fault = Fault::new(Kind::Silent, "no answer within 3 s");
        let server_row = |id: &&str| Server {
            id: (*id).to_owned(),
            address: None,
            state: "Enabled".into(),
            health: "Available".into(),
            hosting: BTreeSet::new(),
            requested: BTreeSet::new(),
            version: None,
        };
        let view = server.map(|server| View {
            server: Some(server.to_owned()),
            servers: servers.iter().map(server_row).collect(),
            databases: vec![],
        });
        Answer {
            page: Ok(Page { version: "5.26.33".into(), edition: "enterprise".into() }),
            view: view.ok_or(fault.clone()),
            check: Err(Fault::new(Kind::NotAsked, "")),
            ..Answer::unasked(&asked(core), &fault)
        }
    }

    #[test]
    fn a_member_that_left_a_statement_unanswered_gets_pages_only_for_ten_minutes() {
        let long_ago = [("task-1".to_owned(), at(-60)), ("task-2".to_owned(), at(-60))];
        let mut memory = Memory { answered: long_ago.into(), ..Memory::default() };
        memory.see_answers(&[asked(1), asked(2)], &[answer(1, None, &[]), answer(2, Some("b"), &[])], at(0));
        assert!(memory.pages_only("task-1", at(9)) && !memory.pages_only("task-2", at(0)));
        assert!(!memory.pages_only("task-1", at(10)));
        // Its time is not lengthened by sweeps in which it was not asked in Cypher.
        let not_asked = Answer { view: Err(Fault::new(Kind::NotAsked, "")), ..answer(1, None, &[]) };
        memory.see_answers(&[asked(1)], std::slice::from_ref(&not_asked), at(9));
        assert_eq!(memory.unanswered.get("task-1"), Some(&at(0)));
        memory.see_answers(&[asked(1)], &[not_asked], at(10));
        assert!(memory.unanswered.is_empty());
        // A member that answers nothing at all was sent no statement.
        let gone = Answer::unasked(&asked(1), &Fault::new(Kind::Silent, ""));
        memory.see_answers(&[asked(1)], &[gone], at(11));
        assert!(memory.unanswered.is_empty());
        memory.see_answers(&[asked(1)], &[answer(1, None, &[])], at(12));
        memory.see_answers(&[asked(2)], &[], at(13));
        assert!(memory.unanswered.is_empty(), "its task is gone");
    }

    #[test]
    fn a_member_that_has_just_started_may_take_long_for_its_first_statements() {
        let mut memory = Memory::default();
        for (minute, unanswered) in [(0, false), (1, false), (2, true)] {
            memory.see_answers(&[asked(1)], &[answer(1, None, &[])], at(minute));
            assert_eq!(memory.unanswered.contains_key("task-1"), unanswered, "minute {minute}");
        }
    }

    #[test]
    fn a_member_that_answered_once_is_remembered_until_its_task_is_gone() {
        let mut memory = Memory::default();
        let silent = Answer::unasked(&asked(1), &Fault::new(Kind::Silent, ""));
        memory.see_answers(&[asked(1)], std::slice::from_ref(&silent), at(0));
        assert!(memory.answered.is_empty());
        memory.see_answers(&[asked(1)], &[answer(1, None, &[])], at(1));
        memory.see_answers(&[asked(1)], &[silent], at(2));
        assert_eq!(memory.answered.get("task-1"), Some(&at(1)));
        memory.see_answers(&[asked(2)], &[], at(3));
        assert!(memory.answered.is_empty());
    }

    #[test]
    fn a_database_was_down_before_only_in_sweeps_without_a_gap() {
        let mut memory = Memory::default();
        let down: BTreeSet<String> = ["sales".to_owned()].into();
        let before = |memory: &Memory, minute| memory.down_before(at(minute)).map(|down| down.len());
        memory.see_down(&down, at(0));
        assert_eq!(before(&memory, 1), [1, 0]);
        memory.see_down(&down, at(0) + SignedDuration::from_secs(30));
        assert_eq!(before(&memory, 1), [1, 0], "a person has looked in between");
        memory.see_down(&down, at(1));
        assert_eq!(before(&memory, 2), [1, 1]);
        assert_eq!(before(&memory, 5), [0, 0], "the drainer was away");
        memory.see_down(&down, at(5));
        assert_eq!(before(&memory, 6), [1, 0]);
        memory.see_down(&BTreeSet::new(), at(6));
        assert_eq!(before(&memory, 7), [0, 0]);
    }

    #[test]
    fn a_cores_server_is_remembered_until_nobody_knows_it() {
        let mut memory = Memory::default();
        let see = |memory: &mut Memory, of: &[(u8, &str)], known: &[&str]| {
            let asked: Vec<_> = of.iter().map(|(core, _)| asked(*core)).collect();
            let answers: Vec<_> = of.iter().map(|(core, id)| answer(*core, Some(id), known)).collect();
            memory.see_servers(&asked, &answers);
            memory.servers.iter().map(|(core, id)| format!("{core}{id}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(see(&mut memory, &[(1, "a"), (2, "b")], &["a", "b"]), "1a 2b");
        assert_eq!(see(&mut memory, &[(1, "a"), (2, "x")], &["a", "b", "x"]), "1a 2b", "its old server still stands");
        assert_eq!(see(&mut memory, &[(1, "a"), (2, "a")], &["a"]), "1a 2b", "an address that is another core's now");
        assert_eq!(see(&mut memory, &[(1, "a"), (2, "x")], &["a", "x"]), "1a 2x", "somebody has dropped it");
        let silent = [answer(1, None, &[])];
        memory.see_servers(&[asked(1)], &silent);
        assert_eq!(memory.servers.len(), 2);
    }
}
