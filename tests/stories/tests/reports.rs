//! What people who do this job have reported, played against the real function: agents that are away, two registrations of
//! one instance, volumes that are refused or stay busy, no capacity, other people's tasks, deletions that hang.

use std::{cell::RefCell, io::Write, net::Ipv4Addr};

use cluster_core::instance::NOT_WHOLE;
use cluster_sim::{
    cluster::{Cluster, ZONES},
    events::{delivered, messages},
    functions::INSTANCE_DRAINER,
    time::{minutes, play, within},
    wire::Fault,
};
use cluster_world::{World, ecs::ContainerInstance};
use serde_json::{Value, json};

/// What the function answers to a person about one core.
async fn core(cluster: &Cluster, number: usize) -> Value {
    let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
    answer["cores"][number - 1].clone()
}

fn registration<'a>(world: &'a mut World, instance: &str) -> &'a mut ContainerInstance {
    let (cluster, address) = world.registered(instance).unwrap();
    world.ecs.clusters.get_mut(&cluster).unwrap().container_instances.get_mut(&address).unwrap()
}

/// A service of somebody else's that runs one task on each container instance.
fn add_daemon(cluster: &Cluster) {
    let mut world = cluster.wire.world();
    let task = world.create("AWS::ECS::TaskDefinition", "Daemon", &json!({"Family": "datadog"})).unwrap().unwrap();
    let service = json!({
        "ServiceName": "datadog", "Cluster": &cluster.ecs_cluster, "TaskDefinition": task.physical_id, "SchedulingStrategy": "DAEMON",
    });
    world.create("AWS::ECS::Service", "Daemon", &service).unwrap();
}

#[test]
fn a_core_that_works_is_not_ended_because_its_agent_is_away_for_a_moment() {
    play(async {
        let cluster = Cluster::formed(3);
        // Its task connected forty minutes ago, which is what `connectivityAt` says for ever.
        cluster.live(minutes(40)).await;
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().impair(&ill);
        cluster.wire.sleep(2).await;
        cluster.wire.world().silence(&ill);
        cluster.wire.sleep(10).await;
        cluster.sweep().await.unwrap();
        assert!(
            cluster.wire.world().container_instance(&ill).is_some(),
            "its container instance is deregistered after ten seconds"
        );
        cluster.live(minutes(4)).await;
        assert_eq!(cluster.states(2)[&ill], "Terminating:Wait");
        cluster.live(minutes(3)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_none(), "after more than five minutes it is dead");
    });
}

#[test]
fn a_reconnection_that_no_round_has_seen_ends_the_silence() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        cluster.wire.world().impair(&ill);
        cluster.live_without_events(minutes(4)).await;
        // Between two rounds it is there for a moment, and away again.
        cluster.wire.sleep(30).await;
        cluster.wire.world().hear(&ill);
        cluster.wire.world().silence(&ill);
        cluster.live_without_events(minutes(4)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_some(), "it has been away for less than five minutes");
        cluster.live_without_events(minutes(2)).await;
        assert!(cluster.wire.world().container_instance(&ill).is_none());
    });
}

#[test]
fn what_nobody_looked_at_for_long_is_not_silent_at_first_sight() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        cluster.live_without_events(minutes(1)).await;
        // The function makes no round for an hour; the agent is back at once, and lost again before it ends.
        cluster.wire.world().hear(&ill);
        cluster.wire.sleep(3600).await;
        cluster.wire.world().silence(&ill);
        cluster.wire.world().impair(&ill);
        cluster.wire.sleep(10).await;
        cluster.sweep().await.unwrap();
        assert!(cluster.wire.world().container_instance(&ill).is_some(), "it has been away for ten seconds");
    });
}

#[test]
fn what_somebody_calls_unhealthy_and_ec2_does_not_is_not_dead() {
    play(async {
        let cluster = Cluster::formed(3);
        let called = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&called);
        cluster.wire.world().mark_unhealthy(&called);
        cluster.live(minutes(25)).await;
        assert!(cluster.wire.world().container_instance(&called).is_some(), "its Neo4j may work on");
        assert_eq!(cluster.states(2)[&called], "Terminating:Wait");
    });
}

#[test]
fn a_task_that_ends_soon_after_each_start_alarms() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.live(minutes(6)).await;
        let instance = cluster.serving(2).unwrap();
        let mut minute = 0;
        while cluster.metric("CoreNotWholeSeconds", None) <= Some(NOT_WHOLE.as_secs_f64()) {
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

#[test]
fn a_core_that_stops_while_its_stack_goes_is_not_orphaned_by_a_moments_silence() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.live(minutes(40)).await;
        let stopping = cluster.serving(3).unwrap();
        cluster.wire.world().silence(&stopping);
        cluster.wire.sleep(10).await;
        cluster.request_phase("Delete").await;
        cluster.live(minutes(3)).await;
        let tasks = |cluster: &Cluster| {
            let world = cluster.wire.world();
            let (_, address) = world.registered(&stopping)?;
            Some(world.ecs.clusters[&cluster.ecs_cluster].tasks.values().filter(|t| t.address == address).count())
        };
        assert_eq!(tasks(&cluster), Some(1), "Neo4j may be in the middle of its last checkpoint");
        cluster.live(minutes(4)).await;
        assert_eq!(tasks(&cluster), None, "and after five minutes nothing waits for it any more");
    });
}

#[test]
fn both_registrations_of_one_instance_are_asked_and_deregistered() {
    play(async {
        let cluster = Cluster::formed(3);
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&ill);
        {
            // Its agent had lost its checkpoint, and registered anew; the second registration has no task.
            let mut world = cluster.wire.world();
            let second = ContainerInstance { id: "f".repeat(32), ..registration(&mut world, &ill).clone() };
            let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
            all.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        cluster.live(minutes(1)).await;
        cluster.wire.world().impair(&ill);
        cluster.live(minutes(12)).await;
        let left = cluster.wire.world().ecs.clusters[&cluster.ecs_cluster]
            .container_instances
            .values()
            .filter(|host| host.instance.as_deref() == Some(&ill))
            .count();
        assert_eq!(left, 0, "nothing is known of it any more");
        assert!(cluster.serving(2).is_some_and(|new| new != ill), "{:?}", cluster.states(2));
    });
}

#[test]
fn a_refusal_that_nobody_has_listed_is_stuck_and_stops_nobody_else() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[0].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().revoked = true;
        cluster.wire.sleep(60).await;
        let answer = cluster.sweep().await.expect("the round does not fail for it");
        assert_eq!(cluster.metric("InstancesStuck", None), Some(1.0), "{answer}");
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.contains("CustomerKeyHasBeenRevoked: The key has been revoked by the customer."), "{why}");
        cluster.live(minutes(5)).await;
        assert!(cluster.serving(2).is_some() && cluster.serving(3).is_some());
        assert!(cluster.serving(1).is_none());
    });
}

/// Lets time pass until the alarm goes off, at most ten hours, and says after how many minutes.
async fn alarmed_after(cluster: &Cluster) -> usize {
    for minute in 1..=600 {
        cluster.live_without_events(minutes(1)).await;
        if cluster.metric("CoreNotWholeSeconds", None) > Some(NOT_WHOLE.as_secs_f64()) {
            return minute;
        }
    }
    panic!("nobody was told in ten hours")
}

#[test]
fn a_volume_that_stays_busy_for_hours_alarms_and_names_core_and_holder() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.live(minutes(6)).await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.world().stick(&cluster.nodes[1].volume);
        let after = alarmed_after(&cluster).await;
        assert!((30..=32).contains(&after), "alarmed after {after} minutes");
        assert_eq!(cluster.metric("CoresNotWhole", None), Some(1.0));
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
        let cluster = Cluster::formed(3);
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
fn a_stack_is_deleted_while_somebody_elses_daemon_runs_on_every_instance() {
    play(async {
        let cluster = Cluster::formed(3);
        add_daemon(&cluster);
        cluster.live(minutes(2)).await;
        let took = cluster.delete_all_but(&["AWS::ECS::Cluster"]).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
        let retained =
            cluster.metrics.lock().unwrap().iter().any(|line| line["InstancesRetained"].as_f64() > Some(0.0));
        assert!(!retained, "nothing waits until it is retained");
    });
}

#[test]
fn what_does_not_stop_by_itself_is_named() {
    play(async {
        let cluster = Cluster::formed(3);
        let instance = cluster.serving(2).unwrap();
        let address = cluster.wire.world().registered(&instance).unwrap().1;
        cluster.wire.world().run_task(&cluster.ecs_cluster, "cron", address);
        cluster.request_phase("Delete").await;
        cluster.wire.world().scale(&cluster.ecs_cluster, "core", 0);
        cluster.wire.world().want(&cluster.nodes[1].group, 0);
        cluster.live(minutes(2)).await;
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let steps = answer["steps"].to_string();
        assert!(steps.contains("tasks on it that have not stopped: family cron (1)"), "{steps}");
    });
}

#[test]
fn an_instance_with_other_peoples_tasks_only_is_let_go_while_the_cluster_lives() {
    play(async {
        let cluster = Cluster::formed(3);
        add_daemon(&cluster);
        cluster.live(minutes(1)).await;
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(2)).await;
        cluster.set_status(2, "ACTIVE");
        cluster.wire.world().scale(&cluster.ecs_cluster, "core", 2);
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(5)).await;
        assert!(!cluster.states(2).contains_key(&old), "no quorum hangs on a daemon: {:?}", cluster.states(2));
    });
}

#[test]
fn an_instance_whose_task_is_still_being_stopped_is_not_let_go() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.wire.world().mark_unhealthy(&old);
        let stops = |cluster: &Cluster| {
            let world = cluster.wire.world();
            let (_, address) = world.registered(&old)?;
            let tasks = world.ecs.clusters[&cluster.ecs_cluster].tasks.values();
            Some(tasks.filter(|task| task.address == address && task.status != "STOPPED").count())
        };
        for second in 1..=10 {
            cluster.wire.sleep(1).await;
            cluster.sweep().await.unwrap();
            assert_eq!(stops(&cluster), Some(1), "after {second} s Neo4j has not stopped");
        }
        cluster.live(minutes(2)).await;
        assert!(!cluster.states(2).contains_key(&old));
    });
}

#[test]
fn a_list_that_leaves_an_instance_out_proves_nothing() {
    play(async {
        let cluster = Cluster::new(3);
        // When nothing had registered yet: that is what a stale list will say.
        cluster.wire.remember();
        cluster.form().await;
        let ill = cluster.serving(2).unwrap();
        cluster.wire.world().mark_unhealthy(&ill);
        cluster.wire.sleep(5).await;
        let from = cluster.wire.world().calls.len();
        cluster.sweep().await.unwrap();
        let calls: Vec<_> = cluster.wire.world().calls[from..].iter().map(|call| call.action.clone()).collect();
        let listed = calls.iter().position(|action| action == "ecs:ListContainerInstances").unwrap();
        cluster.wire.plan(listed + 1, Fault::Stale);
        cluster.sweep().await.unwrap();
        assert_eq!(cluster.wire.struck().len(), 1, "the list was stale: {calls:?}");
        cluster.wire.sleep(5).await;
        assert_eq!(cluster.states(2)[&ill], "Terminating:Wait", "it is not let go for having never joined");
    });
}

#[test]
fn a_registration_that_is_deregistering_holds_nothing_up() {
    play(async {
        let cluster = Cluster::formed(3);
        let old = cluster.serving(2).unwrap();
        cluster.empty(2);
        cluster.live(minutes(1)).await;
        // Only its trunk network interface is still to go.
        cluster.set_status(2, "DEREGISTERING");
        cluster.wire.world().mark_unhealthy(&old);
        cluster.live(minutes(3)).await;
        assert!(!cluster.states(2).contains_key(&old), "{:?}", cluster.states(2));
        let world = cluster.wire.world();
        let asked = world.calls.iter().filter(|call| call.action == "ecs:DeregisterContainerInstance").count();
        assert_eq!(asked, 0);
    });
}

#[test]
fn the_ecs_cluster_can_be_deleted_although_ecs_forgets_ended_instances_late() {
    play(async {
        let cluster = Cluster::formed(3);
        cluster.wire.world().ecs.deregisters = 20 * 60;
        let took = cluster.delete(true).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
        let deleted = cluster.wire.world().delete("AWS::ECS::Cluster", &cluster.ecs_cluster, &json!({}));
        assert!(deleted.is_ok(), "{deleted:?}");
    });
}

#[test]
fn silent_registrations_of_many_replicas_cost_a_handful_of_calls() {
    play(async {
        let cluster = Cluster::formed(3);
        {
            let mut world = cluster.wire.world();
            let like = cluster.nodes[0].group.clone();
            let first = world.auto_scaling.groups[&like].members.keys().next().unwrap().clone();
            let pattern = registration(&mut world, &first).clone();
            for n in 0..100_u8 {
                let id = format!("{n:032x}");
                let instance = Some(format!("i-{n:017x}"));
                let connected = n % 3 != 0;
                let host = ContainerInstance { id, instance, connected, attributes: [].into(), ..pattern.clone() };
                world
                    .ecs
                    .clusters
                    .get_mut(&cluster.ecs_cluster)
                    .unwrap()
                    .container_instances
                    .insert(Ipv4Addr::new(10, 1, 0, n), host);
            }
        }
        let from = cluster.wire.world().calls.len();
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        let calls = cluster.wire.world().count_calls(from).0;
        assert!(calls <= 12, "{calls} calls for 34 silent registrations of 103");
    });
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
                "since": null, "why": null,
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
        let mut cluster = Cluster::formed(3).only(INSTANCE_DRAINER);
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
fn fewer_cores_are_refused_before_anything_is_touched_and_a_rollback_is_not() {
    play(async {
        let cluster = Cluster::new(5);
        let ask = async |cores: usize, old: usize| -> Value {
            let properties = |cores: usize| json!({"ServiceToken": "arn", "Cores": cores.to_string(), "Snapshots": [""], "Zones": ZONES, "KmsKeyArn": ""});
            let request = json!({
                "RequestType": "Update", "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "r",
                "ResourceType": "Custom::DataVolumeOrigins", "LogicalResourceId": "Origins",
                "PhysicalResourceId": format!("snapshots=;zones={};key=", ZONES.join(",")),
                "ResourceProperties": properties(cores), "OldResourceProperties": properties(old),
            });
            cluster.invoke(request).await.unwrap();
            let world = cluster.wire.world();
            serde_json::from_str(&world.messages.iter().rev().find(|(to, _)| to == "/cfn").unwrap().1).unwrap()
        };
        cluster.form().await;
        let refused = ask(3, 5).await;
        assert_eq!(refused["Status"], json!("FAILED"), "{refused}");
        let reason = refused["Reason"].as_str().unwrap();
        assert!(
            reason.starts_with("the cluster has 5 cores, and CoreCount=3 would take some away while they run"),
            "{reason}"
        );
        assert_eq!(ask(5, 3).await["Status"], json!("SUCCESS"), "the refused update is rolled back");
        assert_eq!(ask(7, 5).await["Status"], json!("SUCCESS"));
        // The two further cores fail; the cluster never came to have seven.
        assert_eq!(ask(5, 7).await["Status"], json!("SUCCESS"), "the failed update is rolled back");
    });
}

/// The number of a round's first call of this action, counted from 1, as a dry run makes it.
async fn nth(cluster: &Cluster, action: &str) -> usize {
    let from = cluster.wire.world().calls.len();
    cluster.invoke(json!({"dryRun": true})).await.unwrap();
    let world = cluster.wire.world();
    let made = world.calls[from..].iter().position(|call| call.action == action);
    made.unwrap_or(world.calls.len() - from) + 1
}

#[test]
fn a_volume_whose_attachment_hangs_does_not_use_up_the_time_of_the_others() {
    play(async {
        let mut cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        // The clocks of the cores are written, and nothing is attached yet.
        cluster.set("DRY_RUN", "true");
        cluster.sweep().await.unwrap();
        cluster.set("DRY_RUN", "false");
        // Attachments come last: those of cores 1 and 2 hang, and each of their two further attempts.
        let first = nth(&cluster, "ec2:AttachVolume").await;
        for call in [first, first + 1, first + 3, first + 4, first + 5, first + 6] {
            cluster.wire.plan(call, Fault::Hang);
        }
        let began = cluster.wire.world().now;
        _ = cluster.sweep().await;
        let took = cluster.wire.world().now.duration_since(began).as_secs();
        assert!(took <= 13, "the round took {took} s, and Lambda ends it after 28");
        assert_eq!((cluster.holder(1), cluster.holder(2)), (None, None));
        assert!(cluster.holder(3).is_some());
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
        let asked = nth(&cluster, "autoscaling:DescribeScalingActivities").await;
        for attempt in 0..3 {
            cluster.wire.plan(asked + attempt, Fault::Hang);
        }
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

#[test]
fn cores_that_a_refused_update_left_out_are_still_looked_after() {
    play(async {
        let mut cluster = Cluster::new(5);
        cluster.form().await;
        cluster.set("CORE_COUNT", "3");
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["cores"].as_array().unwrap().len(), 5, "{answer}");
    });
}

#[test]
fn what_ec2_says_of_a_volume_that_is_not_to_be_had_now_is_told() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        cluster.wire.world().ec2.attach_errors.push_back("IncorrectState");
        let answer = cluster.sweep().await.unwrap();
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.ends_with("but AWS says: IncorrectState: The request was refused."), "{why}");
        assert_eq!(cluster.metric("InstancesStuck", None), Some(0.0));
    });
}

#[test]
fn two_registrations_one_of_them_connected_hold_no_deletion_up() {
    play(async {
        let cluster = Cluster::formed(3);
        let instance = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&instance);
        {
            // Its agent has lost its checkpoint and registered anew; ECS counts on the task of the first registration.
            let mut world = cluster.wire.world();
            let first = registration(&mut world, &instance).clone();
            let second = ContainerInstance { id: "f".repeat(32), connected: true, ..first };
            let all = &mut world.ecs.clusters.get_mut(&cluster.ecs_cluster).unwrap().container_instances;
            all.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        cluster.live(minutes(1)).await;
        let took = cluster.delete(true).await;
        assert!(took <= minutes(20), "the deletion took {took:?}");
    });
}

#[test]
fn an_instance_of_which_ec2_says_nothing_stays_and_the_others_are_served() {
    play(async {
        let cluster = Cluster::formed(3);
        let (dead, lost) = (cluster.serving(2).unwrap(), cluster.serving(3).unwrap());
        cluster.wire.world().silence(&dead);
        cluster.wire.world().impair(&dead);
        cluster.live_without_events(minutes(5)).await;
        cluster.wire.world().lose_instance(&lost);
        cluster.wire.sleep(75).await;
        let asked = nth(&cluster, "ec2:DescribeInstanceStatus").await;
        cluster.wire.plan(asked, Fault::Denied);
        let answer = cluster.sweep().await.unwrap_or_else(|failure| panic!("it fails the round: {}", failure.chain()));
        assert_eq!(cluster.wire.struck().len(), 1, "{answer}");
        assert!(cluster.wire.world().container_instance(&dead).is_some(), "nothing proves that it is dead");
        assert!(answer["reconciled"]["steps"].to_string().contains("attach vol-"), "{answer}");
        assert!(cluster.holder(3).is_some_and(|holder| holder != lost));
    });
}
