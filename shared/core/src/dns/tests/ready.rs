use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::btree_map, prelude::*};

use super::{properties::any_tier, *};

fn at(second: i64) -> Timestamp {
    "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

fn answers(of: &[(&str, bool)]) -> BTreeMap<String, Result<(), String>> {
    let answer = |ok: bool| if ok { Ok(()) } else { Err("no whole answer within 3.0 s".to_owned()) };
    of.iter().map(|(id, ok)| ((*id).to_owned(), answer(*ok))).collect()
}

fn healthy(id: &str, last: u8) -> Registration {
    member(id, &format!("10.0.1.{last}"), running(Health::Healthy))
}

/// A tier with these registered, of which those with a record are published.
fn asked(
    heard: &mut Heard,
    registered: Vec<Registration>,
    published: &[(&str, u8)],
    of: &[(&str, bool)],
    now: i64,
) -> Tier {
    let sets = published.iter().map(|(id, last)| record(&format!("neo4j/{id}"), &format!("10.0.1.{last}")));
    let readiness = heard.hear(answers(of), None, at(now));
    Tier { readiness: Some(readiness), ..tier(registered, sets.collect()) }
}

#[test]
fn a_new_member_is_published_once_its_neo4j_answers() {
    let mut heard = Heard::default();
    let members = || vec![healthy("a", 1), healthy("b", 2)];
    let before = asked(&mut heard, members(), &[("a", 1)], &[("a", true), ("b", false)], 0);
    insta::assert_snapshot!(text(&before), @"= core.neo4j.service b not published: its Neo4j does not answer yet: no whole answer within 3.0 s");
    let before = asked(&mut heard, members(), &[("a", 1)], &[("a", true), ("b", true)], 60);
    insta::assert_snapshot!(text(&before), @"+ core.neo4j.service A 10.0.1.2 (neo4j/b): task is running");
}

#[test]
fn a_hung_member_is_never_published_while_others_answer() {
    let mut heard = Heard::default();
    for minute in 0..60 {
        let members = vec![healthy("a", 1), healthy("b", 2)];
        let before = asked(&mut heard, members, &[("a", 1)], &[("a", true), ("b", false)], minute * 60);
        assert!(plan(&before, &policy()).changes.is_empty(), "minute {minute}");
    }
}

#[test]
fn after_five_minutes_of_silence_members_are_published_and_asked_until_they_answer() {
    let mut heard = Heard::default();
    let members = || vec![healthy("a", 1), healthy("b", 2)];
    for second in [0, 60, 120, 180, 240] {
        let before = asked(&mut heard, members(), &[], &[("a", false), ("b", false)], second);
        assert!(plan(&before, &policy()).changes.is_empty(), "{second}");
    }
    let before = asked(&mut heard, members(), &[], &[("a", false), ("b", false)], 300);
    let published = plan(&before, &policy());
    assert_eq!(published.changes.len(), 2);
    insta::assert_snapshot!(published.changes[0].to_string(), @"+ core.neo4j.service A 10.0.1.1 (neo4j/a): published without an answer of its Neo4j, since nobody has answered for five minutes: no member answers");
    heard.see([(&before, &published)], &policy(), true);
    assert_eq!(heard.unheard.len(), 2);

    // One answers at last. The other never did, so it goes again.
    let both = [("a", 1), ("b", 2)];
    let quiet = tier(members(), both.map(|(id, n)| record(&format!("neo4j/{id}"), &format!("10.0.1.{n}"))).to_vec());
    assert_eq!(to_ask(&[&quiet], &policy(), &heard).len(), 2);
    let before = asked(&mut heard, members(), &both, &[("a", true), ("b", false)], 360);
    let plan_now = plan(&before, &policy());
    insta::assert_snapshot!(plan_now.to_string(), @"- core.neo4j.service A 10.0.1.2 (neo4j/b): its Neo4j does not answer yet: no whole answer within 3.0 s");
    heard.see([(&before, &plan_now)], &policy(), true);
    assert_eq!(heard, Heard::default());
    assert!(to_ask(&[&tier(vec![healthy("a", 1)], vec![record("neo4j/a", "10.0.1.1")])], &policy(), &heard).is_empty());
}

#[test]
fn a_silence_starts_anew_after_an_answer_and_after_a_gap() {
    let mut heard = Heard::default();
    let lasting = |heard: &mut Heard, ok: bool, second| heard.hear(answers(&[("a", ok)]), None, at(second)).lasting;
    for (ok, second, expected) in [
        (false, 0, false),
        (false, 120, false),
        (false, 299, false),
        (false, 300, true),
        (true, 360, false),
        (false, 420, false),
        (false, 600, false),
        (false, 780, true),
        (false, 961, false),
    ] {
        assert_eq!(lasting(&mut heard, ok, second), expected, "{second}");
    }
    let failed = heard.hear(BTreeMap::new(), Some("could not ask".into()), at(1_000));
    assert_eq!(failed.silence.as_deref(), Some("could not ask"));
}

#[test]
fn nobody_is_asked_unless_a_member_would_join() {
    let heard = Heard::default();
    let ask = |tier: &Tier| to_ask(&[tier], &policy(), &heard).into_values().collect::<Vec<_>>().join(" ");
    let a = || record("neo4j/a", "10.0.1.1");
    assert_eq!(ask(&tier(vec![healthy("a", 1)], vec![a()])), "");
    assert_eq!(ask(&tier(vec![healthy("a", 1), healthy("b", 2)], vec![a()])), "a b");
    // A record that is written anew is no join, and what the health check does not pass does not join.
    assert_eq!(ask(&tier(vec![healthy("a", 1)], vec![RecordSet { ttl: 60, ..a() }])), "");
    let starting = member("b", "10.0.1.2", running(Health::Unknown));
    assert_eq!(ask(&tier(vec![healthy("a", 1), starting], vec![a()])), "");
    let mut occupied = tier(vec![healthy("a", 1), healthy("b", 2)], vec![a()]);
    occupied.records.occupant = Some(Occupant::Cname);
    assert_eq!(ask(&occupied), "");
}

#[test]
fn members_of_a_tier_that_was_not_observed_are_not_forgotten() {
    let mut heard = Heard { silent: None, unheard: ["other".to_owned(), "a".to_owned()].into() };
    let before = tier(vec![], vec![]);
    heard.see([(&before, &plan(&before, &policy()))], &policy(), false);
    assert_eq!(heard.unheard.len(), 2);
    heard.see([(&before, &plan(&before, &policy()))], &policy(), true);
    assert!(heard.unheard.is_empty());
}

fn any_readiness(ids: impl Strategy<Value = String>) -> impl Strategy<Value = Readiness> {
    let answer = prop_oneof![Just(Ok(())), Just(Err("silent".to_owned()))];
    let unheard = proptest::collection::btree_set((0u16..160).prop_map(|n| format!("task{n:03}")), 0..40);
    (btree_map(ids, answer, 0..150), any::<bool>(), any::<bool>(), unheard).prop_map(
        |(answers, failed, lasting, unheard)| {
            let silent = failed || !answers.values().any(Result::is_ok);
            Readiness { answers, silence: silent.then(|| "silent".into()), lasting: silent && lasting, unheard }
        },
    )
}

fn task_ids() -> impl Strategy<Value = String> {
    (0u16..160).prop_map(|n| format!("task{n:03}"))
}

proptest! {
    #[test]
    fn readiness_removes_only_what_was_published_unheard_and_never_the_last(
        before in any_tier(), readiness in any_readiness(task_ids())
    ) {
        let without = plan(&before, &policy());
        let asked = Tier { readiness: Some(readiness.clone()), ..before.clone() };
        let with = plan(&asked, &policy());
        let deleted = |plan: &Plan| -> Vec<String> {
            plan.changes.iter().filter_map(|change| match change {
                Change::Delete(set, why) if *why != Reason::Outdated => Some(set.set_identifier.clone()),
                _ => None,
            }).collect()
        };
        let anyway = deleted(&without);
        for set in deleted(&with).into_iter().filter(|set| !anyway.contains(set)) {
            let member = policy().owner.member(&set).unwrap().to_owned();
            prop_assert!(readiness.unheard.contains(&member) && readiness.silence.is_none(), "{set}");
        }
        let (after, plain) = (apply(&asked, &with), apply(&before, &without));
        let ours = |tier: &Tier| tier.records.multivalue.iter().filter(|set| policy().owner.member(&set.set_identifier).is_some()).count();
        if ours(&before) > 0 && ours(&plain) > 0 {
            prop_assert!(ours(&after) > 0, "{with}");
        }
    }

    #[test]
    fn after_a_lasting_silence_everything_fit_is_published(before in any_tier(), readiness in any_readiness(task_ids())) {
        let readiness = Readiness { silence: Some("silent".into()), lasting: true, ..readiness };
        let with = plan(&Tier { readiness: Some(readiness), ..before.clone() }, &policy());
        let without = plan(&before, &policy());
        let sets = |plan: &Plan| plan.changes.iter().map(|change| change.record().clone()).collect::<Vec<_>>();
        prop_assert_eq!(sets(&with), sets(&without));
    }

    #[test]
    fn a_member_that_does_not_answer_joins_only_in_a_lasting_silence(before in any_tier(), readiness in any_readiness(task_ids())) {
        let published: Vec<_> = before.records.multivalue.iter().map(|set| set.set_identifier.clone()).collect();
        let with = plan(&Tier { readiness: Some(readiness.clone()), ..before }, &policy());
        for change in &with.changes {
            let set = &change.record().set_identifier;
            if matches!(change, Change::Create(..)) && !published.contains(set) {
                let member = policy().owner.member(set).unwrap().to_owned();
                prop_assert!(readiness.lasting || readiness.answers.get(&member) == Some(&Ok(())), "{change}");
            }
        }
    }
}
