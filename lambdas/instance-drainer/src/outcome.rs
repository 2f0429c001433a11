use std::collections::BTreeMap;

use cluster_core::{
    ids::{InstanceId, VolumeId},
    instance::{
        self, Action, Core, Holder, Lease, NOT_WHOLE, Observed, Phase, Plan, Policy, Reason, Replica, State, Step,
        Target,
    },
    quorum,
};
use cluster_lambda::{Mode, Round};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{look::Look, neo4j::Neo4jOutcome, reconcile::Applied};

/// The outcome of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the round looked at the cluster. One that events of others' instances woke does not.
    pub looked: bool,
    /// The cluster's phase.
    pub phase: Phase,
    /// The plan.
    pub plan: Plan,
    /// Each core, and since when it has not been whole, if it is not.
    pub cores: Vec<(Core, Option<Timestamp>)>,
    /// What the function does about a core that is ill, or why it does not yet, by the core's number.
    pub healing: BTreeMap<u8, String>,
    /// Each instance of the replicas.
    pub replicas: Vec<Replica>,
    /// What every member should run; nothing before a deployment recorded it.
    pub target: Option<Target>,
    /// What Neo4j said; nothing when the round did not ask.
    pub neo4j: Option<Neo4jOutcome>,
    /// The counts of what came of the plan.
    pub tally: Tally,
    /// Why a step did not succeed, in AWS's words, by instance.
    pub refusals: BTreeMap<InstanceId, String>,
    /// The lease as the round found it, or claimed it.
    pub lease: Lease,
    /// How many seconds instances have been on their way out at most, by what they wait for.
    pub waits: BTreeMap<&'static str, i64>,
    /// Whether this was a dry run.
    pub dry_run: bool,
}

impl Outcome {
    /// Returns what a look comes to, before anything is applied.
    pub(crate) fn of(look: &Look, round: &Round) -> Self {
        let Look { observed, remembered, neo4j, policy, plan, .. } = look;
        let cores = instance::cores(observed, plan, policy, round.began).into_iter().map(|core| {
            let since = remembered.clocks.not_whole.get(&core.number).copied();
            (core, since)
        });
        Self {
            looked: true,
            phase: observed.phase,
            plan: plan.clone(),
            cores: cores.collect(),
            healing: healing(observed, policy, round.began),
            replicas: instance::replicas(observed, policy),
            target: observed.target.clone(),
            neo4j: neo4j.clone(),
            tally: Tally::default(),
            refusals: BTreeMap::new(),
            lease: observed.lease.clone(),
            waits: waits(observed, plan, round.began),
            dry_run: round.mode != Mode::Act,
        }
    }

    /// Returns the function's answer to its invoker.
    #[must_use]
    pub fn answer(&self) -> Value {
        let cores = self.cores.iter().map(|(core, since)| {
            json!({
                "core": core.number,
                "zone": core.zone,
                "instance": core.instance.as_ref().map(InstanceId::as_str),
                "state": core.state.as_ref().map(ToString::to_string),
                "volume": core.volume.as_ref().map(VolumeId::as_str),
                "agent": core.agent.map(|connected| if connected { "connected" } else { "disconnected" }),
                "task": core.task,
                "target": core.standing.word(),
                "outdated": core.standing.why(),
                "whole": core.fault.is_none(),
                "since": since.map(|since| format!("{since:.0}")),
                "why": self.why(core),
                "healing": self.healing.get(&core.number),
                "safeToStop": self.unsafe_to_stop(core.number).map(|reasons| reasons.is_empty()),
                "unsafe": self.unsafe_to_stop(core.number),
            })
        });
        let replicas = self.replicas.iter().map(|replica| {
            json!({
                "zone": replica.zone,
                "instance": replica.instance.as_str(),
                "state": replica.state.to_string(),
                "task": replica.task,
                "target": replica.standing.word(),
                "outdated": replica.standing.why(),
            })
        });
        let target = self.target.as_ref().map(|target| {
            let replica = target.replica.as_ref();
            json!({
                "coreTaskDefinition": target.core_task.short(),
                "coreLaunchTemplates": target.core_templates.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "replicaTaskDefinition": replica.map(|(task, _)| task.short()),
                "replicaLaunchTemplate": replica.map(|(_, template)| template.to_string()),
            })
        });
        json!({
            "phase": self.phase.to_string(),
            "target": target,
            "cores": cores.collect::<Vec<_>>(),
            "replicas": replicas.collect::<Vec<_>>(),
            "lease": self.lease.holder.as_ref().map(|holder| {
                let Holder { core, task, cause, since } = holder;
                if holder.is_nobody() {
                    return json!({"why": Reason::LeaseUnreadable.to_string()});
                }
                json!({"core": core, "task": task, "cause": cause.word(), "since": format!("{since:.0}")})
            }),
            "neo4j": self.neo4j.as_ref().map(Neo4jOutcome::answer),
            "table": self.table(),
            "steps": self.plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": self.tally.applied,
            "dryRun": self.dry_run,
        })
    }

    /// Returns why a core must not be stopped; nothing when Neo4j was not asked.
    fn unsafe_to_stop(&self, core: u8) -> Option<Vec<String>> {
        let quorum = &self.neo4j.as_ref()?.quorum;
        Some(quorum.unsafe_to_stop(core).iter().map(ToString::to_string).collect())
    }

    /// Returns the members as a table for people; nothing when Neo4j was not asked.
    fn table(&self) -> Option<String> {
        let neo4j = self.neo4j.as_ref()?;
        let cores = self.cores.iter().map(|(core, _)| (core.task_id.clone(), &core.standing));
        let replicas = self.replicas.iter().map(|replica| (replica.task_id.clone(), &replica.standing));
        let outdated = cores.chain(replicas).filter_map(|(task, standing)| {
            let outdated = match standing.word() {
                "reached" => "no",
                "outdated" => "yes",
                other => other,
            };
            Some((task?, outdated.to_owned()))
        });
        let mut table = quorum::table(&neo4j.observed, &neo4j.quorum, &outdated.collect());
        for (title, what) in [("neo4j-gateway", neo4j.heard.gateway.clone()), ("user monitor", neo4j.monitor())] {
            quorum::section(&mut table, title, what.into_iter().map(|what| ("*".to_owned(), what)));
        }
        Some(table)
    }

    /// Returns why a core is not whole, with AWS's own words where a step did not succeed.
    fn why(&self, core: &Core) -> Option<String> {
        let fault = core.fault.as_ref()?;
        let refused = core.instance.as_ref().and_then(|instance| self.refusals.get(instance));
        Some(refused.map_or_else(|| fault.to_string(), |refused| format!("{fault}, but AWS says: {refused}")))
    }

    /// Returns for how many seconds the core that is worst off has not been whole; 0 if all are whole.
    #[must_use]
    pub fn not_whole_for(&self, now: Timestamp) -> i64 {
        let since = self.cores.iter().filter_map(|(_, since)| *since).min();
        since.map_or(0, |since| now.duration_since(since).as_secs().max(0))
    }

    /// Logs one line for each core that is not whole; after half an hour, when the alarm goes off, as an error.
    pub(crate) fn log_cores(&self, now: Timestamp) {
        for (core, since) in &self.cores {
            let (Some(why), Some(since)) = (self.why(core), since) else { continue };
            let (core, lasted) = (core.number, now.duration_since(*since));
            let healing = self.healing.get(&core);
            if lasted > NOT_WHOLE {
                tracing::error!(core, %since, why, healing, "a core has not been whole for more than 30 minutes");
            } else {
                tracing::warn!(core, %since, why, healing, "a core is not whole");
            }
        }
    }
}

/// Returns what is done about each core that is ill, or why nothing is yet.
fn healing(observed: &Observed, policy: &Policy, now: Timestamp) -> BTreeMap<u8, String> {
    let text = |core: u8| {
        let ill = instance::ill(observed, policy, core, now).map(|ill| ill.to_string());
        ill.or_else(|| instance::not_yet(observed, policy, core, now).map(|why| why.to_string()))
    };
    (1..=policy.cores).filter_map(|core| Some((core, text(core)?))).collect()
}

/// Returns for how many seconds instances have been on their way out at most, by what they wait for. Those that are retained
/// are counted as such.
fn waits(observed: &Observed, plan: &Plan, now: Timestamp) -> BTreeMap<&'static str, i64> {
    let mut waits = BTreeMap::new();
    for step in &plan.steps {
        let leaves = step.state == Some(State::TerminatingWait);
        let Some(since) = observed.leaving.get(&step.instance).filter(|_| leaves) else { continue };
        if matches!(step.action, Action::Wait { .. }) {
            let longest = waits.entry(step.why.waits_for()).or_default();
            *longest = now.duration_since(*since).as_secs().max(*longest);
        }
    }
    waits
}

/// An instance that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Seconds since it was first seen on its way out.
    pub seconds: i64,
    /// Milliseconds since the last task on it stopped, if ECS says when that was.
    pub release_lag: Option<i64>,
}

/// The counts of the results of a plan's steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that changed something. A heartbeat changes nothing.
    pub applied: usize,
    /// Volumes that are being attached.
    pub attached: usize,
    /// Instances that went into service.
    pub admitted: usize,
    /// Instances whose launch was abandoned.
    pub refused: usize,
    /// Steps that have to wait for the next round, or failed.
    pub put_off: usize,
    /// The steps among those that only people can make succeed.
    pub stuck: usize,
    /// Instances that are kept because they could not leave in time.
    pub abandoned: usize,
    /// Members that were restarted because they were ill.
    pub restarted: usize,
    /// Cores that were stopped for a Spot interruption although the others need them.
    pub stopped_without_quorum: usize,
    /// The instances that left.
    pub drains: Vec<Drained>,
    /// The longest time from the attachment of a volume to the admission of its instance.
    pub attach_seconds: Option<i64>,
}

impl Tally {
    /// Writes the report of a drain, one line.
    fn report(&mut self, step: &Step, observed: &Observed, now: Timestamp) {
        let since = observed.leaving.get(&step.instance).copied().unwrap_or(now);
        let stopped = observed.of(&step.instance).iter().filter_map(|found| found.last_stopped).max();
        let drained = Drained {
            seconds: now.duration_since(since).as_secs().max(0),
            release_lag: stopped.map(|at| i64::try_from(now.duration_since(at).as_millis().max(0)).unwrap_or(i64::MAX)),
        };
        let (instance, group) = (&step.instance, &step.group);
        let Drained { seconds, release_lag } = drained;
        tracing::info!(%instance, group, seconds, release_lag, why = %step.why, "an instance has left");
        self.drains.push(drained);
    }

    pub(crate) fn add(&mut self, step: &Step, applied: &Applied, observed: &Observed, now: Timestamp) {
        match applied {
            Applied::No => return,
            Applied::PutOff(_) => self.put_off += 1,
            Applied::Stuck(_) => (self.put_off, self.stuck) = (self.put_off + 1, self.stuck + 1),
            Applied::Yes => self.applied += 1,
        }
        match &step.action {
            Action::Attach { .. } if *applied == Applied::Yes => self.attached += 1,
            Action::Refuse => self.refused += 1,
            Action::Abandon { .. } => self.abandoned += 1,
            Action::StopTasks { .. } if matches!(step.why, Reason::Spared { .. }) => self.restarted += 1,
            Action::Drain { .. } if matches!(step.why, Reason::SpotEnds { .. }) => self.stopped_without_quorum += 1,
            Action::Leave { .. } | Action::Release => self.report(step, observed, now),
            Action::Admit => {
                self.admitted += 1;
                let since = observed.attached_since(&step.instance);
                // The clocks of EC2 and of this function differ a little.
                let took = since.map(|since| now.duration_since(since).as_secs().max(0));
                self.attach_seconds = self.attach_seconds.max(took);
            }
            _ => {}
        }
    }
}
