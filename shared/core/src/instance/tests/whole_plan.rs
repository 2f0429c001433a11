//! Properties of whole plans: whatever is observed, at most one core is stopped on purpose, under a lease of this round, and
//! nothing goes while a task is left on it.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    heal::{properties::any_patient, three},
    *,
};
use crate::quorum::{Going, Quorum};

/// How many clusters a property looks at. `PROPTEST_CASES` asks for more.
fn cases(least: u32) -> ProptestConfig {
    let cases = ProptestConfig::default().cases.max(least);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

/// What may be otherwise about one instance.
#[derive(Clone, Debug)]
struct Twist {
    state: &'static str,
    status: &'static str,
    /// How many minutes ago its agent was first seen disconnected.
    away: Option<i64>,
    ec2: Option<InstanceStatus>,
    /// A task on it beside its member: its group, its status, and whether it is wanted.
    other: Option<(&'static str, &'static str, bool)>,
    unlisted: bool,
    member: Member,
    /// A second registration of the instance: whether the agent is connected under it, and whether ECS counts a task there.
    twin: Option<(bool, bool)>,
    /// What EC2 has announced, and how many seconds ago.
    notice: Option<(NoticeKind, i64)>,
    /// How many minutes ago it was first seen on its way out.
    leaving: i64,
    going: Option<Going>,
    registered: bool,
}

/// What may be otherwise about a member's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Runs,
    Stops,
    None,
}

fn any_twist() -> impl Strategy<Value = Twist> {
    let state = prop_oneof![
        10 => Just("InService"), 5 => Just("Terminating:Wait"), 2 => Just("Terminating:Retained"), 1 => Just("Standby"),
        1 => Just("Pending:Wait"), 1 => Just("Terminating:Proceed"),
    ];
    let status = prop_oneof![5 => Just("ACTIVE"), 2 => Just("DRAINING")];
    let ec2 = select(vec![
        Some(InstanceStatus::NotImpaired),
        Some(InstanceStatus::Impaired),
        Some(InstanceStatus::Gone),
        None,
    ]);
    let other = option::weighted(
        0.3,
        (
            select(vec!["family:cron", "service:datadog", "service:core-1", "service:replica"]),
            select(vec!["RUNNING", "PENDING", "STOPPING", "DEPROVISIONING"]),
            any::<bool>(),
        ),
    );
    let member = prop_oneof![8 => Just(Member::Runs), 1 => Just(Member::Stops), 2 => Just(Member::None)];
    let notice = option::weighted(0.15, (select(vec![NoticeKind::Spot, NoticeKind::Rebalance]), 0i64..150));
    let going =
        option::weighted(0.05, select(vec![Going::Spot, Going::Event("instance-retirement".into()), Going::Draining]));
    let rest = (option::weighted(0.1, any::<(bool, bool)>()), notice, 0i64..400, going, prop::bool::weighted(0.95));
    let first = (state, status, option::weighted(0.2, 0i64..12), ec2, other, prop::bool::weighted(0.1), member);
    (first, rest).prop_map(
        |((state, status, away, ec2, other, unlisted, member), (twin, notice, leaving, going, registered))| Twist {
            state,
            status,
            away,
            ec2,
            other,
            unlisted,
            member,
            twin,
            notice,
            leaving,
            going,
            registered,
        },
    )
}

/// A lease: its core, its cause, whether it is for the task of now, how many minutes ago it was claimed, and whether in this round.
type AnyLease = (u8, Cause, bool, i64, bool);

/// Returns a lease of whatever kind; nothing when it is free.
fn any_lease() -> impl Strategy<Value = Option<AnyLease>> {
    let causes =
        vec![Cause::Drain, Cause::Drain, Cause::Hang, Cause::Wedged, Cause::DiskStart, Cause::Disk, Cause::Rebalance];
    option::weighted(0.7, (1u8..=4, select(causes), prop::bool::weighted(0.9), 0i64..70, prop::bool::weighted(0.7)))
}

/// Returns a cluster in which nothing is left out that a plan looks at.
fn any_cluster() -> impl Strategy<Value = Observed> {
    let phase = prop_oneof![8 => Just(Phase::Complete), 1 => Just(Phase::Creating), 1 => Just(Phase::Deleting)];
    // Most instances are well, or the gate would never open.
    let twists = vec(option::weighted(0.35, any_twist()), 5);
    let (heard, second) = (prop::bool::weighted(0.9), prop::bool::weighted(0.6));
    (any_patient(), option::weighted(0.5, Just(())), phase, twists, any_lease(), heard, second).prop_map(
        |(ill, well, phase, twists, lease, heard, second)| {
            let mut observed = if well.is_some() { heal::well() } else { ill };
            if observed.phase == Phase::Complete {
                observed.phase = phase;
            }
            add_replicas(&mut observed);
            for (number, twist) in (1u8..).zip(twists) {
                if let Some(twist) = twist {
                    apply(&mut observed, number, &twist);
                }
            }
            observed.quorum = observed.quorum_observed.as_ref().filter(|_| heard).map(Quorum::of);
            if let Some((core, cause, current, minutes, claimed)) = lease {
                let mut tasks = observed.container_instances.iter().flat_map(|found| &found.tasks);
                let task = tasks.find(|task| task.group == format!("service:core-{core}")).filter(|_| current);
                let task = task.map_or_else(|| "another".to_owned(), |task| task.id.clone());
                let since = now() - SignedDuration::from_mins(if claimed { 0 } else { minutes });
                observed.lease = Lease { fence: 1, holder: Some(Holder { core, task, cause, since }) };
                observed.claimed = claimed;
            }
            if second { claim(&observed).unwrap_or(observed) } else { observed }
        },
    )
}

/// Returns what the second look of a round sees, if the first one claims the lease and nothing changes in between.
fn claim(observed: &Observed) -> Option<Observed> {
    let holder = plans(observed).steps.into_iter().find_map(|step| match step.action {
        Action::Claim { core, task, cause } => Some(Holder { core, task, cause, since: now() }),
        _ => None,
    })?;
    let lease = Lease { fence: observed.lease.fence + 1, holder: Some(holder) };
    Some(Observed { lease, claimed: true, ..observed.clone() })
}

fn add_replicas(observed: &mut Observed) {
    let ids = ["i-4", "i-5"];
    let in_service = |id: &&str| instance(id, State::from("InService"));
    observed.groups.push(Group { desired: 2, ..super::replicas(ids.iter().map(in_service).collect()) });
    for (n, id) in ids.into_iter().enumerate() {
        let tasks = vec![Task { id: format!("replica-{n}"), ..task("service:replica", n) }];
        observed.container_instances.push(ContainerInstance { tasks, ..on(id, registered(None, 1)) });
    }
}

fn apply(observed: &mut Observed, number: u8, twist: &Twist) {
    let id = format!("i-{number}");
    let found = observed.groups.iter_mut().flat_map(|group| &mut group.instances).find(|found| found.id == id.as_str());
    if let Some(found) = found {
        (found.state, found.status) = (State::from(twist.state), twist.ec2);
        if found.state.is_leaving() {
            observed.leaving.insert(id.as_str().into(), now() - SignedDuration::from_mins(twist.leaving));
            observed.empty.insert(id.as_str().into(), now() - SignedDuration::from_mins(twist.leaving));
        }
    }
    if let Some((kind, seconds)) = twist.notice {
        let since = now() - SignedDuration::from_secs(seconds);
        observed.notices.insert(id.as_str().into(), Notice { since, kind });
    }
    if let Some(member) = observed
        .quorum_observed
        .iter_mut()
        .flat_map(|asked| &mut asked.members)
        .find(|member| member.core == Some(number))
    {
        member.going.clone_from(&twist.going);
    }
    let Some(index) = observed.container_instances.iter().position(|found| found.instance == id.as_str()) else {
        return;
    };
    let found = &mut observed.container_instances[index];
    found.status = twist.status.to_owned();
    if let Some(minutes) = twist.away {
        *found = super::silent(found.clone(), minutes);
    }
    match twist.member {
        Member::Runs => {}
        Member::Stops => {
            found.tasks.iter_mut().for_each(|task| (task.status, task.wanted) = ("STOPPING".into(), false));
        }
        Member::None => found.tasks.clear(),
    }
    if let Some((group, status, wanted)) = twist.other {
        found.tasks.push(Task { id: format!("other-{number}"), status: status.into(), wanted, ..task(group, 9) });
    }
    found.running_tasks = found.tasks.iter().filter(|task| task.wanted).count() + usize::from(twist.unlisted);
    if let Some((connected, counted)) = twist.twin {
        let twin = ContainerInstance { arn: format!("arn:twin-{number}").into(), ..found.clone() };
        let mut twin = if connected { twin } else { super::silent(twin, 8) };
        if !counted {
            (twin.tasks, twin.running_tasks) = (vec![], 0);
        }
        observed.container_instances.push(twin);
    }
    if !twist.registered {
        observed.container_instances.retain(|found| found.instance != id.as_str());
    }
}

/// Returns the registrations that a step is about.
fn targets<'a>(observed: &'a Observed, step: &Step) -> Vec<&'a ContainerInstance> {
    let of = |arns: &[crate::ids::ContainerInstanceArn]| {
        observed.container_instances.iter().filter(|found| arns.contains(&found.arn)).collect()
    };
    match &step.action {
        Action::Drain { container_instances }
        | Action::Deregister { container_instances }
        | Action::Leave { container_instances } => of(container_instances),
        Action::StopTasks { .. } | Action::MarkUnhealthy | Action::Terminate => observed.of(&step.instance),
        _ => vec![],
    }
}

/// Returns whether a task is a core's.
fn is_core(task: &Task) -> bool {
    task.service().is_some_and(|service| service.starts_with("core-"))
}

/// Returns whether a step stops the member of a core that would run on otherwise, or gives one up. What EC2 takes, and what is
/// dead, is not stopped on purpose.
fn is_voluntary(observed: &Observed, step: &Step) -> bool {
    if observed.phase != Phase::Complete || matches!(step.why, Reason::Spot(_) | Reason::SpotEnds { .. } | Reason::Dead)
    {
        return false;
    }
    let tasks: Vec<_> =
        targets(observed, step).into_iter().flat_map(|found| &found.tasks).filter(|task| is_core(task)).collect();
    match &step.action {
        Action::Drain { .. } => tasks.iter().any(|task| task.wanted),
        Action::Deregister { .. } => !tasks.is_empty() && !matches!(step.why, Reason::Stale(_)),
        Action::StopTasks { tasks: stopped } => tasks.iter().any(|task| stopped.contains(&task.id)),
        Action::MarkUnhealthy => true,
        _ => false,
    }
}

fn plans(observed: &Observed) -> Plan {
    plan(observed, &three(), now())
}

proptest! {
    #![proptest_config(cases(2_048))]

    #[test]
    fn no_plan_stops_two_cores_on_purpose(observed in any_cluster()) {
        let plan = plans(&observed);
        let stops = plan.steps.iter().filter(|step| is_voluntary(&observed, step)).count();
        let claims = plan.steps.iter().filter(|step| matches!(step.action, Action::Claim { .. })).count();
        prop_assert!(stops + claims <= 1, "{}", plan);
    }

    #[test]
    fn no_core_is_stopped_on_purpose_but_under_a_lease_of_this_round_and_through_the_gate(observed in any_cluster()) {
        let plan = plans(&observed);
        for step in plan.steps.iter().filter(|step| is_voluntary(&observed, step)) {
            let holder = observed.lease.holder.as_ref();
            prop_assert!(observed.claimed && holder.is_some(), "{}", plan);
            let Some(holder) = holder else { return Ok(()) };
            let tag = CoreId::from(holder.core);
            let registrations = observed.of(&step.instance);
            let tasks: Vec<_> = registrations.iter().flat_map(|found| &found.tasks).filter(|task| is_core(task)).collect();
            let service = format!("core-{}", holder.core);
            prop_assert!(tasks.iter().all(|task| task.service() == Some(&service)), "{}", plan);
            let group = observed.group_of(&step.instance).and_then(|group| group.core.as_ref());
            prop_assert!(group == Some(&tag) || !tasks.is_empty(), "{}", plan);
            let reasons = observed.quorum.as_ref().map(|quorum| quorum.unsafe_to_stop(holder.core));
            prop_assert!(holder.cause == Cause::DiskStart || reasons.is_some_and(|reasons| reasons.is_empty()), "{}", plan);
            // A start that hung is told by its own proof.
            let ill = super::ill(&observed, &three(), holder.core, now());
            let hung = matches!(ill, Some(Ill::DiskStart { .. }));
            prop_assert!(holder.cause != Cause::DiskStart || hung, "{}", plan);
            prop_assert!(plan.freed.is_none(), "{}", plan);
        }
    }

    #[test]
    fn nobody_claims_a_lease_that_another_core_holds(observed in any_cluster()) {
        let plan = plans(&observed);
        for step in &plan.steps {
            let Action::Claim { core, .. } = &step.action else { continue };
            prop_assert!(observed.lease.core().is_none_or(|holder| holder == *core), "{}", plan);
        }
    }

    #[test]
    fn nothing_goes_while_a_task_is_left_on_it(observed in any_cluster()) {
        let plan = plans(&observed);
        for step in &plan.steps {
            let registrations = observed.of(&step.instance);
            let tasks = || registrations.iter().flat_map(|found| &found.tasks);
            match step.action {
                Action::Release => prop_assert!(registrations.is_empty(), "{}", plan),
                // From service it goes by its hook, in which tasks of no service get their grace.
                Action::Terminate => {
                    let by_hook = step.state.as_ref().is_some_and(State::is_in_service);
                    let left = tasks().filter(|task| !by_hook || task.service().is_some()).count();
                    prop_assert!(left == 0, "{}", plan);
                }
                // Without force ECS refuses where a task was placed late.
                Action::Leave { .. } => {
                    prop_assert!(tasks().next().is_none(), "{}", plan);
                    let unlisted: usize = registrations.iter().map(|found| found.unlisted_tasks()).sum();
                    prop_assert!(unlisted == 0 || observed.phase == Phase::Deleting, "{}", plan);
                    prop_assert_eq!(targets(&observed, step).len(), registrations.len(), "{}", plan);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn nobody_is_deregistered_by_force_who_can_be_reached(observed in any_cluster()) {
        let plan = plans(&observed);
        let forced = |step: &&Step| matches!(step.action, Action::Deregister { .. });
        for step in plan.steps.iter().filter(forced).filter(|step| !matches!(step.why, Reason::Stale(_))) {
            prop_assert!(targets(&observed, step).iter().all(|found| found.is_silent(now())), "{}", plan);
        }
    }

    #[test]
    fn a_hook_is_completed_only_where_it_holds_an_instance(observed in any_cluster(), stand_alone in any::<bool>()) {
        let plan = plan(&observed, &Policy { stand_alone, ..three() }, now());
        let mut seen = std::collections::BTreeSet::new();
        for step in &plan.steps {
            prop_assert!(step.state.is_none() || seen.insert(step.instance.clone()), "two steps for one instance: {}", plan);
            let state = step.state.as_ref();
            match step.action {
                Action::Admit | Action::Refuse | Action::Attach { .. } => {
                    prop_assert_eq!(state, Some(&State::PendingWait), "{}", plan);
                    prop_assert!(!stand_alone, "{}", plan);
                }
                Action::Release | Action::Abandon { .. } => prop_assert_eq!(state, Some(&State::TerminatingWait), "{}", plan),
                Action::Leave { .. } => prop_assert!(state.is_some_and(State::awaits_release), "{}", plan),
                Action::MarkUnhealthy => prop_assert!(state.is_some_and(State::is_in_service), "{}", plan),
                Action::Terminate => {
                    prop_assert!(matches!(state, Some(State::Retained)) || step.why == Reason::Rebalanced, "{}", plan);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_any_list(observed in any_cluster()) {
        let mut turned = observed.clone();
        turned.groups.reverse();
        turned.groups.iter_mut().for_each(|group| group.instances.reverse());
        turned.container_instances.reverse();
        turned.container_instances.iter_mut().for_each(|found| found.tasks.reverse());
        if let Some(asked) = &mut turned.quorum_observed {
            asked.members.reverse();
            turned.quorum = observed.quorum.is_some().then(|| Quorum::of(asked));
        }
        prop_assert_eq!(plans(&observed).to_string(), plans(&turned).to_string());
        prop_assert_eq!(plans(&observed), plans(&turned));
    }
}

/// The properties are about something: every action occurs, and cores are stopped for every cause.
#[test]
fn every_action_and_every_cause_is_among_the_plans_that_the_properties_look_at() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let (mut runner, mut seen) = (TestRunner::deterministic(), std::collections::BTreeMap::<String, usize>::new());
    for _ in 0..6_000 {
        let observed = any_cluster().new_tree(&mut runner).unwrap().current();
        for step in plans(&observed).steps {
            let action = format!("{:?}", step.action);
            let action = action.split([' ', '{']).next().unwrap_or_default();
            *seen.entry(action.to_owned()).or_default() += 1;
            if is_voluntary(&observed, &step) {
                *seen.entry(format!("{:?}", observed.lease.holder.as_ref().unwrap().cause)).or_default() += 1;
            }
        }
    }
    let all = "Abandon Claim Deregister Drain Leave MarkUnhealthy Release StopTasks Terminate Wait \
               Drain Hang Wedged DiskStart Disk Rebalance";
    for name in all.split(' ').filter(|name| !name.is_empty()) {
        assert!(seen.get(name).is_some_and(|times| *times >= 5), "too few of {name} among {seen:?}");
    }
}
