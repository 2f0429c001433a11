use std::collections::BTreeMap;

use cluster_core::{
    ids::{InstanceId, VolumeId},
    instance::{self, Action, Core, NOT_WHOLE, Observed, Phase, Plan, Policy, Replica, State, Step, Target},
};
use cluster_lambda::{Failure, Mode, Reconciled, Round};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Drainer, groups::End, observe::Observation, volumes::Attached};

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
            "steps": self.plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": self.tally.applied,
            "dryRun": self.dry_run,
        })
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
    fn log_cores(&self, now: Timestamp) {
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

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Applied {
    /// It changed something.
    Yes,
    /// There was nothing to change, or no longer anything.
    No,
    /// It is left to the next round, for this reason.
    PutOff(String),
    /// It waits for people, for this reason of EC2's.
    Stuck(String),
}

impl Drainer {
    /// Does what can be done now for every instance that Auto Scaling holds: observes everything, plans, and applies.
    ///
    /// A failure for one instance does not stop the others. A caller that knows the phase overrules the state table.
    pub(crate) async fn reconcile_in(&self, phase: Option<Phase>, round: &Round) -> Reconciled<Outcome> {
        let (now, mode) = (round.began, round.mode);
        let Observation { observed, before, mut remembered, cores } = match Box::pin(self.observe(phase, now)).await {
            Ok(observation) => observation,
            Err(failure) => return Err(failure).into(),
        };
        let policy = Policy { cores, ..self.config.policy() };
        let plan = instance::plan(&observed, &policy, now);
        log(&plan, mode);
        let cores = instance::cores(&observed, &plan, &policy, now);
        remembered.clocks.see_cores(cores.iter().filter(|core| core.fault.is_some()).map(|core| core.number), now);
        let mut failures = Vec::new();
        if mode != Mode::Look
            && let Err(failure) = self.state.save(&before, &remembered).await
        {
            tracing::error!("{}", failure.chain());
            failures.push(failure);
        }
        let dated = cores.into_iter().map(|core| {
            let since = remembered.clocks.not_whole.get(&core.number).copied();
            (core, since)
        });
        let mut outcome = Outcome {
            phase: observed.phase,
            plan,
            cores: dated.collect(),
            replicas: instance::replicas(&observed, &policy),
            target: observed.target.clone(),
            tally: Tally::default(),
            refusals: BTreeMap::new(),
            dry_run: mode != Mode::Act,
        };
        if mode == Mode::Act {
            failures.extend(self.apply_all(&mut outcome, &observed, now).await);
        }
        outcome.log_cores(now);
        Reconciled { outcome: Some(outcome), failures }
    }

    /// Applies every step, and returns the failures.
    async fn apply_all(&self, outcome: &mut Outcome, observed: &Observed, now: Timestamp) -> Vec<Failure> {
        let mut failures = Vec::new();
        // Concurrently: a call for one instance that hangs must not use up the time of the others.
        let applied = join_all(outcome.plan.steps.iter().map(|step| self.apply(step))).await;
        for (step, applied) in outcome.plan.steps.iter().zip(applied) {
            match applied {
                Ok(applied) => {
                    if let Applied::Stuck(why) | Applied::PutOff(why) = &applied {
                        outcome.refusals.insert(step.instance.clone(), why.clone());
                    }
                    outcome.tally.add(step, &applied, observed, now);
                }
                Err(failure) => {
                    tracing::error!(%step, "{}", failure.chain());
                    outcome.tally.put_off += 1;
                    outcome.refusals.insert(step.instance.clone(), failure.chain());
                    failures.push(failure);
                }
            }
        }
        failures
    }

    /// Applies one step.
    async fn apply(&self, step: &Step) -> Result<Applied, Failure> {
        let Step { group, instance, action, .. } = step;
        let complete = async |end| match step.hook() {
            Some(hook) => self.groups.complete(group, instance, hook, end).await,
            None => Ok(false),
        };
        let changed = match action {
            Action::Wait { heartbeat } => {
                if let Some(hook) = step.hook().filter(|_| *heartbeat) {
                    self.groups.heartbeat(group, instance, hook).await?;
                }
                false
            }
            Action::Attach { volume } => return self.attach(step, volume).await,
            Action::Admit | Action::Release => complete(End::Continue).await?,
            Action::Refuse => complete(End::Abandon).await?,
            Action::Drain { container_instances } => {
                self.container_instances.drain(container_instances).await?;
                true
            }
            Action::Deregister { container_instances, force } => {
                let mut changed = false;
                for arn in container_instances {
                    changed |= self.container_instances.deregister(arn, *force).await?;
                }
                changed
            }
            Action::Terminate => self.groups.terminate(instance).await?,
        };
        Ok(if changed { Applied::Yes } else { Applied::No })
    }

    async fn attach(&self, step: &Step, volume: &VolumeId) -> Result<Applied, Failure> {
        Ok(match self.volumes.attach(volume, &step.instance).await? {
            Attached::Asked => Applied::Yes,
            Attached::Taken => {
                tracing::info!(%step, "the volume is no longer free: the next round looks again");
                Applied::PutOff("the volume is no longer free".to_owned())
            }
            Attached::NotNow(why) => {
                tracing::warn!(%step, why, "not possible right now: the next round looks again");
                Applied::PutOff(why)
            }
            Attached::Refused(why) => {
                tracing::error!(%step, why, "EC2 refuses to attach the volume, for a reason that may not pass by itself");
                Applied::Stuck(why)
            }
        })
    }
}

impl Tally {
    fn add(&mut self, step: &Step, applied: &Applied, observed: &Observed, now: Timestamp) {
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

/// Logs one line for each step, as a warning if people are needed.
fn log(plan: &Plan, mode: Mode) {
    let dry_run = mode != Mode::Act;
    for step in &plan.steps {
        match step.action {
            Action::Wait { .. } if step.why.is_stuck() || step.state == Some(State::Retained) => {
                tracing::warn!(%step, dry_run, "waits for people");
            }
            Action::Wait { .. } => tracing::info!(%step, dry_run, "left as it is"),
            Action::Refuse | Action::Deregister { force: true, .. } => tracing::warn!(%step, dry_run, "planned"),
            _ => tracing::info!(%step, dry_run, "planned"),
        }
    }
}
