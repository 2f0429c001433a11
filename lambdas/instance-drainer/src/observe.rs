use std::{collections::BTreeMap, time::Duration};

use cluster_core::{
    ids::InstanceId,
    instance::{self, ContainerInstance, Group, Instance, Lease, Notice, NoticeKind, Observed, Phase},
};
use cluster_lambda::{Failure, Round};
use cluster_state::{Remembered, State};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{
    Drainer,
    function::{REBALANCE, SPOT},
};

/// The number of instances in one ECS filter, well below its limit.
const ASKED_AT_ONCE: usize = 50;
/// Up to how many container instances lists of their own cost less than that of the whole cluster.
const FEW: usize = 20;
/// The longest time that an explanation may delay a round.
const EXPLANATION: Duration = Duration::from_secs(3);

/// An observation, with what the state table remembers and should remember.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    /// What the table remembers.
    pub(crate) before: Remembered,
    /// What it should remember after this observation.
    pub(crate) remembered: Remembered,
    /// How many cores to expect.
    pub(crate) cores: u8,
}

impl Drainer {
    /// Observes everything, completely or not at all. A caller that knows the phase overrules the state table.
    pub(crate) async fn observe(&self, phase: Option<Phase>, round: &Round) -> Result<Observation, Failure> {
        let now = round.began;
        let (mut groups, state, volumes, found) = if self.config.stand_alone {
            let (groups, state) = tokio::try_join!(biased; self.groups.all(), self.state_or(phase))?;
            let found = self.container_instances_of(&groups, &state, round).await?;
            (groups, state, BTreeMap::new(), found)
        } else {
            tokio::try_join!(
                biased;
                self.groups.all(),
                self.state_or(phase),
                self.volumes.of(&self.config.cluster.name),
                self.container_instances.all()
            )?
        };
        let phase = phase.unwrap_or(if self.config.stand_alone { Phase::Complete } else { state.phase });
        let cores = instance::expected_cores(self.config.tiers.cores, state.cores);
        let mut remembered = state.remembered.clone();
        remembered.clocks.see_leaving(&groups, now);
        remembered.clocks.see_notices(notices(round), &groups);
        remembered.clocks.forget_restarts(now);
        let gone = found.is_none();
        let mut found = match found {
            Some(found) => found,
            // The ECS cluster was deleted before its instances.
            None if phase == Phase::Deleting || self.config.stand_alone => Vec::new(),
            None => {
                let cluster = &self.config.cluster.ecs;
                return Err(Failure::permanent(format!(
                    "there is no ECS cluster {cluster}: was it deleted outside of the stack?"
                )));
            }
        };
        if !gone {
            self.add_all_tasks(&groups, &mut found).await?;
            if tokio::time::timeout(EXPLANATION, self.add_launch_failures(&mut groups)).await.is_err() {
                tracing::warn!("Auto Scaling did not say in time why a group has no instance");
            }
        }
        remembered.clocks.see_connections(&mut found, now);
        let clocks = &remembered.clocks;
        let mut observed = Observed {
            phase,
            target: state.target,
            groups,
            volumes,
            container_instances: found,
            not_whole: state.remembered.clocks.not_whole.clone(),
            lease: state.lease,
            leaving: clocks.leaving.clone(),
            notices: clocks.notices.clone(),
            restarts: clocks.restarts.clone(),
            ..Observed::default()
        };
        if !gone {
            self.add_statuses(&mut observed, now).await;
        }
        Ok(Observation { observed, before: state.remembered, remembered, cores })
    }

    /// Returns the container instances of those instances alone that are about to go: a cluster without a Neo4j may be large,
    /// and of all others nothing has to be known.
    async fn container_instances_of(
        &self,
        groups: &[Group],
        state: &State,
        round: &Round,
    ) -> Result<Option<Vec<ContainerInstance>>, Failure> {
        let mut clocks = state.remembered.clocks.clone();
        clocks.see_notices(notices(round), groups);
        let instances = groups.iter().flat_map(|group| &group.instances);
        let going = |instance: &&Instance| instance.state.awaits_release() || clocks.notices.contains_key(&instance.id);
        let going: Vec<_> = instances.filter(going).map(|instance| &instance.id).collect();
        let mut found = Vec::new();
        for going in going.chunks(ASKED_AT_ONCE) {
            match self.container_instances.of(going).await? {
                Some(more) => found.extend(more),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Adds the tasks that should run, and where some may be stopping, these as well.
    async fn add_all_tasks(&self, groups: &[Group], found: &mut Vec<ContainerInstance>) -> Result<(), Failure> {
        let instances = groups.iter().flat_map(|group| &group.instances);
        let leaving = instances.filter(|instance| instance.state.awaits_release());
        let leaving: Vec<_> = leaving.map(|instance| &instance.id).collect();
        if self.config.stand_alone && found.len() <= FEW {
            return self.container_instances.add_tasks_of_few(found).await;
        }
        self.add_missing(found, &leaving).await?;
        // After the container instances: a task that is placed before one drains is seen on it.
        self.container_instances.add_tasks(found).await?;
        if !leaving.is_empty() || found.iter().any(ContainerInstance::may_be_stopping_tasks) {
            self.container_instances.add_stopping_tasks(found).await?;
        }
        Ok(())
    }

    /// Asks EC2 about each instance that may be dead, or wedged. One without an answer stays, and the others are served.
    async fn add_statuses(&self, observed: &mut Observed, now: Timestamp) {
        let instances = observed.groups.iter().flat_map(|group| &group.instances);
        let doubtful: Vec<Instance> = instances.filter(|found| is_doubtful(observed, found, now)).cloned().collect();
        let statuses = join_all(doubtful.iter().map(|found| self.statuses.of(&found.id))).await;
        for (doubtful, status) in doubtful.iter().zip(statuses) {
            let mut instances = observed.groups.iter_mut().flat_map(|group| &mut group.instances);
            if let Some(found) = instances.find(|found| found.id == doubtful.id) {
                found.status = status.unwrap_or_else(|failure| {
                    tracing::error!(instance = %found.id, "could not check whether it is dead: {}", failure.chain());
                    None
                });
            }
        }
    }

    /// Reads the state table; if the phase is already known, an unreadable table holds nothing up.
    async fn state_or(&self, phase: Option<Phase>) -> Result<State, Failure> {
        match (self.state.read().await, phase) {
            (Err(failure), Some(phase)) => {
                tracing::error!("{}", failure.chain());
                // Nobody holds the lease that it may not hold: a known phase means that nobody asks for it.
                let (lease, remembered) = (Lease::default(), Remembered::default());
                Ok(State { phase, cores: None, target: None, lease, remembered })
            }
            (state, _) => state,
        }
    }

    /// Asks by id for the leaving instances that the list left out: absence from a list is no proof.
    async fn add_missing(&self, found: &mut Vec<ContainerInstance>, leaving: &[&InstanceId]) -> Result<(), Failure> {
        let listed = |id: &InstanceId| found.iter().any(|found| found.instance == *id);
        let missing: Vec<_> = leaving.iter().copied().filter(|id| !listed(id)).collect();
        for missing in missing.chunks(ASKED_AT_ONCE) {
            found.extend(self.container_instances.of(missing).await?.unwrap_or_default());
        }
        Ok(())
    }

    /// Asks why the groups of cores without an instance have none. This only explains: a failure here replaces the
    /// explanation.
    async fn add_launch_failures(&self, groups: &mut [Group]) {
        let lacking = groups.iter_mut().filter(|group| group.lacks_instance());
        join_all(lacking.map(async |group| {
            group.launch_failure = match self.groups.launch_failure(&group.name).await {
                Ok(message) => message,
                Err(failure) => Some(failure.chain()),
            };
        }))
        .await;
    }
}

/// Returns what the events of a round announce, by instance.
pub(crate) fn notices(round: &Round) -> impl Iterator<Item = (InstanceId, Notice)> {
    round.triggers.iter().filter_map(|trigger| {
        let kind = match trigger.kind() {
            SPOT => NoticeKind::Spot,
            REBALANCE => NoticeKind::Rebalance,
            _ => return None,
        };
        let since = trigger.time.unwrap_or(round.began).min(round.began);
        Some((trigger.text("instance-id")?.into(), Notice { since, kind }))
    })
}

fn is_doubtful(observed: &Observed, found: &Instance, now: Timestamp) -> bool {
    instance::may_be_dead(observed, found, now) || instance::may_be_wedged(observed, found, now)
}
