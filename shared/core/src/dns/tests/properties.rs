use std::{collections::BTreeSet, net::Ipv4Addr};

use proptest::{collection::btree_map, option, prelude::*, sample::select};

use super::*;

fn any_task() -> impl Strategy<Value = Task> {
    let known = (
        select(vec!["PENDING", "ACTIVATING", "RUNNING", "RUNNING", "DEACTIVATING", "STOPPED"]),
        any::<bool>(),
        select(vec![Health::Healthy, Health::Unhealthy, Health::Unknown]),
    );
    let known = known.prop_map(|(status, wanted, health)| Task::Known { last_status: status.into(), wanted, health });
    prop_oneof![6 => known, 1 => Just(Task::Missing), 1 => Just(Task::Unknown("throttled".into())), 1 => Just(Task::Foreign)]
}

fn any_address() -> impl Strategy<Value = String> {
    prop_oneof![9 => (0u8..40).prop_map(|n| format!("10.0.0.{n}")), 1 => Just("nonsense".to_owned())]
}

pub(super) fn any_tier() -> impl Strategy<Value = Tier> {
    let id = || (0u16..160).prop_map(|n| format!("task{n:03}"));
    let registered = btree_map(id(), (option::weighted(0.9, any_address()), any_task()), 0..150);
    let owner = select(vec!["neo4j", "neo4j", "other", "neo4j-2"]);
    let sets = btree_map((owner, id()), (any_address(), select(vec![10u32, 60])), 0..MULTIVALUE_LIMIT);
    let service = option::of(prop_oneof![
        (0u32..3).prop_map(Service::Wants),
        Just(Service::Missing),
        Just(Service::ClusterMissing)
    ]);
    let unlisted = btree_map(id(), any_task(), 0..150);
    let occupant = option::weighted(0.1, select(vec![Occupant::Cname, Occupant::OtherPolicy]));
    (registered, unlisted, sets, service, occupant).prop_map(|(registered, unlisted, sets, service, occupant)| {
        let registered =
            registered.into_iter().map(|(id, (address, task))| Registration { id, address, task }).collect();
        let sets = sets
            .into_iter()
            .map(|((owner, id), (address, ttl))| RecordSet { ttl, ..record(&format!("{owner}/{id}"), &address) });
        let mut tier = Tier { unlisted, service, ..tier(registered, sets.collect()) };
        tier.records.occupant = occupant;
        tier
    })
}

fn ours(tier: &Tier) -> usize {
    tier.records.multivalue.iter().filter(|set| policy().owner.member(&set.set_identifier).is_some()).count()
}

proptest! {
    #[test]
    fn applied_once_the_plan_is_empty(before in any_tier()) {
        let after = apply(&before, &plan(&before, &policy()));
        prop_assert_eq!(plan(&after, &policy()).changes, vec![]);
    }

    #[test]
    fn nothing_is_written_under_an_occupied_name(before in any_tier(), by in select(vec![Occupant::Cname, Occupant::OtherPolicy])) {
        let mut occupied = before;
        occupied.records.occupant = Some(by);
        prop_assert_eq!(plan(&occupied, &policy()).changes, vec![]);
    }

    #[test]
    fn a_foreign_record_set_is_never_touched(before in any_tier()) {
        for plan in [plan(&before, &policy()), plan_removal(&before.records, &policy().owner)] {
            for change in &plan.changes {
                prop_assert!(change.record().set_identifier.starts_with("neo4j/"), "{change}");
            }
        }
    }

    #[test]
    fn a_name_is_emptied_only_when_ecs_wants_no_task(before in any_tier()) {
        let after = apply(&before, &plan(&before, &policy()));
        if ours(&before) > 0 && ours(&after) == 0 {
            prop_assert!(matches!(before.service, Some(Service::Wants(0) | Service::Missing)), "{:?}", before.service);
            prop_assert!(Tier::needs_service(&before.registered));
        }
    }

    #[test]
    fn what_is_published_is_distinct_and_counted(before in any_tier()) {
        let plan = plan(&before, &policy());
        let after = apply(&before, &plan);
        prop_assert_eq!(plan.published, ours(&after));
        if !plan.changes.is_empty() {
            let fresh = after.records.multivalue.iter().filter(|set| policy().owner.member(&set.set_identifier).is_some());
            let addresses: Vec<&String> = fresh.flat_map(|set| &set.values).collect();
            prop_assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
            prop_assert!(addresses.iter().all(|address| address.parse::<Ipv4Addr>().is_ok()));
        }
    }

    #[test]
    fn a_running_member_stays_whatever_the_list_leaves_out(before in any_tier(), lost in any::<prop::sample::Index>()) {
        let whole = plan(&before, &policy());
        let whole = apply(&before, &whole);
        let mut part = whole.clone();
        let cut = lost.index(part.registered.len().max(1));
        let lost = part.registered.split_off(cut.min(part.registered.len()));
        part.unlisted = lost.into_iter().map(|registration| (registration.id, registration.task)).collect();
        let kept = apply(&part, &plan(&part, &policy()));
        for set in whole.records.multivalue {
            let runs = |member: &str| matches!(
                part.unlisted.get(member),
                Some(Task::Known { last_status, wanted: true, health }) if last_status == "RUNNING" && *health != Health::Unhealthy
            );
            let usable = set.values.iter().all(|address| address.parse::<Ipv4Addr>().is_ok());
            if usable && policy().owner.member(&set.set_identifier).is_some_and(runs) {
                // Of two records of ours with one address, either may go: the address stays published.
                let mut ours = kept.records.multivalue.iter().filter(|kept| policy().owner.member(&kept.set_identifier).is_some());
                prop_assert!(ours.any(|kept| kept.values == set.values), "{set} was removed by {}", plan(&part, &policy()));
            }
        }
    }

    #[test]
    fn the_order_of_what_is_observed_does_not_matter(before in any_tier()) {
        let mut turned = before.clone();
        turned.registered.reverse();
        turned.records.multivalue.reverse();
        prop_assert_eq!(plan(&before, &policy()), plan(&turned, &policy()));
    }

    #[test]
    fn removal_removes_all_of_ours(before in any_tier()) {
        let after = apply(&before, &plan_removal(&before.records, &policy().owner));
        prop_assert_eq!(ours(&after), 0);
        prop_assert_eq!(after.records.multivalue.len(), before.records.multivalue.len() - ours(&before));
    }
}
