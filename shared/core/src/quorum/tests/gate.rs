use super::{
    cluster::{Alter, healthy, member, page, raft_id, replica, server},
    *,
};
use crate::neo4j::{Fault, Kind};

const NEO4J: (&str, &[u8]) = ("neo4j", &[1, 2, 3]);

/// Returns what the gate says of each core, one line a core, or of all if it says the same of each.
fn said(observed: &Observed) -> String {
    let quorum = Quorum::of(observed);
    let of = |core| {
        let reasons: Vec<_> = quorum.unsafe_to_stop(core).iter().map(ToString::to_string).collect();
        if reasons.is_empty() { "safe".to_owned() } else { reasons.join(" | ") }
    };
    let lines: Vec<_> = (1..=observed.cores).map(of).collect();
    if lines.iter().all(|line| *line == lines[0]) {
        return format!("all: {}", lines[0]);
    }
    (1..).zip(lines).map(|(core, line): (u8, _)| format!("{core}: {line}")).collect::<Vec<_>>().join("\n")
}

/// Returns what the gate says after a change.
fn after(cores: u8, databases: &[(&str, &[u8])], change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = healthy(cores, databases);
    change(&mut observed);
    said(&observed)
}

/// Returns the cores that may be stopped after a change.
fn safe(cores: u8, databases: &[(&str, &[u8])], change: impl FnOnce(&mut Observed)) -> Vec<u8> {
    let mut observed = healthy(cores, databases);
    change(&mut observed);
    let quorum = Quorum::of(&observed);
    (1..=cores).filter(|core| quorum.unsafe_to_stop(*core).is_empty()).collect()
}

fn silence(observed: &mut Observed, core: u8) {
    observed.answer(core).page = Err(Fault::new(Kind::Silent, "no answer within 3 s"));
}

fn full_disk(observed: &mut Observed, core: u8, database: &str) {
    observed.break_copy(core, database, "online", "No space left on device");
}

#[test]
fn how_many_cores_may_be_missing_while_another_is_stopped() {
    // (cores, silent cores, those that may be stopped)
    let all = |cores: u8| (1..=cores).collect::<Vec<_>>();
    for (cores, silent, want) in [
        (3, vec![], all(3)),
        (3, vec![2], vec![2]),
        (3, vec![1, 2], vec![]),
        (5, vec![], all(5)),
        (5, vec![2], all(5)),
        (5, vec![2, 3], vec![2, 3]),
        (5, vec![2, 3, 4], vec![]),
        (7, vec![], all(7)),
        (7, vec![2], all(7)),
        // Four of seven would do, but two that are silent at once are more than chance.
        (7, vec![2, 3], vec![2, 3]),
        (7, vec![2, 3, 4], vec![]),
    ] {
        let found = safe(cores, &[], |o| silent.iter().for_each(|core| silence(o, *core)));
        assert_eq!(found, want, "{cores} cores, {silent:?} silent");
    }
}

#[test]
fn a_spare_core_does_not_help_a_database_that_it_does_not_host() {
    let hosted = [("neo4j", &[1, 2, 3][..])];
    assert_eq!(safe(5, &hosted, |o| silence(o, 2)), [2, 4, 5], "two of three votes must stay");
    assert_eq!(safe(5, &hosted, |o| silence(o, 5)), [1, 2, 3, 4, 5]);
    insta::assert_snapshot!(after(5, &hosted, |o| silence(o, 2)), @r"
    1: core 2 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s | database neo4j: without this core 1 of 3 voters would be healthy (core 3), and 2 are needed
    2: safe
    3: core 2 cannot be relied on: its Neo4j gave no answer to GET /: no answer within 3 s | database neo4j: without this core 1 of 3 voters would be healthy (core 1), and 2 are needed
    4: safe
    5: safe
    ");
}

#[test]
fn whoever_is_about_to_go_counts_as_silent_for_the_others() {
    let going =
        [Going::Spot, Going::Event("instance-retirement".into()), Going::Unhealthy, Going::NotWanted, Going::Draining];
    let lines = going.map(|going| after(3, &[NEO4J], |o| o.members[1].going = Some(going)));
    insta::assert_snapshot!(lines.join("\n"), @r"
    1: core 2 cannot be relied on: it is about to go: EC2 takes its Spot instance
    2: safe
    3: core 2 cannot be relied on: it is about to go: EC2 takes its Spot instance
    1: core 2 cannot be relied on: it is about to go: EC2's event instance-retirement is due for its instance
    2: safe
    3: core 2 cannot be relied on: it is about to go: EC2's event instance-retirement is due for its instance
    1: core 2 cannot be relied on: it is about to go: its task is UNHEALTHY
    2: safe
    3: core 2 cannot be relied on: it is about to go: its task is UNHEALTHY
    1: core 2 cannot be relied on: it is about to go: its task is being stopped
    2: safe
    3: core 2 cannot be relied on: it is about to go: its task is being stopped
    1: core 2 cannot be relied on: it is about to go: its container instance is DRAINING
    2: safe
    3: core 2 cannot be relied on: it is about to go: its container instance is DRAINING
    ");
    assert_eq!(safe(5, &[], |o| o.members[1].going = Some(Going::Spot)), [1, 2, 3, 4, 5]);
    let two = |o: &mut Observed| {
        o.members[1].going = Some(Going::Spot);
        silence(o, 4);
    };
    assert_eq!(safe(5, &[], two), [2, 4]);
}

#[test]
fn a_core_that_did_not_answer_everything_is_silent_and_the_reason_says_what_is_missing() {
    let fault = |kind, text: &str| Fault::new(kind, text);
    type Change<'a> = Box<dyn FnOnce(&mut Observed) + 'a>;
    let table: [Change<'_>; 12] = [
        Box::new(|o| o.members.retain(|member| member.core != Some(2))),
        Box::new(|o| o.members[1].answer = None),
        Box::new(|o| o.answer(2).page = Err(fault(Kind::Unreachable, "connection refused"))),
        Box::new(|o| o.answer(2).raft = Err(fault(Kind::NotFound, "404 of GET /dbms/cluster/status"))),
        Box::new(|o| o.answer(2).view = Err(fault(Kind::LoginRefused, "401 Neo.ClientError.Security.Unauthorized"))),
        Box::new(|o| o.answer(2).view = Err(fault(Kind::NotAsked, "it left a statement unanswered"))),
        Box::new(|o| o.answer(2).check = Err(fault(Kind::Silent, "no answer within 3 s"))),
        // 2026 has a status check: that it is not found is a fault.
        Box::new(|o| o.answer(2).check = Err(fault(Kind::NotFound, "ProcedureNotFound"))),
        Box::new(|o| o.answer(2).view.as_mut().unwrap().server = None),
        Box::new(|o| o.answer(2).view.as_mut().unwrap().server = Some("server-9".into())),
        Box::new(|o| {
            o.servers.clear();
            o.answer(2).view.as_mut().unwrap().server = Some(server(3));
        }),
        Box::new(|o| {
            let second = Member { task: "second".into(), ..o.members[1].clone() };
            o.members.push(second);
        }),
    ];
    let said = table.map(|change| {
        let mut observed = healthy(3, &[NEO4J]);
        change(&mut observed);
        let quorum = Quorum::of(&observed);
        let reasons = quorum.unsafe_to_stop(1);
        assert!(
            quorum.unsafe_to_stop(2).iter().all(|why| matches!(why, Reason::Silent { core: 3, .. })),
            "{reasons:?}"
        );
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    core 2 cannot be relied on: it has no task
    core 2 cannot be relied on: the gateway has no answer of its Neo4j (task 2a5c0ffee0000000)
    core 2 cannot be relied on: its Neo4j gave no answer to GET /: connection refused
    core 2 cannot be relied on: its Neo4j gave no answer to GET /dbms/cluster/status: 404 of GET /dbms/cluster/status
    core 2 cannot be relied on: its Neo4j gave no answer to SHOW DATABASES: 401 Neo.ClientError.Security.Unauthorized
    core 2 cannot be relied on: its Neo4j gave no answer to SHOW DATABASES: it left a statement unanswered
    core 2 cannot be relied on: its Neo4j gave no answer to the status check: no answer within 3 s
    core 2 cannot be relied on: its Neo4j gave no answer to the status check: ProcedureNotFound
    core 2 cannot be relied on: its Neo4j does not say which server it is
    core 2 cannot be relied on: its Neo4j is server server-9, but this core was server server-2
    core 2 cannot be relied on: its Neo4j is server server-3, and so is that of core 3: an address is somebody else's now | core 3 cannot be relied on: its Neo4j is server server-3, and so is that of core 2: an address is somebody else's now
    core 2 cannot be relied on: several of its tasks answer: 2a5c0ffee0000000, second
    ");
}

#[test]
fn a_database_in_whatever_state_holds_the_cores_that_it_needs() {
    type Change = Box<dyn FnOnce(&mut Observed)>;
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

#[test]
fn what_others_report_of_a_copy_is_not_its_own_word() {
    // Core 1 has just lost sight of core 2, which is well by its own word and the others' status check.
    let mut observed = healthy(3, &[NEO4J]);
    let copy = observed.row(1, "neo4j").copies.iter_mut().find(|copy| copy.server == Some(server(2))).unwrap();
    (copy.status, copy.message) = ("unknown".into(), "Server is unavailable".into());
    assert_eq!(said(&observed), "all: safe");
}

#[test]
fn databases_without_votes_of_their_own_hold_nothing() {
    let sharded = |o: &mut Observed| {
        o.rows("foo", |row| row.requested_primaries = None);
        o.rows("foo-p000", |row| (row.kind, row.requested_primaries) = ("property shard".into(), None));
        o.rows("foo-g000", |row| row.kind = "graph shard".into());
    };
    let databases = [("foo", &[1][..]), ("foo-p000", &[2]), ("foo-g000", &[1, 2, 3])];
    assert_eq!(safe(3, &databases, sharded), [1, 2, 3]);
    // Its graph shard counts.
    let broken = |o: &mut Observed| {
        sharded(o);
        o.break_copy(2, "foo-g000", "dirty", "broken");
    };
    assert_eq!(safe(3, &databases, broken), [2]);
    // Without the right to see shards the virtual one has no number, and that shuts the gate.
    let unseen = |o: &mut Observed| o.rows("foo", |row| row.requested_primaries = None);
    assert_eq!(safe(3, &[("foo", &[1][..])], unseen), [0u8; 0]);
    let composite = |o: &mut Observed| {
        o.rows("all", |row| {
            (row.kind, row.requested_primaries) = ("composite".into(), None);
            row.copies.iter_mut().for_each(|copy| copy.role = None);
        })
    };
    assert_eq!(safe(3, &[("all", &[1][..])], composite), [1, 2, 3]);
}

#[test]
fn few_primaries_are_consent_and_a_warning() {
    let mut observed = healthy(3, &[("one", &[1]), ("two", &[1, 2]), NEO4J]);
    observed.break_copy(1, "one", "dirty", "broken");
    let quorum = Quorum::of(&observed);
    assert_eq!(said(&observed), "all: safe");
    assert_eq!(quorum.margin(), Some(1), "neither is counted");
    let warnings: Vec<_> = quorum.warnings().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    database one has 1 requested primary: it cannot be written while one of its servers is down, and nothing waits for it
    database two has 2 requested primaries: it cannot be written while one of its servers is down, and nothing waits for it
    ");
}

#[test]
fn a_wrong_seed_holds_nothing_after_half_an_hour() {
    let seed = |minutes: i64, status: &'static str| {
        move |o: &mut Observed| {
            o.rows("shop", |row| row.age = Some(minutes * 60));
            (1..=3).for_each(|core| o.break_copy(core, "shop", status, "No backup at s3://wrong"));
        }
    };
    let shop = [("shop", &[1, 2, 3][..])];
    assert_eq!(safe(3, &shop, seed(29, "dirty")), [0u8; 0]);
    for status in ["dirty", "offline", "initial"] {
        assert_eq!(safe(3, &shop, seed(30, status)), [1, 2, 3], "{status}");
    }
    for status in ["starting", "store copying", "quarantined", "online"] {
        assert_eq!(safe(3, &shop, seed(30, status)), [0u8; 0], "{status}: it may be coming back");
    }
    // By its status page it runs.
    let runs = |o: &mut Observed| {
        o.rows("shop", |row| row.age = Some(9_000));
        (1..=3).for_each(|core| o.copy(core, "shop", |copy| copy.status = "offline".into()));
    };
    assert_eq!(safe(3, &shop, runs), [0u8; 0]);
    let mut observed = healthy(3, &shop);
    seed(95, "dirty")(&mut observed);
    insta::assert_snapshot!(Quorum::of(&observed).warnings()[0], @"database shop was created 95 minutes ago and is online nowhere: dirty, «No backup at s3://wrong»: nothing waits for it; correct its seed, or drop it");
}

#[test]
fn cores_whose_disks_filled_together_may_be_restarted_one_after_the_other() {
    let all = [("neo4j", &[1, 2, 3][..])];
    let full =
        |cores: &'static [u8]| move |o: &mut Observed| cores.iter().for_each(|core| full_disk(o, *core, "neo4j"));
    let before = |o: &mut Observed, sweeps: usize| {
        (0..sweeps).for_each(|sweep| o.down_before[sweep] = ["neo4j".to_owned()].into());
    };
    let two = full(&[1, 2]);
    let nowhere = |o: &mut Observed| {
        two(o);
        for check in o.answer(3).check.as_mut().unwrap().iter_mut().filter(|check| check.database == "neo4j") {
            check.replicated = Some(false);
        }
    };
    for sweeps in 0..=2 {
        let found = safe(3, &all, |o| {
            nowhere(o);
            before(o, sweeps);
        });
        assert_eq!(
            found,
            if sweeps == 2 { vec![1, 2] } else { vec![] },
            "{sweeps} sweeps, and core 3 is the good copy"
        );
    }
    let mut observed = healthy(3, &all);
    nowhere(&mut observed);
    assert_eq!(Quorum::of(&observed).down(), &["neo4j".to_owned()].into());
    before(&mut observed, 2);
    assert!(Quorum::of(&observed).warnings().contains(&Warning::Down { database: "neo4j".into() }));
    // It replicates on core 3: then it is not down, and core 1 is not to be taken.
    let replicates = |o: &mut Observed| {
        full(&[2])(o);
        before(o, 2);
    };
    assert_eq!(safe(3, &all, replicates), [2], "the majority stays without the broken one anyway");
    // Core 1's copy is called unavailable by the others only.
    let by_others = |o: &mut Observed| {
        nowhere(o);
        before(o, 2);
        o.copy(3, "neo4j", |copy| (copy.status, copy.message) = ("unknown".into(), "Server is unavailable".into()));
        let own = o.row(3, "neo4j").copies.iter_mut().find(|copy| copy.server == Some(server(3))).unwrap();
        (own.status, own.message) = ("online".into(), String::new());
    };
    assert_eq!(safe(3, &all, by_others), [1, 2]);
    // Somebody was not asked.
    let not_asked = |o: &mut Observed| {
        nowhere(o);
        before(o, 2);
        o.answer(1).check = Err(Fault::new(Kind::Silent, "no answer within 3 s"));
    };
    assert_eq!(safe(3, &all, not_asked), [0u8; 0]);
}

#[test]
fn a_core_that_replicates_keeps_a_database_from_being_down_although_another_could_be_spared() {
    let all = [("neo4j", &[1, 2, 3, 4, 5][..])];
    let broken = |replicated: bool| {
        move |o: &mut Observed| {
            [1, 2].iter().for_each(|core| full_disk(o, *core, "neo4j"));
            for core in 3..=5 {
                let checks = o.answer(core).check.as_mut().unwrap().iter_mut();
                let checks = checks.filter(|check| check.database == "neo4j");
                checks.for_each(|check| check.replicated = Some(replicated && core == 5));
            }
            o.down_before = [["neo4j".to_owned()].into(), ["neo4j".to_owned()].into()];
        }
    };
    assert_eq!(safe(5, &all, broken(false)), [1, 2]);
    assert_eq!(safe(5, &all, broken(true)), [0u8; 0]);
}

#[test]
fn a_member_that_hosts_nothing_may_go_and_does_not_count() {
    let hosted = [("neo4j", &[1, 2, 3][..])];
    assert_eq!(safe(5, &hosted, |o| o.break_copy(3, "neo4j", "dirty", "broken")), [3, 4, 5]);
}

#[test]
fn a_core_at_odds_with_the_others_is_worth_no_less_than_a_silent_one() {
    let odd = |o: &mut Observed| o.raft(4, "system").voters = [1, 4].map(raft_id).into();
    assert_eq!(safe(5, &[], odd), safe(5, &[], |o| silence(o, 4)));
    assert_eq!(safe(3, &[], |o| o.raft(2, "system").leader = None), [2]);
}

#[test]
fn a_monitor_that_sees_only_system_proves_nothing() {
    let blind = |o: &mut Observed| {
        for core in 1..=3 {
            o.answer(core).view.as_mut().unwrap().databases.retain(|row| row.name == "system");
        }
    };
    insta::assert_snapshot!(after(3, &[NEO4J], blind), @r"
    1: core 2 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE * | core 3 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    2: core 1 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE * | core 3 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    3: core 1 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE * | core 2 shows the user monitor no database but system, so it is not known what else depends on it: the user monitor needs ACCESS ON DATABASE *
    ");
    let mut observed = healthy(3, &[NEO4J]);
    blind(&mut observed);
    observed.members.push(replica(1, &["system"]));
    let warnings: Vec<_> = Quorum::of(&observed).warnings().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    core 1 shows the user monitor no database but system: it lacks rights, which the administrator's next declaration of the user repairs
    core 2 shows the user monitor no database but system: it lacks rights, which the administrator's next declaration of the user repairs
    core 3 shows the user monitor no database but system: it lacks rights, which the administrator's next declaration of the user repairs
    replica 1e9b1ca0 shows the user monitor no database but system: it lacks rights, which the administrator's next declaration of the user repairs
    ");
}

#[test]
fn a_version_without_a_status_check_is_judged_by_a_bounded_lag() {
    let old = |o: &mut Observed| {
        for core in 1..=3 {
            let fault = Fault::new(Kind::Failed, "Neo.ClientError.Procedure.ProcedureNotFound");
            let answer = o.answer(core);
            (answer.page.as_mut().unwrap().version, answer.check) = ("5.23.0".into(), Err(fault));
        }
    };
    assert_eq!(safe(3, &[NEO4J], old), [1, 2, 3]);
    for (behind, want) in [(1_000, vec![1, 2, 3]), (1_001, vec![2])] {
        let lags = |o: &mut Observed| {
            old(o);
            o.raft(2, "neo4j").applied = Some(1_000 - behind);
        };
        assert_eq!(safe(3, &[NEO4J], lags), want, "{behind} entries behind");
    }
    let mut newer = healthy(3, &[NEO4J]);
    old(&mut newer);
    for core in 1..=3 {
        newer.answer(core).page = Ok(crate::neo4j::Page { version: "5.26.33".into(), ..page() });
    }
    assert!(said(&newer).contains("ProcedureNotFound"), "{}", said(&newer));
}

#[test]
fn a_core_that_nobody_expects_is_never_safe() {
    let quorum = Quorum::of(&healthy(3, &[NEO4J]));
    for core in [0, 4, 255] {
        assert_eq!(quorum.unsafe_to_stop(core), [Reason::UnknownCore { core, cores: 3 }]);
    }
    assert!(!Quorum::of(&Observed::default()).unsafe_to_stop(1).is_empty());
}

#[test]
fn the_margin_is_that_of_the_weakest_database() {
    let margin = |cores, databases: &[(&str, &[u8])], change: &dyn Fn(&mut Observed)| {
        let mut observed = healthy(cores, databases);
        change(&mut observed);
        Quorum::of(&observed).margin()
    };
    assert_eq!(margin(3, &[NEO4J], &|_| ()), Some(1));
    assert_eq!(margin(5, &[], &|_| ()), Some(2));
    assert_eq!(margin(5, &[NEO4J], &|_| ()), Some(1));
    assert_eq!(margin(7, &[], &|o| silence(o, 7)), Some(2));
    assert_eq!(margin(3, &[NEO4J], &|o| silence(o, 3)), Some(0));
    assert_eq!(margin(3, &[NEO4J], &|o| o.break_copy(3, "neo4j", "quarantined", "x")), Some(0));
    assert_eq!(margin(3, &[NEO4J], &|o| [2, 3].iter().for_each(|core| silence(o, *core))), Some(-1));
    assert_eq!(margin(3, &[NEO4J], &|o| o.members.clear()), None);
    assert_eq!(margin(3, &[NEO4J], &|o| o.members[0].going = Some(Going::Spot)), Some(1), "it still votes");
    let refused = |o: &mut Observed| o.answer(2).view = Err(Fault::new(Kind::LoginRefused, "401"));
    assert_eq!(margin(3, &[NEO4J], &refused), None, "a login says nothing about health");
}

#[test]
fn the_missing_are_named_with_what_was_seen() {
    let mut observed = healthy(5, &[]);
    silence(&mut observed, 2);
    observed.members[2].answer = None;
    observed.members.retain(|found| found.core != Some(4));
    let mut starting = replica(1, &["system"]);
    starting.answer.as_mut().unwrap().page = Err(Fault::new(Kind::Unreachable, "connection refused"));
    observed.members.extend([replica(2, &["system"]), starting]);
    observed.members.push(Member { task: "next".into(), ..member(5, None) });
    insta::assert_snapshot!(Quorum::of(&observed).missing().join("\n"), @r"
    core 2 does not answer: no answer within 3 s
    core 3 does not answer: the gateway has no answer of its Neo4j (task 3a5c0ffee0000000)
    core 4 has no task
    replica 1e9b1ca0 does not answer: connection refused
    ");
}
