//! Mute rules hold back actions, and nothing else.
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-mute-rules-behaviour.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Schedule.html>.

use cluster_world::{
    World,
    cloudwatch::State::{Alarm, Ok},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{all_to, put, set, state, told, world};

fn rule(expression: &str, duration: &str, zone: &str) -> Value {
    json!({
        "Rule": {"Schedule": {"Expression": expression, "Duration": duration, "Timezone": zone}},
        "MuteTargets": {"AlarmNames": ["A"]},
    })
}

/// An alarm in OK that tells a topic, and which an hour at eleven o'clock mutes.
fn muted() -> (World, String) {
    let mut world = world();
    let topic = world.topic("people");
    let mut more = all_to(&topic);
    more["MetricName"] = json!("Nothing");
    more["TreatMissingData"] = json!("ignore");
    put(&mut world, "A", &more);
    set(&mut world, "A", Ok);
    world.sns.topics.get_mut(&topic).unwrap().clear();
    world.create("AWS::CloudWatch::AlarmMuteRule", "Night", &rule("cron(0 11 * * *)", "PT1H", "UTC")).unwrap();
    (world, topic)
}

fn until(world: &mut World, time: &str) {
    world.advance_to(time.parse::<Timestamp>().unwrap());
}

#[test]
fn actions_are_muted_and_taken_after_the_window_if_the_state_is_still_the_same() {
    let (mut world, topic) = muted();
    until(&mut world, "2026-11-23T11:20:00Z");
    set(&mut world, "A", Alarm);
    assert_eq!(state(&world, "A"), Alarm, "states change as ever");
    let event: Value = serde_json::from_str(world.events.last().unwrap()["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(event["muteDetail"]["mutedByArn"], "arn:aws:cloudwatch:eu-west-1:000000000000:alarm-mute-rule:Night");
    assert_eq!(event["muteDetail"]["muteWindowEnd"], "2026-11-23T12:00:00.000+0000");
    until(&mut world, "2026-11-23T11:59:59Z");
    assert!(told(&world, &topic).is_empty());
    until(&mut world, "2026-11-23T12:00:00Z");
    assert_eq!(told(&world, &topic), ["ALARM"]);
    until(&mut world, "2026-11-24T13:00:00Z");
    assert_eq!(told(&world, &topic), ["ALARM"], "once, though another window has come and gone");
}

#[test]
fn an_alarm_that_is_over_before_the_window_is_says_only_that() {
    let (mut world, topic) = muted();
    until(&mut world, "2026-11-23T11:20:00Z");
    set(&mut world, "A", Alarm);
    until(&mut world, "2026-11-23T11:40:00Z");
    set(&mut world, "A", Ok);
    until(&mut world, "2026-11-23T12:00:00Z");
    // «The behaviours […] apply to actions associated with all alarm states»: OK is the state that it was last muted in.
    assert_eq!(told(&world, &topic), ["OK"]);
}

#[test]
fn what_happened_before_or_after_the_window_is_told_at_once() {
    let (mut world, topic) = muted();
    until(&mut world, "2026-11-23T10:59:59Z");
    set(&mut world, "A", Alarm);
    assert_eq!(told(&world, &topic), ["ALARM"]);
    until(&mut world, "2026-11-23T12:00:00Z");
    set(&mut world, "A", Ok);
    assert_eq!(told(&world, &topic), ["ALARM", "OK"]);
}

#[test]
fn of_windows_that_overlap_the_last_one_ends_it_and_a_deleted_rule_does_at_once() {
    let (mut world, topic) = muted();
    let once = rule("at(2026-11-23T12:30)", "PT2H", "Europe/Berlin");
    let made = world.create("AWS::CloudWatch::AlarmMuteRule", "Once", &once).unwrap().unwrap();
    until(&mut world, "2026-11-23T11:40:00Z");
    set(&mut world, "A", Alarm);
    until(&mut world, "2026-11-23T13:29:59Z");
    assert!(told(&world, &topic).is_empty(), "12:30 in Berlin is 11:30, and it lasts two hours");
    let mut other = world.clone();
    until(&mut world, "2026-11-23T13:30:00Z");
    assert_eq!(told(&world, &topic), ["ALARM"]);
    until(&mut other, "2026-11-23T13:29:59Z");
    other.delete("AWS::CloudWatch::AlarmMuteRule", &made.physical_id, &json!({})).unwrap();
    other.advance(1);
    assert_eq!(told(&other, &topic), ["ALARM"]);
}

#[test]
fn a_rule_mutes_what_it_names_from_its_start_to_its_end() {
    let (mut world, _) = muted();
    let topic = world.topic("others");
    let mut more = all_to(&topic);
    more["MetricName"] = json!("Nothing");
    more["TreatMissingData"] = json!("ignore");
    put(&mut world, "B", &more);
    let mut tomorrow = rule("cron(0 14 * * *)", "PT1H", "UTC");
    tomorrow["MuteTargets"] = json!({"AlarmNames": ["B"]});
    tomorrow["StartDate"] = json!("2026-11-24T00:00:00Z");
    tomorrow["ExpireDate"] = json!("2026-11-24T14:30:00Z");
    world.create("AWS::CloudWatch::AlarmMuteRule", "Tomorrow", &tomorrow).unwrap();
    until(&mut world, "2026-11-23T11:20:00Z");
    set(&mut world, "B", Alarm);
    until(&mut world, "2026-11-23T14:20:00Z");
    set(&mut world, "B", Ok);
    assert_eq!(told(&world, &topic), ["ALARM", "OK"]);
    until(&mut world, "2026-11-24T14:20:00Z");
    set(&mut world, "B", Alarm);
    assert_eq!(told(&world, &topic).len(), 2);
    until(&mut world, "2026-11-24T14:30:00Z");
    assert_eq!(told(&world, &topic).len(), 3, "it has expired");
}

#[test]
fn a_schedule_that_the_page_does_not_know_is_refused() {
    for (expression, duration, zone, why) in [
        ("cron(0 2 * * ? *)", "PT1H", "UTC", "five fields are required"),
        ("cron(0/5 2 * * *)", "PT1H", "UTC", "no other character"),
        ("cron(0 2 1 * MON)", "PT1H", "UTC", "both days"),
        ("cron(0 2 * * 1)", "PT1H", "UTC", "which day of the week a number is"),
        ("rate(1 day)", "PT1H", "UTC", "neither cron(…) nor at(…)"),
        ("at(tomorrow)", "PT1H", "UTC", "no time such as"),
        ("cron(0 2 * * *)", "PT30S", "UTC", "from 1 minute to 15 days"),
        ("cron(0 2 * * *)", "P16D", "UTC", "from 1 minute to 15 days"),
        ("cron(0 2 * * *)", "an hour", "UTC", "no ISO 8601 duration"),
        ("cron(0 2 * * *)", "PT1H", "Mars/Olympus", "no story knows this time zone"),
    ] {
        let refused =
            world().create("AWS::CloudWatch::AlarmMuteRule", "Rule", &rule(expression, duration, zone)).unwrap_err();
        assert!(refused.contains(why), "{expression}: {refused}");
    }
    for fine in ["cron(0 18 * * FRI)", "cron(0 1 1 * *)", "cron(0,30 2-4 * JAN-MAR *)"] {
        world().create("AWS::CloudWatch::AlarmMuteRule", "Rule", &rule(fine, "P2DT12H", "")).unwrap();
    }
}
