use std::collections::BTreeSet;

use cluster_core::dns::{self, Plan, Tier};
use cluster_lambda::{Failure, Kind};
use serde_json::{Map, Value, json};

use crate::{
    Replicator,
    config::{Target, TierTarget},
    members::Instance,
    zone::Applied,
};

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The tiers whose names are as they should be, or would be if this were no dry run.
    pub tiers: Vec<TierOutcome>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
}

/// What a pass did with the name of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierOutcome {
    /// `core` or `replica`.
    pub tier: &'static str,
    /// What was planned last.
    pub plan: Plan,
    /// Whether it was written. False in a dry run and when there was nothing to write.
    pub applied: bool,
}

/// What became of a plan.
enum Written {
    /// The name is as it should be.
    Done(TierOutcome),
    /// Route 53 refused the batch, with its reasons.
    Refused(String),
}

impl Outcome {
    /// What the function answers to whoever asked.
    #[must_use]
    pub fn answer(&self) -> Value {
        let published: Map<_, _> =
            self.tiers.iter().map(|tier| (tier.tier.to_owned(), json!(tier.plan.published))).collect();
        let plans = || self.tiers.iter().map(|tier| &tier.plan);
        json!({
            "published": published,
            "changes": plans().flat_map(|plan| &plan.changes).map(ToString::to_string).collect::<Vec<_>>(),
            "kept": plans().flat_map(Plan::kept_lines).collect::<Vec<_>>(),
            "applied": self.tiers.iter().any(|tier| tier.applied),
            "dryRun": self.dry_run,
        })
    }
}

/// A pass that may have failed for one name and not for the other.
#[derive(Debug)]
pub struct Pass {
    /// What was done.
    pub outcome: Outcome,
    /// Why the rest was not.
    pub failures: Vec<Failure>,
}

impl Pass {
    /// Whether Route 53 refused a name's changes twice.
    #[must_use]
    pub fn diverged(&self) -> bool {
        self.failures.iter().any(|failure| failure.kind() == Kind::Diverged)
    }

    /// What was done, or why not all of it.
    pub fn result(self) -> Result<Outcome, Failure> {
        let mut failures = self.failures.into_iter();
        failures.next().map_or(Ok(self.outcome), |first| Err(together(first, failures)))
    }
}

/// One failure that names the causes of all, of the kind that wants people most.
fn together(first: Failure, others: impl IntoIterator<Item = Failure>) -> Failure {
    let mut failures = vec![first];
    failures.extend(others);
    if let [_] = failures[..] {
        return failures.remove(0);
    }
    let any = |kind| failures.iter().any(|failure| failure.kind() == kind);
    let kind = [Kind::Diverged, Kind::Permanent].into_iter().find(|kind| any(*kind));
    let mut causes: Vec<String> = failures.iter().map(Failure::chain).collect();
    // Both names lie in one zone, and may suffer from the same.
    causes.dedup();
    of_kind(kind.unwrap_or(Kind::Transient), causes.join("; and "))
}

fn of_kind(kind: Kind, message: String) -> Failure {
    match kind {
        Kind::Transient => Failure::transient(message),
        Kind::Permanent => Failure::permanent(message),
        Kind::Diverged => Failure::diverged(message),
    }
}

impl Replicator {
    /// Makes the zone say what Cloud Map and ECS say: reads everything, plans, writes one batch for each name.
    pub async fn pass(&self, dry_run: bool) -> Pass {
        let policy = self.config.policy();
        let plan = async || {
            let tiers = self.observe().await?;
            Ok(tiers.into_iter().map(|tier| Ok(dns::plan(&tier?, &policy))).collect())
        };
        self.converge(&self.config.target, dry_run, plan).await
    }

    /// Plans and writes, each name for itself: whatever becomes of one, the other is written. One after the other, since
    /// Route 53 refuses a second change of a zone while it works on the first (`PriorRequestNotComplete`).
    ///
    /// A refused batch was planned from a stale reading, so it is planned once more from the beginning. Refused again,
    /// somebody else keeps writing the same records, or the zone does not allow them.
    pub(crate) async fn converge(
        &self,
        target: &Target,
        dry_run: bool,
        plan: impl AsyncFn() -> Result<Vec<Result<Plan, Failure>>, Failure>,
    ) -> Pass {
        let zone = &target.hosted_zone;
        let (mut tiers, mut failures) = (Vec::new(), Vec::new());
        let mut open: Vec<(&TierTarget, String)> = target.tiers.iter().map(|tier| (tier, String::new())).collect();
        for _ in 0..2 {
            if open.is_empty() {
                break;
            }
            let plans = match plan().await {
                Ok(plans) => plans,
                Err(failure) => {
                    failures.push(failure);
                    let refused = open.drain(..).filter(|(_, why)| !why.is_empty());
                    failures.extend(refused.map(|(tier, why)| {
                        Failure::transient(format!("Route 53 refused the changes to {}: {why}", tier.name))
                    }));
                    break;
                }
            };
            let mut refused = Vec::new();
            for (tier, plan) in target.tiers.iter().zip(plans) {
                if !open.iter().any(|(open, _)| open.tier == tier.tier) {
                    continue;
                }
                match self.write(zone, tier, plan, dry_run).await {
                    Ok(Written::Done(done)) => tiers.push(done),
                    Ok(Written::Refused(why)) => refused.push((tier, why)),
                    Err(failure) => failures.push(failure),
                }
            }
            open = refused;
        }
        failures.extend(open.into_iter().map(|(tier, refused)| {
            let name = &tier.name;
            Failure::diverged(format!(
                "Route 53 refused the changes to {name} in zone {zone} twice, so its records are not as they should be: \
                 {refused}"
            ))
        }));
        Pass { outcome: Outcome { tiers, dry_run }, failures }
    }

    /// Writes one name's plan.
    async fn write(
        &self,
        zone: &str,
        tier: &TierTarget,
        plan: Result<Plan, Failure>,
        dry_run: bool,
    ) -> Result<Written, Failure> {
        let plan = plan?;
        log(&plan, dry_run);
        let done = |plan, applied| Ok(Written::Done(TierOutcome { tier: tier.tier, plan, applied }));
        if plan.changes.is_empty() || dry_run {
            return done(plan, false);
        }
        match self.zone.apply(zone, &tier.name, &plan).await? {
            Applied::Accepted => done(plan, true),
            Applied::Refused(why) => {
                tracing::warn!(name = %tier.name, %why, "Route 53 refused the batch");
                Ok(Written::Refused(why))
            }
        }
    }

    /// Reads a little of each service that a pass reads, with the pass's own calls and rights, so that connections are
    /// there when the first event comes. What it reads is not believed: by then it may be old.
    pub async fn touch(&self) -> [Result<(), Failure>; 3] {
        let target = &self.config.target;
        let services = target.tiers.each_ref().map(|tier| tier.ecs_service.as_str());
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let ([cores, replicas], services, records) = tokio::join!(
            self.members.listed(target),
            self.members.services(&target.ecs_cluster, &services),
            self.zone.records(&target.hosted_zone, names),
        );
        [cores.and(replicas).map(drop), services.map(drop), records.map(drop)]
    }

    /// Reads both tiers. What concerns only one of them fails only that one: from a part of its reading nothing is
    /// concluded, while the other's is whole.
    async fn observe(&self) -> Result<Vec<Result<Tier, Failure>>, Failure> {
        let target = &self.config.target;
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let (listed, records) = tokio::join!(
            biased;
            self.members.listed(target),
            self.zone.records(&target.hosted_zone, names)
        );
        let listed: Vec<_> = target.tiers.iter().zip(listed).map(|(tier, listed)| there(tier, listed?)).collect();
        let whole = async {
            let records = records?.ok_or_else(|| no_such_zone(&target.hosted_zone))?;
            let published = records.each_ref().map(|records| {
                let sets = records.multivalue.iter();
                sets.filter_map(|set| target.owner.member(&set.set_identifier)).map(str::to_owned).collect()
            });
            // Nobody asks about the tasks of a tier that could not be listed.
            let read = listed
                .iter()
                .zip(&published)
                .filter_map(|(listed, published)| Some((listed.as_ref().ok()?, published)));
            let ids = read.flat_map(|(listed, published): (&Vec<Instance>, &BTreeSet<String>)| {
                listed.iter().map(|instance| instance.id.as_str()).chain(published.iter().map(String::as_str))
            });
            let tasks = self.members.tasks(&target.ecs_cluster, ids).await?;
            Ok((records, published, tasks))
        };
        let (records, published, tasks) = match whole.await {
            Ok(read) => read,
            Err(failure) => return Err(together(failure, listed.into_iter().filter_map(Result::err))),
        };

        let mut tiers = Vec::new();
        for (((tier, listed), records), published) in target.tiers.iter().zip(listed).zip(records).zip(published) {
            tiers.push(listed.map(|listed| {
                let unlisted =
                    published.into_iter().filter(|member| !listed.iter().any(|instance| instance.id == *member));
                Tier {
                    tier: tier.tier.to_owned(),
                    name: tier.name.clone(),
                    unlisted: unlisted.map(|member| (member.clone(), tasks.of(&member))).collect(),
                    registered: listed
                        .into_iter()
                        .map(|instance| instance.with_task(&tasks, &target.ecs_cluster))
                        .collect(),
                    service: None,
                    records,
                }
            }));
        }
        let needs =
            |tier: &Result<Tier, Failure>| tier.as_ref().is_ok_and(|tier| Tier::needs_service(&tier.registered));
        let empty = tiers.iter().zip(&target.tiers).filter(|(tier, _)| needs(tier));
        let names: Vec<_> = empty.map(|(_, target)| target.ecs_service.as_str()).collect();
        let wanted = self.members.services(&target.ecs_cluster, &names).await;
        for (tier, target) in tiers.iter_mut().zip(&target.tiers).filter(|(tier, _)| needs(tier)) {
            let said = match &wanted {
                Ok(services) => services.get(&target.ecs_service),
                Err(failure) => {
                    *tier = Err(of_kind(failure.kind(), failure.chain()));
                    continue;
                }
            };
            match (tier.as_mut(), said) {
                (Ok(tier), Some(Ok(service))) => tier.service = Some(*service),
                (Ok(_), Some(Err(why))) => *tier = Err(Failure::transient(why)),
                _ => {}
            }
        }
        Ok(tiers)
    }
}

fn no_such_zone(zone: &str) -> Failure {
    Failure::permanent(format!("there is no hosted zone {zone}: correct the parameter HostedZoneId"))
}

/// What a tier's Cloud Map service lists, if there is one.
fn there(tier: &TierTarget, listed: Option<Vec<Instance>>) -> Result<Vec<Instance>, Failure> {
    let (name, service) = (tier.tier, &tier.cloud_map_service);
    listed.ok_or_else(|| {
        Failure::permanent(format!(
            "there is no Cloud Map service {service} for tier {name}: was it deleted outside of the stack?"
        ))
    })
}

/// One line for each planned change and for each thing that stays against expectation.
fn log(plan: &Plan, dry_run: bool) {
    for change in &plan.changes {
        tracing::info!(%change, dry_run, "planned");
    }
    if let Some(occupied) = &plan.occupied {
        tracing::warn!(kept = %occupied, "left as it is");
    }
    for kept in &plan.kept {
        if kept.published {
            tracing::warn!(%kept, "left as it is");
        } else {
            tracing::info!(%kept, "left as it is");
        }
    }
}
