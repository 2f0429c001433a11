//! Plays scenarios of every function with faults at every call, in pairs, and with events in any order, and checks after
//! every step what must never happen. Everything is decided by the schedule, so that a failure is played again by its one
//! line.
//!
//! A function registers its scenarios and invariants as an [`Explored`] in [`SUBJECTS`].

mod alarm_router;
mod backups;
mod coverage;
mod dns_replicator;
mod ecs_drain;
mod faults;
mod instance_drainer;
mod rounds;
mod schedule;

use std::{fmt, time::Duration};

use serde_json::Value;

use crate::{
    cluster::Cluster,
    events::{delivered, messages},
    time::play,
    wire::Fault,
};
pub use coverage::{Coverage, Played, orders, pairs, run, scenario, singles};
pub use faults::{Depth, FAULTS};
pub use schedule::Schedule;

/// Every function that is explored.
pub const SUBJECTS: &[Subject] = &[
    Subject::of::<dns_replicator::Members>(),
    Subject::of::<instance_drainer::Instances>(),
    Subject::of::<ecs_drain::Services>(),
    Subject::of::<backups::Backups>(),
    Subject::of::<alarm_router::Alerts>(),
];

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
