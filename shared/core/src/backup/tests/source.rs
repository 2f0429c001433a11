use super::super::{NoSource, Role, databases, source};
use crate::{
    neo4j::{Fault, Kind},
    quorum::{
        Going, Observed,
        tests::cluster::{Alter, healthy, replica},
    },
};

/// Three cores with `graph` on each, led by core 1, and a replica of it.
fn cluster() -> Observed {
    let mut observed = healthy(3, &[("graph", &[1, 2, 3])]);
    observed.members.push(replica(1, &["graph", "system"]));
    observed
}

fn taken_from(observed: &Observed) -> (String, Role) {
    let source = source(observed, "graph").unwrap();
    (source.member, source.role)
}

#[test]
fn a_backup_is_taken_from_a_secondary_then_a_follower_then_the_leader() {
    let mut observed = cluster();
    assert_eq!(taken_from(&observed), ("replica 1e9b1ca0".to_owned(), Role::Secondary));
    observed.members[3].going = Some(Going::Draining);
    assert_eq!(taken_from(&observed), ("core 2".to_owned(), Role::Follower));
    observed.raft(2, "graph").applied = Some(900);
    assert_eq!(taken_from(&observed), ("core 3".to_owned(), Role::Follower), "who lags less");
    observed.answer(2).page = Err(Fault::new(Kind::Silent, "nothing within 3 s"));
    observed.copy(3, "graph", |copy| copy.message = "No space left on device".to_owned());
    assert_eq!(taken_from(&observed), ("core 1".to_owned(), Role::Leader));
}

#[test]
fn the_order_of_members_does_not_matter() {
    let mut observed = cluster();
    observed.members.reverse();
    assert_eq!(taken_from(&observed), ("replica 1e9b1ca0".to_owned(), Role::Secondary));
}

#[test]
fn without_a_healthy_copy_the_answer_says_what_is_wrong_with_each() {
    let mut observed = cluster();
    observed.members[3].going = Some(Going::Spot);
    observed.copy(1, "graph", |copy| copy.status = "quarantined".to_owned());
    observed.copy(2, "graph", |copy| copy.message = "No space left on device".to_owned());
    observed.copy(3, "graph", |copy| copy.role = None);
    let why = source(&observed, "graph").unwrap_err().to_string();
    assert_eq!(
        why,
        "no member has a healthy copy of graph: core 1: its copy is quarantined; core 2: No space left on device; \
         core 3: its role is not known; replica 1e9b1ca0: EC2 takes its Spot instance"
    );
    assert_eq!(source(&observed, "none").unwrap_err().to_string(), "no member has a healthy copy of none");
}

#[test]
fn every_database_is_backed_up_system_too() {
    let all = databases(&cluster()).unwrap();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [("graph".to_owned(), None), ("system".to_owned(), None)]);
}

#[test]
fn what_holds_nothing_or_is_not_wanted_is_left_out() {
    for change in ["composite", "offline"] {
        let mut observed = healthy(3, &[("graph", &[1, 2, 3]), ("other", &[1, 2, 3])]);
        observed.rows("other", |row| match change {
            "composite" => row.kind = change.to_owned(),
            _ => row.requested_status = change.to_owned(),
        });
        let names: Vec<_> = databases(&observed).unwrap().into_keys().collect();
        assert_eq!(names, ["graph", "system"], "{change}");
    }
    // One member that knows that it is wanted is enough.
    let mut observed = healthy(3, &[("graph", &[1, 2, 3])]);
    observed.row(1, "graph").requested_status = "offline".to_owned();
    assert!(databases(&observed).unwrap().contains_key("graph"));
}

#[test]
fn sharded_databases_and_unsafe_names_are_refused_by_name() {
    let mut observed =
        healthy(3, &[("big", &[1, 2, 3]), ("big-g000", &[1, 2, 3]), ("big-p000", &[1, 2, 3]), ("graph", &[1])]);
    observed.rows("big", |row| row.requested_primaries = None);
    observed.rows("big-g000", |row| row.kind = "graph shard".to_owned());
    observed.rows("big-p000", |row| row.kind = "property shard".to_owned());
    let all = databases(&observed).unwrap();
    for name in ["big", "big-g000", "big-p000"] {
        assert_eq!(all[name], Some(NoSource::Sharded(name.to_owned())));
    }
    assert_eq!((&all["graph"], &all["system"]), (&None, &None));
    let odd = healthy(3, &[("../odd", &[1, 2, 3])]);
    assert_eq!(databases(&odd).unwrap()["../odd"], Some(NoSource::Name("../odd".to_owned())));
}

#[test]
fn a_list_that_cannot_be_whole_is_refused() {
    let mut observed = cluster();
    for member in &mut observed.members {
        member.answer.as_mut().unwrap().view = Err(Fault::new(Kind::LoginRefused, "401: the login was refused"));
    }
    observed.members[3].answer = None;
    let why = databases(&observed).unwrap_err().to_string();
    assert!(why.starts_with("no member says which databases there are: core 1: 401"), "{why}");
    assert!(why.ends_with("replica 1e9b1ca0: no answer"), "{why}");
    let mut blind = cluster();
    for member in &mut blind.members {
        member.answer.as_mut().unwrap().view.as_mut().unwrap().databases.retain(|row| row.name == "system");
    }
    assert_eq!(databases(&blind), Err(NoSource::OnlySystem));
    assert_eq!(databases(&Observed::default()), Err(NoSource::NoView(vec![])));
}
