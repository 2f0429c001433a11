//! instance-drainer: instances launch, fail, and leave. It is the function that can lose data.

mod foreign;
mod guard;

use std::{collections::BTreeSet, sync::Arc};

use cluster_world::{
    auto_scaling::{Hook, TERMINATING},
    ec2::boot::Agent,
    neo4j::Member,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Depth, Explored, Scenario, Wrong, invoke, jumbled, triggers};
use crate::{
    cluster::{Cluster, ZONES},
    functions::INSTANCE_DRAINER,
};
use foreign::Foreign;
use guard::Guard;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The instance of a core ends without asking anybody.
    Lose(usize),
    /// Somebody says that the instance of a core is unhealthy: its group replaces it.
    Unhealthy(usize),
    /// People empty the instance of a core: DRAINING.
    Empty(usize),
    /// The agent of a core's instance goes silent.
    Silence(usize),
    /// It speaks again.
    Hear(usize),
    /// EC2's status check of a core's instance fails.
    Impair(usize),
    /// A core's volume stays busy when its instance has gone.
    Busy(usize),
    /// It is free after all.
    Free(usize),
    /// The next calls of `AttachVolume` are refused.
    Refuse,
    /// A zone has no room, or room again.
    Room(usize, bool),
    /// AWS takes the instance of a core in two minutes.
    Spot(usize),
    /// AWS recommends to replace it.
    Rebalance(usize),
    /// The Neo4j of a core stands still.
    Hang(usize),
    /// A hook of somebody else's holds the instance of a core on its way out, besides ours.
    Theirs(usize),
    /// Whoever that is is done with it.
    TheirsDone(usize),
    /// Nobody may ask Neo4j, or somebody may again.
    Mute(bool),
    /// People delete the stack.
    Delete,
    /// Seconds pass.
    Live(u64),
    /// Seconds pass, and nothing wakes the function.
    Away(u64),
}
use Step::{
    Away, Busy, Delete, Empty, Free, Hang, Hear, Impair, Live, Lose, Mute, Rebalance, Refuse, Room, Silence, Spot,
    Theirs, TheirsDone, Unhealthy,
};

const MINUTE: u64 = 60;
const SCENARIOS: &[Scenario<Step>] = &[
    Scenario { name: "boot", page: 2, steps: &[Live(MINUTE)] },
    Scenario { name: "loss", page: 100, steps: &[Lose(2), Away(70), Live(MINUTE)] },
    // Through the gate.
    Scenario { name: "drain", page: 100, steps: &[Unhealthy(2), Live(90)] },
    // Nobody answers, so its hook runs out, and it is kept until the gate opens.
    Scenario {
        name: "retained",
        page: 100,
        steps: &[Mute(true), Unhealthy(2), Away(20), Live(5), Away(31 * MINUTE), Live(5), Mute(false), Live(MINUTE)],
    },
    // While another core is drained.
    Scenario { name: "spot", page: 100, steps: &[Unhealthy(1), Away(20), Spot(3), Live(3 * MINUTE)] },
    Scenario { name: "rebalance", page: 100, steps: &[Rebalance(2), Live(2 * MINUTE)] },
    // Silence is counted only as long as somebody looks at least every three minutes.
    Scenario {
        name: "hang",
        page: 100,
        steps: &[
            Hang(2),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
        ],
    },
    Scenario {
        name: "theirs",
        page: 100,
        steps: &[Theirs(2), Unhealthy(2), Away(20), Live(5), TheirsDone(2), Live(MINUTE)],
    },
    Scenario { name: "emptied", page: 2, steps: &[Empty(2), Away(20), Unhealthy(2), Live(MINUTE)] },
    // Silence is counted only as long as somebody looks at least every three minutes.
    Scenario {
        name: "dead",
        page: 100,
        steps: &[Silence(2), Impair(2), Live(20), Away(110), Live(5), Away(110), Live(5), Away(110), Live(2 * MINUTE)],
    },
    Scenario { name: "two", page: 2, steps: &[Lose(1), Away(20), Lose(3), Away(45), Live(MINUTE)] },
    Scenario { name: "leftover", page: 100, steps: &[Silence(2), Away(20), Lose(2), Away(70), Live(MINUTE)] },
    Scenario {
        name: "busy",
        page: 100,
        steps: &[Busy(2), Lose(2), Refuse, Away(70), Live(MINUTE), Free(2), Live(MINUTE)],
    },
    Scenario {
        name: "silent",
        page: 100,
        steps: &[
            Unhealthy(2),
            Silence(2),
            Live(20),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
            Hear(2),
            Live(20),
        ],
    },
    Scenario { name: "gone", page: 100, steps: &[Unhealthy(2), Away(20), Delete] },
];

/// How long a round may be ago in which a stale list was true: the APIs are eventually consistent, not historical.
const STALE: i64 = 15;
/// A hook of somebody else's on our groups.
const THEIRS: &str = "theirs";
/// How many minutes it may take until nothing is written any more, once every core is whole.
const SETTLES: usize = 15;
/// How many minutes all that takes which waits for a clock: a hook that runs out, a core that is given up, and the second try
/// to restart a member, an hour after the first, with the 20 minutes that one which hangs has to stop.
const PATIENCE: u64 = 150;

/// The world of a schedule, with what must hold in it.
pub(super) struct Instances {
    cluster: Cluster,
    /// Events that have not been delivered.
    late: Vec<Value>,
    next_sweep: Timestamp,
    remembered: Timestamp,
    /// Whether people have begun to delete the stack.
    deleted: bool,
    foreign: Foreign,
    guard: Guard,
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
        let cluster = cluster.only(INSTANCE_DRAINER).quiet();
        cluster.wire.world().page = page;
        let foreign = Foreign::set(&cluster);
        let table = cluster.variable("STATE_TABLE").to_owned();
        let own = Guard { nodes: cluster.nodes.clone(), ecs_cluster: cluster.ecs_cluster.clone(), table };
        let guard = own.clone();
        cluster.wire.set_guard(Arc::new(move |world, request| guard.check(world, request)));
        cluster.wire.remember_for_faults();
        let now = cluster.wire.world().now;
        Self {
            cluster,
            late: vec![],
            next_sweep: now,
            remembered: now,
            deleted: false,
            foreign,
            guard: own,
            rebalanced: false,
            muted: BTreeSet::new(),
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        let cluster = self.cluster.clone();
        self.remember();
        self.rebalanced |= matches!(step, Rebalance(_));
        let holder = |core: usize| cluster.holder(core);
        let volume = |core: usize| cluster.nodes[core - 1].volume.clone();
        match step {
            Lose(core) => _ = holder(core).map(|instance| cluster.wire.world().lose_instance(&instance)),
            Unhealthy(core) => _ = holder(core).map(|instance| cluster.wire.world().mark_unhealthy(&instance)),
            Silence(core) => _ = holder(core).map(|instance| cluster.wire.world().silence(&instance)),
            Hear(core) => _ = holder(core).map(|instance| cluster.wire.world().hear(&instance)),
            Impair(core) => _ = holder(core).map(|instance| cluster.wire.world().impair(&instance)),
            Busy(core) => cluster.wire.world().stick(&volume(core)),
            Free(core) => {
                if let Some(volume) = cluster.wire.world().ec2.volumes.get_mut(&volume(core)) {
                    volume.attachment.take_if(|held| held.state == "busy");
                }
            }
            Refuse => {
                let refusals = ["AttachmentLimitExceeded", "IncorrectState"];
                cluster.wire.world().ec2.attach_errors.extend(refusals);
            }
            Room(core, false) => _ = cluster.wire.world().ec2.no_capacity.insert(ZONES[core - 1].to_owned()),
            Room(core, true) => _ = cluster.wire.world().ec2.no_capacity.remove(ZONES[core - 1]),
            Empty(core) => self.empty(core),
            Spot(core) => _ = holder(core).map(|instance| cluster.wire.world().interrupt(&instance)),
            Rebalance(core) => _ = holder(core).map(|instance| cluster.wire.world().recommend_rebalance(&instance)),
            Hang(core) => self.hang(core),
            Theirs(core) => self.add_hook(core),
            TheirsDone(core) => {
                let waits = cluster.states(core).into_keys();
                waits.for_each(|instance| cluster.wire.world().complete_hook(&instance, THEIRS, true));
            }
            Mute(true) => {
                let names = std::mem::take(&mut cluster.wire.world().lambda.functions);
                self.muted.extend(names);
            }
            Mute(false) => cluster.wire.world().lambda.functions.extend(std::mem::take(&mut self.muted)),
            Delete => self.delete().await?,
            Live(seconds) => self.live(seconds).await?,
            Away(seconds) => {
                self.cluster.wire.sleep(seconds).await;
                // Events wait an hour for a function that is away; one of them is as good as all.
                self.next_sweep = self.cluster.wire.world().now;
                self.remember();
            }
        }
        self.holds()
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let core = draw.usize(1..=3);
        match draw.u8(..18) {
            0 | 1 => Lose(core),
            2 => Unhealthy(core),
            3 => Empty(core),
            4 => Silence(core),
            5 => Hear(core),
            6 => Impair(core),
            7 => Refuse,
            8 => Room(core, draw.bool()),
            9 => Spot(core),
            10 => Rebalance(core),
            11 => Hang(core),
            _ => Live(draw.u64(1..180)),
        }
    }

    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.remember();
        self.cluster.wire.sleep(draw.u64(1..20)).await;
        let events = self.taken();
        let now = jumbled(draw, events, &mut self.late);
        if !now.is_empty() || draw.u8(..4) == 0 {
            self.reconcile(&now).await?;
        }
        Ok(())
    }

    async fn converges(&mut self, steps: &[Step]) -> Result<(), Wrong> {
        if steps.contains(&Delete) { self.is_deleted().await } else { self.becomes_whole().await }
    }
}

impl Instances {
    fn remember(&mut self) {
        self.remembered = self.cluster.wire.world().now;
        self.cluster.wire.remember_for_faults();
    }

    /// Takes the events that the function's rules match.
    fn taken(&self) -> Vec<Value> {
        let events = std::mem::take(&mut self.cluster.wire.world().events);
        self.cluster.matching(INSTANCE_DRAINER, events)
    }

    /// One invocation with these events, or with a sweep, and what must hold after it.
    async fn reconcile(&mut self, events: &[Value]) -> Result<(), Wrong> {
        _ = invoke(&self.cluster, triggers(&self.cluster, events)).await;
        self.holds()
    }

    /// Lets time pass: events come within five seconds, and a sweep each minute.
    async fn live(&mut self, seconds: u64) -> Result<(), Wrong> {
        for _ in 0..seconds.div_ceil(5) {
            self.tick().await?;
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Wrong> {
        let now = self.cluster.wire.world().now;
        if now.duration_since(self.remembered) >= SignedDuration::from_secs(STALE) {
            self.remember();
        }
        self.cluster.wire.sleep(5).await;
        let events = self.taken();
        for batch in events.chunks(10) {
            self.reconcile(batch).await?;
        }
        if self.cluster.wire.world().now >= self.next_sweep {
            self.next_sweep += SignedDuration::from_mins(1);
            self.reconcile(&[]).await?;
        }
        Ok(())
    }

    /// What must hold at any time.
    fn holds(&self) -> Result<(), Wrong> {
        if let Some(wrong) = self.cluster.wire.wrong() {
            return Err(format!("{wrong}\n{}", self.cluster.picture()));
        }
        self.foreign.stands(&self.cluster)?;
        let world = self.cluster.wire.world();
        // Whatever AWS and people took by themselves: no function may take a majority. Once the stack goes, all members do.
        for (database, lost) in world.without_majority() {
            if !lost.functions.is_zero() && !self.deleted {
                let recent = world.calls.iter().rev().filter(|call| call.write).take(12);
                let recent: Vec<_> =
                    recent.map(|call| format!("{} {} {:?}", call.at, call.action, call.resources)).collect();
                let (now, recent) = (world.now, recent.join("\n"));
                drop(world);
                let picture = self.cluster.picture();
                return Err(format!(
                    "functions took the majority of {database}: {lost}\nit is {now}, and the last writes were\n{recent}\n{picture}"
                ));
            }
        }
        for (core, node) in (1..).zip(&self.cluster.nodes) {
            let holder = world.ec2.volumes.get(&node.volume).and_then(|volume| volume.attachment.as_ref());
            let group = holder.and_then(|held| world.auto_scaling.group_of(&held.instance));
            if group.is_some_and(|group| group != node.group) {
                return Err(format!("the volume of core {core} is with an instance of {group:?}"));
            }
        }
        let all = &world.ecs.clusters.get(&self.cluster.ecs_cluster);
        if all.is_some_and(|all| all.container_instances.values().any(|found| found.root_disk)) {
            return Err("an agent started without its volume".to_owned());
        }
        Ok(())
    }

    /// Empties the instance that has a core's volume, as the runbook says.
    fn empty(&self, core: usize) {
        if self.cluster.holder(core).is_some() {
            self.cluster.empty(core);
        }
    }

    fn hang(&self, core: usize) {
        // One that hangs while another is away is healed only after that one is back, which takes longer than the foreign hook.
        if self.guard.holder(&self.cluster.wire.world()).is_some() {
            return;
        }
        let task = self.cluster.holder(core).and_then(|instance| self.cluster.task(&instance));
        if let Some(task) = task {
            self.cluster.wire.world().hang_member(&task, true);
        }
    }

    fn add_hook(&self, core: usize) {
        let hook = Hook { transition: TERMINATING.to_owned(), heartbeat: 3600, continues: true };
        self.cluster.wire.world().put_hook(&self.cluster.nodes[core - 1].group, THEIRS, hook);
    }

    /// Does what people do about what the function leaves to them: a member that hangs beside another that is away, an agent
    /// that is silent, an instance that was left draining, a launch that runs into its hook.
    fn help(&mut self) {
        self.cluster.wire.world().lambda.functions.extend(std::mem::take(&mut self.muted));
        {
            let mut world = self.cluster.wire.world();
            let hung: Vec<_> =
                world.neo4j.members.iter().filter(|(_, found)| found.hangs).map(|(id, _)| id.clone()).collect();
            if hung.len() > 1 || world.neo4j.members.len() < self.cluster.nodes.len() {
                for task in &hung {
                    world.hang_member(task, false);
                }
            }
            let all: Vec<_> =
                world.auto_scaling.groups.values().flat_map(|group| group.members.keys().cloned()).collect();
            for instance in &all {
                world.complete_hook(instance, THEIRS, true);
            }
        }
        for core in 1..=self.cluster.nodes.len() {
            let Some(instance) = self.cluster.holder(core) else { continue };
            let mut world = self.cluster.wire.world();
            let Some(found) = world.ec2.instances.get(&instance) else { continue };
            let (fails, silent) = (found.impaired, found.boot.agent == Agent::Silent);
            let taken = found.reclaimed.is_some();
            let state = world.auto_scaling.member(&instance).map_or("", |member| member.state);
            let leaves = state.starts_with("Terminating");
            if fails && !leaves {
                world.mark_unhealthy(&instance);
            }
            // An agent that nobody can bring back.
            if silent && !fails {
                world.hear(&instance);
            }
            let drains = world.container_instance(&instance).is_some_and(|found| found.status == "DRAINING");
            drop(world);
            // What EC2 calls impaired while its agent still answers: nobody else ends it where the others cannot do without it.
            if leaves && fails && !silent {
                self.empty(core);
            }
            let held = self.guard.holder(&self.cluster.wire.world()).is_some();
            let ours = taken || (self.rebalanced && held);
            if drains && !leaves && !ours {
                self.cluster.set_status(core, "ACTIVE");
            }
        }
    }

    /// When the faults are over every core becomes whole, and then nothing is written any more.
    async fn becomes_whole(&mut self) -> Result<(), Wrong> {
        {
            let mut world = self.cluster.wire.world();
            world.ec2.no_capacity.clear();
            world.ec2.attach_errors.clear();
        }
        let is_whole = |cluster: &Cluster, core: usize| {
            let Some(instance) = cluster.serving(core).filter(|_| cluster.states(core).len() == 1) else {
                return false;
            };
            let world = cluster.wire.world();
            let joined = world.container_instance(&instance).is_some_and(|f| f.connected && f.status == "ACTIVE");
            let on = |member: &&Member| member.instance.as_ref() == Some(&instance);
            let answers = world.neo4j.members.values().find(on).is_some_and(Member::answers);
            answers && joined && world.ec2.instances.get(&instance).is_some_and(|found| !found.impaired)
        };
        let whole = |cluster: &Cluster| (1..=cluster.nodes.len()).all(|core| is_whole(cluster, core));
        let ends = self.cluster.wire.world().now + SignedDuration::from_mins(PATIENCE.cast_signed());
        while !whole(&self.cluster) {
            if self.cluster.wire.world().now > ends {
                return Err(format!("not whole after {PATIENCE} minutes\n{}", self.cluster.picture()));
            }
            self.help();
            self.live(30).await?;
        }
        // A core counts as whole when its task has run for five minutes. One round takes note of that, and may declare the user
        // that looks; the next one takes note of what that user sees.
        self.cluster.wire.sleep(5 * MINUTE + 10).await;
        self.reconcile(&[]).await?;
        self.live(2 * MINUTE).await?;
        // A lease goes back, and clocks go, in the round that sees that they may.
        let mut idle = self.idle_round().await;
        for _ in 0..SETTLES {
            if idle.is_ok() {
                break;
            }
            self.live(MINUTE).await?;
            idle = self.idle_round().await;
        }
        idle?;
        self.holds()
    }

    /// A round in which nothing is to be done writes nothing.
    async fn idle_round(&self) -> Result<(), Wrong> {
        let from = self.cluster.wire.world().calls.len();
        let answer =
            self.cluster.sweep().await.map_err(|failure| format!("the idle round failed: {}", failure.chain()))?;
        let world = self.cluster.wire.world();
        let writes: Vec<_> = world.calls.iter().skip(from).filter(|call| call.write).collect();
        if !writes.is_empty() || !all_is_well(&answer) {
            return Err(format!("the idle round wrote {writes:?}: {answer}"));
        }
        Ok(())
    }

    /// CloudFormation says that the stack goes, tried as Lambda tries it; then it deletes the cores with their services.
    async fn delete(&mut self) -> Result<(), Wrong> {
        self.deleted = true;
        for pause in [60, 120, 0] {
            if invoke(&self.cluster, self.cluster.phase_request("Delete")).await {
                break;
            }
            self.live(pause).await?;
        }
        self.holds()
    }

    async fn is_deleted(&mut self) -> Result<(), Wrong> {
        self.delete().await?;
        let ecs_cluster = &self.cluster.ecs_cluster;
        let mut all = Vec::new();
        for (core, node) in (1..).zip(&self.cluster.nodes) {
            let service = format!("arn:aws:ecs:eu-west-1:000000000000:service/{ecs_cluster}/core-{core}");
            all.push(("AWS::ECS::Service", service, json!({"Cluster": ecs_cluster})));
            all.push(("AWS::AutoScaling::AutoScalingGroup", node.group.clone(), json!({})));
            all.push(("AWS::EC2::Volume", node.volume.clone(), json!({"DeletionPolicy": "Snapshot"})));
        }
        for (kind, id, properties) in all {
            let mut operation = self.cluster.wire.world().delete(kind, &id, &properties);
            let ends = self.cluster.wire.world().now + SignedDuration::from_mins(PATIENCE.cast_signed());
            while !matches!(operation, Ok(Some(_))) {
                if self.cluster.wire.world().now > ends {
                    return Err(format!("{kind} {id} is not gone: {operation:?}\n{}", self.cluster.picture()));
                }
                self.live(30).await?;
                let again = operation.is_err();
                let mut world = self.cluster.wire.world();
                operation = if again { world.delete(kind, &id, &properties) } else { world.status(kind, &id) };
            }
        }
        let world = self.cluster.wire.world();
        let ours = |id: &str| id != "i-0000000000000000f";
        let left: Vec<_> = world.ec2.instances.iter().filter(|(id, found)| ours(id) && found.ended.is_none()).collect();
        let theirs = world.auto_scaling.groups.get(&self.foreign.group).map_or(0, |group| group.members.len());
        if left.len() > theirs || world.ec2.snapshots.len() != self.cluster.nodes.len() {
            return Err(format!("left running: {left:?}; snapshots: {:?}", world.ec2.snapshots));
        }
        Ok(())
    }
}

/// Whether the function answers that every core is whole and nothing is to be done.
fn all_is_well(answer: &Value) -> bool {
    let round = &answer["reconciled"];
    let whole = |core: &Value| core["whole"] == true;
    round["steps"] == json!([]) && round["cores"].as_array().is_some_and(|cores| cores.iter().all(whole))
}
