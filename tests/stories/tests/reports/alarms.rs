//! People are told which core is not whole, since when and why.

use std::{cell::RefCell, io::Write};

use cluster_core::instance::NOT_WHOLE;
use cluster_sim::{
    cluster::{Cluster, ZONES},
    events::{delivered, messages},
    functions::INSTANCE_DRAINER,
    time::{minutes, play, within},
    wire::Fault,
};
use cluster_world::cloudwatch::State;
use serde_json::json;

use super::core;

#[test]
fn a_task_that_ends_soon_after_each_start_alarms() {
    play(async {
        let cluster = Cluster::formed(3).with_alarms().await;
        cluster.live(minutes(6)).await;
        let instance = cluster.serving(2).unwrap();
        let mut minute = 0;
        while cluster.alarm("CoreNotWholeAlarm") != State::Alarm {
            minute += 1;
            assert!(minute < 60, "nobody was told within an hour");
            if cluster.serving(2).is_some()
                && let Some(task) = cluster.task(&instance)
            {
                cluster.wire.world().stop(&cluster.ecs_cluster, &task);
            }
            cluster.live(minutes(1)).await;
        }
        let core = core(&cluster, 2).await;
        assert_eq!(core["whole"], json!(false), "{core}");
    });
}

/// Lets time pass until the alarm goes off, at most ten hours, and says after how many minutes.
async fn alarmed_after(cluster: &Cluster) -> usize {
    for minute in 1..=600 {
        cluster.live_without_events(minutes(1)).await;
        if cluster.alarm("CoreNotWholeAlarm") == State::Alarm {
            return minute;
        }
    }
    panic!("nobody was told in ten hours")
}

#[test]
fn a_volume_that_stays_busy_for_hours_alarms_and_names_core_and_holder() {
    play(async {
        let cluster = Cluster::formed(3).with_alarms().await;
        cluster.live(minutes(6)).await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.world().stick(&cluster.nodes[1].volume);
        let after = alarmed_after(&cluster).await;
        assert!((30..=32).contains(&after), "alarmed after {after} minutes");
        assert_eq!(cluster.metric("CoresNotWhole", None), Some(1.0));
        assert_eq!(cluster.alarm("SeveralCoresNotWholeAlarm"), State::Ok);
        let (core, volume) = (core(&cluster, 2).await, &cluster.nodes[1].volume);
        assert_eq!((&core["core"], &core["whole"]), (&json!(2), &json!(false)), "{core}");
        let why = core["why"].as_str().unwrap();
        assert!(why.contains(&format!("volume {volume} is held by {lost}")), "{why}");
        assert_eq!(core["since"].as_str().unwrap().len(), "2026-11-23T10:00:00Z".len(), "{core}");
    });
}

#[test]
fn a_core_without_any_instance_alarms_with_auto_scalings_own_words() {
    play(async {
        let cluster = Cluster::formed(3).with_alarms().await;
        cluster.live(minutes(6)).await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        cluster.wire.world().lose_instance(&lost);
        let after = alarmed_after(&cluster).await;
        assert!((30..=33).contains(&after), "alarmed after {after} minutes");
        {
            // A termination that failed since then explains nothing.
            let mut world = cluster.wire.world();
            let (now, group) = (world.now, cluster.nodes[1].group.clone());
            let failed = (now, "Terminating EC2 instance: i-0", "The instance cannot be terminated.".to_owned());
            world.auto_scaling.groups.get_mut(&group).unwrap().failures.push(failed);
        }
        let core = core(&cluster, 2).await;
        let why = core["why"].as_str().unwrap();
        assert!(
            why.starts_with(&format!("its Auto Scaling group {} has no instance", cluster.nodes[1].group)),
            "{why}"
        );
        assert!(
            why.contains("We currently do not have sufficient r7g.large capacity in the Availability Zone"),
            "{why}"
        );
        // And it ends by itself.
        cluster.wire.world().ec2.no_capacity.clear();
        cluster.live(minutes(14)).await;
        assert_eq!(cluster.metric("CoreNotWholeSeconds", None), Some(0.0));
        assert_eq!(cluster.alarm("CoreNotWholeAlarm"), State::Ok);
    });
}

const STUCK: &str = "InstanceStuckAlarm";

/// Writes on the volume of core 2 whose it is.
fn tag(cluster: &Cluster, core: &str) {
    let volume = &cluster.nodes[1].volume;
    let mut world = cluster.wire.world();
    world.ec2.volumes.get_mut(volume).unwrap().tags.insert("neo4j:core".to_owned(), core.to_owned());
}

/// Returns a cluster in which the replacement of core 2 is not given its volume, and people have been told.
async fn stuck() -> Cluster {
    let cluster = Cluster::formed(3).with_alarms().await;
    cluster.live(minutes(6)).await;
    assert_eq!((cluster.alarm(STUCK), cluster.metric("InstancesStuck", None)), (State::Ok, None));
    tag(&cluster, "1");
    let lost = cluster.serving(2).unwrap();
    cluster.wire.world().lose_instance(&lost);
    cluster.until("the alarm goes off", within(minutes(12)), |c| c.alarm(STUCK) == State::Alarm).await;
    cluster
}

#[test]
fn an_alarm_on_what_is_written_only_while_it_is_so_lasts_as_long_and_ends() {
    play(async {
        let cluster = stuck().await;
        for minute in 1..=10 {
            cluster.live(minutes(1)).await;
            assert_eq!(cluster.alarm(STUCK), State::Alarm, "minute {minute}");
        }
        tag(&cluster, "2");
        cluster.until("it ends", within(minutes(8)), |c| c.alarm(STUCK) == State::Ok).await;
        assert!(cluster.serving(2).is_some());
    });
}

#[test]
fn an_alarm_that_ends_with_the_silence_of_its_function_is_followed_by_the_one_on_silence() {
    play(async {
        let cluster = stuck().await.without(INSTANCE_DRAINER);
        let silent = |cluster: &Cluster| cluster.alarm("Monitoring/Silence/SilenceAlarm") == State::Alarm;
        cluster.until("it is told that nobody looks", within(minutes(8)), silent).await;
        assert_eq!(cluster.alarm(STUCK), State::Ok);
    });
}

thread_local! {
    /// What this thread has logged, once it asks for it.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that are logged while `story` is played. Tests run side by side, so there is one subscriber for all.
fn logged(story: impl FnOnce()) -> Vec<String> {
    LOG.set(Some(Vec::new()));
    _ = tracing_subscriber::fmt().json().with_writer(|| Log).try_init();
    story();
    let log = String::from_utf8(LOG.take().unwrap()).unwrap();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn the_log_says_why_a_launch_failed_and_which_core_is_not_whole() {
    let lines = logged(|| {
        play(async {
            let cluster = Cluster::new(3);
            cluster.form().await;
            cluster.wire.world().ec2.no_capacity.insert(ZONES[0].to_owned());
            let lost = cluster.serving(1).unwrap();
            cluster.wire.world().lose_instance(&lost);
            cluster.wire.sleep(90).await;
            let events = std::mem::take(&mut cluster.wire.world().events);
            let failed = events.iter().find(|event| event["DetailType"] == "EC2 Instance Launch Unsuccessful").unwrap();
            cluster.invoke(messages(&[delivered(failed)])).await.unwrap();
            cluster.live_without_events(minutes(31)).await;
        });
    });
    let line = |what: &str| lines.iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what:?}"));
    let failed = line("Auto Scaling could not launch an instance");
    assert!(
        failed.contains("We currently do not have sufficient") && failed.contains("\"level\":\"WARN\""),
        "{failed}"
    );
    let alarmed = line("a core has not been whole for more than 30 minutes");
    assert!(alarmed.contains("\"core\":1") && alarmed.contains("\"level\":\"ERROR\""), "{alarmed}");
    assert!(alarmed.contains("has no instance, and Auto Scaling reports of its last failed launch: We"), "{alarmed}");
}

#[test]
fn a_dry_run_says_of_every_core_how_it_is_also_when_nothing_is_to_do() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.live(minutes(6)).await;
        let from = cluster.wire.world().calls.len();
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!((&answer["steps"], &answer["phase"]), (&json!([]), &json!("complete")), "{answer}");
        let cores = answer["cores"].as_array().unwrap();
        assert_eq!(cores.len(), 3);
        for (number, core) in (1..).zip(cores) {
            let want = json!({
                "core": number, "zone": ZONES[number - 1], "instance": cluster.serving(number), "state": "InService",
                "volume": cluster.nodes[number - 1].volume, "agent": "connected", "task": "RUNNING", "whole": true,
                "target": "reached", "outdated": null, "since": null, "why": null, "safeToStop": true, "unsafe": [], "healing": null,
            });
            assert_eq!(*core, want);
        }
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&lost);
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["cores"][1]["agent"], json!("disconnected"), "{answer}");
        assert_eq!(answer["cores"][1]["whole"], json!(false));
        let why = answer["cores"][1]["why"].as_str().unwrap();
        assert!(why.starts_with(&format!("the ECS agent of its instance {lost} is not connected: look at")), "{why}");
        assert_eq!(cluster.wire.world().count_calls(from).1, 0, "looking writes nothing, not even a clock");
    });
}

#[test]
fn people_are_told_of_a_core_that_is_away_also_while_the_function_only_watches() {
    play(async {
        let mut cluster = Cluster::formed(3).only(&[INSTANCE_DRAINER]);
        cluster.set("DRY_RUN", "true");
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        let from = cluster.wire.world().calls.len();
        cluster.live_without_events(minutes(35)).await;
        assert!(cluster.metric("CoreNotWholeSeconds", None) > Some(NOT_WHOLE.as_secs_f64()));
        let world = cluster.wire.world();
        let touched = world.calls.iter().skip(from).find(|call| call.write && !call.action.starts_with("dynamodb:"));
        assert_eq!(touched, None, "it changes nothing of the cluster");
    });
}

#[test]
fn a_clock_that_somebody_broke_starts_anew() {
    play(async {
        let cluster = Cluster::formed(3);
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.live_without_events(minutes(1)).await;
        {
            let mut world = cluster.wire.world();
            let (_, items) = world.dynamodb.tables.iter_mut().next().unwrap();
            for (_, item) in items.iter_mut().filter(|((partition, _), _)| partition == "clock") {
                item["since"] = json!({"S": "yesterday"});
            }
            items.insert(("clock".into(), "what".into()), json!({"pk": {"S": "clock"}, "sk": {"S": "what"}}));
        }
        cluster.live_without_events(minutes(1)).await;
        let lasted = cluster.metric("CoreNotWholeSeconds", None);
        assert!(lasted < Some(120.0), "{lasted:?} s");
        cluster.until("core 2 serves again", within(minutes(5)), |c| c.is_replaced(2, &lost)).await;
        let whole = |c: &Cluster| c.metric("CoreNotWholeSeconds", None) == Some(0.0);
        cluster.until("every core counts as whole", within(minutes(7)), whole).await;
    });
}

#[test]
fn an_explanation_that_does_not_come_holds_nothing_up() {
    play(async {
        let cluster = Cluster::formed(3);
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        cluster.wire.world().lose_instance(&lost);
        cluster.live(minutes(3)).await;
        cluster.wire.plan_for("autoscaling:DescribeScalingActivities", 3, Fault::Hang);
        let began = cluster.wire.world().now;
        let answer = cluster.sweep().await.unwrap();
        let took = cluster.wire.world().now.duration_since(began).as_secs();
        assert!(took <= 4, "the round took {took} s");
        let why = answer["reconciled"]["cores"][1]["why"].as_str().unwrap();
        assert!(why.contains("has no instance: if that lasts"), "{why}");
    });
}

#[test]
fn a_core_whose_task_is_being_stopped_is_not_said_to_have_none() {
    play(async {
        let cluster = Cluster::formed(3);
        let instance = cluster.serving(2).unwrap();
        let task = cluster.task(&instance).unwrap();
        cluster.wire.world().stop(&cluster.ecs_cluster, &task);
        cluster.wire.sleep(3).await;
        let core = core(&cluster, 2).await;
        let why = core["why"].as_str().unwrap();
        assert_eq!(why, format!("its task {task} is DEACTIVATING, not RUNNING"), "Neo4j may be in its last checkpoint");
    });
}
