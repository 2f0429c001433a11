use std::collections::BTreeMap;

use super::*;

mod properties;
mod ready;

const NAME: &str = "core.neo4j.service";

fn policy() -> Policy {
    Policy { owner: Owner::new("neo4j").unwrap(), ttl: 10, require_healthy: true }
}

fn running(health: Health) -> Task {
    Task::Known { last_status: "RUNNING".into(), wanted: true, health }
}

fn stopping() -> Task {
    Task::Known { last_status: "RUNNING".into(), wanted: false, health: Health::Healthy }
}

fn member(id: &str, address: &str, task: Task) -> Registration {
    Registration { id: id.into(), address: Some(address.into()), task }
}

fn record(set_identifier: &str, address: &str) -> RecordSet {
    let values = vec![address.into()];
    RecordSet { name: Name::new(NAME), set_identifier: set_identifier.into(), ttl: 10, values, health_check: None }
}

fn tier(registered: Vec<Registration>, multivalue: Vec<RecordSet>) -> Tier {
    let records = Records { multivalue, occupant: None };
    // A member that is published but not listed has stopped, unless a test sets something else.
    let unlisted =
        records.multivalue.iter().filter_map(|set| policy().owner.member(&set.set_identifier).map(str::to_owned));
    let unlisted = unlisted.map(|member| (member, Task::Missing)).collect();
    Tier {
        tier: "core".into(),
        name: Name::new(NAME),
        registered,
        unlisted,
        service: None,
        records,
        neo4j: Readiness::default(),
    }
}

fn text(tier: &Tier) -> String {
    plan(tier, &policy()).to_string()
}

/// Returns the tier after Route 53 has applied the batch; panics where Route 53 would refuse.
fn apply(tier: &Tier, plan: &Plan) -> Tier {
    let mut sets: BTreeMap<String, RecordSet> =
        tier.records.multivalue.iter().map(|set| (set.set_identifier.clone(), set.clone())).collect();
    for change in &plan.changes {
        match change {
            Change::Delete(set, _) => assert_eq!(sets.remove(&set.set_identifier).as_ref(), Some(set), "exact delete"),
            Change::Create(set, _) => {
                assert!(sets.insert(set.set_identifier.clone(), set.clone()).is_none(), "create of what exists");
            }
        }
    }
    assert!(sets.len() <= MULTIVALUE_LIMIT || sets.len() <= tier.records.multivalue.len(), "Route 53's limit");
    Tier { records: Records { multivalue: sets.into_values().collect(), ..tier.records.clone() }, ..tier.clone() }
}

#[test]
fn a_member_joins_and_another_leaves_in_one_batch_deletions_first() {
    let tier = tier(
        vec![member("new", "10.0.1.2", running(Health::Healthy)), member("old", "10.0.1.1", stopping())],
        vec![record("neo4j/old", "10.0.1.1")],
    );
    insta::assert_snapshot!(text(&tier), @r"
    - core.neo4j.service A 10.0.1.1 (neo4j/old): task is being stopped
    + core.neo4j.service A 10.0.1.2 (neo4j/new): task is running
    ");
}

#[test]
fn nothing_to_do_plans_nothing() {
    let tier = tier(vec![member("a", "10.0.1.1", running(Health::Healthy))], vec![record("neo4j/a", "10.0.1.1")]);
    assert_eq!(text(&tier), "");
}

#[test]
fn each_state_of_a_task_decides_for_a_new_and_for_a_published_member() {
    let known = |status: &str| Task::Known { last_status: status.into(), wanted: true, health: Health::Healthy };
    let table = [
        (running(Health::Healthy), true, true),
        (running(Health::Unknown), false, true),
        (running(Health::Unhealthy), false, false),
        (stopping(), false, false),
        (known("PENDING"), false, false),
        (known("ACTIVATING"), false, false),
        (known("DEACTIVATING"), false, false),
        (known("STOPPED"), false, false),
        (Task::Missing, false, false),
        (Task::Unknown("throttled".into()), false, true),
        (Task::Foreign, false, false),
    ];
    for (task, joins, stays) in table {
        for (published, want) in [(false, joins), (true, stays)] {
            // A second member keeps the name from becoming empty, which would decide by itself.
            let other = member("other", "10.0.1.9", running(Health::Healthy));
            let mut sets = vec![record("neo4j/other", "10.0.1.9")];
            sets.extend(published.then(|| record("neo4j/a", "10.0.1.1")));
            let before = tier(vec![member("a", "10.0.1.1", task.clone()), other], sets);
            let after = apply(&before, &plan(&before, &policy()));
            let is_in = after.records.multivalue.iter().any(|set| set.set_identifier == "neo4j/a");
            assert_eq!(is_in, want, "{task:?}, published {published}");
        }
    }
}

#[test]
fn without_a_health_check_unknown_is_enough() {
    let tier = tier(vec![member("a", "10.0.1.1", running(Health::Unknown))], vec![]);
    let policy = Policy { require_healthy: false, ..policy() };
    assert_eq!(plan(&tier, &policy).changes.len(), 1);
}

#[test]
fn a_name_is_never_emptied_because_all_members_are_unfit_at_once() {
    let tier = tier(
        vec![member("a", "10.0.1.1", running(Health::Unhealthy)), member("b", "10.0.1.2", stopping())],
        vec![record("neo4j/a", "10.0.1.1")],
    );
    insta::assert_snapshot!(text(&tier), @r"
    = core.neo4j.service a kept: no registered member is fit, and an empty answer would cut off every client
    = core.neo4j.service b not published: task is being stopped
    ");
}

#[test]
fn an_empty_registry_is_believed_only_when_ecs_wants_no_tasks() {
    let sets = || vec![record("neo4j/a", "10.0.1.1")];
    let given = |service| Tier { service, ..tier(vec![], sets()) };
    insta::assert_snapshot!(text(&given(None)), @"= core.neo4j.service a kept: no member is left, and it is not known what ECS wants");
    insta::assert_snapshot!(text(&given(Some(Service::Wants(3)))), @"= core.neo4j.service a kept: no member is left, but ECS wants 3 tasks: a failed read or a full restart");
    insta::assert_snapshot!(text(&given(Some(Service::ClusterMissing))), @"= core.neo4j.service a kept: no member is left, and ECS knows no such cluster: check the parameter EcsClusterName");
    insta::assert_snapshot!(text(&given(Some(Service::Wants(0)))), @"- core.neo4j.service A 10.0.1.1 (neo4j/a): its ECS services want no tasks");
    insta::assert_snapshot!(text(&given(Some(Service::Missing))), @"- core.neo4j.service A 10.0.1.1 (neo4j/a): its ECS services do not exist");
}

#[test]
fn a_running_member_that_a_list_leaves_out_stays_and_a_stopped_one_goes() {
    let listed = member("a", "10.0.1.1", running(Health::Healthy));
    let sets = || vec![record("neo4j/a", "10.0.1.1"), record("neo4j/b", "10.0.1.2")];
    let given = |task: Task| Tier { unlisted: [("b".to_owned(), task)].into(), ..tier(vec![listed.clone()], sets()) };
    let kept = "= core.neo4j.service b kept: Cloud Map does not list it, but its task is running";
    assert_eq!(text(&given(running(Health::Healthy))), kept);
    assert_eq!(text(&given(running(Health::Unknown))), kept);
    let unknown = "= core.neo4j.service b kept: ECS gave no answer for the task (throttled)";
    assert_eq!(text(&given(Task::Unknown("throttled".into()))), unknown);
    let gone = "- core.neo4j.service A 10.0.1.2 (neo4j/b): no longer registered in Cloud Map";
    for task in [stopping(), running(Health::Unhealthy), Task::Missing] {
        assert_eq!(text(&given(task)), gone);
    }
}

#[test]
fn what_ecs_left_registered_does_not_hold_a_name_that_ecs_wants_empty() {
    for left in [Task::Missing, stopping()] {
        let given = |service| Tier {
            service,
            ..tier(vec![member("a", "10.0.1.1", left.clone())], vec![record("neo4j/a", "10.0.1.1")])
        };
        assert!(text(&given(Some(Service::Wants(0)))).starts_with("- core.neo4j.service A 10.0.1.1"), "{left:?}");
        let kept =
            "= core.neo4j.service a kept: no member is left, but ECS wants 3 tasks: a failed read or a full restart";
        assert_eq!(text(&given(Some(Service::Wants(3)))), kept);
    }
}

#[test]
fn a_foreign_registration_alone_does_not_hold_a_name_that_ecs_wants_empty() {
    let registered = vec![member("by-hand", "10.0.1.7", Task::Foreign)];
    let tier = Tier { service: Some(Service::Wants(0)), ..tier(registered, vec![record("neo4j/a", "10.0.1.1")]) };
    insta::assert_snapshot!(text(&tier), @r"
    - core.neo4j.service A 10.0.1.1 (neo4j/a): its ECS services want no tasks
    = core.neo4j.service by-hand not published: instance was not registered by ECS
    ");
}

#[test]
fn an_outdated_record_of_ours_is_replaced_exactly() {
    let outdated = RecordSet { ttl: 300, health_check: Some("hc-1".into()), ..record("neo4j/a", "10.0.1.8") };
    let before = tier(vec![member("a", "10.0.1.1", running(Health::Healthy))], vec![outdated]);
    insta::assert_snapshot!(text(&before), @r"
    - core.neo4j.service A 10.0.1.8 (neo4j/a): record is outdated
    + core.neo4j.service A 10.0.1.1 (neo4j/a): task is running
    ");
    let after = apply(&before, &plan(&before, &policy()));
    assert_eq!(after.records.multivalue, [record("neo4j/a", "10.0.1.1")]);
}

#[test]
fn addresses_that_no_client_could_use_are_refused_by_name() {
    for address in ["", "10.0.1", "fd00::1", "0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "neo4j"] {
        let line = text(&tier(vec![member("a", address, running(Health::Healthy))], vec![]));
        let want = format!("= core.neo4j.service a not published: address {address:?} is not a usable IPv4 address");
        assert_eq!(line, want);
    }
    let registration = Registration { address: None, ..member("a", "", running(Health::Healthy)) };
    let line = text(&tier(vec![registration], vec![]));
    assert_eq!(line, "= core.neo4j.service a not published: instance has no AWS_INSTANCE_IPV4 attribute");
}

#[test]
fn one_record_per_address_and_the_published_one_stays() {
    let registered =
        vec![member("a", "10.0.1.1", running(Health::Healthy)), member("b", "10.0.1.1", running(Health::Healthy))];
    insta::assert_snapshot!(text(&tier(registered, vec![record("neo4j/b", "10.0.1.1")])), @"= core.neo4j.service a not published: address is published for member b");
}

#[test]
fn above_the_limit_the_published_members_stay_and_the_rest_is_counted() {
    let id = |n: usize| format!("member{n:03}");
    let registered: Vec<_> =
        (0..130).map(|n| member(&id(n), &format!("10.0.2.{n}"), running(Health::Healthy))).collect();
    let foreign = (0..5).map(|n| record(&format!("other/{n}"), &format!("10.9.0.{n}")));
    let published = (100..130).map(|n| record(&format!("neo4j/{}", id(n)), &format!("10.0.2.{n}")));
    let before = tier(registered, foreign.chain(published).collect());
    let plan = plan(&before, &policy());
    assert_eq!((plan.published, plan.truncated), (95, 35));
    assert!(plan.changes.iter().all(|change| matches!(change, Change::Create(..))), "{plan}");
    assert_eq!(apply(&before, &plan).records.multivalue.len(), MULTIVALUE_LIMIT);
}

#[test]
fn an_occupied_name_is_left_alone_and_reported_with_the_reason() {
    let ready = || vec![member("a", "10.0.1.1", running(Health::Healthy)), member("b", "10.0.1.2", stopping())];
    let given = |occupant| {
        let mut tier = tier(ready(), vec![]);
        tier.records.occupant = Some(occupant);
        tier
    };
    insta::assert_snapshot!(text(&given(Occupant::Cname)), @r"
    = core.neo4j.service is occupied: a CNAME record stands under it, and Route 53 allows no other record there: remove the CNAME record
    = core.neo4j.service a not published: the name is occupied
    = core.neo4j.service b not published: task is being stopped
    ");
    insta::assert_snapshot!(text(&given(Occupant::OtherPolicy)), @r"
    = core.neo4j.service is occupied: an A record of another routing policy stands under it, which Route 53 does not mix with multivalue: remove it
    = core.neo4j.service a not published: the name is occupied
    = core.neo4j.service b not published: task is being stopped
    ");
    let plan = plan(&given(Occupant::Cname), &policy());
    let waiting = plan.occupied.as_ref().map(|occupied| occupied.waiting);
    assert_eq!(
        (plan.published, plan.truncated, waiting),
        (0, 0, Some(1)),
        "an unfit member does not wait for the name"
    );
}

#[test]
fn an_occupied_name_is_reported_although_no_member_waits_for_it() {
    let mut tier = Tier { service: Some(Service::Wants(0)), ..tier(vec![], vec![]) };
    tier.records.occupant = Some(Occupant::Cname);
    let plan = plan(&tier, &policy());
    assert_eq!(plan.occupied, Some(Occupied { name: Name::new(NAME), by: Occupant::Cname, waiting: 0 }));
}

#[test]
fn an_owner_owns_neither_a_longer_name_nor_a_bare_one() {
    let owner = Owner::new("neo4j").unwrap();
    assert_eq!(owner.member("neo4j/task"), Some("task"));
    for foreign in ["neo4j-2/task", "neo4j/", "neo4j", "Neo4j/task", "neo/task", "my-neo4j/task"] {
        assert_eq!(owner.member(foreign), None, "{foreign}");
    }
    for refused in ["", "a/b", "a b", &"x".repeat(65)] {
        assert_eq!(Owner::new(refused), None, "{refused:?}");
    }
}

#[test]
fn names_are_one_whatever_their_case_and_dot() {
    assert_eq!(Name::new("Core.Neo4j.Service"), Name::new("core.neo4j.service."));
}

#[test]
fn only_the_rest_of_a_stopped_task_is_out_of_use() {
    for (task, in_use) in [
        (Task::Missing, None),
        (stopping(), None),
        (running(Health::Unhealthy), Some(InUse::Running)),
        (Task::Foreign, Some(InUse::Foreign)),
        (Task::Unknown("throttled".into()), Some(InUse::Unknown("throttled".into()))),
    ] {
        assert_eq!(member("a", "10.0.1.1", task).in_use(), in_use);
    }
}

#[test]
fn only_task_ids_may_be_asked_of_ecs() {
    assert!(is_task_id("0123456789abcdef0123456789abcdef"));
    assert!(is_task_id("8f4fd0a5-1c2b-4f6e-9d0a-0123456789ab"));
    for id in ["", "by-hand", "0123456789abcdef0123456789abcdeg", "0123456789abcdef-123456789abcdef"] {
        assert!(!is_task_id(id), "{id}");
    }
}

#[test]
fn what_several_services_want_is_known_only_when_it_is_known_of_each() {
    use Service::{ClusterMissing, Missing, Wants};
    let sum = |services: &[Option<Service>]| Service::sum(services.iter().copied());
    for (services, want) in [
        (&[Some(Wants(1)), Some(Wants(1)), Some(Wants(1))][..], Some(Wants(3))),
        (&[Some(Wants(0)), Some(Wants(2)), Some(Wants(0))], Some(Wants(2))),
        (&[Some(Wants(0)), Some(Wants(0))], Some(Wants(0))),
        // Those that do not exist want nothing.
        (&[Some(Missing), Some(Wants(1)), Some(Missing)], Some(Wants(1))),
        (&[Some(Missing), Some(Wants(0))], Some(Wants(0))),
        (&[Some(Wants(0)), Some(Missing)], Some(Wants(0))),
        (&[Some(Missing), Some(Missing)], Some(Missing)),
        (&[Some(ClusterMissing), Some(Missing)], Some(ClusterMissing)),
        (&[Some(Wants(0)), Some(ClusterMissing)], Some(ClusterMissing)),
        (&[Some(Wants(u32::MAX)), Some(Wants(1))], Some(Wants(u32::MAX))),
        // Without an answer about one, nothing is known.
        (&[Some(Wants(0)), None, Some(Wants(0))], None),
        (&[None], None),
        (&[], None),
    ] {
        assert_eq!(sum(services), want, "{services:?}");
    }
}
