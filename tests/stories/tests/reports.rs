//! What people who do this job have reported, played against the real function: agents that are away, two registrations of
//! one instance, volumes that are refused or stay busy, no capacity, other people's tasks, deletions that hang.

use std::{cell::RefCell, io::Write, net::Ipv4Addr};

use cluster_core::instance::NOT_WHOLE;
use cluster_sim::{
    inside::{delivered, messages, play},
    machines::{ECS_CLUSTER, Machines, ZONES},
    wire::Fault,
};
use cluster_world::{World, ecs::ContainerInstance};
use serde_json::{Value, json};

/// What the function answers to a person about one core.
async fn core(machines: &Machines, number: usize) -> Value {
    let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
    answer["cores"][number - 1].clone()
}

fn registration<'a>(world: &'a mut World, instance: &str) -> &'a mut ContainerInstance {
    let (cluster, address) = world.registered(instance).unwrap();
    world.ecs.clusters.get_mut(&cluster).unwrap().container_instances.get_mut(&address).unwrap()
}

/// A service of somebody else's that runs one task on each container instance.
fn add_daemon(machines: &Machines) {
    let mut world = machines.wire.world();
    let task = world.create("AWS::ECS::TaskDefinition", "Daemon", &json!({"Family": "datadog"})).unwrap().unwrap();
    let service = json!({
        "ServiceName": "datadog", "Cluster": ECS_CLUSTER, "TaskDefinition": task.physical_id, "SchedulingStrategy": "DAEMON",
    });
    world.create("AWS::ECS::Service", "Daemon", &service).unwrap();
}

#[test]
fn a_core_that_works_is_not_ended_because_its_agent_is_away_for_a_moment() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        // Its task connected forty minutes ago, which is what `connectivityAt` says for ever.
        machines.live(40).await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().impair(&ill);
        machines.wire.sleep(2).await;
        machines.wire.world().silence(&ill);
        machines.wire.sleep(10).await;
        machines.sweep().await.unwrap();
        assert!(
            machines.wire.world().container_instance(&ill).is_some(),
            "its container instance is deregistered after ten seconds"
        );
        machines.live(4).await;
        assert_eq!(machines.states(2)[&ill], "Terminating:Wait");
        machines.live(3).await;
        assert!(machines.wire.world().container_instance(&ill).is_none(), "after more than five minutes it is dead");
    });
}

#[test]
fn a_reconnection_that_no_pass_has_seen_ends_the_silence() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().silence(&ill);
        machines.wire.world().impair(&ill);
        machines.minutes(4).await;
        // Between two passes it is there for a moment, and away again.
        machines.wire.sleep(30).await;
        machines.wire.world().hear(&ill);
        machines.wire.world().silence(&ill);
        machines.minutes(4).await;
        assert!(
            machines.wire.world().container_instance(&ill).is_some(),
            "it has been away for less than five minutes"
        );
        machines.minutes(2).await;
        assert!(machines.wire.world().container_instance(&ill).is_none());
    });
}

#[test]
fn what_nobody_looked_at_for_long_is_not_silent_at_first_sight() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().silence(&ill);
        machines.minutes(1).await;
        // The function makes no pass for an hour; the agent is back at once, and lost again before it ends.
        machines.wire.world().hear(&ill);
        machines.wire.sleep(3600).await;
        machines.wire.world().silence(&ill);
        machines.wire.world().impair(&ill);
        machines.wire.sleep(10).await;
        machines.sweep().await.unwrap();
        assert!(machines.wire.world().container_instance(&ill).is_some(), "it has been away for ten seconds");
    });
}

#[test]
fn what_somebody_calls_unhealthy_and_ec2_does_not_is_not_dead() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let called = machines.serving(2).unwrap();
        machines.wire.world().silence(&called);
        machines.wire.world().mark_unhealthy(&called);
        machines.live(25).await;
        assert!(machines.wire.world().container_instance(&called).is_some(), "its Neo4j may work on");
        assert_eq!(machines.states(2)[&called], "Terminating:Wait");
    });
}

#[test]
fn a_task_that_ends_soon_after_each_start_alarms() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.live(6).await;
        let instance = machines.serving(2).unwrap();
        let mut minute = 0;
        while machines.metric("CoreNotWholeSeconds") <= Some(NOT_WHOLE.as_secs_f64()) {
            minute += 1;
            assert!(minute < 60, "nobody was told within an hour");
            if machines.serving(2).is_some()
                && let Some(task) = machines.task(&instance)
            {
                machines.wire.world().stop(ECS_CLUSTER, &task);
            }
            machines.live(1).await;
        }
        let core = core(&machines, 2).await;
        assert_eq!(core["whole"], json!(false), "{core}");
    });
}

#[test]
fn a_core_that_stops_while_its_stack_goes_is_not_orphaned_by_a_moments_silence() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.live(40).await;
        let stopping = machines.serving(3).unwrap();
        machines.wire.world().silence(&stopping);
        machines.wire.sleep(10).await;
        machines.custom_resource("Delete").await;
        machines.live(3).await;
        let tasks = |machines: &Machines| {
            let world = machines.wire.world();
            let (_, address) = world.registered(&stopping)?;
            Some(world.ecs.clusters[ECS_CLUSTER].tasks.values().filter(|t| t.address == address).count())
        };
        assert_eq!(tasks(&machines), Some(1), "Neo4j may be in the middle of its last checkpoint");
        machines.live(4).await;
        assert_eq!(tasks(&machines), None, "and after five minutes nothing waits for it any more");
    });
}

#[test]
fn both_registrations_of_one_instance_are_asked_and_deregistered() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().silence(&ill);
        {
            // Its agent had lost its checkpoint, and registered anew; the second registration has no task.
            let mut world = machines.wire.world();
            let second = ContainerInstance { id: "f".repeat(32), ..registration(&mut world, &ill).clone() };
            let hosts = &mut world.ecs.clusters.get_mut(ECS_CLUSTER).unwrap().container_instances;
            hosts.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        machines.live(1).await;
        machines.wire.world().impair(&ill);
        machines.live(12).await;
        let left = machines.wire.world().ecs.clusters[ECS_CLUSTER]
            .container_instances
            .values()
            .filter(|host| host.instance.as_deref() == Some(&ill))
            .count();
        assert_eq!(left, 0, "nothing is known of it any more");
        assert!(machines.serving(2).is_some_and(|new| new != ill), "{:?}", machines.states(2));
    });
}

#[test]
fn a_refusal_that_nobody_has_listed_is_stuck_and_stops_nobody_else() {
    play(async {
        let machines = Machines::new(3);
        let volume = machines.nodes[0].volume.clone();
        machines.wire.world().ec2.volumes.get_mut(&volume).unwrap().revoked = true;
        machines.wire.sleep(60).await;
        let answer = machines.sweep().await.expect("the pass does not fail for it");
        assert_eq!(machines.metric("InstancesStuck"), Some(1.0), "{answer}");
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.contains("CustomerKeyHasBeenRevoked: The key has been revoked by the customer."), "{why}");
        machines.live(5).await;
        assert!(machines.serving(2).is_some() && machines.serving(3).is_some());
        assert!(machines.serving(1).is_none());
    });
}

/// Lets time pass until the alarm goes off, at most ten hours, and says after how many minutes.
async fn alarmed_after(machines: &Machines) -> usize {
    for minute in 1..=600 {
        machines.minutes(1).await;
        if machines.metric("CoreNotWholeSeconds") > Some(NOT_WHOLE.as_secs_f64()) {
            return minute;
        }
    }
    panic!("nobody was told in ten hours")
}

#[test]
fn a_volume_that_stays_busy_for_hours_alarms_and_names_core_and_holder() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.live(6).await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().lose_instance(&lost);
        machines.wire.world().stick(&machines.nodes[1].volume);
        let minutes = alarmed_after(&machines).await;
        assert!((30..=32).contains(&minutes), "alarmed after {minutes} minutes");
        assert_eq!(machines.metric("CoresNotWhole"), Some(1.0));
        let (core, volume) = (core(&machines, 2).await, &machines.nodes[1].volume);
        assert_eq!((&core["core"], &core["whole"]), (&json!(2), &json!(false)), "{core}");
        let why = core["why"].as_str().unwrap();
        assert!(why.contains(&format!("volume {volume} is held by {lost}")), "{why}");
        assert_eq!(core["since"].as_str().unwrap().len(), "2026-11-23T10:00:00Z".len(), "{core}");
    });
}

#[test]
fn a_core_without_any_instance_alarms_with_auto_scalings_own_words() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.live(6).await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        machines.wire.world().lose_instance(&lost);
        let minutes = alarmed_after(&machines).await;
        assert!((30..=33).contains(&minutes), "alarmed after {minutes} minutes");
        {
            // A termination that failed since then explains nothing.
            let mut world = machines.wire.world();
            let (now, group) = (world.now, machines.nodes[1].group.clone());
            let failed = (now, "Terminating EC2 instance: i-0", "The instance cannot be terminated.".to_owned());
            world.auto_scaling.groups.get_mut(&group).unwrap().failures.push(failed);
        }
        let core = core(&machines, 2).await;
        let why = core["why"].as_str().unwrap();
        assert!(
            why.starts_with(&format!("its Auto Scaling group {} has no instance", machines.nodes[1].group)),
            "{why}"
        );
        assert!(
            why.contains("We currently do not have sufficient r7g.large capacity in the Availability Zone"),
            "{why}"
        );
        // And it ends by itself.
        machines.wire.world().ec2.no_capacity.clear();
        machines.live(14).await;
        assert_eq!(machines.metric("CoreNotWholeSeconds"), Some(0.0));
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
            let machines = Machines::new(1);
            machines.form().await;
            machines.wire.world().ec2.no_capacity.insert(ZONES[0].to_owned());
            let lost = machines.serving(1).unwrap();
            machines.wire.world().lose_instance(&lost);
            machines.wire.sleep(90).await;
            let events = std::mem::take(&mut machines.wire.world().events);
            let failed = events.iter().find(|event| event["DetailType"] == "EC2 Instance Launch Unsuccessful").unwrap();
            machines.invoke(messages(&[delivered(failed)])).await.unwrap();
            machines.minutes(31).await;
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
        let machines = Machines::new(3);
        machines.form().await;
        add_daemon(&machines);
        machines.live(2).await;
        let minutes = machines.delete(true).await;
        assert!(minutes <= 20, "the deletion took {minutes} minutes");
        let retained =
            machines.metrics.lock().unwrap().iter().any(|line| line["InstancesRetained"].as_f64() > Some(0.0));
        assert!(!retained, "nothing waits until it is retained");
    });
}

#[test]
fn what_does_not_stop_by_itself_is_named() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let instance = machines.serving(2).unwrap();
        let address = machines.wire.world().registered(&instance).unwrap().1;
        machines.wire.world().run_task(ECS_CLUSTER, "cron", address);
        machines.custom_resource("Delete").await;
        machines.wire.world().scale(ECS_CLUSTER, "core", 0);
        machines.wire.world().want(&machines.nodes[1].group, 0);
        machines.live(2).await;
        let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
        let steps = answer["steps"].to_string();
        assert!(steps.contains("tasks on it that have not stopped: family cron (1)"), "{steps}");
    });
}

#[test]
fn an_instance_with_other_peoples_tasks_only_is_let_go_while_the_cluster_lives() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        add_daemon(&machines);
        machines.live(1).await;
        let old = machines.serving(2).unwrap();
        machines.empty(2);
        machines.live(2).await;
        machines.set_status(2, "ACTIVE");
        machines.wire.world().scale(ECS_CLUSTER, "core", 2);
        machines.wire.world().mark_unhealthy(&old);
        machines.live(5).await;
        assert!(!machines.states(2).contains_key(&old), "no quorum hangs on a daemon: {:?}", machines.states(2));
    });
}

#[test]
fn an_instance_whose_task_is_still_being_stopped_is_not_let_go() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.empty(2);
        machines.wire.world().mark_unhealthy(&old);
        let stops = |machines: &Machines| {
            let world = machines.wire.world();
            let (_, address) = world.registered(&old)?;
            let tasks = world.ecs.clusters[ECS_CLUSTER].tasks.values();
            Some(tasks.filter(|task| task.address == address && task.status != "STOPPED").count())
        };
        for second in 1..=10 {
            machines.wire.sleep(1).await;
            machines.sweep().await.unwrap();
            assert_eq!(stops(&machines), Some(1), "after {second} s Neo4j has not stopped");
        }
        machines.live(2).await;
        assert!(!machines.states(2).contains_key(&old));
    });
}

#[test]
fn a_list_that_leaves_an_instance_out_proves_nothing() {
    play(async {
        let machines = Machines::new(3);
        // When nothing had registered yet: that is what a stale list will say.
        machines.wire.remember();
        machines.form().await;
        let ill = machines.serving(2).unwrap();
        machines.wire.world().mark_unhealthy(&ill);
        machines.wire.sleep(5).await;
        let from = machines.wire.world().calls.len();
        machines.sweep().await.unwrap();
        let calls: Vec<_> = machines.wire.world().calls[from..].iter().map(|call| call.action.clone()).collect();
        let listed = calls.iter().position(|action| action == "ecs:ListContainerInstances").unwrap();
        machines.wire.plan(listed + 1, Fault::Stale);
        machines.sweep().await.unwrap();
        assert_eq!(machines.wire.struck().len(), 1, "the list was stale: {calls:?}");
        machines.wire.sleep(5).await;
        assert_eq!(machines.states(2)[&ill], "Terminating:Wait", "it is not let go for having never joined");
    });
}

#[test]
fn a_registration_that_is_deregistering_holds_nothing_up() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let old = machines.serving(2).unwrap();
        machines.empty(2);
        machines.live(1).await;
        // Only its trunk network interface is still to go.
        machines.set_status(2, "DEREGISTERING");
        machines.wire.world().mark_unhealthy(&old);
        machines.live(3).await;
        assert!(!machines.states(2).contains_key(&old), "{:?}", machines.states(2));
        let world = machines.wire.world();
        let asked = world.calls.iter().filter(|call| call.action == "ecs:DeregisterContainerInstance").count();
        assert_eq!(asked, 0);
    });
}

#[test]
fn the_ecs_cluster_can_be_deleted_although_ecs_forgets_ended_instances_late() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.wire.world().ecs.deregisters = 20 * 60;
        let minutes = machines.delete(true).await;
        assert!(minutes <= 20, "the deletion took {minutes} minutes");
        let deleted = machines.wire.world().delete("AWS::ECS::Cluster", ECS_CLUSTER, &json!({}));
        assert!(deleted.is_ok(), "{deleted:?}");
    });
}

#[test]
fn silent_registrations_of_many_replicas_cost_a_handful_of_calls() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        {
            let mut world = machines.wire.world();
            let like = machines.nodes[0].group.clone();
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
                    .get_mut(ECS_CLUSTER)
                    .unwrap()
                    .container_instances
                    .insert(Ipv4Addr::new(10, 1, 0, n), host);
            }
        }
        let from = machines.wire.world().calls.len();
        machines.invoke(json!({"dryRun": true})).await.unwrap();
        let calls = machines.wire.world().count_calls(from).0;
        assert!(calls <= 12, "{calls} calls for 34 silent registrations of 103");
    });
}

#[test]
fn a_dry_run_says_of_every_core_how_it_is_also_when_nothing_is_to_do() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        machines.live(6).await;
        let from = machines.wire.world().calls.len();
        let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!((&answer["steps"], &answer["phase"]), (&json!([]), &json!("complete")), "{answer}");
        let cores = answer["cores"].as_array().unwrap();
        assert_eq!(cores.len(), 3);
        for (number, core) in (1..).zip(cores) {
            let want = json!({
                "core": number, "zone": ZONES[number - 1], "instance": machines.serving(number), "state": "InService",
                "volume": machines.nodes[number - 1].volume, "agent": "connected", "task": "RUNNING", "whole": true,
                "since": null, "why": null,
            });
            assert_eq!(*core, want);
        }
        let lost = machines.serving(2).unwrap();
        machines.wire.world().silence(&lost);
        let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["cores"][1]["agent"], json!("disconnected"), "{answer}");
        assert_eq!(answer["cores"][1]["whole"], json!(false));
        let why = answer["cores"][1]["why"].as_str().unwrap();
        assert!(why.starts_with(&format!("the ECS agent of its instance {lost} is not connected: look at")), "{why}");
        assert_eq!(machines.wire.world().count_calls(from).1, 0, "looking writes nothing, not even a clock");
    });
}

#[test]
fn people_are_told_of_a_core_that_is_away_also_while_the_function_only_watches() {
    play(async {
        let mut machines = Machines::new(3);
        machines.form().await;
        machines.set("DRY_RUN", "true");
        let lost = machines.serving(2).unwrap();
        machines.wire.world().lose_instance(&lost);
        let from = machines.wire.world().calls.len();
        machines.minutes(35).await;
        assert!(machines.metric("CoreNotWholeSeconds") > Some(NOT_WHOLE.as_secs_f64()));
        let world = machines.wire.world();
        let touched = world.calls.iter().skip(from).find(|call| call.write && !call.action.starts_with("dynamodb:"));
        assert_eq!(touched, None, "it changes nothing of the cluster");
    });
}

#[test]
fn a_clock_that_somebody_broke_starts_anew() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().lose_instance(&lost);
        machines.minutes(1).await;
        {
            let mut world = machines.wire.world();
            let (_, items) = world.dynamodb.tables.iter_mut().next().unwrap();
            for (_, item) in items.iter_mut().filter(|((partition, _), _)| partition == "clock") {
                item["since"] = json!({"S": "yesterday"});
            }
            items.insert(("clock".into(), "what".into()), json!({"pk": {"S": "clock"}, "sk": {"S": "what"}}));
        }
        machines.minutes(1).await;
        let lasted = machines.metric("CoreNotWholeSeconds");
        assert!(lasted < Some(120.0), "{lasted:?} s");
        machines.live(10).await;
        assert!(machines.serving(2).is_some_and(|new| new != lost));
        assert_eq!(machines.metric("CoreNotWholeSeconds"), Some(0.0));
    });
}

#[test]
fn fewer_cores_are_refused_before_anything_is_touched_and_a_rollback_is_not() {
    play(async {
        let machines = Machines::new(5);
        let ask = async |cores: usize, old: usize| -> Value {
            let properties = |cores: usize| json!({"ServiceToken": "arn", "Cores": cores.to_string(), "Snapshots": [""], "Zones": ZONES, "KmsKeyArn": ""});
            let request = json!({
                "RequestType": "Update", "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "r",
                "ResourceType": "Custom::DataVolumeOrigins", "LogicalResourceId": "Origins",
                "PhysicalResourceId": format!("snapshots=;zones={};key=", ZONES.join(",")),
                "ResourceProperties": properties(cores), "OldResourceProperties": properties(old),
            });
            machines.invoke(request).await.unwrap();
            let world = machines.wire.world();
            serde_json::from_str(&world.messages.iter().rev().find(|(to, _)| to == "/cfn").unwrap().1).unwrap()
        };
        machines.form().await;
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

/// The number of a pass's first call of this action, counted from 1, as a dry run makes it.
async fn nth(machines: &Machines, action: &str) -> usize {
    let from = machines.wire.world().calls.len();
    machines.invoke(json!({"dryRun": true})).await.unwrap();
    let world = machines.wire.world();
    let made = world.calls[from..].iter().position(|call| call.action == action);
    made.unwrap_or(world.calls.len() - from) + 1
}

#[test]
fn a_volume_whose_attachment_hangs_does_not_use_up_the_time_of_the_others() {
    play(async {
        let mut machines = Machines::new(3);
        machines.wire.sleep(60).await;
        // The clocks of the cores are written, and nothing is attached yet.
        machines.set("DRY_RUN", "true");
        machines.sweep().await.unwrap();
        machines.set("DRY_RUN", "false");
        // Attachments come last: those of cores 1 and 2 hang, and each of their two further attempts.
        let first = nth(&machines, "ec2:AttachVolume").await;
        for call in [first, first + 1, first + 3, first + 4, first + 5, first + 6] {
            machines.wire.plan(call, Fault::Hang);
        }
        let began = machines.wire.world().now;
        _ = machines.sweep().await;
        let took = machines.wire.world().now.duration_since(began).as_secs();
        assert!(took <= 13, "the pass took {took} s, and Lambda ends it after 28");
        assert_eq!((machines.holder(1), machines.holder(2)), (None, None));
        assert!(machines.holder(3).is_some());
    });
}

#[test]
fn an_explanation_that_does_not_come_holds_nothing_up() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let lost = machines.serving(2).unwrap();
        machines.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        machines.wire.world().lose_instance(&lost);
        machines.live(3).await;
        let asked = nth(&machines, "autoscaling:DescribeScalingActivities").await;
        for attempt in 0..3 {
            machines.wire.plan(asked + attempt, Fault::Hang);
        }
        let began = machines.wire.world().now;
        let answer = machines.sweep().await.unwrap();
        let took = machines.wire.world().now.duration_since(began).as_secs();
        assert!(took <= 4, "the pass took {took} s");
        let why = answer["reconciled"]["cores"][1]["why"].as_str().unwrap();
        assert!(why.contains("has no instance: if that lasts"), "{why}");
    });
}

#[test]
fn a_core_whose_task_is_being_stopped_is_not_said_to_have_none() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let instance = machines.serving(2).unwrap();
        let task = machines.task(&instance).unwrap();
        machines.wire.world().stop(ECS_CLUSTER, &task);
        machines.wire.sleep(3).await;
        let core = core(&machines, 2).await;
        let why = core["why"].as_str().unwrap();
        assert_eq!(why, format!("its task {task} is DEACTIVATING, not RUNNING"), "Neo4j may be in its last checkpoint");
    });
}

#[test]
fn cores_that_a_refused_update_left_out_are_still_looked_after() {
    play(async {
        let mut machines = Machines::new(5);
        machines.form().await;
        machines.set("CORE_COUNT", "3");
        let answer = machines.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["cores"].as_array().unwrap().len(), 5, "{answer}");
    });
}

#[test]
fn what_ec2_says_of_a_volume_that_is_not_to_be_had_now_is_told() {
    play(async {
        let machines = Machines::new(1);
        machines.wire.sleep(60).await;
        machines.wire.world().ec2.attach_errors.push_back("IncorrectState");
        let answer = machines.sweep().await.unwrap();
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.ends_with("but AWS says: IncorrectState: The request was refused."), "{why}");
        assert_eq!(machines.metric("InstancesStuck"), Some(0.0));
    });
}

#[test]
fn two_registrations_one_of_them_connected_hold_no_deletion_up() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let instance = machines.serving(2).unwrap();
        machines.wire.world().silence(&instance);
        {
            // Its agent has lost its checkpoint and registered anew; ECS counts on the task of the first registration.
            let mut world = machines.wire.world();
            let first = registration(&mut world, &instance).clone();
            let second = ContainerInstance { id: "f".repeat(32), connected: true, ..first };
            let hosts = &mut world.ecs.clusters.get_mut(ECS_CLUSTER).unwrap().container_instances;
            hosts.insert(Ipv4Addr::new(10, 0, 9, 9), second);
        }
        machines.live(1).await;
        let minutes = machines.delete(true).await;
        assert!(minutes <= 20, "the deletion took {minutes} minutes");
    });
}

#[test]
fn an_instance_of_which_ec2_says_nothing_stays_and_the_others_are_served() {
    play(async {
        let machines = Machines::new(3);
        machines.form().await;
        let (dead, lost) = (machines.serving(2).unwrap(), machines.serving(3).unwrap());
        machines.wire.world().silence(&dead);
        machines.wire.world().impair(&dead);
        machines.minutes(5).await;
        machines.wire.world().lose_instance(&lost);
        machines.wire.sleep(75).await;
        let asked = nth(&machines, "ec2:DescribeInstanceStatus").await;
        machines.wire.plan(asked, Fault::Denied);
        let answer = machines.sweep().await.unwrap_or_else(|failure| panic!("it fails the pass: {}", failure.chain()));
        assert_eq!(machines.wire.struck().len(), 1, "{answer}");
        assert!(machines.wire.world().container_instance(&dead).is_some(), "nothing proves that it is dead");
        assert!(answer["reconciled"]["steps"].to_string().contains("attach vol-"), "{answer}");
        assert!(machines.holder(3).is_some_and(|holder| holder != lost));
    });
}
