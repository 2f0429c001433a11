//! backup-scheduler and backup-pruner: slots, jobs that go wrong, and what is deleted.

mod guard;
mod truth;

use std::collections::BTreeSet;

use cluster_world::batch::{Outcome, Queue};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Depth, Explored, Scenario, Wrong, invoke,
    rounds::{Hours, Woken},
};
use crate::{
    cluster::Cluster,
    events::messages,
    functions::{BACKUP_PRUNER, BACKUP_SCHEDULER},
    wire::Fault,
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A slot for full backups is due.
    Full,
    /// A slot for differentials is due.
    Differential,
    /// The next job of the database does this.
    Plan(Outcome),
    /// The queue with Spot capacity, and the other one, have room or none.
    Room(bool, bool),
    /// A core's Neo4j stands still, or goes on.
    Hang(usize, bool),
    /// People make another database, or drop it.
    Another(bool),
    /// Old chains lie in the bucket, as if backups had been taken for weeks.
    Fill,
    /// The pruner is due.
    Prune,
    /// Seconds pass.
    Live(u64),
    /// Seconds pass, and nothing wakes the function.
    Away(u64),
}
use Step::{Another, Away, Differential, Fill, Full, Hang, Live, Plan, Prune, Room};

const MINUTE: u64 = 60;
const JOB: u64 = 6 * MINUTE;
const SCENARIOS: &[Scenario<Step>] = &[
    Scenario { name: "chain", page: 2, steps: &[Full, Live(JOB), Differential, Live(JOB)] },
    Scenario { name: "both", page: 100, steps: &[Full, Live(JOB), Full, Differential, Live(JOB)] },
    Scenario {
        name: "failed",
        page: 100,
        steps: &[Plan(Outcome::BrokenCheck), Full, Live(JOB), Differential, Live(JOB)],
    },
    Scenario {
        name: "gap",
        page: 100,
        steps: &[Full, Live(JOB), Plan(Outcome::Gap), Differential, Live(JOB), Differential, Live(JOB)],
    },
    Scenario {
        name: "unproven",
        page: 100,
        steps: &[Plan(Outcome::CutLog), Full, Live(JOB), Away(15 * MINUTE), Live(MINUTE), Differential, Live(JOB)],
    },
    Scenario {
        name: "starved",
        page: 100,
        steps: &[Room(false, true), Full, Live(MINUTE), Away(15 * MINUTE), Live(2 * MINUTE), Live(JOB)],
    },
    Scenario {
        name: "unheard",
        page: 100,
        steps: &[
            Hang(1, true),
            Hang(2, true),
            Hang(3, true),
            Full,
            Live(90),
            Hang(1, false),
            Hang(2, false),
            Hang(3, false),
            Live(JOB),
        ],
    },
    Scenario {
        name: "another",
        page: 100,
        steps: &[Full, Live(JOB), Another(true), Live(MINUTE), Differential, Live(JOB)],
    },
    Scenario { name: "prune", page: 100, steps: &[Fill, Prune, Prune] },
];

/// How many minutes all that takes which waits for a clock: a job without capacity in both queues, and a log that is missing.
const PATIENCE: i64 = 180;

/// The world of a schedule, with what must hold in it.
pub(super) struct Backups {
    cluster: Cluster,
    hours: Hours,
    /// Messages of slots that the function failed with, and how often it had them.
    again: Vec<(String, u8)>,
    /// The slots that have come.
    slots: Vec<(&'static str, Timestamp)>,
}

impl Explored for Backups {
    type Step = Step;
    const FUNCTION: &'static str = "backups";
    const SCENARIOS: &'static [Scenario<Step>] = SCENARIOS;
    const PAIRED: &'static [&'static str] = &[];
    const DEPTH: Depth = Depth::Turns;
    const EVERY: usize = 11;
    const STRIDE: usize = 31;
    const SEEDS: u64 = 40;

    fn open(_: Option<&'static Scenario<Step>>, page: usize) -> Self {
        let mut cluster = Cluster::formed(3).quiet().only(&[BACKUP_SCHEDULER]);
        cluster.subject = BACKUP_SCHEDULER;
        let (bucket, prefix) =
            (cluster.variable("BACKUP_BUCKET").to_owned(), cluster.variable("BACKUP_PREFIX").to_owned());
        let hours = Hours::open(&cluster, page, move |world, request| guard::check(world, request, &bucket, &prefix));
        Self { cluster, hours, again: vec![], slots: vec![] }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        self.remember();
        match step {
            Full => self.slot("full").await?,
            Differential => self.slot("differential").await?,
            Prune => self.prune().await?,
            Live(seconds) => {
                for _ in 0..seconds.div_ceil(5) {
                    self.tick().await?;
                    self.deliver_again().await?;
                }
            }
            Away(seconds) => self.away(seconds).await,
            step => self.happens(step),
        }
        self.holds()
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let outcomes = [
            Outcome::BrokenCheck,
            Outcome::Fails(1),
            Outcome::Reclaimed { uploaded: true },
            Outcome::Reclaimed { uploaded: false },
            Outcome::Hangs,
            Outcome::OtherDatabase,
            Outcome::Gap,
            Outcome::Full,
            Outcome::Silent,
            Outcome::NoLog,
            Outcome::CutLog,
        ];
        match draw.u8(..20) {
            0..=2 => Full,
            3..=6 => Differential,
            7..=9 => Plan(*draw.choice(&outcomes).unwrap_or(&Outcome::Good)),
            10 => Room(draw.bool(), draw.bool()),
            11 => Hang(draw.usize(1..=3), draw.bool()),
            12 => Another(draw.bool()),
            13 => Prune,
            14 => Away(draw.u64(60..1_200)),
            _ => Live(draw.u64(1..600)),
        }
    }

    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.jumble_events(draw).await
    }

    /// Every job is judged, every slot has its trace, and the next slot is a good backup of every database.
    async fn converges(&mut self, _: &[Step]) -> Result<(), Wrong> {
        self.happens(Room(true, true));
        for core in 1..=3 {
            self.happens(Hang(core, false));
        }
        self.settle().await?;
        self.traced()?;
        self.cluster.wire.world().batch.outcomes.clear();
        self.slot("full").await?;
        self.settle().await?;
        let now = self.cluster.wire.world().now;
        let good = truth::newest_good(&self.cluster);
        for database in ["neo4j", "system"] {
            let age = good.get(database).map(|taken| now.duration_since(*taken).as_mins());
            if age.is_none_or(|age| age > PATIENCE) {
                return Err(format!(
                    "the newest good backup of {database} is {age:?} minutes old\n{}",
                    self.told().await
                ));
            }
        }
        self.writes_nothing().await?;
        self.holds()
    }
}

impl Backups {
    /// Lets one thing happen that takes no time.
    fn happens(&self, step: Step) {
        let cluster = &self.cluster;
        let queue = |variable: &str| cluster.variable(variable).rsplit('/').next().unwrap_or_default().to_owned();
        let mut world = cluster.wire.world();
        match step {
            Plan(outcome) => world.plan_job("neo4j", outcome),
            Room(spot, on_demand) => {
                for (variable, room) in [("JOB_QUEUE", spot), ("ON_DEMAND_JOB_QUEUE", on_demand)] {
                    world.batch.queues.insert(queue(variable), Queue { capacity: (!room).then_some(0) });
                }
            }
            Hang(core, hangs) => {
                drop(world);
                let task = cluster.a_task(&format!("core-{core}"));
                cluster.wire.world().hang_member(&task, hangs);
            }
            Another(true) => _ = world.create_database(&cluster.ecs_cluster, "another", 3, 0),
            Another(false) => _ = world.drop_database(&cluster.ecs_cluster, "another"),
            Fill => {
                let (bucket, prefix) = (cluster.variable("BACKUP_BUCKET"), cluster.variable("BACKUP_PREFIX"));
                truth::fill(&mut world, bucket, prefix);
            }
            Full | Differential | Prune | Live(_) | Away(_) => {}
        }
    }

    /// A slot is due now. Its message is handed on again when the function fails with it, as the queue does.
    async fn slot(&mut self, kind: &'static str) -> Result<(), Wrong> {
        let now = self.cluster.wire.world().now;
        let due = Timestamp::from_second(now.as_second()).unwrap_or(now);
        if self.slots.contains(&(kind, due)) {
            return Ok(());
        }
        self.slots.push((kind, due));
        let time = due.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event = json!({"source": "neo4j.cluster", "detail-type": "Backup", "time": time, "detail": {"type": kind}});
        self.again.push((event.to_string(), 0));
        self.deliver_again().await
    }

    async fn deliver_again(&mut self) -> Result<(), Wrong> {
        for (body, received) in std::mem::take(&mut self.again) {
            let taken = invoke(&self.cluster, messages(std::slice::from_ref(&body))).await;
            self.holds()?;
            if !taken {
                self.again.push((body, received + 1));
            }
        }
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), Wrong> {
        self.cluster.subject = BACKUP_PRUNER;
        let message = self.cluster.sweep_message(BACKUP_PRUNER);
        _ = invoke(&self.cluster, messages(&[message])).await;
        self.cluster.subject = BACKUP_SCHEDULER;
        self.holds()
    }

    /// Lets time pass until no slot and no job is open.
    async fn settle(&mut self) -> Result<(), Wrong> {
        let ends = self.cluster.wire.world().now + SignedDuration::from_mins(PATIENCE);
        while !self.again.is_empty() || truth::is_open(&self.cluster.wire.world()) {
            if self.cluster.wire.world().now > ends {
                return Err(format!("slots or jobs are open after {PATIENCE} minutes\n{}", self.told().await));
            }
            // What hangs is ended by a clock of half a day.
            let hanging = truth::hanging(&self.cluster.wire.world());
            for id in hanging {
                self.cluster.wire.world().reclaim_host(&id);
            }
            self.live(30).await?;
            self.deliver_again().await?;
        }
        Ok(())
    }

    /// Each slot of each database is in a manifest, or was refused, or its job never ran. What counts these dies with an invocation that
    /// is killed: then only the age of the backups tells.
    fn traced(&self) -> Result<(), Wrong> {
        let silenced =
            |fault: &Fault| !matches!(fault, Fault::Throttle | Fault::ServerError | Fault::CutPage | Fault::Stale);
        if self.cluster.wire.struck().iter().any(|(_, fault)| silenced(fault)) {
            return Ok(());
        }
        let taken = truth::slots(&self.cluster);
        let slots =
            self.slots.iter().flat_map(|(_, due)| ["neo4j", "system"].map(|database| (database.to_owned(), *due)));
        let missing: BTreeSet<_> = slots.filter(|slot| !taken.contains(slot)).collect();
        let lines = self.cluster.metrics.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sum = |name: &str| lines.iter().filter_map(|line| line[name].as_f64()).sum::<f64>();
        // A whole slot that is refused counts once.
        let told = 2.0 * sum("BackupsRefused") + sum("BackupsFailed");
        if f64::from(u32::try_from(missing.len()).unwrap_or(u32::MAX)) > told {
            return Err(format!("slots without a trace: {missing:?}, and {told} told"));
        }
        Ok(())
    }

    async fn told(&self) -> String {
        let sees = self.cluster.invoke(json!({"dryRun": true})).await;
        sees.map_or_else(|failure| failure.chain(), |answer| answer["table"].as_str().unwrap_or_default().to_owned())
    }
}

impl Woken for Backups {
    fn hours(&mut self) -> &mut Hours {
        &mut self.hours
    }

    fn holds(&self) -> Result<(), Wrong> {
        let found = self.cluster.wire.wrong().map_or(Ok(()), Err);
        found.and_then(|()| truth::one_writer(&self.cluster.wire.world()))
    }
}
