use std::collections::{BTreeMap, BTreeSet};

use cluster_core::dns::{self, Name, Plan, Tier};
use cluster_lambda::Failure;
use serde_json::{Value, json};

use crate::{Replicator, config::TierTarget, zone::Applied};

/// What a pass did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was planned last.
    pub plan: Plan,
    /// How many changes were written, by name.
    pub applied: BTreeMap<Name, usize>,
    /// What went wrong, for each name that is not as it should be, or could not be observed.
    pub failed: BTreeMap<Name, Failure>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
}

impl Outcome {
    /// Returns what the function answers to whoever asked.
    #[must_use]
    pub fn answer(&self) -> Value {
        json!({
            "published": self.plan.published,
            "changes": self.plan.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "kept": self.plan.kept.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": !self.applied.is_empty(),
            "dryRun": self.dry_run,
        })
    }

    /// Returns the outcome of a pass that is as it should be, or what went wrong with whichever names.
    pub(crate) fn settled(mut self) -> Result<Self, Failure> {
        let Some((_, first)) = self.failed.pop_first() else { return Ok(self) };
        Err(self.failed.into_values().fold(first, |all, next| all.and(&next)))
    }
}

/// What is planned, and what went wrong with the names that could not be observed.
pub(crate) type Planned = (Plan, BTreeMap<Name, Failure>);

impl Replicator {
    /// Makes the zone say what Cloud Map and ECS say: reads everything, plans, writes one batch for each name.
    pub(crate) async fn attempt(&self, dry_run: bool) -> Result<Outcome, Failure> {
        let policy = self.config.policy();
        let plan = async || {
            let (tiers, failed) = self.observe().await?;
            Ok((dns::plan(&tiers, &policy), failed))
        };
        self.converge(&self.config.target.hosted_zone, dry_run, plan).await
    }

    /// Plans and writes, each name by itself: what is wrong with one must not keep the other from being written.
    ///
    /// A refused batch was planned from a stale reading, so it is planned once more from the beginning. Refused again,
    /// somebody else keeps writing the same records, or the zone does not allow them.
    pub(crate) async fn converge(
        &self,
        zone: &str,
        dry_run: bool,
        plan: impl AsyncFn() -> Result<Planned, Failure>,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome { dry_run, ..Outcome::default() };
        let mut written: BTreeMap<Name, Result<(), Failure>> = BTreeMap::new();
        for again in [true, false] {
            let (plan, unobserved) = plan().await?;
            log(&plan, dry_run);
            let mut refused = false;
            let open = plan.batches().into_iter().filter(|(name, _)| !dry_run && !written.contains_key(*name));
            let open: Vec<_> = open.map(|(name, changes)| (name.clone(), changes)).collect();
            for (name, changes) in open {
                let result = match self.zone.apply(zone, &changes).await {
                    Ok(Applied::Accepted) => {
                        outcome.applied.insert(name.clone(), changes.len());
                        Ok(())
                    }
                    Ok(Applied::Refused(why)) if again => {
                        tracing::warn!(%name, %why, "Route 53 refused the batch");
                        refused = true;
                        continue;
                    }
                    Ok(Applied::Refused(why)) => Err(Failure::diverged(format!(
                        "Route 53 refused the changes to {name} in zone {zone} twice, so its records are not as they should \
                         be: {why}"
                    ))),
                    Err(failure) => Err(failure),
                };
                written.insert(name, result);
            }
            (outcome.plan, outcome.failed) = (plan, unobserved);
            if !refused {
                break;
            }
        }
        let failed = written.into_iter().filter_map(|(name, result)| Some((name, result.err()?)));
        outcome.failed.extend(failed);
        for (name, failure) in &outcome.failed {
            tracing::error!(%name, "{}", failure.chain());
        }
        Ok(outcome)
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

    /// Reads everything. A tier whose own reading fails is left out, and does not keep the other from being served.
    async fn observe(&self) -> Result<(Vec<Tier>, BTreeMap<Name, Failure>), Failure> {
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

        let (mut tiers, mut failed) = (Vec::new(), BTreeMap::new());
        for (((tier, listed), records), published) in target.tiers.iter().zip(listed).zip(&records).zip(published) {
            let Some(listed) = listed else {
                failed.insert(tier.name.clone(), no_such_service(tier));
                continue;
            };
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
        let service = |tier: &Tier| target.tiers.iter().find(|target| target.tier == tier.tier).map(|t| &t.ecs_service);
        let empty = tiers.iter().filter(|tier| Tier::needs_service(&tier.registered));
        let names: Vec<_> = empty.filter_map(service).map(String::as_str).collect();
        let wanted = self.members.services(&target.ecs_cluster, &names).await?;
        for tier in &mut tiers {
            tier.service = service(tier).and_then(|service| wanted.get(service)).copied();
        }
        Ok((tiers, failed))
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
