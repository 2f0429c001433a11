//! dns-replicator: members join, change and leave.

mod scenarios;

use std::collections::{BTreeMap, BTreeSet};

use cluster_world::{World, ecs, route53::RecordSet};
use serde_json::json;

use super::{Depth, Explored, Scenario, Wrong, invoke, jumbled, triggers};
use crate::{
    cluster::{CLUSTER, Cluster, DOMAIN, is_of_tier},
    functions::DNS_REPLICATOR,
    wire::Fault,
};
use scenarios::SCENARIOS;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A service wants so many tasks, and there are container instances for them.
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
    Reconcile,
    /// CloudFormation deletes the stack, and asks as often as it takes.
    Delete,
}
use Step::{Delete, Fail, Leak, Occupy, Reconcile, Restart, Scale, Stop, Vacate, Wait};

/// The world of a schedule, with what must hold in it.
pub(super) struct Members {
    cluster: Cluster,
    /// What is not ours, as it was.
    foreign: Vec<RecordSet>,
    /// Events that have not been delivered.
    late: Vec<serde_json::Value>,
}

/// What [`Occupy`] puts there.
fn occupant() -> RecordSet {
    RecordSet::simple(&format!("replica.{DOMAIN}"), "CNAME", 300, &["core.neo4j.service"])
}

impl Explored for Members {
    type Step = Step;
    const FUNCTION: &'static str = DNS_REPLICATOR;
    const SCENARIOS: &'static [Scenario<Step>] = SCENARIOS;
    // The longest ones.
    const PAIRED: &'static [&'static str] = &["restart", "shrink"];
    const DEPTH: Depth = Depth::Whole;
    const EVERY: usize = 1;
    const STRIDE: usize = 3;
    const SEEDS: u64 = 200;

    fn open(_: Option<&'static Scenario<Step>>, page: usize) -> Self {
        let cluster = Cluster::discovery();
        let core = format!("core.{DOMAIN}");
        let foreign = vec![
            RecordSet::multivalue(&core, "somebody-else/1", "10.9.9.1"),
            RecordSet::multivalue(&core, &format!("{CLUSTER}-2/0123456789abcdef0123456789abcdef"), "10.9.9.2"),
            RecordSet::simple(&format!("www.{DOMAIN}"), "A", 60, &["10.9.9.3"]),
        ];
        {
            let mut world = cluster.wire.world();
            world.page = page;
            if let Some(zone) = world.route53.zones.get_mut(&cluster.zone) {
                for set in &foreign {
                    zone.put(set.clone());
                }
            }
        }
        cluster.wire.set_second_writer(write_as_another);
        cluster.wire.remember_for_faults();
        Self { cluster, foreign, late: vec![] }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        let wire = &self.cluster.wire;
        if step != Reconcile && step != Delete {
            wire.remember_for_faults();
        }
        let first = |service: &str| {
            let world = wire.world();
            world.ecs.clusters[CLUSTER].wanted(service).next().map(|(id, _)| id.clone())
        };
        match step {
            Scale(service, tasks) => self.cluster.scale(service, tasks),
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
                world.cloud_map.register(&self.cluster.registries[0], id, [], true, now);
            }
            Occupy => {
                let cname = occupant();
                if let Some(zone) = wire.world().route53.zones.get_mut(&self.cluster.zone) {
                    zone.put(cname.clone());
                }
                self.foreign.push(cname);
            }
            Vacate => {
                let cname = occupant();
                if let Some(zone) = wire.world().route53.zones.get_mut(&self.cluster.zone) {
                    zone.change(&[("DELETE", cname.clone())]).map_err(|refusal| refusal.to_string())?;
                }
                self.foreign.retain(|set| *set != cname);
            }
            Wait(seconds) => wire.sleep(seconds).await,
            Reconcile => {
                let events: Vec<_> = wire.world().events.drain(..).collect();
                self.reconcile(&events).await?;
            }
            Delete => self.delete().await?,
        }
        Ok(())
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let service = *draw.choice(&["core", "core-spare", "replica"]).unwrap_or(&"core");
        match draw.u8(..8) {
            0 | 1 => Scale(service, draw.u8(0..6)),
            2 => Fail(service),
            3 => Stop(service),
            4 => Restart(service),
            _ => Wait(draw.u64(1..70)),
        }
    }

    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        let events = self.cluster.wire.world().events.drain(..).collect();
        let now = jumbled(draw, events, &mut self.late);
        // A sweep comes each minute, unless it is lost as well.
        if !now.is_empty() || draw.u8(..4) == 0 {
            self.reconcile(&now).await?;
        }
        Ok(())
    }

    async fn converges(&mut self, steps: &[Step]) -> Result<(), Wrong> {
        if steps.contains(&Delete) { self.is_deleted().await } else { self.is_right().await }
    }
}

impl Members {
    /// One invocation with these events, or with a sweep, and what must hold after it.
    async fn reconcile(&mut self, events: &[serde_json::Value]) -> Result<(), Wrong> {
        let wire = self.cluster.wire.clone();
        let before = ["core", "replica"].map(|tier| self.ours(tier));
        let struck = wire.struck().len();
        let began = wire.world().now;
        let done = invoke(&self.cluster, triggers(&self.cluster, events)).await;
        self.foreign_stands()?;
        if !done && wire.struck().is_empty() {
            return Err("a reconciliation failed although nothing has struck yet".to_owned());
        }
        for (tier, before) in ["core", "replica"].iter().zip(before) {
            let after = self.ours(tier);
            if !before.is_empty() && after.is_empty() && !self.cluster.fit(tier).is_empty() {
                return Err(format!("{tier} ran empty while members were fit"));
            }
            // What a stale or partial observation shows is not known to be wrong within the round.
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
        let world = self.cluster.wire.world();
        let zone = &world.route53.zones[&self.cluster.zone];
        let name = format!("{tier}.{DOMAIN}");
        let sets = zone.under(&name).filter_map(|set| set.set_identifier.clone());
        sets.filter_map(|id| id.strip_prefix(&format!("{CLUSTER}/")).map(str::to_owned)).collect()
    }

    fn foreign_stands(&self) -> Result<(), Wrong> {
        let world = self.cluster.wire.world();
        let zone = &world.route53.zones[&self.cluster.zone];
        let stands = |set: &&RecordSet| zone.records.values().any(|other| other == *set);
        match self.foreign.iter().find(|set| !stands(set)) {
            Some(set) => Err(format!("{} {:?} is not ours, and gone", set.name, set.set_identifier)),
            None => Ok(()),
        }
    }

    /// After a reconciliation that succeeded nobody is published who had stopped before it began, unless nobody else is fit.
    fn nobody_is_published_too_long(
        &self,
        tier: &str,
        published: &BTreeSet<String>,
        began: jiff::Timestamp,
    ) -> Result<(), Wrong> {
        if self.cluster.fit(tier).is_empty() {
            return Ok(());
        }
        let world = self.cluster.wire.world();
        let tasks = &world.ecs.clusters[CLUSTER].tasks;
        let over = |task: &ecs::Task| task.stopping_at.is_some_and(|at| at < began);
        match published.iter().find(|id| tasks.get(*id).is_none_or(over)) {
            Some(id) => Err(format!("{tier}: {id} had stopped before the round began, and is still published")),
            None => Ok(()),
        }
    }

    /// CloudFormation's request, tried as Lambda tries it.
    async fn delete(&mut self) -> Result<(), Wrong> {
        let wire = self.cluster.wire.clone();
        for pause in [60, 120, 60] {
            let answered = invoke(&self.cluster, self.cluster.custom_resource("Delete", Some("records"))).await;
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
        self.cluster.wire.sleep(60).await;
        self.delete().await?;
        let status = self.cluster.last_answer().map(|answer| answer["Status"].clone());
        if status != Some(json!("SUCCESS")) {
            return Err(format!("CloudFormation was answered {status:?}"));
        }
        let left = self.cluster.wire.world().cloud_map.services.values().map(|s| s.instances.len()).sum::<usize>();
        let records = self.ours("core").len() + self.ours("replica").len();
        if left + records > 0 {
            return Err(format!("{left} instances and {records} records are left"));
        }
        self.foreign_stands()
    }

    /// When the faults are over, one clean round makes everything right, and the next has nothing to write.
    async fn is_right(&mut self) -> Result<(), Wrong> {
        self.cluster.wire.sleep(90).await;
        self.cluster.sweep().await.map_err(|failure| format!("the clean round failed: {}", failure.chain()))?;
        for tier in ["core", "replica"] {
            let (published, fit) = (self.ours(tier), self.cluster.fit_members(tier));
            if published != fit {
                return Err(format!("{tier} publishes {published:?} after the clean round, but fit are {fit:?}"));
            }
        }
        let from = self.cluster.wire.world().calls.len();
        self.cluster.sweep().await.map_err(|failure| format!("the idle round failed: {}", failure.chain()))?;
        if self.cluster.wire.world().count_calls(from).1 > 0 {
            return Err("the idle round wrote".to_owned());
        }
        self.foreign_stands()
    }
}

/// Writes the records that a reconciliation would write now: an earlier one that everybody thought dead.
fn write_as_another(world: &mut World) {
    let Some(cluster) = world.ecs.clusters.get(CLUSTER) else { return };
    let fit = |tier: &str| -> BTreeMap<String, String> {
        let tasks = cluster.tasks.iter().filter(|(_, task)| task.wanted && is_of_tier(tier, &task.service));
        let tasks = tasks.filter(|(_, task)| task.status == "RUNNING" && task.health == "HEALTHY");
        tasks.map(|(id, task)| (format!("{CLUSTER}/{id}"), task.address.to_string())).collect()
    };
    let wanted = ["core", "replica"].map(|tier| (format!("{tier}.{DOMAIN}"), fit(tier)));
    for zone in world.route53.zones.values_mut().filter(|zone| zone.managed_by.is_none()) {
        for (name, fit) in &wanted {
            if zone.under(name).any(|set| set.r#type == "CNAME") {
                continue;
            }
            let there: Vec<_> = zone.under(name).filter_map(|set| set.set_identifier.clone()).collect();
            for (id, address) in fit.iter().filter(|(id, _)| !there.contains(id)) {
                zone.put(RecordSet::multivalue(name, id, address));
            }
        }
    }
}
