//! The alarms of the rendered templates, in a running cluster.

use cluster_sim::{
    cluster::{Cluster, ZONES},
    functions::{ALARM_ROUTER, INSTANCE_DRAINER},
    time::{minutes, play, within},
};
use cluster_world::cloudwatch::State;
use serde_json::{Value, json};

#[test]
fn a_cluster_that_is_whole_has_no_alarm() {
    play(async {
        let cluster = Cluster::formed(3).with_alarms().await;
        assert_eq!(cluster.alarm("CoreNotWholeAlarm"), State::InsufficientData);
        cluster.live(minutes(45)).await;
        assert_eq!(cluster.alarms(), Vec::<String>::new());
        let world = cluster.wire.world();
        let unknown = world.cloudwatch.alarms.iter().filter(|(_, alarm)| alarm.now.state != State::Ok);
        assert_eq!(unknown.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new(), "each finds its metric");
    });
}

#[test]
fn a_disk_that_fills_alarms_step_by_step() {
    play(async {
        let cluster = Cluster::formed(3).quiet().with_alarms().await;
        cluster.live(minutes(10)).await;
        let volume = cluster.nodes[1].volume.clone();
        let steps = ["DataDiskFillingAlarm", "DataDiskNearlyFullAlarm", "DataDiskFullAlarm"];
        let states = || steps.map(|alarm| cluster.alarm(alarm) == State::Alarm);
        assert_eq!(states(), [false; 3]);
        cluster.wire.world().set_room(&volume, 15.0);
        cluster.live(minutes(5)).await;
        assert_eq!(states(), [true, false, false]);
        cluster.wire.world().set_room(&volume, 7.5);
        cluster.live(minutes(5)).await;
        assert_eq!(states(), [true, true, false]);
        cluster.wire.world().set_room(&volume, 60.0);
        cluster.live(minutes(11)).await;
        assert_eq!(states(), [false; 3]);
    });
}

#[test]
fn a_disk_that_will_be_full_within_a_day_alarms_long_before_it_is() {
    play(async {
        // The tasks report. The functions would take their time.
        let cluster = Cluster::formed(3).quiet().only(&[]).with_alarms().await;
        let volume = cluster.nodes[1].volume.clone();
        let tomorrow = [1, 2, 3].map(|core| format!("Monitoring/Core{core}/DataDiskFullTomorrowAlarm"));
        let states = || tomorrow.clone().map(|alarm| cluster.alarm(&alarm) == State::Alarm);
        // A percent an hour leaves it room for days, four percent an hour does not.
        let mut told = Vec::new();
        for room in [59.0, 58.0, 57.0, 53.0, 49.0, 45.0, 41.0, 37.0, 33.0, 29.0] {
            cluster.wire.world().set_room(&volume, room);
            cluster.live(minutes(60)).await;
            told.extend(states()[1].then_some(room));
        }
        assert_eq!(states(), [false, true, false]);
        assert_eq!(cluster.alarm("DataDiskFillingAlarm"), State::Ok, "it comes before");
        let first = told[0];
        assert!((29.0..57.0).contains(&first), "with {first} % free");
    });
}

#[test]
fn a_function_that_falls_silent_alarms_and_recovers() {
    play(async {
        let cluster = Cluster::formed(3).quiet().with_alarms().await;
        cluster.live(minutes(10)).await;
        let silence = "Monitoring/Silence/SilenceAlarm";
        assert_eq!(cluster.alarm(silence), State::Ok);
        let mut minute = 0;
        while cluster.alarm(silence) != State::Alarm {
            minute += 1;
            assert!(minute < 20, "nobody was told");
            // Nobody wakes it.
            cluster.wire.sleep(60).await;
        }
        // Five periods, and what the evaluation range has besides.
        assert!((5..=8).contains(&minute), "after {minute} minutes");
        cluster.until("it is heard again", within(minutes(3)), |cluster| cluster.alarm(silence) == State::Ok).await;
    });
}

#[test]
fn a_dead_letter_alarms_by_a_metric_of_aws() {
    play(async {
        let cluster = Cluster::formed(3).quiet().with_alarms().await;
        let name = cluster.alarm_name("Draining/Queues/DeadLettersAlarm");
        let metric = cluster.wire.world().cloudwatch.alarms[&name].metrics().remove(0);
        assert_eq!((metric.namespace.as_str(), metric.dimensions.len()), ("AWS/SQS", 1));
        cluster.wire.world().set_gauge(&metric, Some(1.0));
        cluster.live(minutes(7)).await;
        assert_eq!(cluster.alarms(), [name]);
    });
}

#[test]
fn a_function_that_fails_with_an_alarm_is_invoked_three_times_and_the_alarm_is_kept() {
    play(async {
        let cluster = Cluster::formed(3).quiet().with_alarms().await;
        let arn = {
            let mut world = cluster.wire.world();
            let function = world.lambda.on_failure.keys().find(|name| name.contains("Draining")).unwrap().clone();
            let arn = cluster_world::lambda::arn(&function);
            let never = json!({
                "Namespace": "Stories", "MetricName": "Nothing", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
                "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0, "TreatMissingData": "ignore",
                "AlarmActions": [arn],
            });
            world.create("AWS::CloudWatch::Alarm", "Misled", &never).unwrap();
            arn
        };
        cluster.wire.world().set_alarm_state("Misled", State::Alarm, "by hand").unwrap();
        let attempts = || cluster.picture().matches(&format!("{INSTANCE_DRAINER}:")).count();
        let before = attempts();
        cluster.live(minutes(1) / 2).await;
        let first = attempts();
        cluster.live(minutes(1)).await;
        let second = attempts();
        cluster.live(minutes(3)).await;
        assert_eq!([first - before, second - before, attempts() - before], [1, 2, 3]);
        let world = cluster.wire.world();
        assert!(world.lambda.invocations.is_empty());
        let (queue, record) = world.messages.iter().find(|(_, body)| body.contains("RetriesExhausted")).unwrap();
        assert!(queue.starts_with("https://sqs.") && queue.contains("Undelivered"), "{queue}");
        let record: Value = serde_json::from_str(record).unwrap();
        assert_eq!(record["requestContext"]["functionArn"], format!("{arn}:$LATEST"));
        assert_eq!(record["requestPayload"]["alarmData"]["alarmName"], "Misled");
    });
}

#[test]
fn a_lost_quorum_suppresses_what_follows_from_it_and_a_window_mutes_what_wakes_nobody() {
    play(async {
        let cluster = Cluster::formed_as("changed").quiet().with_alarms().await;
        cluster.live(minutes(15)).await;
        let names = ["SeveralCoresNotWholeUnlessQuorumLostAlarm", "QuorumAtRiskUnlessQuorumLostAlarm"];
        assert_eq!(names.map(|name| cluster.alarm(name)), [State::Ok; 2]);
        // Nobody answers for the router: what waits for it is what CloudWatch told.
        let cluster = cluster.without(ALARM_ROUTER);
        cluster.wire.world().lambda.invocations.clear();
        for core in [1, 2] {
            let lost = cluster.serving(core).unwrap();
            cluster.wire.world().ec2.no_capacity.insert(ZONES[core - 1].to_owned());
            cluster.wire.world().lose_instance(&lost);
        }
        cluster.live(minutes(25)).await;
        assert_eq!(cluster.alarm("QuorumLostAlarm"), State::Alarm);
        assert_eq!(names.map(|name| cluster.alarm(name)), [State::Alarm; 2]);
        let told = |cluster: &Cluster, id: &str| {
            let name = cluster.alarm_name(id);
            let world = cluster.wire.world();
            let of =
                world.lambda.invocations.iter().filter(|one| one.payload["alarmData"]["alarmName"] == name.as_str());
            of.map(|one| one.payload["alarmData"]["state"]["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&cluster, "QuorumLostAlarm"), ["ALARM"]);
        assert_eq!(names.map(|name| told(&cluster, name)), [Vec::<String>::new(), vec![]], "somebody is awake already");
        // One of the two comes back, so there is a quorum, and it is at risk.
        cluster.wire.world().ec2.no_capacity.remove(ZONES[0]);
        cluster.until("the quorum is back", within(minutes(20)), |c| c.alarm("QuorumLostAlarm") == State::Ok).await;
        cluster.live(minutes(12)).await;
        let told_now = names.map(|name| told(&cluster, name));
        assert_eq!(
            told_now,
            [vec!["OK".to_owned()], vec![]],
            "one is whole again; the other alarm is muted until 14:00 in Berlin"
        );
        let ends = "2026-11-23T13:00:00Z".parse().unwrap();
        let end = |cluster: &Cluster| cluster.wire.world().now >= ends;
        cluster.until("the window ends", within(minutes(150)), end).await;
        assert_eq!(told(&cluster, names[1]), ["ALARM"]);
    });
}

#[test]
fn a_stack_takes_its_alarms_along() {
    play(async {
        let cluster = Cluster::formed_as("changed").quiet().with_alarms().await;
        assert!(!cluster.wire.world().cloudwatch.mute_rules.is_empty());
        cluster.delete(true).await;
        let world = cluster.wire.world();
        assert!(world.cloudwatch.alarms.is_empty(), "{:?}", world.cloudwatch.alarms.keys());
        assert!(world.cloudwatch.mute_rules.is_empty());
    });
}
