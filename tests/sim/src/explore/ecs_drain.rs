//! instance-drainer by itself: the instances of somebody's services, without a Neo4j.

mod guard;
mod services;

use super::{
    Depth, Explored, Scenario, Wrong,
    rounds::{Hours, Woken},
};
use crate::cluster::Cluster;
use services::{CRON, GROUP, HOOK, SERVICES, THEIRS, WEB, ZONE, furnished};

/// One thing that happens; instances are numbered in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its group replaces an instance.
    Unhealthy(usize),
    /// The group wants so many instances.
    Want(usize),
    /// An instance ends without asking anybody.
    Lose(usize),
    /// Its agent goes silent.
    Silence(usize),
    /// It speaks again.
    Hear(usize),
    /// EC2's status check of it fails.
    Impair(usize),
    /// AWS takes it in two minutes.
    Spot(usize),
    /// AWS recommends to replace it.
    Rebalance(usize),
    /// People empty it.
    Empty(usize),
    /// Somebody's own task runs on it.
    Cron(usize),
    /// ECS places a task of the service there, as it decided before.
    Late(usize),
    /// People stop the tasks on it in the console.
    Stop(usize),
    /// The zone has no room, or room again.
    Room(bool),
    /// Seconds pass.
    Live(u64),
    /// Seconds pass, and nothing wakes the function.
    Away(u64),
}
use Step::{Away, Cron, Hear, Impair, Late, Live, Lose, Room, Silence, Spot, Stop, Unhealthy, Want};

const MINUTE: u64 = 60;
const SCENARIOS: &[Scenario<Step>] = &[
    // Its service keeps every task until another runs elsewhere; the daemon's stops last.
    Scenario { name: "service", page: 2, steps: &[Unhealthy(0), Live(2 * MINUTE)] },
    // It outlives its grace.
    Scenario {
        name: "standalone",
        page: 100,
        steps: &[Cron(0), Unhealthy(0), Away(20), Live(5), Away(590), Live(MINUTE)],
    },
    Scenario { name: "interrupted", page: 100, steps: &[Cron(0), Spot(0), Live(150)] },
    // Nothing can be started elsewhere: the instance is kept until there is room. One look may fail before the hook runs out.
    Scenario {
        name: "kept",
        page: 100,
        steps: &[
            Room(false),
            Unhealthy(0),
            Live(10),
            Away(840),
            Live(5),
            Away(840),
            Live(5),
            Away(840),
            Live(5),
            Away(840),
            Live(5),
            Away(300),
            Live(10),
            Room(true),
            Live(3 * MINUTE),
        ],
    },
    Scenario {
        name: "wreck",
        page: 100,
        steps: &[
            Cron(0),
            Silence(0),
            Impair(0),
            Live(20),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
        ],
    },
    Scenario {
        name: "mute",
        page: 100,
        steps: &[
            Unhealthy(0),
            Live(5),
            Silence(0),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
            Hear(0),
        ],
    },
    Scenario { name: "late", page: 2, steps: &[Unhealthy(0), Away(30), Live(10), Late(0), Live(MINUTE)] },
    Scenario {
        name: "fewer",
        page: 100,
        steps: &[Cron(1), Want(1), Live(20), Stop(0), Stop(1), Lose(0), Live(MINUTE)],
    },
];

/// How many minutes all that takes which waits for a clock: an instance that is given up, and the grace of its tasks.
const PATIENCE: i64 = 120;

/// The world of a schedule, with what must hold in it.
pub(super) struct Services {
    cluster: Cluster,
    hours: Hours,
    before: serde_json::Value,
}

impl Explored for Services {
    type Step = Step;
    const FUNCTION: &'static str = "ecs-drain";
    const SCENARIOS: &'static [Scenario<Step>] = SCENARIOS;
    const PAIRED: &'static [&'static str] = &[];
    const DEPTH: Depth = Depth::Turns;
    const EVERY: usize = 5;
    const STRIDE: usize = 31;
    const SEEDS: u64 = 50;

    fn open(_: Option<&'static Scenario<Step>>, page: usize) -> Self {
        let cluster = Cluster::alone_in(furnished()).quiet();
        let table = cluster.variable("STATE_TABLE").to_owned();
        let hours = Hours::open(&cluster, page, move |world, request| guard::check(world, request, &table));
        let before = services::theirs(&cluster.wire.world());
        Self { cluster, hours, before }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        self.remember();
        match step {
            Live(seconds) => self.live(seconds).await?,
            Away(seconds) => self.away(seconds).await,
            step => self.happens(step),
        }
        self.holds()
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let nth = draw.usize(..3);
        match draw.u8(..20) {
            0 | 1 => Step::Unhealthy(nth),
            2 => Step::Want(nth),
            3 => Step::Lose(nth),
            4 => Step::Silence(nth),
            5 => Step::Hear(nth),
            6 => Step::Impair(nth),
            7 => Step::Spot(nth),
            8 => Step::Rebalance(nth),
            9 => Step::Empty(nth),
            10 | 11 => Step::Cron(nth),
            12 => Step::Late(nth),
            13 => Step::Stop(nth),
            14 => Step::Room(draw.bool()),
            _ => Step::Live(draw.u64(1..180)),
        }
    }

    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.jumble_events(draw).await
    }

    /// Every instance serves, and then nothing is written any more.
    async fn converges(&mut self, _: &[Step]) -> Result<(), Wrong> {
        self.happens(Step::Room(true));
        self.happens(Step::Want(2));
        let ends = self.cluster.wire.world().now + jiff::SignedDuration::from_mins(PATIENCE);
        while !services::all_serve(&self.cluster.wire.world()) {
            if self.cluster.wire.world().now > ends {
                let sees = self.cluster.invoke(serde_json::json!({"dryRun": true})).await;
                let sees = sees.map_or_else(|failure| failure.chain(), |answer| answer["steps"].to_string());
                return Err(format!("not all serve after {PATIENCE} minutes\n{}\n{sees}", self.cluster.picture()));
            }
            services::help(&mut self.cluster.wire.world());
            self.live(30).await?;
        }
        // Clocks go in the round that sees that they may.
        self.live(2 * MINUTE).await?;
        let answer = self.writes_nothing().await?;
        if answer["reconciled"]["steps"] != serde_json::json!([]) {
            return Err(format!("the idle round sees something to do: {answer}"));
        }
        self.holds()
    }
}

impl Services {
    /// Lets one thing happen that takes no time.
    fn happens(&self, step: Step) {
        let mut world = self.cluster.wire.world();
        let of = |world: &cluster_world::World, nth: usize| services::nth(world, nth);
        match step {
            Step::Unhealthy(nth) => _ = of(&world, nth).map(|id| world.mark_unhealthy(&id)),
            Step::Want(wanted) => world.want(GROUP, wanted),
            Step::Lose(nth) => _ = of(&world, nth).map(|id| world.lose_instance(&id)),
            Step::Silence(nth) => _ = of(&world, nth).map(|id| world.silence(&id)),
            Step::Hear(nth) => _ = of(&world, nth).map(|id| world.hear(&id)),
            Step::Impair(nth) => _ = of(&world, nth).map(|id| world.impair(&id)),
            Step::Spot(nth) => _ = of(&world, nth).map(|id| world.interrupt(&id)),
            Step::Rebalance(nth) => _ = of(&world, nth).map(|id| world.recommend_rebalance(&id)),
            Step::Empty(nth) => _ = of(&world, nth).map(|id| world.set_status(&id, "DRAINING")),
            Step::Cron(nth) | Step::Late(nth) => {
                let Some((_, address)) = of(&world, nth).and_then(|id| world.registered(&id)) else { return };
                if matches!(step, Step::Cron(_)) {
                    world.run_task(SERVICES, CRON, address);
                } else {
                    world.place_late(SERVICES, WEB, address);
                }
            }
            Step::Stop(nth) => {
                let tasks: Vec<_> = of(&world, nth).map_or_else(Vec::new, |id| world.tasks_on(&id).collect());
                for task in &tasks {
                    world.stop(SERVICES, task);
                }
            }
            Step::Room(true) => _ = world.ec2.no_capacity.remove(ZONE),
            Step::Room(false) => _ = world.ec2.no_capacity.insert(ZONE.to_owned()),
            Step::Live(_) | Step::Away(_) => {}
        }
    }
}

impl Woken for Services {
    fn hours(&mut self) -> &mut Hours {
        &mut self.hours
    }

    fn holds(&self) -> Result<(), Wrong> {
        let found = self.cluster.wire.wrong().map_or(Ok(()), Err);
        let found = found.and_then(|()| {
            let world = self.cluster.wire.world();
            let theirs = services::theirs(&world);
            if theirs != self.before {
                return Err(format!("{THEIRS} was {} and is {theirs}", self.before));
            }
            self.hours.no_hook_runs_out(&world, std::iter::once(GROUP), &[HOOK])
        });
        found.map_err(|wrong| format!("{wrong}\n{}", self.cluster.picture()))
    }
}
