use std::{collections::BTreeSet, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
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

fn any_tier() -> impl Strategy<Value = Tier> {
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

/// Returns what was heard of the members: of some nothing, and for some time of nobody.
fn any_hearing() -> impl Strategy<Value = Option<Hearing>> {
    let id = (0u16..160).prop_map(|n| format!("task{n:03}"));
    let answers = btree_map(id, prop::bool::ANY, 0..160);
    option::weighted(0.9, (answers, 0i64..600, prop::bool::weighted(0.3))).prop_map(|heard| {
        let (answers, seconds, fails) = heard?;
        let answer = |(id, ok)| (id, if ok && !fails { Ok(()) } else { Err("no answer".to_owned()) });
        let answers = answers.into_iter().map(answer).collect();
        let last: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let since = last - SignedDuration::from_secs(seconds);
        Some(Hearing {
            answers,
            failure: fails.then(|| "it timed out".to_owned()),
            silence: Some(Silence { since, last }),
        })
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
            if policy().owner.member(&set.set_identifier).is_some_and(runs) {
                prop_assert!(kept.records.multivalue.contains(&set), "{set} was removed");
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

    #[test]
    fn readiness_removes_no_record(before in any_tier(), heard in any_hearing()) {
        let asked = Tier { neo4j: Readiness { heard, ..Readiness::default() }, ..before.clone() };
        let (without, with) = (plan(&before, &policy()), plan(&asked, &policy()));
        let deleted = |plan: &Plan| -> BTreeSet<String> {
            let deleted = plan.changes.iter().filter(|change| matches!(change, Change::Delete(..)));
            deleted.map(|change| change.record().to_string()).collect()
        };
        prop_assert!(deleted(&with).is_subset(&deleted(&without)), "{with}");
        let after = apply(&asked, &with);
        prop_assert!(ours(&after) > 0 || ours(&apply(&before, &without)) == 0 || ours(&before) == 0);
        prop_assert_eq!(plan(&after, &policy()).changes, vec![]);
    }

    #[test]
    fn a_silent_gateway_freezes_nothing(before in any_tier(), seconds in 301i64..10_000) {
        let last: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let silence = Some(Silence { since: last - SignedDuration::from_secs(seconds), last });
        let heard = Some(Hearing { answers: [].into(), failure: Some("it timed out".to_owned()), silence });
        let silent = Tier { neo4j: Readiness { heard, ..Readiness::default() }, ..before.clone() };
        let plan_silent = plan(&silent, &policy());
        prop_assert_eq!(
            apply(&silent, &plan_silent).records,
            apply(&before, &plan(&before, &policy())).records
        );
        let joined = plan_silent.changes.iter().filter(|change| matches!(change, Change::Create(_, Reason::Unasked(_))));
        prop_assert_eq!(joined.count(), plan_silent.unproven.len());
    }

    #[test]
    fn whoever_joins_is_asked(before in any_tier()) {
        let asked = to_ask([&before], &policy());
        let published = |id: &str| before.records.multivalue.iter().any(|set| policy().owner.member(&set.set_identifier) == Some(id));
        for change in plan(&before, &policy()).changes {
            if let Change::Create(record, _) = change {
                let member = policy().owner.member(&record.set_identifier).unwrap().to_owned();
                prop_assert!(published(&member) || asked.get(&member).map(ToString::to_string) == record.values.first().cloned());
            }
        }
    }
}
