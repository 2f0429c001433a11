use cluster_core::{
    ids::{ContainerInstanceArn, InstanceId, VolumeId},
    instance::{self, Action, Cause, Holder, Observed, Phase, Plan, State, Step},
    names::DRAIN_HOOK,
    neo4j::Memory,
};
use cluster_lambda::{Failure, Mode, Reconciled, Round, queue::Trigger};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{
    Drainer, Outcome,
    function::{REBALANCE, SPOT, TASK},
    groups::End,
    look::Look,
    neo4j::Neo4jOutcome,
    observe::notices,
    volumes::Attached,
};

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
    /// Does what can be done now for every instance that Auto Scaling holds, and for every core that has to be stopped:
    /// observes everything, plans, and applies.
    ///
    /// A failure for one instance does not stop the others. A caller that knows the phase overrules the state table.
    pub(crate) async fn reconcile_in(&self, phase: Option<Phase>, round: &Round) -> Reconciled<Outcome> {
        match self.concerns(round).await {
            Ok(true) => {}
            Ok(false) => return Reconciled { outcome: Some(Outcome::default()), failures: Vec::new() },
            Err(failure) => return Err(failure).into(),
        }
        let mut look = match Box::pin(self.look(phase, round)).await {
            Ok(look) => look,
            Err(failure) => return Err(failure).into(),
        };
        let mut failures = Vec::new();
        let mut settle = |result: Result<(), Failure>| {
            if let Err(failure) = result {
                tracing::error!("{}", failure.chain());
                failures.push(failure);
            }
        };
        see_cores(&mut look, round.began);
        if let Some(neo4j) = &mut look.neo4j {
            self.declare_monitor(neo4j, &mut look.remembered.neo4j, round).await;
        }
        if round.mode != Mode::Look {
            settle(self.state.save(&look.before, &look.remembered).await);
        }
        let (saved, mut acts, mut restarted) = (look.remembered.clone(), round.mode == Mode::Act, None);
        if acts {
            settle(Box::pin(self.claim(&mut look, round)).await);
            // Before anybody is stopped: one that was stopped and forgotten could be stopped again at once.
            restarted = remember_restart(&mut look, round.began);
            let remembered = self.state.save(&saved, &look.remembered).await;
            acts = remembered.is_ok();
            settle(remembered);
        }
        log(&look.plan, round.mode);
        let mut outcome = Outcome::of(&look, round);
        if acts {
            failures.extend(self.apply_all(&mut outcome, &look.observed, round.began).await);
            let mut settled = vec![self.give_back(&look).await];
            // Nobody was restarted if AWS refused.
            if restarted.is_some_and(|instance| outcome.refusals.contains_key(&instance)) {
                settled.push(self.state.save(&look.remembered, &saved).await);
            }
            for failure in settled.into_iter().filter_map(Result::err) {
                tracing::error!("{}", failure.chain());
                failures.push(failure);
            }
        }
        outcome.log_cores(round.began);
        Reconciled { outcome: Some(outcome), failures }
    }

    /// Returns whether a round has anything to look at. The rules for EC2's events cannot name the instances of a cluster, and
    /// tasks stop all the time: where only such events woke it, the groups say whether one of theirs is concerned.
    async fn concerns(&self, round: &Round) -> Result<bool, Failure> {
        let vague = |trigger: &Trigger| [SPOT, REBALANCE, TASK].contains(&trigger.kind());
        if round.triggers.is_empty() || !round.triggers.iter().all(vague) {
            return Ok(true);
        }
        let groups = self.groups.all().await?;
        let instances = || groups.iter().flat_map(|group| &group.instances);
        let announced = notices(round).any(|(id, _)| instances().any(|found| found.id == id));
        let tasks = round.triggers.iter().any(|trigger| trigger.kind() == TASK);
        Ok(announced || (tasks && instances().any(|found| found.state.awaits_release())))
    }

    /// Claims the lease if the plan wants a core stopped, and replaces the plan by one that is made while it is held.
    async fn claim(&self, look: &mut Look, round: &Round) -> Result<(), Failure> {
        let claims = look.plan.steps.iter().find_map(|step| match &step.action {
            Action::Claim { core, task, cause } => {
                Some(Holder { core: *core, task: task.clone(), cause: *cause, since: round.began })
            }
            _ => None,
        });
        let Some(holder) = claims else { return Ok(()) };
        let core = holder.core;
        let Some(lease) = self.state.pass_lease(&look.observed.lease, Some(holder)).await? else {
            tracing::info!(core, "somebody else has changed the lease: the next round looks again");
            return Ok(());
        };
        match Box::pin(self.look_again(look, lease.clone(), round)).await {
            Ok(again) => {
                *look = again;
                Ok(())
            }
            Err(failure) => {
                // Nobody was stopped under it. If it cannot be given back now, another round does so later.
                let given = self.state.pass_lease(&lease, None).await;
                Err(failure.combined(given.err()))
            }
        }
    }

    /// Gives the lease back, if the plan says so.
    async fn give_back(&self, look: &Look) -> Result<(), Failure> {
        let Some(why) = &look.plan.freed else { return Ok(()) };
        let free = self.state.pass_lease(&look.observed.lease, None).await?.is_some();
        tracing::info!(%why, free, "the lease goes back");
        Ok(())
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
        let hook = step.hook().map(|hook| if self.config.stand_alone { DRAIN_HOOK } else { hook });
        let complete = async |end| match hook {
            Some(hook) => self.groups.complete(group, instance, hook, end).await,
            None => Ok(false),
        };
        let changed = match action {
            Action::Wait { heartbeat } => {
                if let Some(hook) = hook.filter(|_| *heartbeat) {
                    self.groups.heartbeat(group, instance, hook).await?;
                }
                false
            }
            Action::Attach { volume } => return self.attach(step, volume).await,
            Action::Admit | Action::Release => complete(End::Continue).await?,
            Action::Refuse => complete(End::Abandon).await?,
            Action::Abandon { activate } => {
                if !activate.is_empty() {
                    self.container_instances.activate(activate).await?;
                }
                complete(End::Abandon).await?
            }
            Action::Drain { container_instances } => {
                self.container_instances.drain(container_instances).await?;
                true
            }
            Action::Deregister { container_instances } => self.deregister(container_instances, true).await?,
            Action::Leave { container_instances } => {
                self.deregister(container_instances, false).await?;
                if step.state == Some(State::Retained) {
                    self.groups.terminate(instance).await?;
                } else {
                    complete(End::Continue).await?;
                }
                true
            }
            Action::StopTasks { tasks } => {
                let mut changed = false;
                for task in tasks {
                    changed |= self.container_instances.stop_task(task, &step.why.to_string()).await?;
                }
                changed
            }
            Action::MarkUnhealthy => self.groups.mark_unhealthy(instance).await?,
            Action::Claim { .. } => return Ok(Applied::PutOff("the next round claims the lease".to_owned())),
            Action::Terminate => self.groups.terminate(instance).await?,
        };
        Ok(if changed { Applied::Yes } else { Applied::No })
    }

    async fn deregister(&self, container_instances: &[ContainerInstanceArn], force: bool) -> Result<bool, Failure> {
        let mut changed = false;
        for arn in container_instances {
            changed |= self.container_instances.deregister(arn, force).await?;
        }
        Ok(changed)
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

/// Takes note of which cores are not whole.
fn see_cores(look: &mut Look, now: Timestamp) {
    let cores = instance::cores(&look.observed, &look.plan, &look.policy, now);
    let not_whole = cores.iter().filter(|core| core.fault.is_some()).map(|core| core.number);
    let asked = look.neo4j.as_ref().is_some_and(Neo4jOutcome::is_heard);
    look.remembered.clocks.see_cores(not_whole, asked, now);
}

/// Takes note of the core that the plan restarts, or replaces, because it is ill. Returns its instance.
fn remember_restart(look: &mut Look, now: Timestamp) -> Option<InstanceId> {
    let holder = look.observed.lease.holder.as_ref().filter(|_| look.observed.claimed)?;
    let ill = matches!(holder.cause, Cause::Hang | Cause::DiskStart | Cause::Disk | Cause::Wedged);
    let restarts = |step: &&Step| match &step.action {
        Action::StopTasks { tasks } => tasks.contains(&holder.task),
        Action::MarkUnhealthy => true,
        _ => false,
    };
    let step = look.plan.steps.iter().find(restarts).filter(|_| ill)?;
    let (core, instance) = (holder.core, step.instance.clone());
    look.remembered.clocks.see_restart(core, now);
    Some(instance)
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
            Action::Refuse
            | Action::Deregister { .. }
            | Action::Claim { .. }
            | Action::StopTasks { .. }
            | Action::MarkUnhealthy
            | Action::Abandon { .. } => tracing::warn!(%step, dry_run, "planned"),
            _ => tracing::info!(%step, dry_run, "planned"),
        }
    }
}
