use std::collections::BTreeMap;

use cluster_core::{
    ids::VolumeId,
    instance::{self, Action, Observed, Phase, Plan, Policy, State, Step},
    neo4j::Memory,
    quorum::Quorum,
};
use cluster_lambda::{Failure, Mode, Reconciled, Round, SWEEP};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{Drainer, Outcome, Tally, groups::End, neo4j::Neo4jOutcome, observe::Observation, volumes::Attached};

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
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
        let Observation { mut observed, before, mut remembered, cores } = match Box::pin(self.observe(phase, now)).await
        {
            Ok(observation) => observation,
            Err(failure) => return Err(failure).into(),
        };
        let policy = Policy { cores, ..self.config.policy() };
        let mut neo4j = self.hear(round, &mut observed, &mut remembered.neo4j, &policy).await;
        let plan = instance::plan(&observed, &policy, now);
        log(&plan, mode);
        let cores = instance::cores(&observed, &plan, &policy, now);
        let not_whole = cores.iter().filter(|core| core.fault.is_some()).map(|core| core.number);
        remembered.clocks.see_cores(not_whole, neo4j.as_ref().is_some_and(Neo4jOutcome::is_heard), now);
        if let Some(neo4j) = &mut neo4j {
            self.declare_monitor(neo4j, &mut remembered.neo4j, round).await;
        }
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
            neo4j,
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

    /// Asks Neo4j in a sweep, or when a person or CloudFormation asks: rounds that events wake have to be quick, and come in
    /// numbers. While the cluster is being deleted nothing depends on it, and the gateway goes first.
    async fn hear(
        &self,
        round: &Round,
        observed: &mut Observed,
        memory: &mut Memory,
        policy: &Policy,
    ) -> Option<Neo4jOutcome> {
        let asks = round.triggers.is_empty() || round.triggers.iter().any(|trigger| trigger.kind() == SWEEP);
        if !asks || observed.phase == Phase::Deleting {
            return None;
        }
        let neo4j = self.neo4j.as_ref()?;
        let heard = neo4j.listen(&observed.container_instances, policy, memory, round.began).await;
        let judged = heard.observed(policy.cores, memory, round.began);
        let quorum = Quorum::of(&judged);
        // Where the gateway failed, nothing is known that could be remembered.
        if heard.gateway.is_none() {
            let answers = heard.answers();
            memory.see_answers(&heard.asked, &answers, round.began);
            memory.see_servers(&heard.asked, &answers);
            memory.see_down(quorum.down(), round.began);
        }
        observed.neo4j = heard.seen(memory);
        let monitor = neo4j.decide(&heard, observed.phase, memory, round.began).await;
        Some(Neo4jOutcome { heard, observed: judged, quorum, monitor })
    }

    /// Declares the user that asks, if it has to be.
    async fn declare_monitor(&self, neo4j: &mut Neo4jOutcome, memory: &mut Memory, round: &Round) {
        let dry_run = round.mode != Mode::Act;
        if let Some(decision) = &neo4j.monitor.decision {
            tracing::warn!(%decision, dry_run, "the user monitor is not as it should be");
        }
        let admin = neo4j.monitor.admin.take().filter(|_| !dry_run);
        if let (Some(admin), Some(members)) = (admin, &self.neo4j) {
            match members.declare(&neo4j.heard, admin, memory, round.began).await {
                Ok(became) => tracing::info!(?became, "the user monitor is declared"),
                Err(why) => neo4j.monitor.failure = Some(why),
            }
        }
        if let Some(why) = &neo4j.monitor.failure {
            tracing::error!(why, "the user monitor could not be declared");
        }
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
