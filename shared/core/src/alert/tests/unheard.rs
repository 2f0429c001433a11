use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use super::super::{Alert, Described, Incident, Key, Severity, Status, Way};

const ARN: &str = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:Quorum";
const ROUTER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:router";

fn at(minute: i32) -> Timestamp {
    "2026-11-30T01:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(1) * minute
}

fn described() -> Described {
    Described {
        name: "Quorum".into(),
        arn: ARN.into(),
        description: Some("[critical] Quorum is lost. Look at it.".into()),
        reason: "it was high".into(),
        since: Some(at(0)),
        metric: Some("CoresMissing".into()),
        threshold: Some(1.0),
        comparison: Some("GreaterThanThreshold".into()),
        acts: true,
        actions: vec![ROUTER.into()],
        ..Described::default()
    }
}

#[test]
fn a_call_is_missed_only_where_cloudwatch_should_have_made_it() {
    let should = |alarm: &Described, minute| alarm.should_have_called(ROUTER, at(minute));
    assert!(should(&described(), 5));
    assert!(!should(&described(), 4), "it may be on its way");
    let other = |actions: &[&str]| Described {
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        ..described()
    };
    assert!(should(&other(&["arn:aws:sns:eu-west-1:123456789012:page", &format!("{ROUTER}:live")]), 5));
    assert!(!should(&other(&[&format!("{ROUTER}-of-others")]), 5));
    assert!(!should(&other(&[]), 5));
    assert!(!should(&Described { acts: false, ..described() }, 5));
    assert!(!should(&Described { suppressed_by: Some("Alarm".into()), ..described() }, 5));
    assert!(!should(&Described { since: None, ..described() }, 5));
}

#[test]
fn its_alert_is_the_one_that_the_call_would_have_brought_and_says_what_happened() {
    let alert = described().alert().unwrap();
    assert_eq!((alert.key.as_str(), alert.status, alert.severity), (ARN, Status::Firing, Severity::Critical));
    assert_eq!((alert.title.as_str(), alert.since), ("Quorum is lost", Some(at(0))));
    assert!(alert.meaning.contains("it was high") && alert.meaning.ends_with("it is in alarm."), "{}", alert.meaning);
    let reading = alert.reading.clone().unwrap();
    assert_eq!((reading.metric.as_str(), reading.threshold.as_deref()), ("CoresMissing", Some("> 1")));
    assert_eq!(alert.untagged_alarm(), Some(ARN), "its tags are asked for");
}

#[test]
fn an_alarm_is_known_while_it_or_one_of_its_contributors_is_told() {
    let incident = |key: &str, status| {
        let alert = Alert { key: Key::new(key), status, ..described().alert().unwrap() };
        Incident::new(alert, at(1))
    };
    let known = |key: &str, status| described().is_known([incident(key, status)].iter());
    assert!(known(ARN, Status::Firing) && known(&format!("{ARN}#one"), Status::Firing));
    assert!(!known(ARN, Status::Resolved) && !known(&format!("{ARN}2"), Status::Firing));
}

#[test]
fn what_said_too_early_that_it_is_over_is_corrected_once_no_change_can_be_on_its_way() {
    let firing = described().alert().unwrap();
    let mut incident = Incident::new(firing.clone(), at(0));
    assert!(!incident.correct(firing.clone(), at(60)), "it is known");
    let over = firing.ended(at(10), "fine".into());
    assert!(incident.hear(over, at(10)));
    assert!(!incident.correct(firing.clone(), at(14)), "CloudWatch's answer may be older than the end");
    assert!(incident.correct(firing.clone(), at(15)));
    assert_eq!(incident.alert.status, Status::Firing);
}

proptest! {
    /// Any of an alarm's calls may be lost. The destination knows the truth within two looks all the same.
    #[test]
    fn whatever_calls_are_lost_the_destination_knows_the_truth(changes in vec((any::<bool>(), any::<bool>()), 1..12)) {
        let way = Way { to: "pager".into(), repeat: SignedDuration::from_hours(1), hold: SignedDuration::ZERO, route: "root".into() };
        let (mut incident, mut truth, mut since) = (None::<Incident>, Status::Resolved, at(0));
        let call = |status: Status, at: Timestamp| {
            let alert = Described { since: Some(at), ..described() }.alert().unwrap();
            if status == Status::Firing { alert } else { alert.ended(at, "fine".into()) }
        };
        let tell = |incident: &mut Option<Incident>, now: Timestamp| {
            if let Some(incident) = incident {
                let step = incident.step(&way, None, now);
                incident.take("pager", &step, now);
            }
        };
        for minute in 0..(i32::try_from(changes.len()).unwrap() * 7 + 11) {
            let now = at(minute);
            let change = usize::try_from(minute / 7).ok().filter(|_| minute % 7 == 0).and_then(|nth| changes.get(nth));
            if let Some((fires, heard)) = change {
                let status = if *fires { Status::Firing } else { Status::Resolved };
                if status != truth {
                    (truth, since) = (status, now);
                    if *heard {
                        let alert = call(status, now);
                        incident.get_or_insert_with(|| Incident::new(alert.clone(), now)).hear(alert, now);
                    }
                }
            }
            // What is told is looked at each minute, what should have been told each fifth.
            if truth == Status::Resolved {
                if let Some(known) = incident.as_mut().filter(|known| known.alert.status == Status::Firing) {
                    let over = known.alert.ended(since, "fine".into());
                    known.hear(over, now);
                }
            } else if minute % 5 == 0 {
                let found = Described { since: Some(since), ..described() };
                if found.should_have_called(ROUTER, now) && !found.is_known(incident.iter()) {
                    let alert = found.alert().unwrap();
                    incident.get_or_insert_with(|| Incident::new(alert.clone(), now)).correct(alert, now);
                }
            }
            tell(&mut incident, now);
        }
        let told = incident.and_then(|incident| incident.told.get("pager").map(|told| told.status));
        prop_assert_eq!(told == Some(Status::Firing), truth == Status::Firing);
    }
}
