use super::{
    cluster::{Alter, healthy, server},
    *,
};

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
    let mut unasked = observed.clone();
    unasked.answer(1).check = Err(Fault::new(Kind::Silent, "no answer within 3 s"));
    assert!(Quorum::of(&unasked).down().is_empty(), "core 1 answers, and was not asked");
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
            for core in [1, 2] {
                full_disk(o, core, "neo4j");
            }
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
