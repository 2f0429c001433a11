//! Plays scenarios with faults at every call, in pairs, and with events in any order, and checks after every step what
//! must never happen. Everything is decided by the schedule, so that a failure is played again by its one line.

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use cluster_world::{Kind, ecs, route53::RecordSet};
use serde_json::json;

use crate::{
    inside::{CLUSTER, DOMAIN, Inside, delivered, messages, play},
    wire::Fault,
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A service wants so many tasks, and there are machines for them.
    Scale(&'static str, u8),
    /// The first task of a service turns unhealthy.
    Fail(&'static str),
    /// The first task of a service is stopped, and replaced.
    Stop(&'static str),
    /// All tasks of a service are stopped at once.
    Restart(&'static str),
    /// Cloud Map keeps an instance of a task that nobody knows any more.
    Leak,
    /// Somebody puts a CNAME under the replicas' name.
    Occupy,
    /// Somebody takes it away.
    Vacate,
    /// Seconds pass.
    Wait(u64),
    /// The function is invoked with the events since the last time.
    Pass,
    /// CloudFormation deletes the stack, and asks as often as it takes.
    Delete,
}
use Step::{Delete, Fail, Leak, Occupy, Pass, Restart, Scale, Stop, Vacate, Wait};

/// A story without faults.
#[derive(Debug)]
pub struct Scenario {
    /// Its name in a replay.
    pub name: &'static str,
    /// How many items a page holds.
    page: usize,
    steps: &'static [Step],
}

/// Every story that faults are tried in.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "join", page: 100, steps: &[Scale("core", 3), Wait(20), Pass, Wait(30), Pass] },
    Scenario {
        name: "replace",
        page: 100,
        steps: &[Scale("core", 3), Wait(60), Pass, Fail("core"), Pass, Wait(20), Pass, Wait(60), Pass],
    },
    Scenario {
        name: "grow",
        page: 2,
        steps: &[Scale("core", 3), Wait(60), Pass, Scale("core", 5), Scale("replica", 3), Wait(60), Pass],
    },
    Scenario {
        name: "restart",
        page: 2,
        steps: &[Scale("core", 3), Wait(60), Pass, Restart("core"), Pass, Wait(15), Pass, Wait(60), Pass],
    },
    Scenario {
        name: "shrink",
        page: 100,
        steps: &[
            Scale("core", 3),
            Scale("replica", 2),
            Wait(60),
            Pass,
            Stop("core"),
            Scale("replica", 0),
            Pass,
            Wait(30),
            Pass,
            Scale("core", 0),
            Pass,
        ],
    },
    Scenario {
        name: "occupied",
        page: 100,
        steps: &[
            Occupy,
            Scale("core", 3),
            Scale("replica", 1),
            Wait(60),
            Pass,
            Stop("core"),
            Pass,
            Wait(60),
            Pass,
            Vacate,
            Pass,
        ],
    },
    Scenario {
        name: "delete",
        page: 100,
        steps: &[Scale("core", 2), Wait(60), Pass, Leak, Scale("core", 0), Wait(30), Delete],
    },
];

/// The two that faults are tried in by pairs: the longest ones.
pub const LONGEST: [&str; 2] = ["restart", "shrink"];

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

/// The function gives up two seconds before Lambda's time-out.
const TIME_OUT: Duration = Duration::from_secs(28);

/// What is played: a scenario with faults at the numbered calls, or everything drawn from a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// Scenario and (call, fault), calls counted from 1.
    Planned(&'static str, Vec<(usize, Fault)>),
    /// Random steps, events lost, doubled, late and out of order, faults at random calls.
    Random(u64),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(name, faults) => {
                write!(f, "{name}")?;
                faults.iter().try_for_each(|(call, fault)| write!(f, " {call}:{fault:?}"))
            }
            Self::Random(seed) => write!(f, "random {seed}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "random" {
            let seed = words.next().and_then(|seed| seed.parse().ok());
            return seed.map(Self::Random).ok_or_else(|| "random wants a seed: a number".to_owned());
        }
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("no scenario {name:?}: there are {} and random", names.join(", "))
        })?;
        let fault = |word: &str| {
            let (call, name) = word.split_once(':')?;
            let fault = FAULTS.iter().find(|fault| format!("{fault:?}") == name)?;
            Some((call.parse().ok()?, *fault))
        };
        let faults = words.map(|word| fault(word).ok_or_else(|| format!("{word:?} is no fault such as 7:Kill")));
        Ok(Self::Planned(scenario.name, faults.collect::<Result<_, _>>()?))
    }
}

/// What came of a schedule.
#[derive(Clone, Debug)]
pub struct Played {
    /// The calls that came while faults could.
    pub calls: Vec<Kind>,
    /// The faults that made a difference.
    pub struck: Vec<(usize, Fault)>,
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
}

/// Plays a schedule.
///
/// # Panics
/// When something happens that must not, with the line that plays it again.
#[must_use]
pub fn run(schedule: &Schedule) -> Played {
    let told = play(async {
        match schedule {
            Schedule::Planned(name, faults) => planned(name, faults).await,
            Schedule::Random(seed) => random(*seed).await,
        }
    });
    told.unwrap_or_else(|wrong| {
        panic!("{wrong}\nplay it again: cargo run -q -p cluster-sim --bin explore -- {schedule}")
    })
}

/// Tries every fault at every call of every scenario, or of these every so-many-th.
pub fn triples(every: usize, mut tell: impl FnMut(&str, Coverage)) -> Coverage {
    let mut all = Coverage::default();
    let mut nth = 0;
    for scenario in SCENARIOS {
        let calls = run(&Schedule::Planned(scenario.name, vec![])).calls;
        let mut own = Coverage::default();
        for (call, kind) in (1..).zip(calls) {
            for fault in FAULTS {
                // Those that make no difference are counted only.
                if !fault.suits(kind) || nth % every == 0 {
                    own.try_one(scenario.name, kind, vec![(call, *fault)]);
                }
                nth += usize::from(fault.suits(kind));
            }
        }
        tell(scenario.name, own);
        all.add(own);
    }
    all
}

/// Tries every pair of distinct faults at every two calls of a scenario.
#[must_use]
pub fn pairs(name: &'static str) -> Coverage {
    let mut all = Coverage::default();
    let calls = run(&Schedule::Planned(name, vec![])).calls;
    for (first, kind) in (1..).zip(calls) {
        for fault in DISTINCT.iter().filter(|fault| fault.suits(kind)) {
            let alone = run(&Schedule::Planned(name, vec![(first, *fault)]));
            for (second, kind) in (1..).zip(alone.calls.iter().copied()).skip(first) {
                for other in DISTINCT {
                    if alone.struck.is_empty() {
                        all.pruned += 1;
                    } else {
                        all.try_one(name, kind, vec![(first, *fault), (second, *other)]);
                    }
                }
            }
        }
    }
    all
}

/// Plays random schedules.
pub fn orders(seeds: impl Iterator<Item = u64>) -> Coverage {
    let mut all = Coverage::default();
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let played = run(&Schedule::Random(seed));
        all.calls += played.calls.len();
        if seen.insert((played.calls.len(), played.struck)) { all.distinct += 1 } else { all.pruned += 1 }
    }
    all
}

impl Coverage {
    /// Plays a schedule whose last fault meets a call of this kind, unless that makes no difference.
    fn try_one(&mut self, name: &'static str, kind: Kind, faults: Vec<(usize, Fault)>) {
        if faults.last().is_some_and(|(_, fault)| !fault.suits(kind)) {
            self.pruned += 1;
            return;
        }
        let wanted = faults.len();
        let played = run(&Schedule::Planned(name, faults));
        self.calls += played.calls.len();
        if played.struck.len() >= wanted { self.distinct += 1 } else { self.pruned += 1 }
    }

    fn add(&mut self, other: Self) {
        self.distinct += other.distinct;
        self.pruned += other.pruned;
        self.calls += other.calls;
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self, what: &str, began: Instant) -> String {
        let seconds = began.elapsed().as_secs_f64();
        let Self { distinct, pruned, calls } = self;
        format!("{what:<28} {distinct:>6} schedules, {pruned:>5} pruned, {calls:>7} calls, {seconds:.1} s")
    }
}

/// The world of a schedule, with what must hold in it.
struct Stage {
    inside: Inside,
    /// What is not ours, as it was.
    foreign: Vec<RecordSet>,
    /// Events that have not been delivered.
    events: Vec<serde_json::Value>,
}

type Wrong = String;

/// What [`Occupy`] puts there.
fn occupant() -> RecordSet {
    RecordSet::simple(&format!("replica.{DOMAIN}"), "CNAME", 300, &["core.neo4j.service"])
}

async fn planned(name: &str, faults: &[(usize, Fault)]) -> Result<Played, Wrong> {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or("no such scenario")?;
    let mut stage = Stage::new(scenario.page);
    for (call, fault) in faults {
        stage.inside.wire.plan(*call, *fault);
    }
    for step in scenario.steps {
        stage.step(*step).await?;
    }
    let played = stage.played();
    stage.inside.wire.calm();
    if scenario.steps.contains(&Delete) {
        stage.is_deleted().await?;
    } else {
        stage.converges().await?;
    }
    Ok(played)
}

async fn random(seed: u64) -> Result<Played, Wrong> {
    let mut draw = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::new(*draw.choice(&[2, 3, 100]).unwrap_or(&100));
    for _ in 0..draw.usize(4..14) {
        for call in 1..=8 {
            if draw.u8(..10) == 0 {
                stage.inside.wire.plan(call, *draw.choice(FAULTS).unwrap_or(&Fault::Reset));
            }
        }
        let service = *draw.choice(&["core", "replica"]).unwrap_or(&"core");
        let step = match draw.u8(..8) {
            0 | 1 => Scale(service, draw.u8(0..6)),
            2 => Fail(service),
            3 => Stop(service),
            4 => Restart(service),
            _ => Wait(draw.u64(1..70)),
        };
        stage.step(step).await?;
        // Some events get lost, some come twice, some late, and not in their order.
        let mut late = stage.inside.wire.world().events.drain(..).collect::<Vec<_>>();
        late.append(&mut stage.events);
        draw.shuffle(&mut late);
        let mut now = Vec::new();
        for event in late {
            match draw.u8(..10) {
                0 | 1 => {}
                2 | 3 => stage.events.push(event),
                4 => now.extend([event.clone(), event]),
                _ => now.push(event),
            }
        }
        // A sweep comes each minute, unless it is lost as well.
        if !now.is_empty() || draw.u8(..4) == 0 {
            stage.pass(&now).await?;
        }
    }
    let played = stage.played();
    stage.inside.wire.calm();
    stage.converges().await?;
    Ok(played)
}

impl Stage {
    fn new(page: usize) -> Self {
        let inside = Inside::new();
        let core = format!("core.{DOMAIN}");
        let foreign = vec![
            RecordSet::multivalue(&core, "somebody-else/1", "10.9.9.1"),
            RecordSet::multivalue(&core, &format!("{CLUSTER}-2/0123456789abcdef0123456789abcdef"), "10.9.9.2"),
            RecordSet::simple(&format!("www.{DOMAIN}"), "A", 60, &["10.9.9.3"]),
        ];
        {
            let mut world = inside.wire.world();
            world.page = page;
            if let Some(zone) = world.route53.zones.get_mut(&inside.zone) {
                for set in &foreign {
                    zone.put(set.clone());
                }
            }
        }
        inside.wire.remember();
        Self { inside, foreign, events: vec![] }
    }

    fn played(&self) -> Played {
        Played { calls: self.inside.wire.calls(), struck: self.inside.wire.struck() }
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        let wire = &self.inside.wire;
        if step != Pass && step != Delete {
            wire.remember();
        }
        let first = |service: &str| {
            let world = wire.world();
            world.ecs.clusters[CLUSTER].wanted(service).next().map(|(id, _)| id.clone())
        };
        match step {
            Scale(service, tasks) => self.inside.scale(service, tasks),
            Fail(service) => {
                if let Some(task) = first(service) {
                    wire.world().fail_health(CLUSTER, &task);
                }
            }
            Stop(service) => {
                if let Some(task) = first(service) {
                    wire.world().stop(CLUSTER, &task);
                }
            }
            Restart(service) => {
                let mut world = wire.world();
                let all: Vec<_> = world.ecs.clusters[CLUSTER].wanted(service).map(|(id, _)| id.clone()).collect();
                for task in &all {
                    world.stop(CLUSTER, task);
                }
            }
            Leak => {
                let mut world = wire.world();
                let (id, now) = ("fedcba9876543210fedcba9876543210", world.now);
                world.cloud_map.register(&self.inside.registries[0], id, [], true, now);
            }
            Occupy => {
                let cname = occupant();
                if let Some(zone) = wire.world().route53.zones.get_mut(&self.inside.zone) {
                    zone.put(cname.clone());
                }
                self.foreign.push(cname);
            }
            Vacate => {
                let cname = occupant();
                if let Some(zone) = wire.world().route53.zones.get_mut(&self.inside.zone) {
                    zone.change(&[("DELETE", cname.clone())]).map_err(|refusal| refusal.to_string())?;
                }
                self.foreign.retain(|set| *set != cname);
            }
            Wait(seconds) => wire.sleep(seconds).await,
            Pass => {
                let events: Vec<_> = wire.world().events.drain(..).collect();
                self.pass(&events).await?;
            }
            Delete => self.delete().await?,
        }
        Ok(())
    }

    /// Invokes the function as Lambda does: it may be killed, and its time is limited. Says whether it succeeded.
    async fn invoke(&self, event: serde_json::Value) -> bool {
        let replicator = self.inside.replicator();
        tokio::select! {
            biased;
            () = self.inside.wire.killed() => false,
            () = tokio::time::sleep(TIME_OUT) => false,
            result = replicator.handle(event) => result.is_ok(),
        }
    }

    /// One invocation with these events, or with a sweep, and what must hold after it.
    async fn pass(&mut self, events: &[serde_json::Value]) -> Result<(), Wrong> {
        let wire = self.inside.wire.clone();
        let before = ["core", "replica"].map(|tier| self.ours(tier));
        let struck = wire.struck().len();
        let sweep = json!({"source": "neo4j.cluster", "detail-type": "Sweep", "detail": {}}).to_string();
        let bodies: Vec<_> = if events.is_empty() { vec![sweep] } else { events.iter().map(delivered).collect() };
        let began = wire.world().now;
        let done = self.invoke(messages(&bodies)).await;
        self.foreign_stands()?;
        if !done && wire.struck().is_empty() {
            return Err("a pass failed although nothing has struck yet".to_owned());
        }
        for (tier, before) in ["core", "replica"].iter().zip(before) {
            let after = self.ours(tier);
            if !before.is_empty() && after.is_empty() && !self.inside.fit(tier).is_empty() {
                return Err(format!("{tier} ran empty while members were fit"));
            }
            // What a stale or partial reading shows is not known to be wrong within the pass.
            let strikes = wire.struck();
            let misled = strikes[struck..].iter().any(|(_, f)| matches!(f, Fault::Stale | Fault::CutPage));
            if done && !misled {
                self.nobody_is_published_too_long(tier, &after, began)?;
            }
        }
        Ok(())
    }

    /// The members whose records are ours.
    fn ours(&self, tier: &str) -> BTreeSet<String> {
        let world = self.inside.wire.world();
        let zone = &world.route53.zones[&self.inside.zone];
        let name = format!("{tier}.{DOMAIN}");
        let sets = zone.under(&name).filter_map(|set| set.set_identifier.clone());
        sets.filter_map(|id| id.strip_prefix(&format!("{CLUSTER}/")).map(str::to_owned)).collect()
    }

    fn foreign_stands(&self) -> Result<(), Wrong> {
        let world = self.inside.wire.world();
        let zone = &world.route53.zones[&self.inside.zone];
        let stands = |set: &&RecordSet| zone.records.values().any(|other| other == *set);
        match self.foreign.iter().find(|set| !stands(set)) {
            Some(set) => Err(format!("{} {:?} is not ours, and gone", set.name, set.set_identifier)),
            None => Ok(()),
        }
    }

    /// After a pass that succeeded nobody is published who had stopped before it began, unless nobody else is fit.
    fn nobody_is_published_too_long(
        &self,
        tier: &str,
        published: &BTreeSet<String>,
        began: jiff::Timestamp,
    ) -> Result<(), Wrong> {
        if self.inside.fit(tier).is_empty() {
            return Ok(());
        }
        let world = self.inside.wire.world();
        let tasks = &world.ecs.clusters[CLUSTER].tasks;
        let over = |task: &ecs::Task| task.stopped_at.is_some_and(|at| at < began);
        match published.iter().find(|id| tasks.get(*id).is_none_or(over)) {
            Some(id) => Err(format!("{tier}: {id} had stopped before the pass began, and is still published")),
            None => Ok(()),
        }
    }

    /// When the faults are over, one clean pass makes everything right, and the next has nothing to write.
    async fn converges(&mut self) -> Result<(), Wrong> {
        self.inside.wire.sleep(90).await;
        self.inside.sweep().await.map_err(|failure| format!("the clean pass failed: {}", failure.chain()))?;
        for tier in ["core", "replica"] {
            let (published, fit) = (self.ours(tier), self.inside.fit_members(tier));
            if published != fit {
                return Err(format!("{tier} publishes {published:?} after the clean pass, but fit are {fit:?}"));
            }
        }
        let from = self.inside.wire.world().calls.len();
        self.inside.sweep().await.map_err(|failure| format!("the idle pass failed: {}", failure.chain()))?;
        if self.inside.wire.world().count_calls(from).1 > 0 {
            return Err("the idle pass wrote".to_owned());
        }
        self.foreign_stands()
    }

    /// CloudFormation's request, tried as Lambda tries it.
    async fn delete(&mut self) -> Result<(), Wrong> {
        let wire = self.inside.wire.clone();
        for pause in [60, 120, 60] {
            let answered = self.invoke(self.inside.custom_resource("Delete", Some("records"))).await;
            self.foreign_stands()?;
            if answered {
                break;
            }
            wire.sleep(pause).await;
        }
        Ok(())
    }

    /// When the faults are over, nothing of ours is left that would keep a stack from being deleted.
    async fn is_deleted(&mut self) -> Result<(), Wrong> {
        self.inside.wire.sleep(60).await;
        self.delete().await?;
        let status = self.inside.last_answer().map(|answer| answer["Status"].clone());
        if status != Some(json!("SUCCESS")) {
            return Err(format!("CloudFormation was answered {status:?}"));
        }
        let left = self.inside.wire.world().cloud_map.services.values().map(|s| s.instances.len()).sum::<usize>();
        let records = self.ours("core").len() + self.ours("replica").len();
        if left + records > 0 {
            return Err(format!("{left} instances and {records} records are left"));
        }
        self.foreign_stands()
    }
}
