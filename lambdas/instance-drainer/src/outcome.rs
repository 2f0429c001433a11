use std::collections::BTreeMap;

use cluster_core::{
    ids::{InstanceId, VolumeId},
    instance::{Action, Core, NOT_WHOLE, Observed, Phase, Plan, Replica, Step, Target},
    quorum,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{neo4j::Neo4jOutcome, reconcile::Applied};

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The cluster's phase.
    pub phase: Phase,
    /// The plan.
    pub plan: Plan,
    /// Each core, and since when it has not been whole, if it is not.
    pub cores: Vec<(Core, Option<Timestamp>)>,
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
    /// Whether this was a dry run.
    pub dry_run: bool,
}

impl Outcome {
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
            if lasted > NOT_WHOLE {
                tracing::error!(core, %since, why, "a core has not been whole for more than 30 minutes");
            } else {
                tracing::warn!(core, %since, why, "a core is not whole");
            }
        }
    }
}

/// The counts of the results of a plan's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// The longest time from the attachment of a volume to the admission of its instance.
    pub attach_seconds: Option<i64>,
}

impl Tally {
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
