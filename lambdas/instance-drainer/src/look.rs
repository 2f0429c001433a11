//! One look at everything, and what follows from it: the part of a round that writes nothing.

use std::collections::BTreeMap;

use cluster_core::{
    ids::InstanceId,
    instance::{self, Lease, Observed, Phase, Plan, Policy, Seen},
    neo4j::Memory,
    quorum::Quorum,
};
use cluster_lambda::{Failure, Round, SWEEP};
use cluster_state::Remembered;
use jiff::Timestamp;

use crate::{
    Drainer,
    neo4j::{Heard, Monitor, Neo4jOutcome},
    observe::Observation,
};

/// What one look found, and what is to be done about it.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) observed: Observed,
    /// What the table remembered.
    pub(crate) before: Remembered,
    /// What it should remember.
    pub(crate) remembered: Remembered,
    pub(crate) neo4j: Option<Neo4jOutcome>,
    pub(crate) policy: Policy,
    pub(crate) plan: Plan,
}

impl Drainer {
    /// Looks at everything: AWS, then Neo4j where somebody depends on it.
    pub(crate) async fn look(&self, phase: Option<Phase>, round: &Round) -> Result<Look, Failure> {
        let now = round.began;
        let Observation { mut observed, before, mut remembered, cores } = self.observe(phase, round).await?;
        let policy = Policy { cores, ..self.config.policy() };
        remembered.clocks.see_empty(instance::doubtfully_empty(&observed, &policy), now);
        observed.empty.clone_from(&remembered.clocks.empty);
        let mut neo4j = None;
        if self.neo4j.is_none() {
            observed.neo4j = Seen::NoGateway;
        }
        if let Some(asks) = self.neo4j.as_ref().filter(|_| asks(round, &observed, &policy)) {
            let mut heard = asks.listen(&observed.container_instances, &policy, &remembered.neo4j, now).await;
            heard.announce(&observed.container_instances, &observed.notices, &BTreeMap::new());
            neo4j = Some(judge(heard, &mut observed, &before.neo4j, &policy, now));
            if let Some(neo4j) = &mut neo4j {
                remember(&mut remembered, neo4j, &observed, now);
                observed.neo4j = neo4j.heard.seen(&remembered.neo4j);
                neo4j.monitor = asks.decide(&neo4j.heard, observed.phase, &remembered.neo4j, now).await;
            }
        }
        observed.silent.clone_from(&remembered.neo4j.silent);
        self.add_disks(&mut observed, &policy, now).await;
        let plan = instance::plan(&observed, &policy, now);
        Ok(Look { observed, before, remembered, neo4j, policy, plan })
    }

    /// Looks again while the lease is held: Neo4j first, then AWS, so that who is about to go is known later than what Neo4j
    /// said.
    pub(crate) async fn look_again(&self, first: &Look, lease: Lease, round: &Round) -> Result<Look, Failure> {
        let now = round.began;
        let Some(asks) = &self.neo4j else { return Err(Failure::permanent("nobody can be asked")) };
        let (policy, memory) = (&first.policy, &first.before.neo4j);
        let heard = asks.listen(&first.observed.container_instances, policy, &first.remembered.neo4j, now).await;
        let Observation { mut observed, .. } = self.observe(None, round).await?;
        let mut heard = heard.later(&observed, policy);
        // Of instances in the groups alone: EC2 refuses the whole call for one that it no longer knows, and a registration may
        // outlive its instance.
        let running = observed.container_instances.iter().filter(|on| !on.tasks.is_empty()).map(|on| &on.instance);
        let running: Vec<&InstanceId> = running.filter(|id| observed.group_of(id).is_some()).collect();
        let events = self.statuses.events(&running, now).await?;
        heard.announce(&observed.container_instances, &observed.notices, &events);
        if observed.lease != lease {
            return Err(Failure::transient(
                "the lease has been passed on while Neo4j was asked: the next round looks again",
            ));
        }
        observed.claimed = true;
        observed.empty.clone_from(&first.observed.empty);
        let mut neo4j = judge(heard, &mut observed, memory, policy, now);
        observed.neo4j = neo4j.heard.seen(&first.remembered.neo4j);
        if let Some(before) = &first.neo4j {
            neo4j.monitor = before.monitor.clone();
        }
        // What was ill when the lease was claimed is still, unless it answers now.
        observed.silent.clone_from(&first.observed.silent);
        let answers = heard_tasks(&observed.neo4j);
        observed.silent.retain(|task, _| !answers.contains(&task.as_str()));
        observed.disks.clone_from(&first.observed.disks);
        let plan = instance::plan(&observed, policy, now);
        let (before, remembered) = (first.before.clone(), first.remembered.clone());
        Ok(Look { observed, before, remembered, neo4j: Some(neo4j), policy: policy.clone(), plan })
    }

    /// Reads the disks of cores that do not answer, or say that theirs is what is wrong. A failure leaves them unread: then
    /// nobody is restarted for a disk.
    async fn add_disks(&self, observed: &mut Observed, policy: &Policy, now: Timestamp) {
        let cores = instance::doubtful_disks(observed, policy, now);
        match self.disks.of(&cores, now).await {
            Ok(disks) => observed.disks = disks,
            Err(failure) => tracing::error!("{}", failure.chain()),
        }
    }
}

/// Judges what was heard.
fn judge(heard: Heard, observed: &mut Observed, memory: &Memory, policy: &Policy, now: Timestamp) -> Neo4jOutcome {
    let judged = heard.observed(policy.cores, memory, now);
    let quorum = Quorum::of(&judged);
    observed.quorum = Some(quorum.clone());
    observed.quorum_observed = Some(judged.clone());
    Neo4jOutcome { heard, observed: judged, quorum, monitor: Monitor::default() }
}

/// Returns whether Neo4j is asked: in a sweep, when a person or CloudFormation asks, and where an instance is about to go.
/// Other rounds that events wake have to be quick, and come in numbers. While the cluster is being deleted nothing depends on
/// it, and the gateway goes first.
fn asks(round: &Round, observed: &Observed, policy: &Policy) -> bool {
    let sweep = round.triggers.is_empty() || round.triggers.iter().any(|trigger| trigger.kind() == SWEEP);
    let cores = observed.groups.iter().filter(|group| group.is_core());
    let mut instances = cores.flat_map(|group| &group.instances);
    let runs = |id: &InstanceId| observed.of(id).iter().any(|on| on.tasks.iter().any(|task| policy.is_ours(task)));
    let awaited = instances.any(|instance| {
        (instance.state.awaits_release() || observed.notices.contains_key(&instance.id)) && runs(&instance.id)
    });
    observed.phase != Phase::Deleting && (sweep || (awaited && observed.phase == Phase::Complete))
}

/// Remembers what was heard. Where the gateway failed, nothing is known that could be remembered.
fn remember(remembered: &mut Remembered, neo4j: &Neo4jOutcome, observed: &Observed, now: Timestamp) {
    let Neo4jOutcome { heard, quorum, .. } = neo4j;
    let memory = &mut remembered.neo4j;
    if heard.gateway.is_none() {
        let answers = heard.answers();
        memory.see_answers(&heard.asked, &answers, now);
        memory.see_servers(&heard.asked, &answers);
        memory.see_down(quorum.down(), now);
    }
    let connected = |task: &str| {
        let on = observed.container_instances.iter().find(|on| on.tasks.iter().any(|found| found.id == task));
        on.is_some_and(|on| on.connected)
    };
    memory.see_silence(&heard.asked, &heard.answers(), connected, now);
}

fn heard_tasks(seen: &Seen) -> Vec<&str> {
    let Seen::Answers(cores) = seen else { return Vec::new() };
    let answers = cores.values().filter(|heard| heard.answer.page.is_ok());
    answers.map(|heard| heard.answer.task.as_str()).collect()
}
