use std::{collections::BTreeMap, slice::from_ref};

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::super::{Alert, Due, Incident, Key, Planned, Reason, Severity, Status, Step, Way, Why};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn began() -> Timestamp {
    "2026-11-30T01:00:00Z".parse().unwrap()
}

fn at(minute: i32) -> Timestamp {
    began() + MINUTE * minute
}

fn alert(status: Status, minute: i32) -> Alert {
    Alert {
        key: Key::new("alarm"),
        event: format!("{minute}"),
        status,
        lasting: true,
        severity: Severity::Critical,
        labels: BTreeMap::new(),
        title: "t".into(),
        meaning: "m".into(),
        since: Some(at(minute)),
        reading: None,
        links: vec![],
        next_step: None,
    }
}

fn way(hold: i32) -> Way {
    Way { to: "pager".into(), repeat: MINUTE * 60, hold: MINUTE * hold, route: "root".into() }
}

/// Asks what is told, and lets the destination take it.
fn tell(incident: &mut Incident, way: &Way, minute: i32) -> Step {
    let step = incident.step(way, None, at(minute));
    incident.take(&way.to, &step, at(minute));
    step
}

#[test]
fn trouble_is_told_once_again_while_it_stays_and_resolved_once() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 0), at(0)), way(0));
    assert_eq!(tell(&mut incident, &way, 0), Step::Trigger(Why::New));
    assert_eq!(tell(&mut incident, &way, 59), Step::Nothing(Reason::Told));
    assert_eq!(tell(&mut incident, &way, 60), Step::Trigger(Why::Repeat));
    assert!(incident.hear(alert(Status::Resolved, 70), at(70)));
    assert_eq!(tell(&mut incident, &way, 70), Step::Resolve);
    assert_eq!(tell(&mut incident, &way, 71), Step::Nothing(Reason::NeverTold));
    assert!(incident.is_over(from_ref(&way)));
    assert!(incident.hear(alert(Status::Firing, 80), at(80)));
    assert_eq!(tell(&mut incident, &way, 80), Step::Trigger(Why::New));
    assert!(!incident.is_over(from_ref(&way)));
}

#[test]
fn what_is_held_is_told_when_it_has_lasted_and_not_at_all_when_it_goes_before() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 0), at(0)), way(10));
    assert_eq!(tell(&mut incident, &way, 9), Step::Nothing(Reason::Held(at(10))));
    let mut short = incident.clone();
    assert_eq!(tell(&mut incident, &way, 10), Step::Trigger(Why::New));
    short.hear(alert(Status::Resolved, 9), at(9));
    assert_eq!(tell(&mut short, &way, 10), Step::Nothing(Reason::NeverTold));
    assert!(short.is_over(from_ref(&way)));
}

#[test]
fn planned_work_mutes_what_it_causes_until_its_deadline_and_resolves_nothing() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 0), at(0)), way(0));
    let planned = Planned { what: "core 2 drains".into(), since: at(0), until: at(30) };
    assert_eq!(incident.step(&way, Some(&planned), at(29)), Step::Nothing(Reason::Planned(planned.clone())));
    assert_eq!(incident.step(&way, Some(&planned), at(30)), Step::Trigger(Why::New));
    // What was told before is told again, whatever is planned.
    assert_eq!(tell(&mut incident, &way, 0), Step::Trigger(Why::New));
    let later = Planned { until: at(300), ..planned };
    assert_eq!(incident.step(&way, Some(&later), at(60)), Step::Trigger(Why::Repeat));
}

#[test]
fn an_alarm_without_data_resolves_nothing_and_an_older_event_changes_nothing() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 10), at(10)), way(0));
    assert_eq!(tell(&mut incident, &way, 10), Step::Trigger(Why::New));
    assert!(!incident.hear(alert(Status::Unknown, 20), at(20)));
    assert_eq!(tell(&mut incident, &way, 21), Step::Nothing(Reason::Told));
    assert!(!incident.hear(alert(Status::Resolved, 5), at(5)));
    assert_eq!(tell(&mut incident, &way, 70), Step::Trigger(Why::Repeat));
}

#[test]
fn what_has_happened_is_told_once_and_again_when_it_happens_again() {
    let happened = |minute| Alert { lasting: false, ..alert(Status::Firing, minute) };
    // It does not last, so no route holds it.
    let (mut incident, way) = (Incident::new(happened(0), at(0)), way(10));
    assert!(!incident.is_over(from_ref(&way)));
    assert_eq!(tell(&mut incident, &way, 1), Step::Trigger(Why::New));
    assert!(incident.is_over(from_ref(&way)));
    assert_eq!(tell(&mut incident, &way, 600), Step::Nothing(Reason::Told));
    assert!(incident.hear(happened(610), at(610)));
    assert!(!incident.is_over(from_ref(&way)));
    assert_eq!(tell(&mut incident, &way, 610), Step::Trigger(Why::Repeat));
    assert!(incident.hear(happened(615), at(615)));
    assert_eq!(tell(&mut incident, &way, 616), Step::Nothing(Reason::Told));
    assert_eq!(tell(&mut incident, &way, 670), Step::Trigger(Why::Repeat));
    assert!(incident.hear(Alert { lasting: false, ..alert(Status::Resolved, 680) }, at(680)));
    assert_eq!(tell(&mut incident, &way, 680), Step::Resolve);
}

#[test]
fn what_is_over_is_resolved_where_it_was_told_whatever_the_routes_are_now() {
    let (mut incident, old) = (Incident::new(alert(Status::Firing, 0), at(0)), way(0));
    tell(&mut incident, &old, 0);
    let new = Way { to: "chat".into(), ..way(5) };
    let due = incident.due(from_ref(&new), None, at(6));
    assert_eq!(due, [Due { to: "chat".into(), step: Step::Trigger(Why::New), since: at(5) }]);
    incident.hear(alert(Status::Resolved, 7), at(8));
    let due = incident.due(from_ref(&new), None, at(9));
    assert_eq!(due, [Due { to: "pager".into(), step: Step::Resolve, since: at(7) }]);
    assert!(!incident.is_over(&[new]));
}

#[test]
fn work_that_was_planned_later_mutes_nothing_and_one_telling_ends_by_itself() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 0), at(0)), way(0));
    let planned = Planned { what: "core 2 drains".into(), since: at(1), until: at(30) };
    assert_eq!(incident.step(&way, Some(&planned), at(2)), Step::Trigger(Why::New));
    assert!(!incident.is_being_told(at(2)));
    incident.telling = Some(at(2));
    assert!(incident.is_being_told(at(3)));
    assert!(!incident.is_being_told(at(4)));
}

#[test]
fn a_destination_that_may_know_of_the_trouble_is_told_of_its_end() {
    let (mut incident, way) = (Incident::new(alert(Status::Firing, 0), at(0)), way(0));
    let due = incident.due(from_ref(&way), None, at(0));
    assert_eq!(incident.claim(&due, at(0)), ["pager".to_owned()].into());
    assert_eq!(incident.claim(&due, at(3)), [].into(), "it was unsure before");
    // Nobody wrote down what came of it.
    assert!(incident.hear(alert(Status::Resolved, 5), at(5)));
    assert!(!incident.is_over(from_ref(&way)));
    let due = incident.due(from_ref(&way), None, at(5));
    assert_eq!(due, [Due { to: "pager".into(), step: Step::Resolve, since: at(5) }]);
    assert_eq!(tell(&mut incident, &way, 5), Step::Resolve);
    assert!(incident.is_over(from_ref(&way)));
    assert_eq!(incident.due(from_ref(&way), None, at(6)), []);
}

#[test]
fn an_incident_is_read_back_as_it_was_written() {
    let mut incident = Incident::new(alert(Status::Firing, 0), at(0));
    tell(&mut incident, &way(0), 0);
    let text = serde_json::to_string(&incident).unwrap();
    assert_eq!(serde_json::from_str::<Incident>(&text).unwrap(), incident);
}

proptest! {
    /// Events come late, twice and in any order; a sweep comes each minute. In the end the destination knows the truth, and it was never
    /// told twice within the time of repetition.
    #[test]
    fn whatever_the_order_the_destination_knows_the_truth(
        changes in vec(any::<bool>(), 1..12), order in vec(any::<prop::sample::Index>(), 12..30), hold in 0..5_i32,
    ) {
        let way = way(hold);
        let event = |nth: usize| {
            let minute = i32::try_from(nth).unwrap() * 7;
            alert(if changes[nth] { Status::Firing } else { Status::Resolved }, minute)
        };
        let mut incident = Incident::new(event(order[0].index(changes.len())), at(100));
        // Each event at least once, in an order that is drawn.
        let heard = order.iter().map(|index| index.index(changes.len())).chain(0..changes.len()).rev();
        let (mut minute, mut triggers) = (100, Vec::new());
        for nth in heard {
            incident.hear(event(nth), at(minute));
            if let Step::Trigger(_) = tell(&mut incident, &way, minute) {
                triggers.push(minute);
            }
            minute += 1;
        }
        for _ in 0..70 {
            if let Step::Trigger(_) = tell(&mut incident, &way, minute) {
                triggers.push(minute);
            }
            minute += 1;
        }
        let truth = if *changes.last().unwrap() { Status::Firing } else { Status::Resolved };
        prop_assert_eq!(incident.alert.status, truth);
        let told = incident.told.get("pager").map(|told| told.status);
        if truth == Status::Firing {
            prop_assert_eq!(told, Some(Status::Firing));
            let last = *triggers.last().unwrap();
            prop_assert!(minute - last <= 61, "it stays, and was last told at {} of {}", last, minute);
        } else {
            prop_assert_ne!(told, Some(Status::Firing));
            prop_assert!(incident.is_over(from_ref(&way)));
        }
    }
}
