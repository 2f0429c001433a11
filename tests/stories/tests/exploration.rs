//! Faults at every call, in pairs, and events in any order, for every function: a sample in `make check`, all in `make test`.
//! `make soak` goes on for longer.

use std::time::Instant;

use cluster_sim::explore::{self, SUBJECTS};

/// Of how many random orders a sample tries some.
const SEEDS: u64 = 200;
/// Of how many faults and orders a sample tries one. It is a prime: what it leaves out at one call it tries at another.
const SAMPLE: usize = 17;

#[test]
fn a_sample_of_faults_at_every_call_of_every_scenario_is_survived() {
    for subject in SUBJECTS {
        let all = explore::singles(subject, subject.depth, SAMPLE, |_, _| {});
        assert!(all.distinct > 1_000 / SAMPLE, "{}: the scenarios lost their calls: {all:?}", subject.function);
    }
}

#[test]
fn a_sample_of_events_lost_doubled_late_and_out_of_order_is_survived() {
    for subject in SUBJECTS {
        let all = explore::orders(subject, (0..SEEDS).step_by(SAMPLE));
        assert!(all.distinct > 8, "{}: the seeds repeat each other: {all:?}", subject.function);
    }
}

/// One after the other, as each takes both processors.
#[test]
fn explored_whole() {
    for subject in SUBJECTS {
        let (function, began) = (subject.function, Instant::now());
        let mut of_one = Instant::now();
        let all = explore::singles(subject, subject.depth, subject.every, |name, own| {
            println!("{}", own.line(&format!("{function}: faults in {name}"), of_one));
            of_one = Instant::now();
        });
        println!("{}", all.line(&format!("{function}: faults at every call, 1 of {}", subject.every), began));
        assert!(all.distinct > 1_000 / subject.every, "{function}: the scenarios lost their calls: {all:?}");
        for name in subject.paired {
            let began = Instant::now();
            let all = explore::pairs(name, subject.stride);
            println!("{}", all.line(&format!("{function}: pairs in {name}, 1 of {}", subject.stride), began));
            assert!(all.distinct > 900 / subject.stride, "{name}: the scenario lost its calls: {all:?}");
        }
        let began = Instant::now();
        let all = explore::orders(subject, 0..subject.seeds);
        println!("{}", all.line(&format!("{function}: random orders"), began));
        let enough = usize::try_from(subject.seeds).unwrap() * 8 / 10;
        assert!(all.distinct > enough, "{function}: the seeds repeat each other: {all:?}");
    }
}
