//! Faults at every call, in pairs, and events in any order: a sample in `make check`, all in `make test`. `make soak` goes
//! on for longer.

use std::time::Instant;

use cluster_sim::explore;

/// How many random orders are enough for a test.
const SEEDS: u64 = 400;
/// Of how many faults and orders a sample tries one. It is a prime: what it leaves out at one call it tries at another.
pub(crate) const SAMPLE: usize = 17;

#[test]
fn a_sample_of_faults_at_every_call_of_every_scenario_is_survived() {
    let all = explore::triples(SAMPLE, |_, _| {});
    assert!(all.distinct > 800 / SAMPLE, "the scenarios lost their calls: {all:?}");
}

#[test]
fn a_sample_of_events_lost_doubled_late_and_out_of_order_is_survived() {
    let all = explore::orders((0..SEEDS).step_by(SAMPLE));
    assert!(all.distinct > 15, "the seeds repeat each other: {all:?}");
}

mod explored_whole {
    use super::{Instant, SEEDS, explore};

    #[test]
    fn every_fault_at_every_call_of_every_scenario_is_survived() {
        let began = Instant::now();
        let all = explore::triples(1, |_, _| {});
        println!("{}", all.line("every fault at every call", began));
        assert!(all.distinct > 800, "the scenarios lost their calls: {all:?}");
    }

    #[test]
    fn pairs_of_faults_in_a_restart_are_survived() {
        let began = Instant::now();
        let all = explore::pairs(explore::LONGEST[0]);
        println!("{}", all.line("every pair in a restart", began));
        assert!(all.distinct > 1_000, "the scenario lost its calls: {all:?}");
    }

    #[test]
    fn pairs_of_faults_while_shrinking_are_survived() {
        let began = Instant::now();
        let all = explore::pairs(explore::LONGEST[1]);
        println!("{}", all.line("every pair while shrinking", began));
        assert!(all.distinct > 1_000, "the scenario lost its calls: {all:?}");
    }

    #[test]
    fn events_lost_doubled_late_and_out_of_order_are_survived() {
        let began = Instant::now();
        let all = explore::orders(0..SEEDS);
        println!("{}", all.line("random orders", began));
        assert!(all.distinct * 10 > usize::try_from(SEEDS).unwrap() * 8, "the seeds repeat each other: {all:?}");
    }
}
