//! Composite alarms, and what suppresses their actions: the examples of «Suppressing composite alarm actions».
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html>.

use cluster_world::{
    World,
    cloudwatch::State::{Alarm, InsufficientData, Ok},
};
use serde_json::{Value, json};

use super::{all_to, put_composite, put_switch, set, state, told, world};

#[test]
fn a_rule_is_what_it_says() {
    for (rule, holds) in [
        ("ALARM(A)", true),
        ("ALARM(\"A\")", true),
        ("ALARM(arn:aws:cloudwatch:eu-west-1:000000000000:alarm:A)", true),
        ("OK(A)", false),
        ("OK(B) AND INSUFFICIENT_DATA(C)", true),
        ("NOT ALARM(A) OR ALARM(B)", false),
        ("NOT (OK(A) OR ALARM(B))", true),
        ("ALARM(A) OR ALARM(B) AND ALARM(C)", true),
        ("(ALARM(A) OR ALARM(B)) AND ALARM(C)", false),
        ("TRUE AND NOT FALSE", true),
        ("ALARM(A)\n  AND OK(B)", true),
    ] {
        let mut world = world();
        for name in ["A", "B", "C"] {
            put_switch(&mut world, name);
        }
        set(&mut world, "A", Alarm);
        set(&mut world, "C", InsufficientData);
        put_composite(&mut world, "Whole", &json!({"AlarmRule": rule}));
        world.advance(1);
        assert_eq!(state(&world, "Whole"), if holds { Alarm } else { Ok }, "{rule}");
    }
    for (wrong, why) in [
        ("ALARM(D)", "there is no alarm D"),
        ("AT_LEAST(1, ALARM, (A))", "knows no AT_LEAST"),
        ("ALARM(A) ALARM(A)", "ALARM is too much"),
        ("ALARM(A", ") is missing"),
        ("ALARM(\"A)", "a quote stays open"),
        ("", "ends too early"),
    ] {
        let mut world = world();
        put_switch(&mut world, "A");
        let refused =
            world.create("AWS::CloudWatch::CompositeAlarm", "Whole", &json!({"AlarmRule": wrong})).unwrap_err();
        assert!(refused.contains(why), "{wrong}: {refused}");
    }
}

#[test]
fn a_composite_alarm_follows_at_once_and_may_be_part_of_another() {
    let mut world = world();
    put_switch(&mut world, "A");
    let topic = world.topic("people");
    put_composite(&mut world, "Inner", &json!({"AlarmRule": "ALARM(A)"}));
    let mut outer = all_to(&topic);
    outer["AlarmRule"] = json!("ALARM(Inner)");
    put_composite(&mut world, "Outer", &outer);
    world.advance(1);
    assert_eq!(told(&world, &topic), ["OK"], "from INSUFFICIENT_DATA, when it was created");
    set(&mut world, "A", Alarm);
    assert_eq!((state(&world, "Inner"), state(&world, "Outer")), (Alarm, Alarm));
    assert_eq!(told(&world, &topic), ["OK", "ALARM"]);
    let message: Value = serde_json::from_str(&world.published(&topic)[1].message).unwrap();
    assert_eq!(message["AlarmRule"], "ALARM(Inner)");
    let child = &message["TriggeringChildren"][0];
    assert_eq!(child["Arn"], "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:Inner");
    assert!(
        message["NewStateReason"]
            .as_str()
            .unwrap()
            .contains(":alarm:Inner transitioned to ALARM at Monday 23 November, 2026")
    );
    assert!(world.delete("AWS::CloudWatch::Alarm", "A", &json!({})).unwrap_err().contains("named by the rule of"));
}

/// A composite alarm of A that S suppresses, with a wait of 120 and an extension of 180 seconds.
fn suppressed() -> (World, String) {
    let mut world = world();
    put_switch(&mut world, "A");
    put_switch(&mut world, "S");
    let topic = world.topic("people");
    let mut properties = json!({
        "AlarmRule": "ALARM(A)", "ActionsSuppressor": "S", "ActionsSuppressorWaitPeriod": 120,
        "ActionsSuppressorExtensionPeriod": 180,
    });
    for (key, value) in all_to(&topic).as_object().unwrap() {
        properties[key] = value.clone();
    }
    put_composite(&mut world, "Whole", &properties);
    world.advance(600);
    world.sns.topics.get_mut(&topic).unwrap().clear();
    world.events.clear();
    (world, topic)
}

#[test]
fn example_1_actions_are_not_suppressed_after_the_wait_period() {
    let (mut world, topic) = suppressed();
    set(&mut world, "A", Alarm);
    world.advance(119);
    assert_eq!((state(&world, "Whole"), told(&world, &topic).len()), (Alarm, 0));
    world.advance(1);
    assert_eq!(told(&world, &topic), ["ALARM"]);
    world.advance(3600);
    assert_eq!(told(&world, &topic), ["ALARM"], "once");
}

#[test]
fn example_2_the_suppressor_comes_before_the_wait_period_expires() {
    let (mut world, topic) = suppressed();
    set(&mut world, "A", Alarm);
    world.advance(60);
    set(&mut world, "S", Alarm);
    world.advance(3600);
    assert!(told(&world, &topic).is_empty());
}

#[test]
fn example_3_another_transition_begins_another_wait_period() {
    let (mut world, topic) = suppressed();
    set(&mut world, "A", Alarm);
    world.advance(60);
    set(&mut world, "A", Ok);
    world.advance(119);
    assert!(told(&world, &topic).is_empty());
    world.advance(1);
    assert_eq!(told(&world, &topic), ["OK"], "the actions of the state that it is in");
}

#[test]
fn example_4_the_suppressor_is_in_alarm_already() {
    let (mut world, topic) = suppressed();
    set(&mut world, "S", Alarm);
    set(&mut world, "A", Alarm);
    world.advance(3600);
    assert!(told(&world, &topic).is_empty());
    // An alarm that went and came under its suppressor has nothing else to say.
    set(&mut world, "A", Ok);
    world.advance(60);
    set(&mut world, "S", Ok);
    world.advance(179);
    assert!(told(&world, &topic).is_empty());
    world.advance(1);
    assert_eq!(told(&world, &topic), ["OK"]);
}

#[test]
fn example_5_actions_are_not_suppressed_after_the_extension_period() {
    let (mut world, topic) = suppressed();
    set(&mut world, "A", Alarm);
    world.advance(60);
    set(&mut world, "S", Alarm);
    world.advance(600);
    set(&mut world, "S", Ok);
    world.advance(179);
    assert!(told(&world, &topic).is_empty());
    world.advance(1);
    assert_eq!(told(&world, &topic), ["ALARM"]);
}

#[test]
fn example_6_a_transition_discards_the_extension_period_and_begins_a_wait_period() {
    let (mut world, topic) = suppressed();
    set(&mut world, "A", Alarm);
    set(&mut world, "S", Alarm);
    world.advance(600);
    set(&mut world, "S", Ok);
    world.advance(60);
    set(&mut world, "A", Ok);
    world.advance(119);
    assert!(told(&world, &topic).is_empty());
    world.advance(1);
    assert_eq!(told(&world, &topic), ["OK"]);
}

#[test]
fn another_suppressor_discards_the_period_that_is_active_and_another_text_does_not() {
    let (world, topic) = suppressed();
    for (suppressor, told_then) in [("S", vec!["ALARM"]), ("T", vec![])] {
        let mut world = world.clone();
        put_switch(&mut world, "T");
        set(&mut world, "A", Alarm);
        let changed = json!({
            "AlarmRule": "ALARM(A)", "ActionsSuppressor": suppressor, "ActionsSuppressorWaitPeriod": 120,
            "ActionsSuppressorExtensionPeriod": 180, "AlarmDescription": "Other.", "AlarmActions": [topic],
        });
        put_composite(&mut world, "Whole", &changed);
        world.advance(600);
        assert_eq!(told(&world, &topic), told_then, "{suppressor}");
    }
}

#[test]
fn events_come_at_once_and_say_what_suppresses() {
    let (mut world, _) = suppressed();
    set(&mut world, "A", Alarm);
    let detail = |world: &World| {
        let last = world.events.last().unwrap();
        assert_eq!(
            (&last["Source"], &last["DetailType"]),
            (&json!("aws.cloudwatch"), &json!("CloudWatch Alarm State Change"))
        );
        serde_json::from_str::<Value>(last["Detail"].as_str().unwrap()).unwrap()
    };
    let said = detail(&world);
    assert_eq!(said["alarmName"], "Whole");
    assert_eq!(said["state"]["actionsSuppressedBy"], "WaitPeriod");
    assert_eq!(said["configuration"]["actionsSuppressorExtensionPeriod"], 180);
    let events = world.events.len();
    world.advance(600);
    assert_eq!(world.events.len(), events, "its state has not changed again");
}

#[test]
fn a_suppressor_wants_both_periods() {
    let mut world = world();
    put_switch(&mut world, "A");
    let lacks = json!({"AlarmRule": "ALARM(A)", "ActionsSuppressor": "A", "ActionsSuppressorWaitPeriod": 60});
    let refused = world.create("AWS::CloudWatch::CompositeAlarm", "Whole", &lacks).unwrap_err();
    assert!(refused.contains("ActionsSuppressorExtensionPeriod \"\" is required"), "{refused}");
}
