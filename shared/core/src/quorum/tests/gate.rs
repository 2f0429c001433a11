use super::{
    cluster::{Alter, healthy, member, page, raft_id, replica, server},
    *,
};

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
    let table: [Change; 12] = [
        Box::new(|o| o.members.retain(|member| member.core != Some(2))),
        Box::new(|o| o.members[1].answer = None),
        Box::new(|o| o.answer(2).page = Err(Fault::new(Kind::Unreachable, "connection refused"))),
        Box::new(|o| o.answer(2).raft = Err(Fault::new(Kind::NotFound, "404 of GET /dbms/cluster/status"))),
        Box::new(|o| {
            o.answer(2).view = Err(Fault::new(Kind::LoginRefused, "401 Neo.ClientError.Security.Unauthorized"));
        }),
        Box::new(|o| o.answer(2).view = Err(Fault::new(Kind::NotAsked, "it left a statement unanswered"))),
        Box::new(|o| o.answer(2).check = Err(Fault::new(Kind::Silent, "no answer within 3 s"))),
        // 2026 has a status check: that it is not found is a fault.
        Box::new(|o| o.answer(2).check = Err(Fault::new(Kind::NotFound, "ProcedureNotFound"))),
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
    core 2 cannot be relied on: its Neo4j is server server-9, but this core was server server-2: it has lost its data, or its address is somebody else's now
    core 2 cannot be relied on: its Neo4j is server server-3, and so is that of core 3: an address is somebody else's now | core 3 cannot be relied on: its Neo4j is server server-3, and so is that of core 2: an address is somebody else's now
    core 2 cannot be relied on: several of its tasks answer: 2a5c0ffee0000000, second
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
        });
    };
    assert_eq!(safe(3, &[("all", &[1][..])], composite), [1, 2, 3]);
}

#[test]
fn a_member_that_hosts_nothing_may_go_and_does_not_count() {
    let hosted = [("neo4j", &[1, 2, 3][..])];
    assert_eq!(safe(5, &hosted, |o| o.break_copy(3, "neo4j", "dirty", "broken")), [3, 4, 5]);
}

#[test]
fn a_broken_copy_has_lost_its_say_about_the_others() {
    // Their status checks reach nobody.
    let cut_off = |o: &mut Observed| {
        for core in [2, 3] {
            let checks = o.answer(core).check.clone();
            full_disk(o, core, "wide");
            o.answer(core).check = checks;
            for check in o.answer(core).check.as_mut().unwrap().iter_mut().filter(|check| check.database == "wide") {
                (check.replicated, check.status) = (Some(false), Some("UNAVAILABLE".into()));
            }
        }
    };
    assert_eq!(safe(7, &[], cut_off), [1, 2, 3, 4, 5, 6, 7], "four of seven voters remain");
    assert_eq!(safe(5, &[], cut_off), [2, 3]);
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
    the user monitor lacks rights on core 1: what it says there does not count
    the user monitor lacks rights on core 2: what it says there does not count
    the user monitor lacks rights on core 3: what it says there does not count
    the user monitor lacks rights on replica 1e9b1ca0: what it says there does not count
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
