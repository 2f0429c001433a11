use super::{
    cluster::{Alter, raft_id, server},
    *,
};

#[test]
#[expect(clippy::too_many_lines, reason = "one table, with a row for each state")]
fn a_database_in_whatever_state_holds_the_cores_that_it_needs() {
    let table: [(&str, Change); 21] = [
        ("well", Box::new(|_| ())),
        (
            "shrunken voting set",
            Box::new(|o| {
                for core in [1, 2] {
                    o.raft(core, "neo4j").voters = [1, 2].map(raft_id).into();
                }
                o.raft(3, "neo4j").participating = Some(false);
            }),
        ),
        (
            "voting set larger than requested",
            Box::new(|o| {
                for core in 1..=3 {
                    o.raft(core, "neo4j").voters.insert("raft-old".into());
                }
            }),
        ),
        (
            "a stopped server still votes",
            Box::new(|o| {
                silence(o, 3);
                o.copy(3, "neo4j", |copy| {
                    (copy.status, copy.message) = ("unknown".into(), "Server is unavailable".into());
                });
            }),
        ),
        (
            "being created",
            Box::new(|o| {
                o.rows("neo4j", |row| row.age = Some(20));
                (1..=3).for_each(|core| o.break_copy(core, "neo4j", "initial", ""));
            }),
        ),
        (
            "being created, known to one core",
            Box::new(|o| {
                for core in [2, 3] {
                    o.answer(core).view.as_mut().unwrap().databases.retain(|row| row.name != "neo4j");
                }
            }),
        ),
        ("being dropped", Box::new(|o| o.copy(2, "neo4j", |copy| copy.status = "deallocating".into()))),
        ("dropped and created again", Box::new(|o| o.row(3, "neo4j").id = Some("another".into()))),
        (
            "moved",
            Box::new(|o| {
                for core in 1..=3 {
                    o.answer(core).view.as_mut().unwrap().servers[1].requested.remove("neo4j");
                }
            }),
        ),
        ("quarantined on core 2", Box::new(|o| o.break_copy(2, "neo4j", "quarantined", "By neo4j: corrupt index"))),
        ("starting on core 2", Box::new(|o| o.break_copy(2, "neo4j", "starting", ""))),
        ("copying on core 2", Box::new(|o| o.break_copy(2, "neo4j", "store copying", ""))),
        (
            "offline, as requested",
            Box::new(|o| {
                o.rows("neo4j", |row| row.requested_status = "offline".into());
                (1..=3).for_each(|core| o.break_copy(core, "neo4j", "offline", ""));
            }),
        ),
        ("offline on core 2, not as requested", Box::new(|o| o.break_copy(2, "neo4j", "offline", "Unable to start"))),
        ("number missing", Box::new(|o| o.row(3, "neo4j").requested_primaries = None)),
        ("no leader", Box::new(|o| o.raft(2, "neo4j").leader = None)),
        ("two leaders", Box::new(|o| o.raft(3, "neo4j").leader = Some(raft_id(2)))),
        (
            "two leaders by the status check",
            Box::new(|o| {
                o.answer(3).check.as_mut().unwrap()[4].leader = Some(server(2));
            }),
        ),
        (
            "a leader that does not vote",
            Box::new(|o| {
                (1..=3).for_each(|core| o.raft(core, "neo4j").leader = Some("raft-old".into()));
            }),
        ),
        (
            "a message of its own",
            Box::new(|o| o.copy(2, "neo4j", |copy| copy.message = "No space left on device".into())),
        ),
        ("lagging core 3", Box::new(|o| o.status(3, "neo4j", "UNAVAILABLE"))),
    ];
    let lines = table.map(|(name, change)| format!("## {name}\n{}", after(3, &[NEO4J], change)));
    insta::assert_snapshot!(lines.join("\n"), @r"
    ## well
    all: safe
    ## shrunken voting set
    1: the members of database neo4j do not agree who votes: core 2 counts 2 voters, core 3 counts 3 | database neo4j: without this core 1 of 3 voters would be healthy (core 2), and 2 are needed: core 3 does not take part in its votes
    2: the members of database neo4j do not agree who votes: core 1 counts 2 voters, core 3 counts 3 | database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 3 does not take part in its votes
    3: safe
    ## voting set larger than requested
    1: database neo4j: without this core 2 of 4 voters would be healthy (cores 2, 3), and 3 are needed
    2: database neo4j: without this core 2 of 4 voters would be healthy (cores 1, 3), and 3 are needed
    3: database neo4j: without this core 2 of 4 voters would be healthy (cores 1, 2), and 3 are needed
    ## a stopped server still votes
    1: core 3 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s
    2: core 3 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s
    3: safe
    ## being created
    1: database neo4j: without this core 0 of 3 voters would be healthy, and 2 are needed: core 2 is initial; core 3 is initial
    2: database neo4j: without this core 0 of 3 voters would be healthy, and 2 are needed: core 1 is initial; core 3 is initial
    3: database neo4j: without this core 0 of 3 voters would be healthy, and 2 are needed: core 1 is initial; core 2 is initial
    ## being created, known to one core
    1: core 2 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE * | core 3 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    2: core 3 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    3: core 2 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    ## being dropped
    1: database neo4j is being dropped or moved: its copy on core 2 is deallocating | database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is deallocating
    2: database neo4j is being dropped or moved: its copy on core 2 is deallocating
    3: database neo4j is being dropped or moved: its copy on core 2 is deallocating | database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is deallocating
    ## dropped and created again
    1: database neo4j has another id on core 3 than on core 2: it is being dropped and created again
    2: database neo4j has another id on core 3 than on core 1: it is being dropped and created again
    3: safe
    ## moved
    all: database neo4j is being dropped or moved: its copy on core 2 is no longer requested there
    ## quarantined on core 2
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is quarantined, «By neo4j: corrupt index»
    2: safe
    3: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is quarantined, «By neo4j: corrupt index»
    ## starting on core 2
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is starting
    2: safe
    3: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is starting
    ## copying on core 2
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is store copying
    2: safe
    3: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is store copying
    ## offline, as requested
    all: safe
    ## offline on core 2, not as requested
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is offline, «Unable to start»
    2: safe
    3: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is offline, «Unable to start»
    ## number missing
    1: core 3 does not say how many primaries are requested of database neo4j
    2: core 3 does not say how many primaries are requested of database neo4j
    3: safe
    ## no leader
    1: core 2 knows no leader of database neo4j | database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 knows no leader of it
    2: safe
    3: core 2 knows no leader of database neo4j | database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 knows no leader of it
    ## two leaders
    1: the members of database neo4j do not agree who leads: core 3 says otherwise than core 2
    2: the members of database neo4j do not agree who leads: core 3 says otherwise than core 1
    3: safe
    ## two leaders by the status check
    1: the members of database neo4j recognise different leaders by the status checks
    2: safe
    3: safe
    ## a leader that does not vote
    all: the leader of database neo4j is not in its voting set: the voting set changes at this moment
    ## a message of its own
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed: core 2 is online, «No space left on device»
    2: safe
    3: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 2 is online, «No space left on device»
    ## lagging core 3
    1: database neo4j: without this core 1 of 3 voters would be healthy (core 2), and 2 are needed: core 3 is UNAVAILABLE by the status check of core 2
    2: database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed: core 3 is UNAVAILABLE by the status check of core 1
    3: safe
    ");
}
