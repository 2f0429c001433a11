//! Many schedules, and how much they covered.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use cluster_world::{Kind, neo4j::Lost};

use super::{Depth, FAULTS, SUBJECTS, Schedule, Subject, faults::DISTINCT};
use crate::wire::{Fault, Wire};

/// What came of a schedule.
#[derive(Clone, Debug)]
pub struct Played {
    /// The calls that came while faults could.
    pub calls: Vec<Kind>,
    /// The faults that made a difference.
    pub struck: Vec<(usize, Fault)>,
    /// How long databases had no majority, until all had come right, and whose doing that was.
    pub lost: Lost,
}

impl Played {
    pub(super) fn of(wire: &Wire) -> Self {
        Self { calls: wire.calls(), struck: wire.struck(), lost: Lost::default() }
    }

    pub(super) fn with_lost(self, wire: &Wire) -> Self {
        let mut lost = Lost::default();
        wire.without_majority().into_values().for_each(|of_one| lost += of_one);
        Self { lost, ..self }
    }
}

/// How much was explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
    /// Schedules that were different.
    pub distinct: usize,
    /// Schedules whose faults could make no difference, and so were the same as ones with fewer.
    pub pruned: usize,
    /// Calls to the world.
    pub calls: usize,
    /// How long databases had no majority.
    pub lost: Lost,
}

/// Plays a schedule.
#[must_use]
pub fn run(schedule: &Schedule) -> Played {
    let told = match schedule {
        Schedule::Planned(name, faults) => {
            let subject = SUBJECTS.iter().find(|subject| (subject.scenarios)().contains(name)).unwrap();
            (subject.planned)(name, faults)
        }
        Schedule::Random(function, seed) => {
            let subject = SUBJECTS.iter().find(|subject| subject.function == *function).unwrap();
            (subject.random)(*seed)
        }
    };
    told.unwrap_or_else(|wrong| panic!("{wrong}\nplay it again: cargo run -q --bin explore -- {schedule}"))
}

/// Runs pieces of work on two threads, and sums up what they covered.
fn side_by_side<T: Sync>(work: &[T], one: impl Fn(&T) -> Coverage + Sync) -> Coverage {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Coverage::default()));
    std::thread::scope(|scope| {
        let threads = [(), ()].map(|()| {
            scope.spawn(|| {
                while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let own = one(piece);
                    all.lock().unwrap().add(own);
                }
            })
        });
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    all.into_inner().unwrap()
}

/// Tries every fault at every call of every scenario of a function, or of these every so-many-th.
pub fn singles(subject: &Subject, depth: Depth, every: usize, mut tell: impl FnMut(&str, Coverage)) -> Coverage {
    let mut all = Coverage::default();
    for (place, name) in (subject.scenarios)().into_iter().enumerate() {
        let own = scenario(name, depth, every, place);
        tell(name, own);
        all.add(own);
    }
    all
}

/// Tries every fault at every call of a scenario, or of these every so-many-th from one on.
#[must_use]
pub fn scenario(name: &'static str, depth: Depth, every: usize, from: usize) -> Coverage {
    let mut nth = from;
    let calls = run(&Schedule::Planned(name, vec![])).calls;
    let mut work = Vec::new();
    for (call, kind) in (1..).zip(calls) {
        for fault in FAULTS {
            // Those that make no difference are counted only.
            let tries = depth.tries(*fault, call, kind);
            if !tries || nth.is_multiple_of(every) {
                work.push((tries, (call, *fault)));
            }
            nth += usize::from(tries);
        }
    }
    side_by_side(&work, |(tries, fault)| Coverage::of_one(name, *tries, vec![*fault]))
}

/// Tries every pair of distinct faults at every two calls of a scenario, or of these every so-many-th.
#[must_use]
pub fn pairs(name: &'static str, every: usize) -> Coverage {
    let calls = run(&Schedule::Planned(name, vec![])).calls;
    let firsts: Vec<_> = (1..)
        .zip(calls)
        .flat_map(|(call, kind)| DISTINCT.iter().filter(move |fault| fault.suits(kind)).map(move |f| (call, *f)))
        .collect();
    let firsts: Vec<_> = firsts.into_iter().enumerate().collect();
    side_by_side(&firsts, |(place, (first, fault))| {
        let mut all = Coverage::default();
        let alone = run(&Schedule::Planned(name, vec![(*first, *fault)]));
        let mut nth = *place;
        for (second, kind) in (1..).zip(alone.calls.iter().copied()).skip(*first) {
            for other in DISTINCT {
                if alone.struck.is_empty() {
                    all.pruned += 1;
                } else if !other.suits(kind) || nth.is_multiple_of(every) {
                    all.add(Coverage::of_one(name, other.suits(kind), vec![(*first, *fault), (second, *other)]));
                }
                nth += usize::from(other.suits(kind));
            }
        }
        all
    })
}

/// Plays random schedules of a function.
#[must_use]
pub fn orders(subject: &Subject, seeds: impl Iterator<Item = u64>) -> Coverage {
    let seen = Mutex::new(BTreeSet::new());
    let seeds: Vec<_> = seeds.collect();
    side_by_side(&seeds, |seed| {
        let played = run(&Schedule::Random(subject.function, *seed));
        let (calls, lost) = (played.calls.len(), played.lost);
        let new = seen.lock().unwrap().insert((calls, played.struck));
        Coverage { distinct: usize::from(new), pruned: usize::from(!new), calls, lost }
    })
}

impl Coverage {
    /// Plays a schedule, unless its last fault makes no difference there.
    fn of_one(name: &'static str, differs: bool, faults: Vec<(usize, Fault)>) -> Self {
        if !differs {
            return Self { pruned: 1, ..Self::default() };
        }
        let wanted = faults.len();
        let played = run(&Schedule::Planned(name, faults));
        let distinct = usize::from(played.struck.len() >= wanted);
        Self { distinct, pruned: 1 - distinct, calls: played.calls.len(), lost: played.lost }
    }

    fn add(&mut self, other: Self) {
        self.distinct += other.distinct;
        self.pruned += other.pruned;
        self.calls += other.calls;
        self.lost += other.lost;
    }

    /// Returns one line for people.
    #[must_use]
    pub fn line(&self, what: &str, began: Instant) -> String {
        let seconds = began.elapsed().as_secs_f64();
        let Self { distinct, pruned, calls, lost } = self;
        let (ours, taken) = (lost.functions.as_secs(), lost.aws.as_secs());
        format!(
            "{what:<44} {distinct:>6} schedules, {pruned:>6} pruned, {calls:>8} calls, {seconds:.1} s; without a majority {ours} s \
             by functions, {taken} s by AWS"
        )
    }
}
