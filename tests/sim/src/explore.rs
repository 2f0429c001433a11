//! Plays scenarios of every function with faults at every call, in pairs, and with events in any order, and checks after
//! every step what must never happen. Everything is decided by the schedule, so that a failure is played again by its one
//! line.
//!
//! A function registers its scenarios and invariants as an [`Explored`] in [`SUBJECTS`].

mod dns_replicator;
mod instance_drainer;

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cluster_world::{Kind, neo4j::Lost};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    events::{delivered, messages},
    time::play,
    wire::{Fault, Wire},
};

/// Every function that is explored.
pub const SUBJECTS: &[Subject] =
    &[Subject::of::<dns_replicator::Members>(), Subject::of::<instance_drainer::Instances>()];

/// Every fault that a single call may meet.
pub const FAULTS: &[Fault] = &[
    Fault::Throttle,
    Fault::ServerError,
    Fault::Denied,
    Fault::Reset,
    Fault::ResetAfterEffect,
    Fault::Hang,
    Fault::Outage,
    Fault::CutPage,
    Fault::Stale,
    Fault::Refuse,
    Fault::SecondWriter,
    Fault::Kill,
    Fault::KillAfterEffect,
];

/// One for each thing that can become of a call, for pairs: what the SDK's retries mend is no different from nothing, and
/// a function that dies before anything was written is no different from one that gives up.
const DISTINCT: &[Fault] = &[
    Fault::ResetAfterEffect,
    Fault::Outage,
    Fault::CutPage,
    Fault::Stale,
    Fault::Refuse,
    Fault::SecondWriter,
    Fault::KillAfterEffect,
];

/// Faults of a read that come to the same: the SDK tries again.
const MENDED: &[Fault] = &[Fault::Throttle, Fault::ServerError, Fault::Reset];
/// Faults of a read that come to the same: the invocation ends there, whatever it says.
const ENDS: &[Fault] = &[Fault::Denied, Fault::Outage, Fault::Hang, Fault::Kill];

/// Which of the faults that suit a call are tried there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every one.
    Whole,
    /// Of those that come to the same for a read, one: they take turns from call to call.
    Turns,
}

impl Depth {
    fn tries(self, fault: Fault, call: usize, kind: Kind) -> bool {
        let turn = |of: &[Fault]| of.iter().position(|one| *one == fault).is_none_or(|place| call % of.len() == place);
        // What the SDK mends by another try is hardly a fault: one of three calls is enough.
        let mended = |place: usize| call.is_multiple_of(MENDED.len()) && call / MENDED.len() % MENDED.len() == place;
        let mended = MENDED.iter().position(|one| *one == fault).is_none_or(mended);
        let writes = !matches!(kind, Kind::List | Kind::Read | Kind::Invoke);
        fault.suits(kind) && (self == Self::Whole || writes || (mended && turn(ENDS)))
    }
}

/// The function gives up two seconds before Lambda's timeout.
const TIMEOUT: Duration = Duration::from_secs(28);

/// What went wrong, for people.
pub(crate) type Wrong = String;

/// A story without faults.
#[derive(Debug)]
pub(crate) struct Scenario<Step: 'static> {
    /// Its name in a replay, which no other function has.
    pub name: &'static str,
    /// How many items a page holds.
    pub page: usize,
    /// What happens.
    pub steps: &'static [Step],
}

/// A function's scenarios and invariants.
pub(crate) trait Explored: Sized {
    /// One thing that happens.
    type Step: Copy + fmt::Debug + PartialEq + 'static;
    /// The function's name.
    const FUNCTION: &'static str;
    /// Every story that faults are tried in.
    const SCENARIOS: &'static [Scenario<Self::Step>];
    /// Those in which pairs of faults are tried.
    const PAIRED: &'static [&'static str];
    /// How single faults are tried in the tests, which must keep their time.
    const DEPTH: Depth;
    /// Of how many single faults the tests try one.
    const EVERY: usize;
    /// Of how many pairs the tests try one.
    const STRIDE: usize;
    /// How many random orders are enough for a test.
    const SEEDS: u64;

    /// Sets the stage for a scenario; for random steps when there is none.
    fn open(scenario: Option<&'static Scenario<Self::Step>>, page: usize) -> Self;
    /// Returns the cluster on it.
    fn cluster(&self) -> &Cluster;
    /// Lets one thing happen, and checks what must hold.
    async fn step(&mut self, step: Self::Step) -> Result<(), Wrong>;
    /// Draws one thing that may happen.
    fn draw(draw: &mut fastrand::Rng) -> Self::Step;
    /// Draws which events come, how often and when, and lets the function have them.
    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong>;
    /// Checks that all comes right when the faults are over.
    async fn converges(&mut self, steps: &[Self::Step]) -> Result<(), Wrong>;
}

/// Plays a scenario with faults at the numbered calls.
type Planned = fn(&str, &[(usize, Fault)]) -> Result<Played, Wrong>;

/// A function as the explorer knows it.
pub struct Subject {
    /// Its name.
    pub function: &'static str,
    /// The names of its scenarios.
    pub scenarios: fn() -> Vec<&'static str>,
    /// Those in which pairs of faults are tried.
    pub paired: &'static [&'static str],
    /// How single faults are tried in the tests. The soak tries every one.
    pub depth: Depth,
    /// Of how many single faults the tests try one. The soak tries all.
    pub every: usize,
    /// Of how many pairs the tests try one. The soak tries all.
    pub stride: usize,
    /// How many random orders are enough for a test. The soak draws more.
    pub seeds: u64,
    planned: Planned,
    random: fn(u64) -> Result<Played, Wrong>,
}

impl Subject {
    const fn of<E: Explored>() -> Self {
        Self {
            function: E::FUNCTION,
            scenarios: || E::SCENARIOS.iter().map(|scenario| scenario.name).collect(),
            paired: E::PAIRED,
            depth: E::DEPTH,
            every: E::EVERY,
            stride: E::STRIDE,
            seeds: E::SEEDS,
            planned: |name, faults| play(planned::<E>(name, faults)),
            random: |seed| play(random::<E>(seed)),
        }
    }
}

async fn planned<E: Explored>(name: &str, faults: &[(usize, Fault)]) -> Result<Played, Wrong> {
    let scenario = E::SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or("no such scenario")?;
    let mut stage = E::open(Some(scenario), scenario.page);
    let wire = stage.cluster().wire.clone();
    for (call, fault) in faults {
        wire.plan(*call, *fault);
    }
    for step in scenario.steps {
        stage.step(*step).await?;
    }
    let played = Played::of(&wire);
    wire.calm();
    stage.converges(scenario.steps).await?;
    Ok(played.with_lost(&wire))
}

async fn random<E: Explored>(seed: u64) -> Result<Played, Wrong> {
    let mut draw = fastrand::Rng::with_seed(seed);
    let page = *draw.choice(&[2, 3, 100]).unwrap_or(&100);
    let mut stage = E::open(None, page);
    let wire = stage.cluster().wire.clone();
    let mut steps = Vec::new();
    for _ in 0..draw.usize(4..14) {
        for call in 1..=8 {
            if draw.u8(..10) == 0 {
                wire.plan(call, *draw.choice(FAULTS).unwrap_or(&Fault::Reset));
            }
        }
        let step = E::draw(&mut draw);
        steps.push(step);
        stage.step(step).await?;
        stage.jumble(&mut draw).await?;
    }
    let played = Played::of(&wire);
    wire.calm();
    stage.converges(&steps).await?;
    Ok(played.with_lost(&wire))
}

/// Draws of some events what becomes of them: some get lost, some come twice, some late, and not in their order. Those in
/// `late` come with a later draw.
fn jumbled(draw: &mut fastrand::Rng, mut events: Vec<Value>, late: &mut Vec<Value>) -> Vec<Value> {
    events.append(late);
    draw.shuffle(&mut events);
    let mut now = Vec::new();
    for event in events {
        match draw.u8(..10) {
            0 | 1 => {}
            2 | 3 => late.push(event),
            4 => now.extend([event.clone(), event]),
            _ => now.push(event),
        }
    }
    now
}

/// Invokes the function as Lambda does: it may be killed, and its time is limited. Returns whether it succeeded.
async fn invoke(cluster: &Cluster, event: Value) -> bool {
    tokio::select! {
        biased;
        () = cluster.wire.killed() => false,
        () = tokio::time::sleep(TIMEOUT) => false,
        result = cluster.invoke(event) => result.is_ok(),
    }
}

/// Returns the message of a queue with these events, or with a sweep when there are none.
fn triggers(cluster: &Cluster, events: &[Value]) -> Value {
    let sweep = || vec![cluster.sweep_message(cluster.subject)];
    let bodies: Vec<_> = if events.is_empty() { sweep() } else { events.iter().map(delivered).collect() };
    messages(&bodies)
}

/// What is played: a scenario with faults at the numbered calls, or everything drawn from a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// Scenario and (call, fault), calls counted from 1.
    Planned(&'static str, Vec<(usize, Fault)>),
    /// Of a function: random steps, events lost, doubled, late and out of order, faults at random calls.
    Random(&'static str, u64),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(name, faults) => {
                write!(f, "{name}")?;
                faults.iter().try_for_each(|(call, fault)| write!(f, " {call}:{fault:?}"))
            }
            Self::Random(function, seed) => write!(f, "random {function} {seed}"),
        }
    }
}

/// Returns the names of all scenarios.
fn names() -> Vec<&'static str> {
    SUBJECTS.iter().flat_map(|subject| (subject.scenarios)()).collect()
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "random" {
            let function = words.next().and_then(|name| SUBJECTS.iter().find(|subject| subject.function == name));
            let seed = words.next().and_then(|seed| seed.parse().ok());
            let wanted = "random wants the name of a function and a seed: a number";
            let (function, seed) = function.zip(seed).ok_or(wanted)?;
            return Ok(Self::Random(function.function, seed));
        }
        let none = || format!("no scenario {name:?}: there are {} and random", names().join(", "));
        let name = names().into_iter().find(|known| *known == name).ok_or_else(none)?;
        let fault = |word: &str| {
            let (call, name) = word.split_once(':')?;
            let fault = FAULTS.iter().find(|fault| format!("{fault:?}") == name)?;
            Some((call.parse().ok()?, *fault))
        };
        let faults = words.map(|word| fault(word).ok_or_else(|| format!("{word:?} is no fault such as 7:Kill")));
        Ok(Self::Planned(name, faults.collect::<Result<_, _>>()?))
    }
}

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
    fn of(wire: &Wire) -> Self {
        Self { calls: wire.calls(), struck: wire.struck(), lost: Lost::default() }
    }

    fn with_lost(self, wire: &Wire) -> Self {
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
