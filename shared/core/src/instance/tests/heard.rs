use std::collections::BTreeSet;

use super::*;
use crate::neo4j::{self, Answer, Copy, Database, Kind, Page, Raft, View};

fn copy(status: &str, message: &str) -> Copy {
    let (server, role) = (Some("server-1".into()), Some("primary".into()));
    Copy { server, role, writer: true, status: status.into(), message: message.into() }
}

fn database(name: &str, copies: Vec<Copy>) -> Database {
    Database {
        name: name.into(),
        id: None,
        kind: "standard".into(),
        requested_status: "online".into(),
        requested_primaries: Some(3),
        requested_secondaries: None,
        current_primaries: None,
        age: None,
        copies,
    }
}

fn raft(healthy: bool) -> Raft {
    Raft {
        database: "neo4j".into(),
        member: None,
        leader: None,
        voters: BTreeSet::new(),
        applied: None,
        participating: None,
        healthy: Some(healthy),
    }
}

fn well() -> Heard {
    let others = Copy { server: Some("server-2".into()), ..copy("unknown", "Server is unavailable") };
    let databases =
        vec![database("neo4j", vec![copy("online", ""), others]), database("system", vec![copy("online", "")])];
    let answer = Answer {
        task: "task-0".into(),
        address: [10, 0, 1, 10].into(),
        page: Ok(Page { version: "5.26.33".into(), edition: "enterprise".into() }),
        raft: Ok(vec![raft(true)]),
        view: Ok(View { server: Some("server-1".into()), servers: vec![], databases }),
        check: Ok(vec![]),
        millis: 5,
    };
    Heard { answer, answered_before: true, pages_only: false }
}

/// Returns why core 1 is not whole, whose task has run for so many minutes, and which is well but for `change`.
fn fault_of(minutes: i64, change: impl FnOnce(&mut Heard)) -> Option<String> {
    let mut heard = well();
    change(&mut heard);
    fault_seen(minutes, Seen::Answers([(1, heard)].into()))
}

fn fault_seen(minutes: i64, neo4j: Seen) -> Option<String> {
    let groups = vec![group(1, vec![instance("i-1", State::Other("InService".into()))])];
    let mut found = registered(Some("1"), 1);
    found.tasks[0].started_at = Some(now() - SignedDuration::from_mins(minutes));
    let observed = Observed { neo4j, ..observed(Phase::Complete, groups, Some(attached(90)), Some(found)) };
    let plan = plan(&observed, &policy(), now());
    let [core] = &cores(&observed, &plan, &policy(), now())[..] else { panic!("one core") };
    core.fault.as_ref().map(ToString::to_string)
}

fn silent(heard: &mut Heard) {
    heard.answer.page = Err(neo4j::Fault::new(Kind::Unreachable, "connection refused"));
}

fn never(heard: &mut Heard) {
    silent(heard);
    heard.answered_before = false;
}

fn view(heard: &mut Heard) -> &mut Vec<Database> {
    &mut heard.answer.view.as_mut().unwrap().databases
}

#[test]
fn what_neo4j_says_keeps_a_core_from_being_whole() {
    let said = [
        fault_of(20, silent),
        fault_of(7, never),
        fault_of(10, never),
        fault_of(11, never),
        fault_of(20, |heard| heard.answer.view = Err(neo4j::Fault::new(Kind::Silent, "no answer within 3 s"))),
        fault_of(20, |heard| {
            heard.pages_only = true;
            heard.answer.view = Err(neo4j::Fault::new(Kind::NotAsked, "pages only"));
        }),
        fault_of(20, |heard| view(heard)[0].copies[0] = copy("online", "No space left on device")),
        fault_of(20, |heard| view(heard)[0].copies[0] = copy("quarantined", "By neo4j: corrupt")),
        fault_of(20, |heard| view(heard)[1].copies[0] = copy("store copying", "")),
        fault_of(20, |heard| heard.answer.raft = Ok(vec![raft(false)])),
    ];
    insta::assert_snapshot!(said.map(|said| said.expect("a fault")).join("\n"), @r"
    its Neo4j (task task-0) does not answer any more: connection refused: look at its log
    its Neo4j has not answered yet: connection refused; its task task-0 has been running since 2026-11-23T09:53:00Z
    its Neo4j has not answered yet: connection refused; its task task-0 has been running since 2026-11-23T09:50:00Z
    its Neo4j has never answered, and its task task-0 has been running since 2026-11-23T09:49:00Z: connection refused: it may be recovering; look at its log, and at the free space of its volume
    its Neo4j answers no statements: no answer within 3 s: look at its log
    its Neo4j answers no statements: it left a statement unanswered not long ago: look at its log
    its copy of database neo4j is online, «No space left on device»
    its copy of database neo4j is quarantined, «By neo4j: corrupt»
    its copy of database system is store copying
    its copy of database neo4j is unhealthy by its status page: a critical error blocks it
    ");
}

#[test]
fn what_says_nothing_about_a_core_leaves_it_whole() {
    assert_eq!(fault_seen(20, Seen::NotAsked), None);
    assert_eq!(fault_seen(20, Seen::GatewayFailed("it timed out".into())), None);
    assert_eq!(fault_seen(20, Seen::Answers([].into())), None, "the gateway was not asked about this core");
    assert_eq!(fault_of(20, |_| ()), None, "what others are called is no fault of this core");
    let old = |heard: &mut Heard| {
        silent(heard);
        heard.answer.task = "the one before".into();
    };
    assert_eq!(fault_of(20, old), None);
    for kind in [Kind::LoginRefused, Kind::Locked, Kind::PasswordExpired, Kind::Forbidden, Kind::NotAsked] {
        let refused = |heard: &mut Heard| heard.answer.view = Err(neo4j::Fault::new(kind, "an alarm of its own"));
        assert_eq!(fault_of(20, refused), None, "{kind:?}");
    }
    assert_eq!(fault_of(20, |heard| heard.answer.page = Err(neo4j::Fault::new(Kind::NotAsked, "no address"))), None);
    assert_eq!(fault_of(20, |heard| view(heard)[0].copies[0] = copy("deallocating", "")), None, "it is being moved");
    let stopped = |heard: &mut Heard| {
        view(heard)[0].requested_status = "offline".into();
        view(heard)[0].copies[0] = copy("offline", "");
    };
    assert_eq!(fault_of(20, stopped), None, "somebody stopped it");
    let composite = |heard: &mut Heard| {
        view(heard)[0].kind = "composite".into();
        view(heard)[0].copies[0] = copy("unknown", "");
    };
    assert_eq!(fault_of(20, composite), None);
}

#[test]
fn the_task_speaks_before_its_neo4j() {
    assert!(fault_of(4, never).unwrap().contains("counts as whole after five minutes"));
}
