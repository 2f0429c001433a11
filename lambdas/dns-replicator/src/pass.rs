use std::collections::BTreeSet;

use cluster_core::dns::{self, Plan, Tier};
use cluster_lambda::Failure;
use serde_json::{Value, json};

use crate::{Replicator, config::TierTarget, zone::Applied};

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was planned last.
    pub plan: Plan,
    /// Whether it was written. False in a dry run and when there was nothing to write.
    pub applied: bool,
    /// Whether nothing was to be written.
    pub dry_run: bool,
}

impl Outcome {
    /// What the function answers to whoever asked.
    #[must_use]
    pub fn answer(&self) -> Value {
        json!({
            "published": self.plan.published,
            "changes": self.plan.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "kept": self.plan.kept.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": self.applied,
            "dryRun": self.dry_run,
        })
    }
}

impl Replicator {
    /// Makes the zone say what Cloud Map and ECS say: reads everything, plans, writes one batch.
    pub async fn pass(&self, dry_run: bool) -> Result<Outcome, Failure> {
        let policy = self.config.policy();
        let plan = async || Ok(dns::plan(&self.observe().await?, &policy));
        let (plan, applied) = self.converge(&self.config.target.hosted_zone, dry_run, plan).await?;
        Ok(Outcome { plan, applied, dry_run })
    }

    /// Plans and writes. Answers the plan and whether it was written.
    ///
    /// A refused batch was planned from a stale reading, so it is planned once more from the beginning. Refused again,
    /// somebody else keeps writing the same records, or the zone does not allow them.
    pub(crate) async fn converge(
        &self,
        zone: &str,
        dry_run: bool,
        plan: impl AsyncFn() -> Result<Plan, Failure>,
    ) -> Result<(Plan, bool), Failure> {
        let mut refused = String::new();
        for _ in 0..2 {
            let plan = plan().await?;
            log(&plan, dry_run);
            if plan.changes.is_empty() || dry_run {
                return Ok((plan, false));
            }
            match self.zone.apply(zone, &plan).await? {
                Applied::Accepted => return Ok((plan, true)),
                Applied::Refused(why) => {
                    tracing::warn!(%why, "Route 53 refused the batch");
                    refused = why;
                }
            }
        }
        Err(Failure::diverged(format!(
            "Route 53 refused the changes to zone {zone} twice, so its records are not as they should be: {refused}"
        )))
    }

    /// Reads a little of each service that a pass reads, with the pass's own calls and rights, so that connections are
    /// there when the first event comes. What it reads is not believed: by then it may be old.
    pub async fn touch(&self) -> [Result<(), Failure>; 3] {
        let target = &self.config.target;
        let services = target.tiers.each_ref().map(|tier| tier.ecs_service.as_str());
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let (members, services, records) = tokio::join!(
            self.members.listed(target),
            self.members.services(&target.ecs_cluster, &services),
            self.zone.records(&target.hosted_zone, &names),
        );
        [members.map(drop), services.map(drop), records.map(drop)]
    }

    async fn observe(&self) -> Result<Vec<Tier>, Failure> {
        let target = &self.config.target;
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let (listed, records) = tokio::try_join!(
            biased;
            self.members.listed(target),
            self.zone.records(&target.hosted_zone, &names)
        )?;
        let Some(records) = records else {
            let zone = &target.hosted_zone;
            return Err(Failure::permanent(format!(
                "there is no hosted zone {zone}: correct the parameter HostedZoneId"
            )));
        };
        let published: Vec<BTreeSet<&str>> = records
            .iter()
            .map(|records| {
                records.multivalue.iter().filter_map(|set| target.owner.member(&set.set_identifier)).collect()
            })
            .collect();
        let ids = listed.iter().flatten().flatten().map(|instance| instance.id.as_str());
        let tasks = self.members.tasks(&target.ecs_cluster, ids.chain(published.iter().flatten().copied())).await?;

        let mut tiers = Vec::new();
        for (((tier, listed), records), published) in target.tiers.iter().zip(listed).zip(&records).zip(published) {
            let listed = listed.ok_or_else(|| no_such_service(tier))?;
            let unlisted =
                published.into_iter().filter(|member| !listed.iter().any(|instance| instance.id == **member));
            tiers.push(Tier {
                tier: tier.tier.to_owned(),
                name: tier.name.clone(),
                unlisted: unlisted.map(|member| (member.to_owned(), tasks.of(member))).collect(),
                registered: listed
                    .into_iter()
                    .map(|instance| instance.with_task(&tasks, &target.ecs_cluster))
                    .collect(),
                service: None,
                records: records.clone(),
            });
        }
        let empty = tiers.iter().zip(&target.tiers).filter(|(tier, _)| Tier::needs_service(&tier.registered));
        let names: Vec<_> = empty.map(|(_, target)| target.ecs_service.as_str()).collect();
        let wanted = self.members.services(&target.ecs_cluster, &names).await?;
        for (tier, target) in tiers.iter_mut().zip(&target.tiers) {
            tier.service = wanted.get(&target.ecs_service).copied();
        }
        Ok(tiers)
    }
}

fn no_such_service(tier: &TierTarget) -> Failure {
    let (tier, service) = (tier.tier, &tier.cloud_map_service);
    Failure::permanent(format!(
        "there is no Cloud Map service {service} for tier {tier}: was it deleted outside of the stack?"
    ))
}

/// One line for each planned change and for each thing that stays against expectation.
fn log(plan: &Plan, dry_run: bool) {
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
