//! What instance-drainer costs as a stand-alone deployment has it, which knows no Neo4j: the time that it takes itself from an
//! event to the next state of an instance, beside what its predecessor waits; and a round over a large ECS cluster.

use std::{collections::BTreeMap, path::Path, time::Duration};

use cluster_sim::events::{delivered, messages};
use cluster_world::{ACCOUNT, REGION, Request, World, auto_scaling::TERMINATING};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{endpoint::Endpoints, median, process::Process};
use crate::serve::Live;

/// The ECS cluster.
const CLUSTER: &str = "apps";
const TABLE: &str = "state";
/// The name of the hook that a stand-alone deployment completes, and the tag of the groups that it looks after.
const HOOK: &str = "ecs-drain";
const TAG: &str = "ecs-drain:cluster";
/// The service whose tasks stop as soon as their instance drains.
const SERVICE: &str = "web";
/// How many instances a group has at most.
const GROUP: usize = 100;
/// How many instances are drained, one after the other.
const DRAINS: usize = 15;
/// The large cluster: instances, and tasks on each.
const LARGE: (usize, usize) = (1000, 10);
/// Longer than an instance takes from its launch to its registration, and its task to `RUNNING`.
const BOOT: Duration = Duration::from_mins(3);
/// How often the predecessor looks.
const POLL: i64 = 10;

/// What one drain has cost.
struct Drain {
    /// From the event of the instance's termination to the call that drains.
    drains: Duration,
    /// From the event of its last task's end to the call that completes the hook.
    releases: Duration,
    /// Calls in both rounds.
    calls: [usize; 2],
}

/// Measures and prints.
pub(super) async fn measure(binary: &Path, variables: &[(String, String)], folder: &Path) {
    let drains = drains(binary, variables, folder).await;
    let lags: Vec<_> = (0..POLL).map(predecessor).collect();
    let (least, most) = (lags.iter().map(|lag| lag.0).min(), lags.iter().map(|lag| lag.0).max());
    let (calls, polls) = (lags[0].1, lags[0].2);
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    let of_calls = drains[0].calls;
    let of = |part: fn(&Drain) -> Duration| median(drains.iter().map(part).collect());
    println!("an instance with one task drains, stand-alone (median of {})", drains.len());
    println!("{:<40} {:>20} {:>32}", "", "instance-drainer", "predecessor, by its source");
    println!("{:<40} {:>20} {:>32}", "event → DRAINING", ms(of(|drain| drain.drains)), "at once as well");
    println!(
        "{:<40} {:>20} {:>32}",
        "last task STOPPED → hook completed",
        ms(of(|drain| drain.releases)),
        format!("{} to {} s", least.unwrap(), most.unwrap())
    );
    println!(
        "{:<40} {:>20} {:>32}",
        "calls to AWS",
        format!("{} + {}", of_calls[0], of_calls[1]),
        format!("{calls}, of these {polls} polls")
    );
    println!(
        "  (its own time: what EventBridge and SQS take comes on top; a poll each {POLL} s, for as long as a task runs)\n"
    );
    large(binary, variables, folder).await;
}

/// Drains instances one after the other.
async fn drains(binary: &Path, variables: &[(String, String)], folder: &Path) -> Vec<Drain> {
    let Alone { live, variables } = Alone::of(5, 0, variables, folder).await;
    let mut process = Process::start(binary, &variables).await;
    let mut drains = vec![];
    for _ in 0..DRAINS {
        let instance = live.world().auto_scaling.groups["apps-0"].members.keys().next().unwrap().clone();
        drop(live.take_events());
        terminate(&mut live.world(), &instance);
        let event = taken(&live, "EC2 Instance-terminate Lifecycle Action");
        let (drains_in, first) = round(&mut process, &live, &event, "ecs:UpdateContainerInstancesState").await;
        live.wind(Duration::from_secs(30));
        let event = taken(&live, "ECS Task State Change");
        let (releases_in, second) = round(&mut process, &live, &event, "autoscaling:CompleteLifecycleAction").await;
        drains.push(Drain { drains: drains_in, releases: releases_in, calls: [first, second] });
        live.wind(BOOT);
    }
    process.end().await;
    drains
}

/// Hands out an event, and returns when a call came after it, and how many calls there were.
async fn round(process: &mut Process, live: &Live, event: &Value, action: &str) -> (Duration, usize) {
    let (from, began) = {
        let world = live.world();
        (world.calls.len(), world.now)
    };
    process.handle(event).await;
    let world = live.world();
    let calls = &world.calls[from..];
    let call = calls.iter().find(|call| call.action == action);
    let call = call.unwrap_or_else(|| panic!("no {action} in {calls:?}"));
    (Duration::try_from(call.at.duration_since(began)).unwrap(), calls.len())
}

/// What the queue hands on of the events that came: the last of this kind.
fn taken(live: &Live, kind: &str) -> Value {
    let events = live.take_events();
    let event = events.iter().rev().find(|event| event["DetailType"] == kind);
    messages(&[delivered(event.unwrap_or_else(|| panic!("no {kind} came")))])
}

/// What a round over many instances costs: one that finds nothing to do, and one in which an instance drains.
async fn large(binary: &Path, variables: &[(String, String)], folder: &Path) {
    let (instances, tasks) = LARGE;
    let Alone { live, variables } = Alone::of(instances, tasks, variables, folder).await;
    let mut process = Process::start(binary, &variables).await;
    let sweep = messages(&[json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string()]);
    let timed = async |process: &mut Process, event: &Value| {
        let (from, cpu) = (live.world().calls.len(), process.cpu_time());
        let took = process.handle(event).await;
        let calls = live.world().calls.len() - from;
        (took, process.cpu_time().saturating_sub(cpu), calls)
    };
    timed(&mut process, &sweep).await;
    let idle = timed(&mut process, &sweep).await;
    let instance = live.world().auto_scaling.groups["apps-0"].members.keys().next().unwrap().clone();
    drop(live.take_events());
    terminate(&mut live.world(), &instance);
    let event = taken(&live, "EC2 Instance-terminate Lifecycle Action");
    let drains = timed(&mut process, &event).await;
    println!("one round over {instances} instances with {tasks} tasks each, stand-alone");
    for (what, (took, cpu, calls)) in [("nothing to do", idle), ("one instance drains", drains)] {
        println!(
            "  {what:<20} {:>6.0} ms ({:.0} ms of processor), {calls} calls",
            took.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3
        );
    }
    println!("  peak memory {} MiB\n", process.peak() / 1024);
    process.end().await;
}

/// An ECS cluster, and what the template of a stand-alone deployment gives to the function that looks after it.
pub(super) struct Alone {
    /// The world.
    pub(super) live: Live,
    /// What the function is told.
    pub(super) variables: Vec<(String, String)>,
}

impl Alone {
    /// Opens a cluster of so many instances with so many standalone tasks on each, or with one task of a service, for a function
    /// that has Lambda's variables as well.
    pub(super) async fn of(instances: usize, tasks: usize, others: &[(String, String)], folder: &Path) -> Self {
        let live = populated(instances, tasks);
        let of_lambda = others.iter().filter(|(name, _)| name.starts_with("AWS_") && !name.contains("ENDPOINT"));
        let dead_letters = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/dead-letters");
        let own = [
            ("STAND_ALONE", "true"),
            ("CLUSTER_NAME", "ecs-drain"),
            ("ECS_CLUSTER", CLUSTER),
            ("STATE_TABLE", TABLE),
            ("DRAIN_TIMEOUT_MINUTES", "60"),
            ("STANDALONE_TASK_GRACE_MINUTES", "10"),
            ("DRY_RUN", "false"),
            ("DEAD_LETTER_QUEUE_URL", &dead_letters),
        ];
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = of_lambda.cloned().chain(own).chain(Endpoints::open(&live, folder).await.variables).collect();
        Self { live, variables }
    }
}

/// A world with so many instances in groups that carry the tag, each with a task of the service and so many standalone ones.
fn populated(instances: usize, tasks: usize) -> Live {
    // The function's clock is this machine's: it compares when it saw an instance leave with when ECS says that a task stopped.
    #[expect(clippy::disallowed_methods, reason = "the world begins now")]
    let mut world = World::new(Timestamp::now(), 1);
    // A subnet has room for 245 instances here.
    let subnets: Vec<_> = (0..5).map(|n| (format!("subnet-{n:017}"), format!("{REGION}{n}"))).collect();
    world.ec2.subnets = subnets.iter().cloned().collect::<BTreeMap<_, _>>();
    let mut make =
        |kind: &str, id: &str, properties: &Value| world.create(kind, id, properties).unwrap().unwrap().physical_id;
    make("AWS::ECS::Cluster", "Cluster", &json!({"ClusterName": CLUSTER}));
    make("AWS::DynamoDB::Table", "Table", &json!({"TableName": TABLE}));
    let config = format!("  - {{path: /etc/ecs/ecs.config, content: \"ECS_CLUSTER={CLUSTER}\"}}");
    let data = json!({"UserData": {"Fn::Base64": format!("#cloud-config\nwrite_files:\n{config}\n")}});
    let template = make("AWS::EC2::LaunchTemplate", "Template", &json!({"LaunchTemplateData": data}));
    let subnets: Vec<_> = subnets.iter().map(|(id, _)| id.clone()).collect();
    for group in 0..instances.div_ceil(GROUP) {
        let size = GROUP.min(instances - group * GROUP);
        let hook = json!({
            "LifecycleHookName": HOOK, "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 1800,
            "DefaultResult": "CONTINUE",
        });
        let properties = json!({
            "AutoScalingGroupName": format!("apps-{group}"), "MinSize": "0", "MaxSize": size.to_string(),
            "DesiredCapacity": size.to_string(), "VPCZoneIdentifier": subnets,
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"},
            "LifecycleHookSpecificationList": [hook],
            "Tags": [{"Key": TAG, "Value": CLUSTER, "PropagateAtLaunch": false}],
        });
        make("AWS::AutoScaling::AutoScalingGroup", &format!("Group{group}"), &properties);
    }
    let definition = json!({"Family": SERVICE, "ContainerDefinitions": [{"Name": SERVICE}]});
    let definition = make("AWS::ECS::TaskDefinition", "Definition", &definition);
    let service = json!({
        "ServiceName": SERVICE, "Cluster": CLUSTER, "TaskDefinition": definition,
        "DesiredCount": if tasks == 0 { instances.to_string() } else { "0".to_owned() },
        "DeploymentConfiguration": {"MinimumHealthyPercent": "0", "MaximumPercent": "100"},
    });
    make("AWS::ECS::Service", "Service", &service);
    let then = world.now + SignedDuration::try_from(BOOT).unwrap();
    world.advance_to(then);
    let addresses: Vec<_> = world.ecs.clusters[CLUSTER].container_instances.keys().copied().collect();
    assert_eq!(addresses.len(), instances, "not every instance has registered");
    for address in addresses {
        for n in 0..tasks {
            world.run_task(CLUSTER, &format!("job-{n}"), address);
        }
    }
    world.events.clear();
    Live::new(world)
}

fn terminate(world: &mut World, instance: &str) {
    let form = format!(
        "Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId={instance}\
         &ShouldDecrementDesiredCapacity=false"
    );
    let (method, path) = ("POST".to_owned(), "/".to_owned());
    let answer = world.answer(&Request { method, path, body: form.into_bytes(), ..Request::default() });
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// What getsocial-rnd/ecs-drain-lambda does, told again: it drains, and describes the tasks that it found each ten seconds until
/// all are STOPPED. It sleeps after each look, also after the last one. Returns the seconds from the last STOPPED to the end of
/// the hook, all of its calls, and its looks, for a task that takes so many seconds longer to stop.
fn predecessor(longer: i64) -> (i64, usize, usize) {
    /// From the wish to stop to STOPPED in the world, for a container that ends at once.
    const STOPS: i64 = 13;
    let stopped = STOPS + longer;
    let (mut now, mut looks) = (0, 0);
    loop {
        let all_stopped = now >= stopped;
        (now, looks) = (now + POLL, looks + 1);
        if all_stopped {
            break;
        }
    }
    // The user data of the instance; the list of the cluster's instances and their description, before and after they drain;
    // the drain, the list of its tasks; the end of the hook.
    let others = 1 + 2 + 1 + 1 + 2 + 1;
    (now - stopped, others + looks, looks)
}
