//! Deliveries that fail, and a router that dies.

use cluster_core::{alert::render, neo4j::Secret};
use cluster_sim::{
    alerts::{self, PAGERDUTY, SIGNING, SLACK, WEBHOOK, add_alarm, set, stage, taken},
    time::{minutes, play, seconds},
    wire::Fault,
};
use cluster_world::cloudwatch::State;
use serde_json::json;

use super::{pagerduty, stage_with};

#[test]
fn what_a_destination_does_not_take_is_told_when_it_does_and_meanwhile_somebody_hears_of_it() {
    play(async {
        let cluster = stage();
        add_alarm(&cluster, "Disk", &[("severity", "critical")]);
        cluster.wire.world().server(PAGERDUTY).status = 503;
        set(&cluster, "Disk", State::Alarm);
        cluster.live(minutes(7)).await;
        assert_eq!((taken(&cluster, PAGERDUTY), taken(&cluster, SLACK)), (0, 1), "the others are told, once");
        assert!(cluster.metric("AlertUndeliveredSeconds", None) > Some(300.0), "which is an alarm past the router");
        cluster.wire.world().server(PAGERDUTY).status = 202;
        cluster.live(minutes(2)).await;
        assert_eq!((taken(&cluster, PAGERDUTY), taken(&cluster, SLACK)), (1, 1));
        assert_eq!(cluster.metric("AlertUndeliveredSeconds", None), Some(0.0));
    });
}

#[test]
fn what_ended_while_its_destination_was_away_is_not_told_at_all() {
    play(async {
        let cluster = stage_with(r#"{"to": ["pagerduty"]}"#);
        add_alarm(&cluster, "Brief", &[]);
        cluster.wire.world().server(PAGERDUTY).status = 500;
        set(&cluster, "Brief", State::Alarm);
        cluster.live(minutes(3)).await;
        set(&cluster, "Brief", State::Ok);
        cluster.live(minutes(1)).await;
        cluster.wire.world().server(PAGERDUTY).status = 202;
        cluster.live(minutes(5)).await;
        assert_eq!(taken(&cluster, PAGERDUTY), 0);
    });
}

#[test]
fn a_flood_of_a_thousand_alerts_is_told_though_the_destination_takes_sixty_a_minute() {
    play(async {
        let cluster = stage_with(r#"{"to": ["slack"]}"#);
        cluster.wire.world().server(SLACK).per_minute = Some(60);
        for nth in 0..1_000 {
            let name = format!("Flood{nth}");
            add_alarm(&cluster, &name, &[("severity", "error")]);
            set(&cluster, &name, State::Alarm);
        }
        cluster.live(minutes(1)).await;
        cluster.live(minutes(20)).await;
        assert_eq!(taken(&cluster, SLACK), 1_000);
    });
}

#[test]
fn whatever_dies_at_whichever_call_nothing_is_lost_and_only_what_was_sent_is_sent_twice() {
    play(async {
        let calls = {
            let cluster = stage();
            add_alarm(&cluster, "Disk", &[("severity", "critical")]);
            set(&cluster, "Disk", State::Alarm);
            let before = cluster.wire.calls().len();
            cluster.live(seconds(10)).await;
            cluster.wire.calls().len() - before
        };
        assert!(calls >= 7, "{calls}");
        for fault in
            [Fault::Kill, Fault::KillAfterEffect, Fault::Outage, Fault::Hang, Fault::ResetAfterEffect, Fault::Denied]
        {
            for nth in 1..=calls {
                let cluster = stage();
                add_alarm(&cluster, "Disk", &[("severity", "critical")]);
                set(&cluster, "Disk", State::Alarm);
                cluster.wire.plan(nth, fault);
                // A process that dies leaves its invocation to Lambda, which tries it again.
                let payload = cluster.wire.world().lambda.invocations[0].payload.clone();
                tokio::select! {
                    _ = cluster.invoke(payload) => {}
                    () = cluster.wire.killed() => {}
                }
                cluster.live(minutes(6)).await;
                let told = pagerduty(&cluster);
                assert!((1..=2).contains(&told.len()), "{fault:?} at {nth}: {told:?}");
                assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
                let others = [SLACK, WEBHOOK].map(|host| taken(&cluster, host));
                assert!(others.iter().all(|taken| (1..=2).contains(taken)), "{fault:?} at {nth}: {others:?}");
                set(&cluster, "Disk", State::Ok);
                cluster.live(minutes(3)).await;
                let resolved = pagerduty(&cluster).into_iter().filter(|(action, _)| *action == "resolve").count();
                assert_eq!(resolved, 1, "{fault:?} at {nth}");
            }
        }
    });
}

#[test]
fn whatever_dies_an_alarm_that_is_over_at_once_stays_open_nowhere() {
    play(async {
        for fault in [Fault::Kill, Fault::KillAfterEffect, Fault::Hang, Fault::ResetAfterEffect] {
            for nth in 1..=9 {
                let cluster = stage();
                add_alarm(&cluster, "Disk", &[("severity", "critical")]);
                set(&cluster, "Disk", State::Alarm);
                cluster.wire.plan(nth, fault);
                let payload = cluster.wire.world().lambda.invocations.remove(0).payload;
                tokio::select! {
                    _ = cluster.invoke(payload) => {}
                    () = cluster.wire.killed() => {}
                }
                set(&cluster, "Disk", State::Ok);
                cluster.live(minutes(6)).await;
                for told in [alerts::pagerduty(&cluster), alerts::webhook(&cluster)] {
                    assert!(told.last().is_none_or(|last| last.over), "{fault:?} at {nth}: {told:?}");
                    assert!(told.iter().filter(|told| told.over).count() <= 1, "{fault:?} at {nth}: {told:?}");
                }
            }
        }
    });
}

#[test]
fn a_secret_that_was_replaced_is_read_again_when_the_old_one_is_refused() {
    play(async {
        let cluster = stage_with(r#"{"to": ["slack:db"]}"#);
        add_alarm(&cluster, "One", &[]);
        add_alarm(&cluster, "Two", &[]);
        set(&cluster, "One", State::Alarm);
        cluster.live(seconds(10)).await;
        assert_eq!(cluster.wire.world().server(SLACK).taken[0].path, "/services/db");
        {
            let mut world = cluster.wire.world();
            world.server(SLACK).status = 404;
            world.server("hooks.example.org");
            world.set_secret(
                cluster.variable("SLACK_SECRET_ARN"),
                json!({"db": "https://hooks.example.org/new"}).to_string(),
            );
        }
        set(&cluster, "Two", State::Alarm);
        cluster.live(seconds(10)).await;
        assert_eq!(taken(&cluster, "hooks.example.org"), 1);
    });
}

#[test]
fn a_webhook_can_be_checked_by_whoever_receives_it() {
    play(async {
        let cluster = stage_with(r#"{"to": ["webhook"]}"#);
        add_alarm(&cluster, "Disk", &[("severity", "error"), ("tier", "core")]);
        set(&cluster, "Disk", State::Alarm);
        cluster.live(seconds(10)).await;
        let mut world = cluster.wire.world();
        let taken = &world.server(WEBHOOK).taken[0];
        assert_eq!((&taken.body["severity"], &taken.body["labels"]["tier"]), (&json!("error"), &json!("core")));
        let at = taken.headers["alert-timestamp"].parse().unwrap();
        let at = jiff::Timestamp::from_second(at).unwrap();
        let signed = render::sign(&Secret::new(SIGNING.into()), at, &taken.body.to_string());
        // The body is signed byte for byte, and the world keeps it as JSON: only its form is compared here.
        assert_eq!(taken.headers["alert-signature"].len(), signed.unwrap()[2].1.len());
    });
}

#[test]
fn a_destination_that_was_taken_away_holds_nothing_open() {
    play(async {
        let mut cluster = stage_with(r#"{"to": ["slack", "webhook"]}"#);
        add_alarm(&cluster, "Disk", &[("severity", "error")]);
        set(&cluster, "Disk", State::Alarm);
        cluster.live(seconds(10)).await;
        cluster.set("SLACK_SECRET_ARN", "");
        cluster.set("ROUTES", r#"{"to": ["webhook"]}"#);
        set(&cluster, "Disk", State::Ok);
        cluster.live(minutes(7)).await;
        assert_eq!((taken(&cluster, SLACK), taken(&cluster, WEBHOOK)), (1, 2));
        assert_eq!(cluster.metric("AlertUndeliveredSeconds", None), Some(0.0));
    });
}

#[test]
fn alerts_that_a_destination_never_takes_do_not_keep_it_from_the_others() {
    play(async {
        let cluster = stage_with(r#"{"to": ["pagerduty"], "holdMinutes": 2}"#);
        cluster.wire.world().server(PAGERDUTY).refuses = Some("Poison");
        // More than are told at once, on either side.
        let poison = (0..40).map(|nth| format!("{}Poison{nth}", if nth % 2 == 0 { "A" } else { "Z" }));
        for name in poison.chain(["Sound".to_owned()]) {
            add_alarm(&cluster, &name, &[]);
            set(&cluster, &name, State::Alarm);
        }
        cluster.live(minutes(4)).await;
        let told: Vec<_> = pagerduty(&cluster).into_iter().map(|(_, key)| key).collect();
        assert!(told.len() == 1 && told[0].ends_with(":Sound"), "{told:?}");
        cluster.live(minutes(5)).await;
        assert!(cluster.metric("AlertUndeliveredSeconds", None) > Some(300.0), "and the others are an alarm");
    });
}

#[test]
fn destinations_that_hang_hold_up_no_other_and_it_is_told_once() {
    play(async {
        let cluster = stage_with(r#"{"to": ["pagerduty", "webhook", "slack"]}"#);
        add_alarm(&cluster, "Disk", &[]);
        for host in [PAGERDUTY, WEBHOOK] {
            cluster.wire.plan_outside(host, Fault::Hang);
        }
        set(&cluster, "Disk", State::Alarm);
        let began = cluster.wire.world().now;
        cluster.live(minutes(4)).await;
        let told = cluster.wire.world().server(SLACK).taken[0].at.duration_since(began);
        assert!(told.as_secs() < 10, "{told}");
        cluster.wire.calm();
        cluster.live(minutes(3)).await;
        assert_eq!([SLACK, PAGERDUTY, WEBHOOK].map(|host| taken(&cluster, host)), [1, 1, 1]);
    });
}
