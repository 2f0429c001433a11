use super::{
    cluster::{Alter, Hosted, healthy, server},
    *,
};

const LEFT: &str = "the one before";

/// Returns why core 2 is not back after a change.
fn missing(cores: u8, databases: &[Hosted<'_>], change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = healthy(cores, databases);
    change(&mut observed);
    said(&not_back(&observed, 2, LEFT, None))
}

fn said(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

#[test]
fn a_core_is_back_when_a_peer_vouches_for_it_in_every_database() {
    let table: [(&str, Change); 12] = [
        ("the old task", Box::new(|o| o.members[1].task = LEFT.into())),
        ("no answer", Box::new(|o| silence(o, 2))),
        ("another server", Box::new(|o| o.answer(2).view.as_mut().unwrap().server = Some("server-9".into()))),
        ("voting, and not applying", Box::new(|o| o.status(2, "neo4j", "REPLICATING"))),
        ("catching up with system", Box::new(|o| o.status(2, "system", "UNAVAILABLE"))),
        (
            "left out by the others",
            Box::new(|o| {
                for core in [1, 3] {
                    let checks = o.answer(core).check.as_mut().unwrap();
                    checks.retain(|check| check.database != "neo4j" || check.server != server(2));
                }
            }),
        ),
        ("copying", Box::new(|o| o.break_copy(2, "neo4j", "store copying", ""))),
        ("quarantined", Box::new(|o| o.break_copy(2, "neo4j", "quarantined", "By neo4j"))),
        ("about to go again", Box::new(|o| o.members[1].going = Some(Going::Spot))),
        ("alone", Box::new(|o| [1, 3].iter().for_each(|core| silence(o, *core)))),
        (
            "one peer is enough",
            Box::new(|o| {
                silence(o, 3);
                o.row(1, "neo4j").age = Some(1);
            }),
        ),
        ("well", Box::new(|_| ())),
    ];
    let lines = table.map(|(name, change)| format!("## {name}\n{}", missing(3, &[NEO4J], change)));
    insta::assert_snapshot!(lines.join("\n"), @r"
    ## the old task
    core 2 still runs task the one before, the one that was stopped
    ## no answer
    core 2 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s
    ## another server
    core 2 cannot be relied on: its Neo4j is server server-9, but this core was server server-2: it has lost its data, or its address is somebody else's now
    ## voting, and not applying
    database neo4j: no status check of another core calls the copy on core 2 APPLYING: core 1 calls it REPLICATING; core 3 calls it REPLICATING
    ## catching up with system
    database system: no status check of another core calls the copy on core 2 APPLYING: core 1 calls it UNAVAILABLE; core 3 calls it UNAVAILABLE
    ## left out by the others
    database neo4j: no status check of another core calls the copy on core 2 APPLYING: core 1 calls it nothing; core 3 calls it nothing
    ## copying
    database neo4j: no status check of another core calls the copy on core 2 APPLYING: core 1 calls it UNAVAILABLE; core 3 calls it UNAVAILABLE
    ## quarantined
    database neo4j: the copy on core 2 is quarantined, «By neo4j»
    ## about to go again
    core 2 cannot be relied on: it is about to go: EC2 takes its Spot instance
    ## alone
    core 1 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s | core 3 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s
    ## one peer is enough

    ## well
    ");
}

#[test]
fn where_nothing_replicates_its_own_copy_must_no_longer_be_broken() {
    let down = |own: &'static str| {
        move |o: &mut Observed| {
            for core in [1, 3] {
                o.break_copy(core, "neo4j", "online", "No space left on device");
            }
            for check in o.answer(2).check.as_mut().unwrap().iter_mut().filter(|check| check.database == "neo4j") {
                check.replicated = Some(false);
            }
            o.copy(2, "neo4j", |copy| copy.message = own.into());
        }
    };
    assert_eq!(missing(3, &[NEO4J], down("")), "");
    assert!(missing(3, &[NEO4J], down("No space left on device")).contains("No space left on device"));
}

#[test]
fn what_it_does_not_host_and_a_wrong_seed_keep_nobody_away() {
    assert_eq!(missing(5, &[("neo4j", &[1, 3, 4])], |_| ()), "");
    let seed = |o: &mut Observed| (1..=3).for_each(|core| o.break_copy(core, "shop", "dirty", "No backup"));
    assert_eq!(missing(3, &[("shop", &[1, 2, 3])], seed), "");
    // One that is allocated to it, and that it does not list yet.
    let allocated = |o: &mut Observed| {
        o.rows("neo4j", |row| row.copies.retain(|copy| copy.server != Some(server(2))));
        for core in [1, 3] {
            let checks = o.answer(core).check.as_mut().unwrap();
            checks.retain(|check| check.database != "neo4j" || check.server != server(2));
        }
    };
    assert!(missing(3, &[NEO4J], allocated).contains("neo4j"));
}

#[test]
fn after_a_roll_it_must_be_published() {
    let observed = healthy(3, &[NEO4J]);
    assert_eq!(not_back(&observed, 2, LEFT, Some(true)), []);
    assert_eq!(not_back(&observed, 2, LEFT, Some(false)), [Reason::NotPublished { core: 2 }]);
    assert_eq!(not_back(&observed, 4, LEFT, None), [Reason::UnknownCore { core: 4, cores: 3 }]);
}
