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
    /// How long members that had answered have been silent, by task.
    pub silent: BTreeMap<String, Silent>,
    /// When members left a statement unanswered, by task.
    pub unanswered: BTreeMap<String, Timestamp>,
    /// The databases that the status check replicated nowhere in the last sweep.
    pub down: BTreeMap<String, Down>,
    /// The server id of each core.
    pub servers: BTreeMap<u8, String>,
    /// What is remembered of declaring the user that asks.
    pub monitor: monitor::Remembered,
}

/// The period in which a member that had answered has been silent: it was asked in every sweep, and no byte came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// When it was first found silent; there was no long gap since then.
    pub since: Timestamp,
    /// When it was last found silent, to within a minute.
    pub seen: Timestamp,
    /// Since when, of that time, ECS has been connected to the agent of its instance in every sweep; nothing when it is not.
    /// A silence of both may be the network's.
    pub alone: Option<Timestamp>,
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

    /// Starts a clock for each member that had answered before and is silent now, restarts it after a long gap, and ends all
    /// others. `connected` says whether ECS is connected to the agent of the instance that a task is on.
    ///
    /// Where no member answers, the fault may be the gateway's, or the network's: then all clocks end. A member that was not
    /// asked keeps its clock, which a gap restarts.
    pub fn see_silence(
        &mut self,
        asked: &[Asked],
        answers: &[Answer],
        connected: impl Fn(&str) -> bool,
        now: Timestamp,
    ) {
        let known = mem::take(&mut self.silent);
        if !answers.iter().any(|answer| answer.page.is_ok()) {
            return;
        }
        for task in asked.iter().map(|member| &member.task).filter(|task| self.answered.contains_key(*task)) {
            let before = known.get(task).copied().filter(|silent| now.duration_since(silent.seen) <= GAP);
            let answer = answers.iter().find(|answer| answer.task == *task);
            let silent = match answer.map(|answer| answer.page.as_ref().map_err(|fault| fault.kind)) {
                Some(Err(Kind::Silent | Kind::Unreachable)) => Some(Silent::again(before, connected(task), now)),
                None | Some(Err(Kind::NotAsked)) => before,
                // Something answers there, if not as it should.
                Some(Ok(_) | Err(_)) => None,
            };
            self.silent.extend(silent.map(|silent| (task.clone(), silent)));
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

impl Silent {
    /// Returns the period after another sighting.
    fn again(before: Option<Self>, connected: bool, now: Timestamp) -> Self {
        let before = before.unwrap_or(Self { since: now, seen: now, alone: None });
        // What people ask for between two sweeps is not worth a write.
        let seen = if now.duration_since(before.seen) < SWEEP { before.seen } else { now };
        Self { seen, alone: connected.then(|| before.alone.unwrap_or(now)), ..before }
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

    /// Returns the answers of members 1 and 2: member 2 answers, and of member 1 this is seen.
    fn seen(first: Option<Kind>) -> [Answer; 2] {
        let first = first.map(|kind| Answer::unasked(&asked(1), &Fault::new(kind, "")));
        [first.unwrap_or_else(|| answer(1, None, &[])), answer(2, None, &[])]
    }

    /// Returns what is remembered of two members that have answered for a while.
    fn answering() -> Memory {
        let mut memory = Memory::default();
        memory.see_answers(&[asked(1), asked(2)], &seen(None), at(-60));
        memory
    }

    #[test]
    fn a_member_that_had_answered_is_silent_from_first_sight_until_it_answers() {
        let members = [asked(1), asked(2)];
        for kind in [Kind::Silent, Kind::Unreachable] {
            let mut memory = answering();
            for minute in 0..=10 {
                memory.see_silence(&members, &seen(Some(kind)), |_| true, at(minute));
            }
            let since = Silent { since: at(0), seen: at(10), alone: Some(at(0)) };
            assert_eq!(memory.silent, [("task-1".into(), since)].into(), "{kind:?}");
            let before = memory.clone();
            let soon = at(10) + SignedDuration::from_secs(44);
            memory.see_silence(&members, &seen(Some(kind)), |_| true, soon);
            assert_eq!(memory, before, "a person has looked in between, which is not worth a write");
            memory.see_silence(&members, &seen(None), |_| true, at(11));
            assert!(memory.silent.is_empty());
        }
        // Whoever answers anything at all is not silent, and one that never answered may be recovering.
        for kind in [Kind::Certificate, Kind::NotFound, Kind::Unreadable, Kind::TooLarge, Kind::Failed] {
            let mut memory = answering();
            memory.see_silence(&members, &seen(Some(Kind::Silent)), |_| true, at(0));
            memory.see_silence(&members, &seen(Some(kind)), |_| true, at(1));
            assert!(memory.silent.is_empty(), "{kind:?}");
        }
        let mut never = Memory::default();
        never.see_silence(&members, &seen(Some(Kind::Unreachable)), |_| true, at(0));
        assert!(never.silent.is_empty());
    }

    #[test]
    fn the_clock_of_silence_starts_anew_after_a_gap_and_where_nobody_answers() {
        let members = [asked(1), asked(2)];
        let quiet = |memory: &mut Memory, minute| {
            memory.see_silence(&members, &seen(Some(Kind::Silent)), |_| true, at(minute));
            memory.silent["task-1"].since
        };
        let mut memory = answering();
        assert_eq!(quiet(&mut memory, 0), at(0));
        assert_eq!(quiet(&mut memory, 3), at(0));
        let late = at(6) + SignedDuration::from_secs(1);
        memory.see_silence(&members, &seen(Some(Kind::Silent)), |_| true, late);
        assert_eq!(memory.silent["task-1"], Silent { since: late, seen: late, alone: Some(late) });
        let nobody = [1, 2].map(|core| Answer::unasked(&asked(core), &Fault::new(Kind::Silent, "")));
        for answers in [&nobody[..], &[]] {
            let mut memory = memory.clone();
            memory.see_silence(&members, answers, |_| true, at(7));
            assert!(memory.silent.is_empty(), "nobody answered, or the gateway failed");
            assert_eq!(quiet(&mut memory, 8), at(8));
        }
        // One that was not asked keeps its clock, until that is too long ago.
        let before = memory.clone();
        memory.see_silence(&members, &seen(Some(Kind::NotAsked)), |_| true, at(9));
        memory.see_silence(&members, &seen(None)[1..], |_| true, at(9));
        assert_eq!(memory, before);
        assert_eq!(quiet(&mut memory, 10), at(10));
        memory.see_silence(&[asked(2)], &seen(None)[1..], |_| true, at(11));
        assert!(memory.silent.is_empty(), "its task is gone");
    }

    #[test]
    fn a_silence_that_the_agent_shares_proves_nothing_about_neo4j() {
        let (members, mut memory) = ([asked(1), asked(2)], answering());
        let mut alone = |minute, connected: bool| {
            memory.see_silence(&members, &seen(Some(Kind::Silent)), |task| connected && task == "task-1", at(minute));
            let silent = memory.silent["task-1"];
            assert_eq!(silent.since, at(0));
            silent.alone
        };
        assert_eq!(alone(0, true), Some(at(0)));
        assert_eq!(alone(1, true), Some(at(0)));
        assert_eq!(alone(2, false), None);
        assert_eq!(alone(3, true), Some(at(3)));
        assert_eq!(alone(4, true), Some(at(3)));
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
