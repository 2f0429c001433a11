//! What an alarm does: it publishes, or has a function invoked, in the forms that the pages show.

use cluster_world::{
    World,
    cloudwatch::State::{self, Alarm, InsufficientData, Ok},
    lambda,
};
use serde_json::{Value, json};

use super::{all_to, depth, put, put_composite, put_switch, set, told, world};

/// A world with an alarm that has gone off.
fn gone_off(action: &str, more: &Value) -> World {
    let mut world = world();
    let mut all = json!({"AlarmDescription": "Look.", "AlarmActions": [action]});
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    put(&mut world, "Dead", &all);
    world.set_gauge(&depth(), Some(0.0));
    world.advance(120);
    world.set_gauge(&depth(), Some(3.0));
    world.advance(120);
    world
}

#[test]
fn each_change_of_the_state_takes_the_actions_of_that_state() {
    let mut world = world();
    let topic = world.topic("people");
    let mut more = all_to(&topic);
    more["MetricName"] = json!("Nothing");
    more["TreatMissingData"] = json!("ignore");
    put(&mut world, "All", &more);
    more["OKActions"] = json!([]);
    more["ActionsEnabled"] = json!(false);
    put(&mut world, "Disabled", &more);
    for state in [Ok, Alarm, Alarm, InsufficientData, Alarm, Ok] {
        set(&mut world, "All", state);
        set(&mut world, "Disabled", state);
        world.advance(600);
    }
    assert_eq!(told(&world, &topic), ["OK", "ALARM", "INSUFFICIENT_DATA", "ALARM", "OK"]);
    assert_eq!(State::named("ALARM"), Some(Alarm));
}

#[test]
fn a_topic_is_told_in_the_form_of_the_page() {
    let mut before = world();
    let topic = before.topic("people");
    let mut world = gone_off(&topic, &json!({}));
    assert!(world.published(&topic).is_empty(), "a topic that is not there hears nothing");
    assert_eq!(world.cloudwatch.unheard, [("Dead".to_owned(), topic.clone())]);
    world.topic("people");
    world.set_gauge(&depth(), Some(0.0));
    world.advance(120);
    world.set_gauge(&depth(), Some(3.0));
    world.advance(60);
    let published = &world.published(&topic)[0];
    assert_eq!(published.subject.as_deref(), Some("ALARM: \"Dead\" in EU (Ireland)"));
    let message: Value = serde_json::from_str(&published.message).unwrap();
    let said = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((said("AlarmName"), said("AlarmDescription")), ("Dead".to_owned(), "Look.".to_owned()));
    assert_eq!((said("OldStateValue"), said("NewStateValue")), ("OK".to_owned(), "ALARM".to_owned()));
    assert_eq!(said("AlarmArn"), "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:Dead");
    assert_eq!(
        said("NewStateReason"),
        "Threshold Crossed: 1 out of the last 1 datapoints [3.0 (23/11/26 10:06:00)] was greater than the threshold (0.0) (minimum 1 \
         datapoint for OK -> ALARM transition)."
    );
    let trigger = &message["Trigger"];
    assert_eq!(trigger["MetricName"], "ApproximateNumberOfMessagesVisible");
    assert_eq!(trigger["Dimensions"], json!([{"value": "dead", "name": "QueueName"}]));
    assert_eq!((&trigger["Statistic"], &trigger["Period"]), (&json!("MAXIMUM"), &json!(60)));
}

#[test]
fn a_function_is_invoked_in_the_form_of_the_page() {
    let world = gone_off(&format!("{}:live", lambda::arn("router")), &json!({}));
    let [invocation] = &world.lambda.invocations[..] else { panic!("{:?}", world.lambda.invocations) };
    assert_eq!((invocation.function.as_str(), invocation.attempts), ("router", 0));
    let expected = json!({
        "source": "aws.cloudwatch", "alarmArn": "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:Dead",
        "accountId": "000000000000", "time": "2026-11-23T10:03:00.000+0000", "region": "eu-west-1",
        "alarmData": {
            "alarmName": "Dead",
            "state": {
                "value": "ALARM", "timestamp": "2026-11-23T10:03:00.000+0000",
                "reason": "Threshold Crossed: 1 out of the last 1 datapoints [3.0 (23/11/26 10:02:00)] was greater than the threshold \
                           (0.0) (minimum 1 datapoint for OK -> ALARM transition).",
                "reasonData": invocation.payload["alarmData"]["state"]["reasonData"],
            },
            "previousState": {
                "value": "OK", "timestamp": "2026-11-23T10:01:00.000+0000",
                "reason": invocation.payload["alarmData"]["previousState"]["reason"],
                "reasonData": invocation.payload["alarmData"]["previousState"]["reasonData"],
            },
            "configuration": {
                "description": "Look.",
                "metrics": [{
                    "id": "m1", "returnData": true,
                    "metricStat": {
                        "metric": {
                            "namespace": "AWS/SQS", "name": "ApproximateNumberOfMessagesVisible",
                            "dimensions": {"QueueName": "dead"},
                        },
                        "period": 60, "stat": "Maximum",
                    },
                }],
            },
        },
    });
    assert_eq!(invocation.payload, expected);
    let data: Value = serde_json::from_str(expected["alarmData"]["state"]["reasonData"].as_str().unwrap()).unwrap();
    assert_eq!((&data["recentDatapoints"], &data["statistic"]), (&json!([3.0]), &json!("Maximum")));
}

#[test]
fn a_composite_alarm_that_waited_says_so_when_it_is_told() {
    let mut world = world();
    put_switch(&mut world, "A");
    put_switch(&mut world, "S");
    let properties = json!({
        "AlarmRule": "ALARM(A)", "AlarmActions": [lambda::arn("router")], "ActionsSuppressor": "S",
        "ActionsSuppressorWaitPeriod": 120, "ActionsSuppressorExtensionPeriod": 180,
    });
    put_composite(&mut world, "Whole", &properties);
    world.advance(600);
    set(&mut world, "A", Alarm);
    world.advance(600);
    let data = &world.lambda.invocations[0].payload["alarmData"];
    assert_eq!(data["state"]["timestamp"], "2026-11-23T10:12:00.000+0000");
    assert_eq!(data["state"]["actionsSuppressedBy"], json!(null));
    assert_eq!(data["previousState"]["value"], "ALARM");
    assert_eq!(data["previousState"]["timestamp"], "2026-11-23T10:10:00.000+0000");
    assert_eq!(data["previousState"]["actionsSuppressedReason"], "Actions suppressed by WaitPeriod");
}

#[test]
fn lambda_tries_twice_again_and_then_hands_on_a_record() {
    let mut world = gone_off(&lambda::arn("router"), &json!({}));
    world.lambda.on_failure.insert("router".to_owned(), "https://queue/undelivered".to_owned());
    assert!(world.take_invocations("another").is_empty());
    let mut waits = vec![];
    for _ in 0..3 {
        let from = world.now;
        let [invocation] = loop {
            match world.take_invocations(&lambda::arn("router")).try_into() {
                Result::Ok(one) => break one,
                Err(none) => assert_eq!(none, vec![]),
            }
            world.advance(1);
        };
        waits.push(world.now.duration_since(from).as_secs());
        world.failed(invocation, "Task timed out after 30.00 seconds");
    }
    assert_eq!(waits, [0, 60, 120]);
    assert!(world.lambda.invocations.is_empty());
    assert_eq!(world.lambda.given_up.len(), 1);
    let (queue, record) = world.messages.last().unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(queue, "https://queue/undelivered");
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["requestPayload"]["alarmData"]["alarmName"], "Dead");
}
