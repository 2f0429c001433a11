use std::collections::BTreeMap;

use super::{
    cluster::{Alter, healthy, member, replica},
    *,
};

/// Returns a cluster of three cores and two replicas.
fn cluster() -> Observed {
    let mut observed = healthy(3, &[NEO4J]);
    observed.members.extend([replica(2, &["neo4j", "system"]), replica(1, &["neo4j", "system"])]);
    observed
}

fn printed(observed: &Observed) -> String {
    let text =
        table(observed, &Quorum::of(observed), &BTreeMap::from([("1a5c0ffee0000000".into(), "revision 4".into())]));
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 120, "{widest} columns:\n{text}");
    assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
    text
}

#[test]
fn a_cluster_that_is_well() {
    insta::assert_snapshot!(printed(&cluster()), @r"
    member   task      address    neo4j      outdated    lag  may stop  neo4j      system
    core 1   1a5c0ffe  10.0.1.10  2026.08.1  revision 4  0    yes       leader     leader
    core 2   2a5c0ffe  10.0.2.10  2026.08.1  —           0    yes       follower   follower
    core 3   3a5c0ffe  10.0.3.10  2026.08.1  —           0    yes       follower   follower
    replica  1e9b1ca0  10.0.1.20  2026.08.1  —           —    yes       secondary  secondary
    replica  2e9b1ca0  10.0.2.20  2026.08.1  —           —    yes       secondary  secondary

    healthy voters above the majority, in the weakest database: 1
    ");
}

#[test]
fn a_dead_core_and_one_whose_disk_is_full() {
    let mut observed = cluster();
    observed.members.remove(1);
    full_disk(&mut observed, 3, "neo4j");
    insta::assert_snapshot!(printed(&observed), @r"
    member   task      address    neo4j      outdated    lag  may stop  neo4j      system
    core 1   1a5c0ffe  10.0.1.10  2026.08.1  revision 4  0    no: 1     leader     leader
    core 2   —         —          —          —           —    no: 2     ?          ?
    core 3   3a5c0ffe  10.0.3.10  2026.08.1  —           0    no: 1     broken     follower
    replica  1e9b1ca0  10.0.1.20  2026.08.1  —           —    yes       secondary  secondary
    replica  2e9b1ca0  10.0.2.20  2026.08.1  —           —    yes       secondary  secondary

    healthy voters above the majority, in the weakest database: -1

    why not:
    1. core 2 cannot be relied on: it has no task
    2. database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 3 is online, «No
       space left on device»

    missing:
    * core 2 has no task
    ");
}

#[test]
fn a_core_that_hangs_and_one_that_lags() {
    let mut observed = cluster();
    silence(&mut observed, 2);
    observed.raft(3, "neo4j").applied = Some(-41_000);
    observed.status(3, "neo4j", "UNAVAILABLE");
    insta::assert_snapshot!(printed(&observed), @r"
    member   task      address    neo4j      outdated    lag    may stop  neo4j      system
    core 1   1a5c0ffe  10.0.1.10  2026.08.1  revision 4  0      no: 1     leader     leader
    core 2   2a5c0ffe  10.0.2.10  —          —           —      no: 2     ?          ?
    core 3   3a5c0ffe  10.0.3.10  2026.08.1  —           42000  no: 1     follower   follower
    replica  1e9b1ca0  10.0.1.20  2026.08.1  —           —      yes       secondary  secondary
    replica  2e9b1ca0  10.0.2.20  2026.08.1  —           —      yes       secondary  secondary

    healthy voters above the majority, in the weakest database: -1

    why not:
    1. core 2 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s
    2. database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 3 is UNAVAILABLE by
       the status check of core 1

    missing:
    * core 2 does not answer: no answer within 3 s
    ");
}

#[test]
fn a_first_formation_in_which_nobody_answers() {
    let mut observed = Observed { cores: 3, ..Observed::default() };
    observed.members = [1, 2].map(|core| member(core, None)).into();
    insta::assert_snapshot!(printed(&observed), @r"
    member  task      address    neo4j  outdated    lag  may stop
    core 1  1a5c0ffe  10.0.1.10  —      revision 4  —    no: 1 2
    core 2  2a5c0ffe  10.0.2.10  —      —           —    no: 3 2
    core 3  —         —          —      —           —    no: 3 1

    healthy voters above the majority: not known

    why not:
    1. core 2 cannot be relied on: the gateway has no answer of its Neo4j (task 2a5c0ffee0000000)
    2. core 3 cannot be relied on: it has no task
    3. core 1 cannot be relied on: the gateway has no answer of its Neo4j (task 1a5c0ffee0000000)

    missing:
    * core 1 does not answer: the gateway has no answer of its Neo4j (task 1a5c0ffee0000000)
    * core 2 does not answer: the gateway has no answer of its Neo4j (task 2a5c0ffee0000000)
    * core 3 has no task
    ");
}

#[test]
fn many_databases_with_long_names_on_seven_cores() {
    let names: Vec<_> = (1..=14).map(|number| format!("customers-of-region-{number}")).collect();
    let databases: Vec<_> = names.iter().map(|name| (name.as_str(), &[1, 2, 3][..])).collect();
    let mut observed = healthy(7, &databases);
    for name in &names {
        observed.break_copy(2, name, "quarantined", "By neo4j:\n\tthe index is corrupt");
        observed.break_copy(3, name, "store copying", "");
    }
    observed.members.extend((1..=20).map(|number| replica(number, &["system"])));
    let text = printed(&observed);
    let heading = |line: &&str| line.starts_with("member");
    let shown = |name: &str| text.lines().filter(heading).any(|line| line.contains(name));
    assert!(["custome…egion-1", "custome…gion-14", "system"].map(shown).iter().all(|shown| *shown), "{text}");
    assert_eq!(text.lines().filter(heading).count() * 20, text.matches("\nreplica  ").count(), "{text}");
    assert!(text.contains("«By neo4j: the index is corrupt»"), "{text}");
}

#[test]
fn what_people_should_know_stands_below() {
    let mut observed = healthy(3, &[("one", &[1]), NEO4J]);
    for core in [1, 2] {
        observed.answer(core).view = Err(Fault::new(Kind::LoginRefused, "401"));
    }
    observed.members.push(replica(1, &["system"]));
    insta::assert_snapshot!(printed(&observed), @r"
    member   task      address    neo4j      outdated    lag  may stop  neo4j     one  system
    core 1   1a5c0ffe  10.0.1.10  2026.08.1  revision 4  0    no: 1     ?         ?    ?
    core 2   2a5c0ffe  10.0.2.10  2026.08.1  —           0    no: 2     ?         ?    ?
    core 3   3a5c0ffe  10.0.3.10  2026.08.1  —           0    no: 2 1   follower  —    follower
    replica  1e9b1ca0  10.0.1.20  2026.08.1  —           —    yes       —         —    secondary

    healthy voters above the majority: not known

    why not:
    1. core 2 cannot be relied on: its Neo4j gave no answer to SHOW DATABASES: 401
    2. core 1 cannot be relied on: its Neo4j gave no answer to SHOW DATABASES: 401

    warnings:
    * database one has 1 requested primary: it cannot be written while one of its servers is down, and nothing waits for it
    * the login of the user monitor is refused by core 1: what it says there does not count
    * the login of the user monitor is refused by core 2: what it says there does not count
    * the user monitor lacks rights on replica 1e9b1ca0: what it says there does not count
    ");
}
