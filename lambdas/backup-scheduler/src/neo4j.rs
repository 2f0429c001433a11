//! What the members say of themselves: which databases there are, and who has a healthy copy.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use cluster_core::{
    instance,
    neo4j::{
        Memory,
        monitor::{self, Trouble},
    },
    quorum::{Member, Observed},
};
use cluster_gateway::{Gateway, Logins};
use cluster_lambda::{
    Aws, Failure, client,
    env::Lookup,
    query::{EC2, Query},
};
use cluster_members::{Addresses, ContainerInstances, asked, core_of, going, tasks};
use cluster_state::State;
use jiff::{SignedDuration, Timestamp};

use crate::Config;

/// How long nobody is asked after a refused login. Neo4j locks a user for seconds after three wrong passwords in a row, and
/// instance-drainer, which looks at the same minute, would hear of nothing else.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_mins(5);

/// What the members are found and asked by.
#[derive(Clone, Debug)]
pub(crate) struct Neo4j {
    /// When a member last refused the login.
    refused: Arc<Mutex<Option<Timestamp>>>,
    container_instances: ContainerInstances,
    addresses: Addresses,
    gateway: Gateway,
    logins: Logins,
}

impl Neo4j {
    /// Makes the clients. Refuses where no endpoint is known.
    pub(crate) fn new(config: &Config, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self {
            refused: Arc::default(),
            container_instances: ContainerInstances::new(client!(aws_sdk_ecs, aws), config.cluster.ecs.clone()),
            addresses: Addresses::new(Query::new(EC2, lookup, aws)?),
            gateway: Gateway::new(config.gateway.clone(), lookup, aws)?,
            logins: Logins::new(lookup, aws)?,
        })
    }

    /// Returns why the members are not to be asked now.
    pub(crate) fn rests(&self, now: Timestamp) -> Option<String> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.filter(|at| now.duration_since(*at) < AFTER_REFUSAL)?;
        let minutes = AFTER_REFUSAL.as_mins();
        Some(format!(
            "the login of the user monitor was refused at {refused:.0}: members are asked again {minutes} minutes later"
        ))
    }

    /// Asks every member that runs; nothing when there is none: the cluster is stopped.
    pub(crate) async fn observe(
        &self,
        config: &Config,
        state: &State,
        now: Timestamp,
    ) -> Result<Option<Observed>, Failure> {
        let cores = instance::expected_cores(config.tiers.cores, state.cores);
        let policy = config.tiers.policy(&config.cluster.name, cores);
        let Some(mut found) = self.container_instances.all().await? else {
            return Err(Failure::permanent(format!(
                "there is no ECS cluster {}: was it deleted outside of the stack?",
                config.cluster.ecs
            )));
        };
        self.container_instances.add_tasks(&mut found).await?;
        let tasks: Vec<_> = tasks(&found, &policy).collect();
        if tasks.is_empty() {
            return Ok(None);
        }
        let instances: Vec<_> = tasks.iter().map(|(on, _)| &on.instance).collect();
        let (addresses, login) =
            tokio::try_join!(biased; self.addresses.of(&instances), self.logins.of(&config.monitor_secret, now))?;
        let memory: &Memory = &state.remembered.neo4j;
        let asked = asked(&tasks, &addresses, &policy, memory, now);
        let mut answers = BTreeMap::new();
        if !asked.is_empty() {
            let heard = self.gateway.observe(asked, Some(login.login)).await?;
            if heard.iter().any(|answer| matches!(monitor::trouble(answer), Some(Trouble::LoginRefused))) {
                // It may have been rotated.
                self.logins.forget(&config.monitor_secret);
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            }
            answers.extend(heard.into_iter().map(|answer| (answer.task.clone(), answer)));
        }
        let members = tasks.into_iter().map(|(on, task)| Member {
            core: core_of(task, &policy),
            task: task.id.clone(),
            address: addresses.get(&on.instance).copied(),
            answer: answers.remove(&task.id),
            going: going(on, task),
        });
        Ok(Some(Observed {
            cores,
            members: members.collect(),
            servers: memory.servers.clone(),
            down_before: memory.down_before(now),
        }))
    }
}
