//! Alarms whose calls never came: the sweep finds what CloudWatch holds for firing, and leaves alone what CloudWatch holds back.

use cluster_sim::{
    alerts::{PAGERDUTY, add_alarm, pages, set, stage, taken},
    cluster::Cluster,
    functions::ALARM_ROUTER,
    time::{minutes, play, seconds},
    wire::Fault,
};
use cluster_world::cloudwatch::{State, alarm_arn};
use serde_json::{Value, json};

use super::pagerduty;

const CRITICAL: &[(&str, &str)] = &[("severity", "critical")];

/// Lets an alarm go to a state, and loses what it calls.
fn set_unheard(cluster: &Cluster, alarm: &str, state: State) {
    set(cluster, alarm, state);
    cluster.wire.world().lambda.invocations.clear();
}

fn last_details(cluster: &Cluster) -> Value {
    cluster.wire.world().server(PAGERDUTY).taken.last().unwrap().body["payload"]["custom_details"].clone()
}

#[test]
fn an_alarm_whose_call_was_lost_is_told_within_ten_minutes_and_says_so() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Quorum", CRITICAL);
        set_unheard(&cluster, "Quorum", State::Alarm);
        // Its call may still be on its way.
        cluster.live(minutes(4)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 0);
        cluster.live(minutes(7)).await;
        let key = alarm_arn("Quorum");
        assert_eq!(pagerduty(&cluster), [("trigger", key.clone())]);
        let details = last_details(&cluster);
        assert!(details["what it means"].as_str().unwrap().contains("Its call was lost"), "{details}");
        assert_eq!((&details["measured"], &details["alarms when"]), (&json!("Quorum"), &json!("> 1")));
        // It is told once, and its end too.
        cluster.live(minutes(20)).await;
        set(&cluster, "Quorum", State::Ok);
        cluster.live(seconds(10)).await;
        assert_eq!(pagerduty(&cluster), [("trigger", key.clone()), ("resolve", key)]);
    });
}

#[test]
fn a_call_that_comes_after_all_tells_nothing_twice() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Quorum", CRITICAL);
        set(&cluster, "Quorum", State::Alarm);
        let late = std::mem::take(&mut cluster.wire.world().lambda.invocations);
        assert_eq!(late.len(), 1);
        cluster.live(minutes(11)).await;
        cluster.wire.world().lambda.invocations = late;
        cluster.live(minutes(20)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 1);
    });
}

#[test]
fn an_end_that_is_not_so_closes_an_incident_for_minutes_only() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Quorum", CRITICAL);
        set(&cluster, "Quorum", State::Alarm);
        cluster.live(minutes(2)).await;
        let now = cluster.wire.world().now;
        let forged = json!({
            "source": "aws.cloudwatch", "alarmArn": alarm_arn("Quorum"), "accountId": "000000000000", "region": "eu-west-1",
            "alarmData": {"alarmName": "Quorum", "state": {"value": "OK", "reason": "all is well", "timestamp": now.to_string()}},
        });
        cluster.invoke(forged).await.unwrap();
        let actions = |cluster: &Cluster| pagerduty(cluster).into_iter().map(|(action, _)| action).collect::<Vec<_>>();
        assert_eq!(actions(&cluster), ["trigger", "resolve"]);
        cluster.live(minutes(11)).await;
        assert_eq!(actions(&cluster), ["trigger", "resolve", "trigger"]);
    });
}

/// Adds a composite alarm that calls the router, and that the other one suppresses.
fn add_suppressed(cluster: &Cluster, name: &str, suppressor: &str) {
    let router = cluster.function_arn(ALARM_ROUTER).to_owned();
    let properties = json!({
        "AlarmName": name, "AlarmRule": format!("ALARM({suppressor})"), "AlarmActions": [router],
        "ActionsSuppressor": suppressor, "ActionsSuppressorWaitPeriod": 60, "ActionsSuppressorExtensionPeriod": 60,
    });
    cluster.wire.world().create("AWS::CloudWatch::CompositeAlarm", name, &properties).unwrap();
}

#[test]
fn what_cloudwatch_holds_back_is_not_told() {
    play(async {
        let cluster = stage();
        for name in ["Muted", "Off", "Cause"] {
            add_alarm(&cluster, name, CRITICAL);
        }
        add_suppressed(&cluster, "Suppressed", "Cause");
        {
            let mut world = cluster.wire.world();
            let at = world.now.strftime("at(%Y-%m-%dT%H:%M)").to_string();
            let rule = json!({"Rule": {"Schedule": {"Expression": at, "Duration": "PT1H"}}, "MuteTargets": {"AlarmNames": ["Muted"]}});
            world.create("AWS::CloudWatch::AlarmMuteRule", "Work", &rule).unwrap();
            let off = world.cloudwatch.alarms.get_mut("Off").unwrap();
            off.enabled = false;
            // Of this one the function only hears the end.
            let cause = world.cloudwatch.alarms.get_mut("Cause").unwrap();
            cause.actions.get_mut(&State::Alarm).unwrap().clear();
        }
        for name in ["Muted", "Off", "Cause"] {
            set(&cluster, name, State::Alarm);
        }
        assert_eq!(cluster.wire.world().alarm_state("Suppressed"), Some(State::Alarm));
        cluster.live(minutes(50)).await;
        assert_eq!((taken(&cluster, PAGERDUTY), pages(&cluster).len()), (0, 0));
        // When the window has ended CloudWatch calls by itself.
        cluster.live(minutes(12)).await;
        assert_eq!(pagerduty(&cluster), [("trigger", alarm_arn("Muted"))]);
    });
}

#[test]
fn where_nobody_knows_whether_an_alarm_is_muted_it_is_told() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Quorum", CRITICAL);
        set_unheard(&cluster, "Quorum", State::Alarm);
        cluster.wire.plan_for("cloudwatch:ListAlarmMuteRules", 1, Fault::Denied);
        cluster.live(minutes(11)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 1);
    });
}

#[test]
fn a_dry_run_shows_what_was_not_heard_and_tells_nothing() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Quorum", CRITICAL);
        set_unheard(&cluster, "Quorum", State::Alarm);
        cluster.wire.sleep(301).await;
        let shown = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(shown["open"][0]["key"], json!(alarm_arn("Quorum")), "{shown}");
        assert_eq!(shown["open"][0]["due"][0]["what"], json!("trigger"), "{shown}");
        assert_eq!(taken(&cluster, PAGERDUTY), 0);
    });
}
