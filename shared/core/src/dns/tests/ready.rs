use jiff::{SignedDuration, Timestamp};

use super::*;

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn silence(seconds: i64) -> Silence {
    Silence { since: now() - SignedDuration::from_secs(seconds), last: now() }
}

fn hearing(answers: &[(&str, bool)], failure: Option<&str>, silence: impl Into<Option<Silence>>) -> Hearing {
    let answer = |ok: bool| if ok { Ok(()) } else { Err("no answer within 3 s".to_owned()) };
    let answers = answers.iter().map(|(id, ok)| ((*id).to_owned(), answer(*ok))).collect();
    Hearing { answers, failure: failure.map(str::to_owned), silence: silence.into() }
}

/// Returns a tier in which `a` is published, and `b` could join.
fn joining(heard: impl Into<Option<Hearing>>, unproven: &[&str]) -> Tier {
    let registered =
        vec![member("a", "10.0.1.1", running(Health::Healthy)), member("b", "10.0.1.2", running(Health::Healthy))];
    let neo4j = Readiness { unproven: unproven.iter().map(|id| (*id).to_owned()).collect(), heard: heard.into() };
    Tier { neo4j, ..tier(registered, vec![record("neo4j/a", "10.0.1.1")]) }
}

fn unproven(plan: &Plan) -> Vec<&str> {
    plan.unproven.iter().map(String::as_str).collect()
}

#[test]
fn a_member_joins_when_its_neo4j_answers_or_when_nobody_can_be_asked_for_long() {
    let said = [
        joining(None, &[]),
        joining(hearing(&[("a", true), ("b", true)], None, None), &[]),
        joining(hearing(&[("a", true), ("b", false)], None, None), &[]),
        // It hangs for an hour, and the gateway hears the other one.
        joining(hearing(&[("a", true), ("b", false)], None, silence(3_600)), &[]),
        joining(hearing(&[("a", false), ("b", false)], None, silence(300)), &[]),
        joining(hearing(&[("a", false), ("b", false)], None, silence(301)), &[]),
        joining(hearing(&[], Some("the gateway timed out"), silence(0)), &[]),
        joining(hearing(&[], Some("the gateway timed out"), silence(301)), &[]),
    ];
    insta::assert_snapshot!(said.map(|tier| text(&tier)).join("\n"), @r"
    + core.neo4j.service A 10.0.1.2 (neo4j/b): task is running
    + core.neo4j.service A 10.0.1.2 (neo4j/b): task is running
    = core.neo4j.service b not published: its Neo4j does not answer yet: no answer within 3 s
    = core.neo4j.service b not published: its Neo4j does not answer yet: no answer within 3 s
    = core.neo4j.service b not published: its Neo4j does not answer yet: no answer within 3 s
    + core.neo4j.service A 10.0.1.2 (neo4j/b): published although nobody could ask its Neo4j: no answer within 3 s
    = core.neo4j.service b not published: its Neo4j does not answer yet: the gateway timed out
    + core.neo4j.service A 10.0.1.2 (neo4j/b): published although nobody could ask its Neo4j: the gateway timed out
    ");
}

#[test]
fn what_was_published_unasked_stays_and_is_named_until_it_answers() {
    let heard = |b| hearing(&[("a", true), ("b", b)], None, None);
    let joined = |heard: Option<Hearing>, unproven: &[&str]| {
        let mut tier = joining(heard, unproven);
        tier.records.multivalue.push(record("neo4j/b", "10.0.1.2"));
        plan(&tier, &policy())
    };
    let first = plan(&joining(hearing(&[], Some("no right to invoke it"), silence(400)), &[]), &policy());
    assert_eq!(unproven(&first), ["b"]);
    let said = [
        joined(None, &["b"]),
        joined(Some(heard(false)), &["b"]),
        joined(Some(heard(true)), &["b"]),
        joined(Some(heard(false)), &[]),
    ];
    assert_eq!(said.each_ref().map(|plan| plan.unproven.len()), [1, 1, 0, 0]);
    assert!(said.iter().all(|plan| plan.changes.is_empty()));
    insta::assert_snapshot!(said.map(|plan| plan.to_string()).join("\n"), @r"
    = core.neo4j.service b kept: it was published although nobody could ask its Neo4j, which does not answer yet: it was not asked again yet
    = core.neo4j.service b kept: it was published although nobody could ask its Neo4j, which does not answer yet: no answer within 3 s
    ");
    // It has left.
    let mut gone = joining(None, &["b", "c"]);
    gone.registered.pop();
    assert_eq!(unproven(&plan(&gone, &policy())), [""; 0]);
}

#[test]
fn nobody_is_asked_unless_somebody_joins_or_has_yet_to_prove_itself() {
    let asked = |tiers: &[&Tier]| to_ask(tiers.iter().copied(), &policy()).into_keys().collect::<Vec<_>>().join(" ");
    let join = joining(None, &[]);
    assert_eq!(asked(&[&join]), "a b", "the published one tells a member that hangs from a gateway that hears nobody");
    let mut still = join.clone();
    still.registered.pop();
    assert_eq!(asked(&[&still]), "");
    let other = Tier { name: Name::new("replica.neo4j.service"), ..still.clone() };
    assert_eq!(asked(&[&other, &join]), "a b");
    let mut unasked = joining(None, &["b"]);
    unasked.records.multivalue.push(record("neo4j/b", "10.0.1.2"));
    assert_eq!(asked(&[&unasked]), "a b");
    unasked.neo4j.unproven = ["left-long-ago".to_owned()].into();
    assert_eq!(asked(&[&unasked]), "");
    let mut occupied = join.clone();
    occupied.records.occupant = Some(Occupant::Cname);
    assert_eq!(asked(&[&occupied]), "", "nobody can join");
    let mut unhealthy = join;
    unhealthy.registered[1].task = running(Health::Unknown);
    assert_eq!(asked(&[&unhealthy]), "", "ECS does not call it fit yet");
    assert_eq!(asked(&[]), "");
}

#[test]
fn a_first_formation_publishes_nobody_before_somebody_answers() {
    let heard = hearing(&[("a", false), ("b", false)], None, silence(60));
    let mut forming = joining(heard, &[]);
    forming.records.multivalue.clear();
    insta::assert_snapshot!(text(&forming), @r"
    = core.neo4j.service a not published: its Neo4j does not answer yet: no answer within 3 s
    = core.neo4j.service b not published: its Neo4j does not answer yet: no answer within 3 s
    ");
    // The old members have stopped: their records are all that the name has.
    let mut replaced = joining(hearing(&[("b", false)], None, silence(60)), &[]);
    replaced.registered[0].task = stopping();
    insta::assert_snapshot!(text(&replaced), @r"
    = core.neo4j.service a kept: no registered member is fit, and an empty answer would cut off every client
    = core.neo4j.service b not published: its Neo4j does not answer yet: no answer within 3 s
    ");
}

#[test]
fn a_silence_lasts_while_somebody_asks_and_nobody_answers() {
    let none = std::collections::BTreeMap::new();
    let failed = [("a".to_owned(), Err("no answer".to_owned()))].into();
    let answered = [("a".to_owned(), Err("no answer".to_owned())), ("b".to_owned(), Ok(()))].into();
    let at = |minutes: i64| now() + SignedDuration::from_mins(minutes);
    let mut clock = Silence::after(None, &none, at(0));
    for minute in 1..=5 {
        clock = Silence::after(clock, &failed, at(minute));
        assert_eq!(clock, Some(Silence { since: at(0), last: at(minute) }));
        assert!(!clock.unwrap().lasts());
    }
    assert!(Silence::after(clock, &failed, at(6)).unwrap().lasts());
    assert!(Silence::after(clock, &failed, at(8)).unwrap().lasts());
    assert!(!Silence::after(clock, &failed, at(9)).unwrap().lasts(), "nobody was asked for longer than three minutes");
    assert_eq!(Silence::after(clock, &answered, at(6)), None);
    assert!(!Silence::after(clock, &failed, at(-60)).unwrap().lasts(), "a clock that was turned back");
}
