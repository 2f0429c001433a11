use super::*;
use crate::neo4j::{Database, Fault, Page, View};

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn sees(names: &[&str]) -> View {
    let database = |name: &&str| Database {
        name: (*name).into(),
        id: None,
        kind: "standard".into(),
        requested_status: "online".into(),
        requested_primaries: Some(3),
        requested_secondaries: None,
        current_primaries: None,
        age: None,
        copies: vec![],
    };
    View { server: None, servers: vec![], databases: names.iter().map(database).collect() }
}

fn fails(kind: Kind) -> Result<View, Fault> {
    Err(Fault::new(kind, "so"))
}

fn member(number: u8, view: Result<View, Fault>) -> Answer {
    let page = Page { version: "5.26.33".into(), edition: "enterprise".into() };
    let (task, address) = (format!("task-{number}"), [10, 0, 0, number].into());
    Answer { task, address, page: Ok(page), raft: Ok(vec![]), view, check: Ok(vec![]), millis: 1 }
}

fn answers(views: Vec<Result<View, Fault>>) -> Answers {
    Answers { members: (1..).zip(views).map(|(number, view)| member(number, view)).collect() }
}

fn decision(views: Vec<Result<View, Fault>>, remembered: &Remembered) -> Decision {
    decide(&answers(views), Phase::Complete, remembered, "v1", now())
}

fn refused(version: &str, minutes: i64) -> Remembered {
    let admin_refused = Some(AdminRefused { version: version.into(), at: ago(minutes) });
    Remembered { declared: None, admin_refused }
}

#[test]
fn what_members_answer_decides_whether_the_user_is_declared() {
    let well = || Ok(sees(&["neo4j", "system"]));
    for (view, declared) in [
        (well(), None),
        (fails(Kind::LoginRefused), Some(Trouble::LoginRefused)),
        (fails(Kind::PasswordExpired), Some(Trouble::PasswordExpired)),
        (fails(Kind::Forbidden), Some(Trouble::RightsMissing)),
        (Ok(sees(&["system"])), Some(Trouble::RightsMissing)),
        (Ok(sees(&[])), Some(Trouble::RightsMissing)),
        // Nothing of these is about the login.
        (fails(Kind::Silent), None),
        (fails(Kind::Failed), None),
        (fails(Kind::NotAsked), None),
    ] {
        let text = format!("{view:?}");
        let want = declared
            .map(|trouble| Decision::Declare { why: Why { trouble, members: vec!["10.0.0.2 (task task-2)".into()] } });
        assert_eq!(decision(vec![well(), view], &Remembered::default()), want.unwrap_or(Decision::Keep), "{text}");
    }
    assert_eq!(decision(vec![], &Remembered::default()), Decision::Keep);
    let why = Why { trouble: Trouble::Locked, members: vec!["10.0.0.2 (task task-2)".into()] };
    assert_eq!(decision(vec![well(), fails(Kind::Locked)], &Remembered::default()), Decision::Locked { why });
    let mut gone = answers(vec![fails(Kind::LoginRefused)]);
    assert_eq!(decide(&gone, Phase::Deleting, &Remembered::default(), "v1", now()), Decision::Keep);
    gone.members[0].page = Err(Fault::new(Kind::Silent, "no answer"));
    assert_eq!(
        decide(&gone, Phase::Complete, &Remembered::default(), "v1", now()),
        Decision::Keep,
        "it does not answer"
    );
    let mut checks = answers(vec![well()]);
    checks.members[0].check = Err(Fault::new(Kind::Forbidden, "EXECUTE PROCEDURE"));
    assert!(matches!(decide(&checks, Phase::Creating, &Remembered::default(), "v1", now()), Decision::Declare { .. }));
}

#[test]
fn rights_are_declared_once_an_hour_and_logins_every_few_minutes() {
    let declared = |minutes| Remembered { declared: Some(ago(minutes)), admin_refused: None };
    for (view, minutes, waits) in [
        (fails(Kind::Forbidden), 59, true),
        (fails(Kind::Forbidden), 60, false),
        (fails(Kind::LoginRefused), 2, true),
        (fails(Kind::LoginRefused), 3, false),
    ] {
        let text = format!("{view:?}, {minutes} minutes");
        let found = decision(vec![view], &declared(minutes));
        assert_eq!(matches!(found, Decision::Wait { .. }), waits, "{text}");
    }
}

#[test]
fn a_refused_administrator_is_tried_again_with_another_secret_or_after_an_hour() {
    for (version, minutes, tried) in [("v1", 0, false), ("v1", 59, false), ("v1", 60, true), ("v0", 0, true)] {
        let found = decision(vec![fails(Kind::LoginRefused)], &refused(version, minutes));
        assert_eq!(matches!(found, Decision::Declare { .. }), tried, "{version}, {minutes} minutes");
    }
    assert_eq!(decision(vec![Ok(sees(&["neo4j", "system"]))], &refused("v1", 1)), Decision::Keep);
}

#[test]
fn decisions_are_sentences() {
    let refusing = || vec![fails(Kind::LoginRefused), fails(Kind::LoginRefused)];
    let declared = Remembered { declared: Some(ago(20)), admin_refused: None };
    let said = [
        decision(vec![], &Remembered::default()),
        decision(refusing(), &Remembered::default()),
        decision(vec![Ok(sees(&["system"]))], &declared),
        decision(refusing(), &refused("v1", 20)),
    ];
    insta::assert_snapshot!(said.map(|said| said.to_string()).join("\n"), @r"
    the user monitor is as it should be, as far as anybody answers
    the login of the user monitor is refused by 10.0.0.1 (task task-1), 10.0.0.2 (task task-2): it is declared with its password and its rights
    the user monitor lacks rights on 10.0.0.1 (task task-1): it was declared at 2026-11-23T09:40:00Z, and is declared again at 2026-11-23T10:40:00Z if that lasts
    the login of the user monitor is refused by 10.0.0.1 (task task-1), 10.0.0.2 (task task-2), and the administrator's login was refused at 2026-11-23T09:40:00Z with version v1 of its secret: put the password that Neo4j has into the administrator's secret; the same one is tried again at 2026-11-23T10:40:00Z
    ");
}

#[test]
fn refused_logins_and_missing_rights_are_counted_apart() {
    let mut all = answers(vec![
        fails(Kind::LoginRefused),
        fails(Kind::Locked),
        fails(Kind::PasswordExpired),
        fails(Kind::Forbidden),
        Ok(sees(&["system"])),
        Ok(sees(&["neo4j", "system"])),
        fails(Kind::Silent),
        fails(Kind::LoginRefused),
    ]);
    all.members[7].page = Err(Fault::new(Kind::Silent, "no answer"));
    assert_eq!((all.logins_refused(), all.rights_missing()), (3, 2));
}

#[test]
fn only_what_says_something_about_the_administrators_login_is_remembered() {
    let refused = |kind| {
        let mut remembered = Remembered { declared: Some(now()), admin_refused: None };
        remembered.see(&Err(Fault::new(kind, "no")), "v1", now());
        remembered.admin_refused
    };
    for kind in [Kind::LoginRefused, Kind::PasswordExpired, Kind::Forbidden] {
        assert_eq!(refused(kind), Some(AdminRefused { version: "v1".into(), at: now() }), "{kind:?}");
    }
    for kind in [Kind::Silent, Kind::Locked, Kind::Failed, Kind::Unreachable] {
        assert_eq!(refused(kind), None, "{kind:?}");
    }
    let mut remembered =
        Remembered { declared: None, admin_refused: Some(AdminRefused { version: "v1".into(), at: now() }) };
    remembered.see(&Ok(Declaration::Left), "v2", now());
    assert_eq!(remembered, Remembered { declared: Some(now()), admin_refused: None });
}
