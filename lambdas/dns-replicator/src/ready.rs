use std::collections::BTreeMap;

use cluster_core::{
    dns::{self, Heard, Policy, Tier},
    neo4j::Asked,
};
use cluster_gateway::Gateway;
use cluster_lambda::{Aws, Failure, client, env::Lookup};
use cluster_state::StateTable;
use jiff::Timestamp;

use crate::config::Asks;

/// What finds out whether the Neo4j of new members answers.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    gateway: Gateway,
    pub(crate) state: StateTable,
}

impl Ready {
    /// Makes the clients. Refuses where no endpoint is known.
    pub(crate) fn new(asks: &Asks, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self {
            gateway: Gateway::new(asks.gateway.clone(), lookup, aws)?,
            state: StateTable::new(client!(aws_sdk_dynamodb, aws), asks.state_table.clone()),
        })
    }

    /// Adds to the tiers whether their members answer. Without a member that would join, it asks nobody.
    ///
    /// No password is sent, so the addresses may be those of Cloud Map.
    pub(crate) async fn add(
        &self,
        tiers: &mut [Result<Tier, Failure>],
        policy: &Policy,
        heard: &mut Heard,
        now: Timestamp,
    ) {
        let whole: Vec<_> = tiers.iter().filter_map(|tier| tier.as_ref().ok()).collect();
        let asked = dns::to_ask(&whole, policy, heard);
        if asked.is_empty() {
            heard.silent = None;
            return;
        }
        let members = asked.into_iter().map(|(address, task)| Asked { task, core: None, address, pages_only: true });
        let readiness = match self.gateway.observe(members.collect(), None).await {
            Ok(answers) => {
                let answers = answers.into_iter().map(|answer| {
                    let page = answer.page.map(drop).map_err(|fault| fault.to_string());
                    (answer.task, page)
                });
                heard.hear(answers.collect(), None, now)
            }
            Err(failure) => {
                tracing::warn!("{}", failure.chain());
                heard.hear(BTreeMap::new(), Some(failure.chain()), now)
            }
        };
        for tier in tiers.iter_mut().filter_map(|tier| tier.as_mut().ok()) {
            tier.readiness = Some(readiness.clone());
        }
    }
}
