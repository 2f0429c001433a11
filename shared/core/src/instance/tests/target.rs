use super::*;
use crate::ids::TaskDefinitionArn;

const CORE_TASK: &str = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:3";
const REPLICA_TASK: &str = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-replica:5";

fn wanted() -> Wanted {
    Wanted {
        core_task_definition: CORE_TASK.into(),
        core_launch_templates: "lt-1:2 lt-2:4".into(),
        replica_task_definition: REPLICA_TASK.into(),
        replica_launch_template: "lt-9:7".into(),
    }
}

fn target() -> Target {
    Target::read(&wanted()).unwrap()
}

fn in_service() -> Instance {
    instance("i-1", State::Other("InService".into()))
}

fn standing(core: Option<u8>, instance: Option<&Instance>, task: Option<&Task>) -> (&'static str, Option<String>) {
    let standing = Standing::of(Some(&target()), core, instance, task);
    (standing.word(), standing.why())
}

#[test]
fn a_target_is_read_and_written_alike_with_replicas_and_without() {
    let without = Wanted { replica_task_definition: String::new(), replica_launch_template: String::new(), ..wanted() };
    for wanted in [wanted(), without] {
        assert_eq!(Target::read(&wanted).unwrap().wanted(), wanted);
    }
}

#[test]
fn what_could_not_be_compared_is_refused_by_name_and_value() {
    let with = |change: fn(&mut Wanted)| {
        let mut wanted = wanted();
        change(&mut wanted);
        Target::read(&wanted).unwrap_err().to_string()
    };
    let refused = [
        with(|w| w.core_task_definition.clear()),
        with(|w| w.core_task_definition = "neo4j-core:3".into()),
        with(|w| w.core_task_definition = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core".into()),
        with(|w| w.core_task_definition = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:".into()),
        with(|w| w.core_task_definition = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:new".into()),
        with(|w| w.core_task_definition = "arn:aws:ecs:eu-west-1:0:task-definition/:3".into()),
        with(|w| w.replica_task_definition = "replica:5".into()),
        with(|w| w.core_launch_templates = "lt-1:2 lt-2:$Latest".into()),
        with(|w| w.core_launch_templates = "lt-1".into()),
        with(|w| w.core_launch_templates = "lt-1:".into()),
        with(|w| w.replica_launch_template = "i-9:7".into()),
        with(|w| w.core_launch_templates = " ".into()),
        with(|w| w.core_launch_templates = "lt-1:1 ".repeat(8)),
        with(|w| w.replica_task_definition.clear()),
        with(|w| w.replica_launch_template.clear()),
    ];
    insta::assert_snapshot!(refused.join("\n"), @r#"
    CoreTaskDefinition is "", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreTaskDefinition is "neo4j-core:3", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreTaskDefinition is "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreTaskDefinition is "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreTaskDefinition is "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:new", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreTaskDefinition is "arn:aws:ecs:eu-west-1:0:task-definition/:3", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    ReplicaTaskDefinition is "replica:5", but should be the ARN of a task definition with its revision, such as arn:aws:ecs:eu-west-1:123456789012:task-definition/neo4j-core:7
    CoreLaunchTemplates has "lt-2:$Latest", but should have the id of a launch template and the number of a version, such as lt-0123456789abcdef0:3
    CoreLaunchTemplates has "lt-1", but should have the id of a launch template and the number of a version, such as lt-0123456789abcdef0:3
    CoreLaunchTemplates has "lt-1:", but should have the id of a launch template and the number of a version, such as lt-0123456789abcdef0:3
    ReplicaLaunchTemplate has "i-9:7", but should have the id of a launch template and the number of a version, such as lt-0123456789abcdef0:3
    CoreLaunchTemplates has 0 launch templates, but should have one for each core, of which there are 1 to 7
    CoreLaunchTemplates has 8 launch templates, but should have one for each core, of which there are 1 to 7
    ReplicaTaskDefinition is "" and ReplicaLaunchTemplate is "lt-9:7": set both, or neither if there are no replicas
    ReplicaTaskDefinition is "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-replica:5" and ReplicaLaunchTemplate is "": set both, or neither if there are no replicas
    "#);
}

#[test]
fn a_member_that_runs_what_is_wanted_has_reached_the_target() {
    let (found, running) = (in_service(), task("service:core-1", 0));
    assert_eq!(standing(Some(1), Some(&found), Some(&running)), ("reached", None));
    let found = Instance { template: LaunchTemplate::read("lt-9:7"), ..found };
    let running = Task { definition: Some(REPLICA_TASK.into()), ..running };
    assert_eq!(standing(None, Some(&found), Some(&running)), ("reached", None));
}

#[test]
fn a_member_is_outdated_by_its_task_by_its_instance_or_by_both_and_says_by_what() {
    let template = |text: &str| Instance { template: LaunchTemplate::read(text), ..in_service() };
    let of = |arn: &str| Task { definition: Some(arn.into()), ..task("service:core-1", 0) };
    let old = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:2";
    let newer = "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:4";
    let lines = [
        standing(Some(1), Some(&template("lt-1:2")), Some(&of(old))),
        standing(Some(1), Some(&template("lt-1:2")), Some(&of(newer))),
        standing(Some(1), Some(&template("lt-1:1")), Some(&of(CORE_TASK))),
        standing(Some(1), Some(&template("lt-0:2")), Some(&of(CORE_TASK))),
        standing(Some(1), Some(&template("lt-1:1")), Some(&of(old))),
        // What is known to be outdated stays so, whatever else is not known.
        standing(Some(1), None, Some(&of(old))),
        standing(Some(1), Some(&template("lt-1:1")), None),
        standing(None, Some(&template("lt-9:6")), Some(&of(CORE_TASK))),
    ];
    let lines = lines.map(|(word, why)| format!("{word}: {}", why.unwrap()));
    insta::assert_snapshot!(lines.join("\n"), @r"
    outdated: its task is of neo4j-core:2, wanted is neo4j-core:3
    outdated: its task is of neo4j-core:4, wanted is neo4j-core:3
    outdated: its instance is of lt-1:1, wanted is lt-1:2
    outdated: its instance is of lt-0:2, wanted is lt-1:2
    outdated: its task is of neo4j-core:2, wanted is neo4j-core:3; its instance is of lt-1:1, wanted is lt-1:2
    outdated: its task is of neo4j-core:2, wanted is neo4j-core:3; it has no instance
    outdated: it has no task; its instance is of lt-1:1, wanted is lt-1:2
    outdated: its task is of neo4j-core:3, wanted is neo4j-replica:5; its instance is of lt-9:6, wanted is lt-9:7
    ");
}

#[test]
fn what_is_not_known_is_never_up_to_date() {
    let (found, running) = (in_service(), task("service:core-1", 0));
    let latest = LaunchTemplate { id: "lt-1".into(), version: "$Latest".into() };
    let without = Target { replica: None, ..target() };
    let no_replicas = Standing::of(Some(&without), None, Some(&found), Some(&running));
    let no_target = Standing::of(None, Some(1), Some(&found), Some(&running));
    let lines = [
        standing(Some(1), None, None),
        standing(Some(1), Some(&found), None),
        standing(Some(1), Some(&found), Some(&Task { definition: None, ..running.clone() })),
        standing(Some(1), Some(&Instance { template: None, ..found.clone() }), Some(&running)),
        standing(Some(1), Some(&Instance { template: Some(latest), ..found.clone() }), Some(&running)),
        standing(Some(3), Some(&found), Some(&running)),
        (no_replicas.word(), no_replicas.why()),
        (no_target.word(), no_target.why()),
    ];
    let lines = lines.map(|(word, why)| format!("{word}: {}", why.unwrap()));
    insta::assert_snapshot!(lines.join("\n"), @r"
    unknown: it has no task; it has no instance
    unknown: it has no task
    unknown: ECS does not say which task definition its task is of
    unknown: Auto Scaling does not say which launch template its instance is of
    unknown: Auto Scaling gives lt-1:$Latest for its instance, not the number of a version
    unknown: the target names no launch template for it
    unknown: the target names no task definition for it; the target names no launch template for it
    unknown: the state table holds no target: change a parameter of the tasks, such as SlowQueryMillis, and deploy the stack
    ");
}

#[test]
fn each_core_is_compared_with_its_own_launch_template_and_each_replica_with_the_replicas() {
    let running = State::Other("InService".into());
    let (second, replica) = (instance("i-2", running.clone()), instance("i-9", running.clone()));
    let groups = vec![
        group(1, vec![instance("i-1", running)]),
        group(2, vec![Instance { template: LaunchTemplate::read("lt-2:3"), ..second }]),
        replicas(vec![Instance { template: LaunchTemplate::read("lt-9:7"), ..replica }]),
    ];
    let with = |instance: &str, service: &str, arn: &str| {
        let task = Task { definition: Some(arn.into()), ..task(service, 1) };
        ContainerInstance { tasks: vec![task], ..on(instance, registered(None, 0)) }
    };
    let mut observed = observed(Phase::Complete, groups, Some(attached(90)), None);
    observed.target = Some(target());
    observed.container_instances =
        vec![with("i-1", "service:core-1", CORE_TASK), with("i-2", "service:core-2", CORE_TASK)];
    observed.container_instances.push(with("i-9", "service:replica", REPLICA_TASK));
    let policy = Policy { cores: 2, ..policy() };
    let plan = plan(&observed, &policy, now());
    let words: Vec<_> = cores(&observed, &plan, &policy, now()).iter().map(|core| core.standing.word()).collect();
    assert_eq!(words, ["reached", "outdated"]);
    let replicas = super::super::replicas(&observed, &policy);
    assert_eq!(
        replicas.iter().map(|r| (r.instance.as_str(), r.standing.word())).collect::<Vec<_>>(),
        [("i-9", "reached")]
    );
}

#[test]
fn an_arn_gives_its_family_and_revision() {
    let revision = |arn: &str| TaskDefinitionArn::from(arn).revision().map(str::to_owned);
    assert_eq!(revision(CORE_TASK).as_deref(), Some("neo4j-core:3"));
    assert_eq!((revision("neo4j-core:3"), revision("x:task-definition/neo4j-core:3")), (None, None));
    assert_eq!(TaskDefinitionArn::from("neo4j-core:3").short(), "neo4j-core:3");
}
