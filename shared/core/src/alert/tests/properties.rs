//! What holds of every payload.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{Alert, Status, read},
    fixtures::{all, fixture},
};

/// Any JSON, often with the names that the modules look for, so that it gets past their doors.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "Records",
        "Sns",
        "Message",
        "Type",
        "TopicArn",
        "MessageId",
        "messageId",
        "body",
        "Body",
        "attributes",
        "messageAttributes",
        "DeadLetterQueueSourceArn",
        "ERROR_CODE",
        "stringValue",
        "eventSourceARN",
        "source",
        "detail-type",
        "detail",
        "id",
        "region",
        "account",
        "resources",
        "time",
        "alarmData",
        "alarmArn",
        "alarmName",
        "state",
        "value",
        "reason",
        "reasonData",
        "timestamp",
        "configuration",
        "metrics",
        "AlarmName",
        "AlarmArn",
        "NewStateValue",
        "NewStateReason",
        "Trigger",
        "Metrics",
        "Period",
        "Threshold",
        "TriggeringChildren",
        "Arn",
        "alarmTags",
        "containers",
        "exitCode",
        "group",
        "taskArn",
        "clusterArn",
        "lastStatus",
        "status",
        "jobArn",
        "AutoScalingGroupName",
        "x",
    ]);
    let words = prop::sample::select(vec![
        "ALARM",
        "OK",
        "INSUFFICIENT_DATA",
        "aws.ecs",
        "aws.batch",
        "aws.cloudwatch",
        "aws.autoscaling",
        "ECS Task State Change",
        "Batch Job State Change",
        "CloudWatch Alarm State Change",
        "Notification",
        "FAILED",
        "STOPPED",
        "RUNNING",
        "EC2 Instance Launch Unsuccessful",
        "us-east-1",
        "arn:aws:cloudwatch:us-east-1:1:alarm:a",
        "arn:",
        "{}",
        "[[",
        "{\"Records\":[{}]}",
        "[",
        "was greater than the threshold (",
        "[1",
        "[é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// Changes one place of a fixture, counted through the whole of it.
fn changed(value: &mut Value, place: &mut usize, by: &Value) {
    if *place == 0 {
        *value = by.clone();
        *place = usize::MAX;
        return;
    }
    *place = place.saturating_sub(1);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|entry| changed(entry, place, by)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| changed(field, place, by)),
        _ => {}
    }
}

/// Asserts what holds of every alert.
fn sound(alert: &Alert) {
    assert!(!alert.title.is_empty() && !alert.event.is_empty() && !alert.key.as_str().is_empty(), "{alert:?}");
    assert!(alert.title.chars().count() < 260, "{}", alert.title);
    for link in &alert.links {
        let host = link.url.strip_prefix("https://").unwrap().split('/').next().unwrap();
        let ours = [".console.aws.amazon.com", ".console.amazonaws.cn", ".console.amazonaws-us-gov.com"];
        assert!(ours.iter().any(|domain| host.ends_with(domain)), "{}", link.url);
        assert!(link.url.chars().all(|c| c.is_ascii_graphic()), "{}", link.url);
    }
    if let Some(command) = &alert.next_step {
        assert!(command.starts_with("aws ") && !command.chars().any(char::is_control), "{command}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_becomes_an_alert(payload in any_json()) {
        let alerts = read(&payload);
        prop_assert!(!alerts.is_empty());
        alerts.iter().for_each(sound);
        prop_assert_eq!(alerts, read(&payload));
    }

    #[test]
    fn a_fixture_with_one_place_changed_becomes_an_alert(index in any::<prop::sample::Index>(), place in 0usize..80, by in any_json()) {
        let all = all();
        let mut payload = index.get(&all).1.clone();
        let mut place = place;
        changed(&mut payload, &mut place, &by);
        let alerts = read(&payload);
        prop_assert!(!alerts.is_empty());
        alerts.iter().for_each(sound);
    }

    #[test]
    fn one_alarm_has_one_key_and_one_severity_in_every_form_and_state(name in "[^\\p{C}\\s]([^\\p{C}]{0,200}[^\\p{C}\\s])?", mark in "(\\[critical\\] |warning: |)") {
        let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}");
        let description = format!("{mark}Something is wrong");
        let mut seen = Vec::new();
        for state in ["ALARM", "OK", "INSUFFICIENT_DATA"] {
            for payload in forms(&arn, &name, &description, state) {
                let alerts = read(&payload);
                prop_assert_eq!(alerts.len(), 1);
                prop_assert_eq!(&alerts[0].labels["alarm"], &name);
                let status = match state { "ALARM" => Status::Firing, "OK" => Status::Resolved, _ => Status::Unknown };
                prop_assert_eq!(alerts[0].status, status);
                sound(&alerts[0]);
                seen.push((alerts[0].key.clone(), alerts[0].severity, alerts[0].title.clone(), alerts[0].links.clone()));
            }
        }
        prop_assert!(seen.iter().all(|one| *one == seen[0]), "{:?}", seen);
    }
}

/// Writes one change of state in every form and envelope.
fn forms(arn: &str, name: &str, description: &str, state: &str) -> Vec<Value> {
    let message = json!({"AlarmName": name, "AlarmArn": arn, "AlarmDescription": description, "NewStateValue": state,
        "Region": "EU (Ireland)", "AWSAccountId": "123456789012", "StateChangeTime": "2026-11-30T16:00:00.123+0000"});
    let data = json!({"alarmName": name, "state": {"value": state}, "configuration": {"description": description}});
    let action = json!({"source": "aws.cloudwatch", "alarmArn": arn, "accountId": "123456789012", "region": "eu-west-1", "alarmData": data});
    let event = json!({"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "id": "1", "account": "123456789012",
        "region": "eu-west-1", "resources": [arn], "detail": data});
    let unnamed = json!({"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "id": "1", "account": "123456789012",
        "region": "eu-west-1", "detail": data});
    let notification = json!({"Type": "Notification", "MessageId": "2", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": message.to_string()});
    let sqs =
        |body: &Value| json!({"Records": [{"messageId": "3", "eventSource": "aws:sqs", "body": body.to_string()}]});
    let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": notification}]});
    vec![
        sqs(&message),
        sqs(&notification),
        sqs(&event),
        sqs(&action),
        sqs(&sns),
        sns,
        message,
        notification,
        action,
        event,
        unnamed,
    ]
}

#[test]
fn what_fails_and_what_ends_it_share_a_key() {
    let key = |name: &str| read(&fixture(name))[0].key.clone();
    for (fires, resolves) in [
        ("task-exit-code", "task-running"),
        ("task-out-of-memory", "task-running"),
        ("task-failed-to-start", "task-running"),
        ("job-failed", "job-succeeded"),
        ("group-launch-unsuccessful", "group-launch-successful"),
        ("group-hook-abandoned", "group-launch-successful"),
    ] {
        assert_eq!(key(fires), key(resolves), "{fires}");
        assert_eq!(read(&fixture(resolves))[0].status, Status::Resolved, "{resolves}");
    }
    assert_ne!(key("task-stopped-by-user"), key("task-running"));
    assert_ne!(key("group-terminate-unsuccessful"), key("group-launch-successful"));
}
