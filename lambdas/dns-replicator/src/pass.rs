use cluster_core::dns::{self, Plan, Tier};
use cluster_lambda::Failure;
use serde_json::{Value, json};

use crate::{Replicator, zone::Applied};

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was planned last.
    pub plan: Plan,
    /// Whether it was written. False in a dry run and when there was nothing to write.
    pub applied: bool,
}

impl Outcome {
    /// What the function answers to whoever asked.
    #[must_use]
    pub fn answer(&self, dry_run: bool) -> Value {
        json!({
            "published": self.plan.published,
            "changes": self.plan.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "kept": self.plan.kept.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": self.applied,
            "dryRun": dry_run,
        })
    }
}

impl Replicator {
    /// Makes the zone say what Cloud Map and ECS say: reads everything, plans, writes one batch.
    ///
    /// A refused batch was planned from a stale reading, so it is looked at once more from the beginning. Refused again,
    /// somebody else keeps writing the same records, or the zone does not allow them.
    pub async fn pass(&self, dry_run: bool) -> Result<Outcome, Failure> {
        let target = &self.config.target;
        let mut refused = String::new();
        for _ in 0..2 {
            let plan = dns::plan(&self.observe().await?, &self.config.policy());
            log(&plan, dry_run);
            if plan.changes.is_empty() || dry_run {
                return Ok(Outcome { plan, applied: false });
            }
            match self.zone.apply(&target.hosted_zone, &plan).await? {
                Applied::Accepted => return Ok(Outcome { plan, applied: true }),
                Applied::Refused(why) => {
                    tracing::warn!(%why, "Route 53 refused the batch");
                    refused = why;
                }
            }
        }
        Err(Failure::diverged(format!(
            "Route 53 refused the changes to zone {} twice, so the records of {} are not as they should be: {refused}",
            target.hosted_zone, target.domain
        )))
    }

    async fn observe(&self) -> Result<Vec<Tier>, Failure> {
        let target = &self.config.target;
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let (registered, records) = tokio::try_join!(
            biased;
            self.members.registered(target),
            self.zone.records(&target.hosted_zone, &names)
        )?;
        let Some(records) = records else {
            let zone = &target.hosted_zone;
            return Err(Failure::permanent(format!("there is no hosted zone {zone}: correct HOSTED_ZONE_ID")));
        };
        let asked: Vec<_> = target
            .tiers
            .iter()
            .zip(&registered)
            .filter(|(_, r)| Tier::needs_service(r))
            .map(|(tier, _)| tier)
            .collect();
        let services =
            if asked.is_empty() { vec![] } else { self.members.services(&target.ecs_cluster, &asked).await? };
        let mut services = services.into_iter();
        let tiers = target.tiers.iter().zip(registered).zip(records).map(|((tier, registered), records)| Tier {
            tier: tier.tier.to_owned(),
            name: tier.name.clone(),
            service: if Tier::needs_service(&registered) { services.next() } else { None },
            registered,
            records,
        });
        Ok(tiers.collect())
    }
}

/// One line for each planned change and for each thing that stays against expectation.
pub(crate) fn log(plan: &Plan, dry_run: bool) {
    for change in &plan.changes {
        tracing::info!(%change, dry_run, "planned");
    }
    for kept in &plan.kept {
        if kept.published {
            tracing::warn!(%kept, "left as it is");
        } else {
            tracing::info!(%kept, "left as it is");
        }
    }
}
