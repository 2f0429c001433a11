//! Incidents: what opens one, what repeats it, and what ends it.

use cluster_sim::{
    alerts::{KEY, PAGERDUTY, SLACK, WEBHOOK, add_alarm, lease, pages, set, stage, taken},
    time::{hours, minutes, play, seconds},
};
use cluster_world::cloudwatch::State;
use serde_json::json;

use super::{a_sweep, pagerduty, stage_with};

#[test]
fn a_critical_alarm_reaches_pagerduty_and_its_end_resolves_the_same_incident() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "QuorumLost", &[("severity", "critical"), ("tier", "core")]);
        set(&cluster, "QuorumLost", State::Alarm);
        cluster.live(seconds(10)).await;
        let told = pagerduty(&cluster);
        let key = "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:QuorumLost".to_owned();
        assert_eq!(told, [("trigger", key.clone())]);
        {
            let mut world = cluster.wire.world();
            let event = &world.server(PAGERDUTY).taken[0].body;
            assert_eq!(event["routing_key"], json!(KEY));
            assert_eq!(event["payload"]["severity"], json!("critical"), "the tag was asked for");
            assert_eq!(event["payload"]["summary"], json!("QuorumLost is wrong"));
        }
        set(&cluster, "QuorumLost", State::Ok);
        cluster.live(seconds(10)).await;
        assert_eq!(pagerduty(&cluster), [("trigger", key.clone()), ("resolve", key)]);
        // By the standard routes Slack and the webhook hear of both, and the topic of nothing.
        assert_eq!((taken(&cluster, SLACK), taken(&cluster, WEBHOOK), pages(&cluster).len()), (2, 2, 0));
        // And nothing more comes.
        cluster.live(hours(3)).await;
        assert_eq!((taken(&cluster, PAGERDUTY), taken(&cluster, SLACK)), (2, 2));
    });
}

#[test]
fn what_stays_is_told_again_and_what_is_held_is_not_told_before_it_has_lasted() {
    play(async {
        let cluster = stage_with(r#"{"to": ["pagerduty"], "repeatMinutes": 30, "holdMinutes": 10}"#);
        add_alarm(&cluster, "Slow", &[("severity", "warning")]);
        set(&cluster, "Slow", State::Alarm);
        cluster.live(minutes(9)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 0);
        cluster.live(minutes(3)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 1);
        cluster.live(minutes(26)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 1);
        cluster.live(minutes(5)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 2);
        // What goes before it has lasted is never told.
        set(&cluster, "Slow", State::Ok);
        a_sweep(&cluster).await;
        set(&cluster, "Slow", State::Alarm);
        cluster.live(minutes(5)).await;
        set(&cluster, "Slow", State::Ok);
        cluster.live(hours(1)).await;
        let actions: Vec<_> = pagerduty(&cluster).into_iter().map(|(action, _)| action).collect();
        assert_eq!(actions, ["trigger", "trigger", "resolve"]);
    });
}

#[test]
fn an_end_that_nobody_told_of_is_seen_by_the_sweep_and_so_is_an_alarm_that_was_deleted() {
    play(async {
        let cluster = stage();
        for name in ["Lost", "Deleted"] {
            add_alarm(&cluster, name, &[("severity", "critical")]);
            set(&cluster, name, State::Alarm);
        }
        cluster.live(seconds(10)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 2);
        {
            let mut world = cluster.wire.world();
            world.set_alarm_state("Lost", State::Ok, "fine").unwrap();
            // What it invokes is lost.
            world.lambda.invocations.clear();
            world.cloudwatch.alarms.remove("Deleted");
        }
        a_sweep(&cluster).await;
        let ended: Vec<_> = pagerduty(&cluster).into_iter().filter(|(action, _)| *action == "resolve").collect();
        assert_eq!(ended.len(), 2, "{ended:?}");
    });
}

#[test]
fn an_alarm_without_data_resolves_nothing() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Gone", &[("severity", "critical")]);
        set(&cluster, "Gone", State::Alarm);
        cluster.live(seconds(10)).await;
        set(&cluster, "Gone", State::InsufficientData);
        cluster.live(minutes(5)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 1);
        set(&cluster, "Gone", State::Ok);
        cluster.live(seconds(10)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 2);
    });
}

#[test]
fn a_planned_drain_mutes_what_it_causes_and_nothing_else_and_not_for_ever() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "FewerCores", &[("severity", "critical"), ("planned", "drain")]);
        add_alarm(&cluster, "Disk", &[("severity", "critical")]);
        lease(&cluster, Some(2));
        cluster.wire.sleep(1).await;
        set(&cluster, "FewerCores", State::Alarm);
        set(&cluster, "Disk", State::Alarm);
        cluster.live(minutes(29)).await;
        let told: Vec<_> = pagerduty(&cluster).into_iter().map(|(_, key)| key).collect();
        assert!(told.len() == 1 && told[0].ends_with(":Disk"), "{told:?}");
        // A core that takes longer to come back is no longer planned.
        cluster.live(minutes(3)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 2);
    });
}

#[test]
fn a_sweep_with_nothing_to_tell_makes_one_call_and_no_write_and_each_fifth_minute_one_more() {
    play(async {
        let cluster = stage();
        let to_full_five = 300 - cluster.wire.world().now.as_second().rem_euclid(300);
        cluster.wire.sleep(u64::try_from(to_full_five).unwrap() + 60).await;
        let calls = |cluster: &cluster_sim::cluster::Cluster| {
            let world = cluster.wire.world();
            world.calls.iter().map(|call| (call.action.clone(), call.write)).collect::<Vec<_>>()
        };
        cluster.wire.world().calls.clear();
        cluster.sweep().await.unwrap();
        assert_eq!(calls(&cluster), [("dynamodb:Query".to_owned(), false)]);
        // With an open incident it looks whether the alarm still is in alarm.
        add_alarm(&cluster, "Open", &[("severity", "critical")]);
        set(&cluster, "Open", State::Alarm);
        cluster.live(seconds(10)).await;
        cluster.wire.world().calls.clear();
        cluster.sweep().await.unwrap();
        let known = ["dynamodb:Query", "cloudwatch:DescribeAlarms"].map(|action| (action.to_owned(), false));
        assert_eq!(calls(&cluster), known);
        // Each fifth minute it asks which alarms are in ALARM.
        set(&cluster, "Open", State::Ok);
        cluster.live(seconds(10)).await;
        cluster.wire.sleep(230).await;
        cluster.wire.world().calls.clear();
        cluster.sweep().await.unwrap();
        assert_eq!(calls(&cluster), known);
    });
}
