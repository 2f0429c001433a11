//! What becomes of an instance at its hooks, of instances that people put aside, and of their health.

use cluster_world::auto_scaling::{Hook, LAUNCHING, TERMINATING};
use serde_json::json;

use super::{Core, GROUP, create, denied, group};

fn health(instance: &str, status: &str, rest: &str) -> String {
    format!("Action=SetInstanceHealth&Version=2011-01-01&InstanceId={instance}&HealthStatus={status}{rest}")
}

fn hook(transition: &str, continues: bool) -> Hook {
    Hook { transition: transition.to_owned(), heartbeat: 600, continues }
}

#[test]
fn an_instance_whose_health_somebody_sets_is_replaced_through_its_hook() {
    let mut core = Core::up();
    let old = core.instance();
    core.told(&health(&old, "Unhealthy", "")).unwrap();
    assert_eq!(core.member(&old).state, "Terminating:Wait");
    assert_ne!(core.instance(), old);
    core.told(&health(&old, "Healthy", "")).unwrap();
    core.world.advance(60);
    assert_eq!(core.member(&old).state, "Terminating:Wait", "nothing takes it back");
    denied(core.told(&health("i-0", "Unhealthy", "")), "ValidationError");
    denied(core.told(&health(&old, "Ill", "")), "ValidationError");
}

#[test]
fn the_grace_period_is_respected_unless_somebody_says_otherwise() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.auto_scaling.groups.get_mut(GROUP).unwrap().grace = 300;
    core.told(&health(&instance, "Unhealthy", "")).unwrap();
    core.told(&health(&instance, "Unhealthy", "&ShouldRespectGracePeriod=true")).unwrap();
    assert_eq!((core.member(&instance).state, core.member(&instance).healthy), ("InService", true));
    core.told(&health(&instance, "Unhealthy", "&ShouldRespectGracePeriod=false")).unwrap();
    assert_eq!(core.member(&instance).state, "Terminating:Wait");

    let mut core = Core::up();
    let instance = core.instance();
    core.world.auto_scaling.groups.get_mut(GROUP).unwrap().grace = 300;
    core.world.advance(300);
    core.told(&health(&instance, "Unhealthy", "")).unwrap();
    assert_eq!(core.member(&instance).state, "Terminating:Wait", "the grace is over");
}

#[test]
fn an_instance_on_standby_is_left_alone_and_counts_for_nothing() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.enter_standby(&instance, true);
    core.world.mark_unhealthy(&instance);
    core.world.advance(600);
    assert_eq!(core.member(&instance).state, "Standby", "nobody checks its health");
    assert_eq!(
        (core.world.auto_scaling.groups[GROUP].desired, core.world.auto_scaling.groups[GROUP].members.len()),
        (0, 1)
    );
    core.told(&health(&instance, "Healthy", "")).unwrap();
    core.world.exit_standby(&instance);
    core.world.advance(5);
    assert_eq!(core.member(&instance).state, "Pending:Wait", "its launch hook runs again");
    core.complete("launch", &instance, "CONTINUE").unwrap();
    core.world.advance(5);
    assert_eq!(core.member(&instance).state, "InService");

    // Where the group does not want one less, it launches another, and ends one too many when the first is back.
    core.world.enter_standby(&instance, false);
    let other = core.instance();
    assert_ne!(other, instance);
    core.terminate(&instance).unwrap();
    assert_eq!(core.member(&instance).state, "Terminating:Wait", "one on standby goes through its hook as well");
}

#[test]
fn an_instance_in_a_warm_pool_counts_for_nothing() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.warm(&instance, "Warmed:Running");
    assert_ne!(core.instance(), instance);
    core.world.mark_unhealthy(&instance);
    core.world.advance(60);
    assert_eq!(core.member(&instance).state, "Warmed:Running");
    let groups = core.ask("Action=DescribeAutoScalingGroups&Version=2011-01-01").body;
    assert!(groups.contains("<LifecycleState>Warmed:Running</LifecycleState>"), "{groups}");
}

#[test]
fn hooks_of_others_are_waited_for_and_one_that_abandons_ends_all() {
    let mut core = Core::up();
    let told = core.world.put_hook(GROUP, "theirs", hook(TERMINATING, true));
    assert_eq!(told["Event"], "autoscaling:TEST_NOTIFICATION");
    let first = core.instance();
    core.terminate(&first).unwrap();
    assert_eq!(core.member(&first).waits.len(), 2);
    core.complete("terminate", &first, "CONTINUE").unwrap();
    core.world.advance(300);
    assert_eq!(core.member(&first).state, "Terminating:Wait", "theirs is still to come");
    core.world.complete_hook(&first, "theirs", true);
    core.world.advance(60);
    assert!(core.world.auto_scaling.member(&first).is_none());

    let second = core.instance();
    core.attach(&second).unwrap();
    core.world.advance(60);
    core.complete("launch", &second, "CONTINUE").unwrap();
    core.world.advance(5);
    core.terminate(&second).unwrap();
    core.world.complete_hook(&second, "theirs", false);
    assert_eq!(core.member(&second).state, "Terminating:Retained");
    denied(core.complete("terminate", &second, "CONTINUE"), "ValidationError");
}

/// What silence comes to: by the hook's default result, and by whether the group retains.
#[test]
fn the_default_result_decides_when_nobody_answers() {
    for (retains, continues, expected) in
        [(true, false, Some("Terminating:Retained")), (true, true, None), (false, false, None), (false, true, None)]
    {
        let mut core = Core::up();
        let instance = core.instance();
        let found = core.world.auto_scaling.groups.get_mut(GROUP).unwrap();
        found.retain = retains;
        found.hooks.get_mut("terminate").unwrap().continues = continues;
        core.terminate(&instance).unwrap();
        core.world.advance(599);
        assert_eq!(core.member(&instance).state, "Terminating:Wait");
        core.world.advance(60);
        let left = core.world.auto_scaling.member(&instance).map(|member| member.state);
        assert_eq!(left, expected, "retains: {retains}, continues: {continues}");
    }
}

/// A heartbeat in time, again and again: what ends the wait is 48 hours, where a hundred time-outs are longer.
#[test]
fn heartbeats_end_at_48_hours() {
    let mut core = Core::up();
    let instance = core.instance();
    core.world.auto_scaling.groups.get_mut(GROUP).unwrap().hooks.get_mut("terminate").unwrap().heartbeat = 1800;
    core.terminate(&instance).unwrap();
    let heartbeat = "Action=RecordLifecycleActionHeartbeat&Version=2011-01-01&AutoScalingGroupName=core-1";
    let heartbeat = format!("{heartbeat}&LifecycleHookName=terminate&InstanceId={instance}");
    let steps = (0..1000).take_while(|_| {
        core.world.advance(900);
        core.told(&heartbeat).is_ok()
    });
    assert_eq!(steps.count(), 48 * 4 - 1);
    assert_eq!(core.member(&instance).state, "Terminating:Retained");
}

#[test]
fn a_group_has_the_grace_period_and_the_retention_that_its_template_says() {
    let mut world = Core::new().world;
    let template =
        create(&mut world, "AWS::EC2::LaunchTemplate", "Other", &json!({"LaunchTemplateData": {"UserData": ""}}));
    let mut properties = group(&template);
    properties["AutoScalingGroupName"] = json!("others");
    properties["HealthCheckGracePeriod"] = json!("120");
    properties["InstanceLifecyclePolicy"] = json!(null);
    create(&mut world, "AWS::AutoScaling::AutoScalingGroup", "Others", &properties);
    let group = &world.auto_scaling.groups["others"];
    assert_eq!((group.grace, group.retain), (120, false));
    assert!(group.hooks.values().any(|hook| hook.transition == LAUNCHING));
}
