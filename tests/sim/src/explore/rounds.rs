//! The hours of a function that events and a schedule wake: what of them reaches it, and when.

use std::sync::Arc;

use cluster_world::{Request, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Explored, Wrong, invoke, jumbled, triggers};
use crate::cluster::Cluster;

/// How long a round may be ago in which a stale list was true: the APIs are eventually consistent, not historical.
const STALE: i64 = 15;

/// The heartbeat timeout of every hook of ours, in seconds.
const HEARTBEAT: u64 = 1800;

/// What is to come, and when nothing came.
pub(super) struct Hours {
    /// Events that have not been delivered.
    late: Vec<Value>,
    next_sweep: Timestamp,
    remembered: Timestamp,
    /// From when to when nothing woke the function, for as long as a hook lasts.
    absences: Vec<(Timestamp, Timestamp)>,
}

impl Hours {
    /// Opens a stage: lists have pages of so many items, a guard looks at every write, and the present is what a stale read returns.
    pub(super) fn open(
        cluster: &Cluster,
        page: usize,
        guard: impl Fn(&World, &Request) -> Result<(), Wrong> + Send + Sync + 'static,
    ) -> Self {
        cluster.wire.world().page = page;
        cluster.wire.set_guard(Arc::new(guard));
        cluster.wire.remember_for_faults();
        let now = cluster.wire.world().now;
        Self { late: vec![], next_sweep: now, remembered: now, absences: vec![] }
    }

    /// The function keeps alive or ends each hook of ours in these groups, unless a scenario sent it away for longer than one lasts.
    pub(super) fn no_hook_runs_out<'a>(
        &self,
        world: &World,
        groups: impl Iterator<Item = &'a str>,
        ours: &[&str],
    ) -> Result<(), Wrong> {
        let stays = groups.filter_map(|name| world.auto_scaling.groups.get(name)).flat_map(|group| &group.timed_out);
        let excused = |at: Timestamp| self.absences.iter().any(|(from, until)| *from <= at && at <= *until);
        let mut wrong = stays.filter(|stay| ours.contains(&stay.hook.as_str()) && !excused(stay.at));
        wrong.next().map_or(Ok(()), |stay| {
            let (hook, instance, at) = (&stay.hook, &stay.instance, stay.at);
            Err(format!("the hook {hook} of {instance} ran out at {at}, and the function lived"))
        })
    }
}

/// A stage on which such a function is played.
pub(super) trait Woken: Explored {
    /// Returns what is to come.
    fn hours(&mut self) -> &mut Hours;
    /// Does what others do as time passes.
    fn passes(&mut self) {}
    /// Checks what must hold at any time.
    fn holds(&self) -> Result<(), Wrong>;

    /// Remembers the present for stale reads.
    fn remember(&mut self) {
        let now = self.cluster().wire.world().now;
        self.hours().remembered = now;
        self.cluster().wire.remember_for_faults();
    }

    /// Takes the events that the function's rules match.
    fn taken(&self) -> Vec<Value> {
        let events = std::mem::take(&mut self.cluster().wire.world().events);
        self.cluster().matching(self.cluster().subject, events)
    }

    /// One invocation with these events, or with a sweep, and what must hold after it.
    async fn reconcile(&mut self, events: &[Value]) -> Result<(), Wrong> {
        _ = invoke(self.cluster(), triggers(self.cluster(), events)).await;
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
        let now = self.cluster().wire.world().now;
        if now.duration_since(self.hours().remembered) >= SignedDuration::from_secs(STALE) {
            self.remember();
        }
        self.cluster().wire.sleep(5).await;
        self.passes();
        let events = self.taken();
        for batch in events.chunks(10) {
            self.reconcile(batch).await?;
        }
        let now = self.cluster().wire.world().now;
        if now >= self.hours().next_sweep {
            self.hours().next_sweep += SignedDuration::from_mins(1);
            self.reconcile(&[]).await?;
        }
        self.holds()
    }

    /// Lets time pass in which nothing wakes the function.
    async fn away(&mut self, seconds: u64) {
        let from = self.cluster().wire.world().now;
        self.cluster().wire.sleep(seconds).await;
        self.passes();
        // Events wait an hour for a function that is away; one of them is as good as all.
        let now = self.cluster().wire.world().now;
        self.hours().next_sweep = now;
        self.hours().absences.extend((seconds >= HEARTBEAT).then_some((from, now)));
        self.remember();
    }

    /// Draws which events come, how often and when, and lets the function have them.
    async fn jumble_events(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.remember();
        self.cluster().wire.sleep(draw.u64(1..20)).await;
        self.passes();
        let events = self.taken();
        let now = jumbled(draw, events, &mut self.hours().late);
        if !now.is_empty() || draw.u8(..4) == 0 {
            self.reconcile(&now).await?;
        }
        Ok(())
    }

    /// A round in which nothing is to be done writes nothing. Returns its answer.
    async fn writes_nothing(&self) -> Result<Value, Wrong> {
        let from = self.cluster().wire.world().calls.len();
        let keys =
            |world: &World| world.dynamodb.tables.values().flat_map(|table| table.keys().cloned()).collect::<Vec<_>>();
        let before = keys(&self.cluster().wire.world());
        let answer =
            self.cluster().sweep().await.map_err(|failure| format!("the idle round failed: {}", failure.chain()))?;
        let world = self.cluster().wire.world();
        let writes: Vec<_> = world.calls.iter().skip(from).filter(|call| call.write).collect();
        if writes.is_empty() {
            Ok(answer)
        } else {
            Err(format!("the idle round wrote {writes:?}, where there was {before:?}: {answer}"))
        }
    }
}
