//! instance-drainer: instances launch, fail, and leave. It is the function that can lose data.

mod disruptions;
mod ends;
mod foreign;
mod guard;
mod invariants;
mod scenarios;
mod steps;

use std::collections::BTreeSet;

use super::{
    Depth, Explored, Scenario, Wrong, invoke,
    rounds::{Hours, Woken},
};
use crate::{cluster::Cluster, functions::INSTANCE_DRAINER};
use disruptions::Disruptions;
use foreign::Foreign;
use guard::Guard;
use scenarios::SCENARIOS;
use steps::Step;

/// The world of a schedule, with what must hold in it.
pub(super) struct Instances {
    cluster: Cluster,
    hours: Hours,
    /// Whether people have begun to delete the stack.
    deleted: bool,
    foreign: Foreign,
    guard: Guard,
    /// Who is down because the function wanted it.
    disruptions: Disruptions,
    /// Whether the steps were drawn.
    drawn: bool,
    /// Whether AWS has recommended to replace an instance: then it drains in service.
    rebalanced: bool,
    /// The functions that nobody may invoke.
    muted: BTreeSet<String>,
}

impl Explored for Instances {
    type Step = Step;
    const FUNCTION: &'static str = INSTANCE_DRAINER;
    const SCENARIOS: &'static [Scenario<Step>] = SCENARIOS;
    // The one that hands a volume on, and the one that ends members on purpose.
    const PAIRED: &'static [&'static str] = &["loss", "gone"];
    const DEPTH: Depth = Depth::Turns;
    const EVERY: usize = 5;
    const STRIDE: usize = 31;
    const SEEDS: u64 = 100;

    fn open(scenario: Option<&'static Scenario<Step>>, page: usize) -> Self {
        let boots = scenario.is_some_and(|scenario| scenario.name == "boot");
        let cluster = if boots { Cluster::new(3) } else { Cluster::formed(3) };
        let cluster = cluster.only(&[INSTANCE_DRAINER]).quiet();
        let foreign = Foreign::set(&cluster);
        let disruptions = Disruptions::default();
        let own = Guard {
            nodes: cluster.nodes.clone(),
            ecs_cluster: cluster.ecs_cluster.clone(),
            table: cluster.variable("STATE_TABLE").to_owned(),
            disruptions: disruptions.clone(),
        };
        let guard = own.clone();
        let hours = Hours::open(&cluster, page, move |world, request| guard.check(world, request));
        Self {
            cluster,
            hours,
            deleted: false,
            foreign,
            guard: own,
            disruptions,
            drawn: scenario.is_none(),
            rebalanced: false,
            muted: BTreeSet::new(),
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        self.remember();
        match step {
            Step::Delete => self.delete().await?,
            Step::Live(seconds) => self.live(seconds).await?,
            Step::Away(seconds) => self.away(seconds).await,
            step => self.happens(step),
        }
        self.holds()
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let core = draw.usize(1..=3);
        match draw.u8(..24) {
            0 | 1 => Step::Lose(core),
            2 => Step::Unhealthy(core),
            3 => Step::Empty(core),
            4 => Step::Silence(core),
            5 => Step::Hear(core),
            6 => Step::Impair(core),
            7 => Step::Refuse,
            8 => Step::Room(core, draw.bool()),
            9 => Step::Spot(core),
            10 => Step::Rebalance(core),
            11 => Step::Hang(core),
            12 => Step::Kill(core),
            13 => Step::Stop(core),
            14 => Step::Cron(core),
            15 => Step::Fill(core),
            16 => Step::Grow(core),
            _ => Step::Live(draw.u64(1..180)),
        }
    }

    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.jumble_events(draw).await
    }

    async fn converges(&mut self, steps: &[Step]) -> Result<(), Wrong> {
        if steps.contains(&Step::Delete) { self.is_deleted().await } else { self.becomes_whole().await }
    }
}

impl Woken for Instances {
    fn hours(&mut self) -> &mut Hours {
        &mut self.hours
    }

    fn passes(&mut self) {
        self.foreign.lives(&self.cluster);
    }

    fn holds(&self) -> Result<(), Wrong> {
        self.invariants()
    }
}
