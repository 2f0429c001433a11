use std::cell::RefCell;

use cluster_core::dns::{self, Heard, Plan};
use cluster_lambda::{Failure, Mode, Reconciled, Round};
use serde_json::{Map, Value, json};

use crate::{
    Replicator,
    config::{Target, TierTarget},
    zone::Applied,
};

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The tiers whose names are as they should be, or would be if this were no dry run.
    pub tiers: Vec<TierOutcome>,
    /// Whether this was a dry run.
    pub dry_run: bool,
}

/// The outcome of a round for the name of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierOutcome {
    /// `core` or `replica`.
    pub tier: &'static str,
    /// The last plan.
    pub plan: Plan,
    /// Whether it was written. False in a dry run and when there was nothing to write.
    pub applied: bool,
}

/// The result of writing a plan.
enum Written {
    /// The name is as it should be.
    Done(TierOutcome),
    /// Route 53 refused the batch, with its reasons.
    Refused(String),
}

impl Outcome {
    /// Returns the function's answer to its invoker.
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

impl Replicator {
    /// Makes the zone agree with Cloud Map and ECS: observes everything, plans, and writes one batch for each name.
    pub(crate) async fn round(&self, round: &Round) -> Reconciled<Outcome> {
        let (policy, dry_run) = (self.config.policy(), round.mode != Mode::Act);
        let (before, unread) = self.heard().await;
        let (heard, observed) = (RefCell::new(before.clone()), RefCell::new(Vec::new()));
        let plan = async || {
            let mut tiers = self.observe().await?;
            if let Some(readiness) = &self.readiness {
                let mut now = heard.borrow().clone();
                readiness.add(&mut tiers, &policy, &mut now, round.began).await;
                heard.replace(now);
            }
            let plans = tiers.iter().map(|tier| match tier {
                Ok(tier) => Ok(dns::plan(tier, &policy)),
                Err(failure) => Err(Failure::of_kind(failure.kind(), failure.chain())),
            });
            let plans = plans.collect();
            observed.replace(tiers);
            Ok(plans)
        };
        let mut reconciled = self.converge(&self.config.target, dry_run, plan).await;
        reconciled.failures.extend(unread);
        if let Some(readiness) = self.readiness.as_ref().filter(|_| round.mode != Mode::Look) {
            let tiers = observed.into_inner();
            let planned = reconciled.outcome.iter().flat_map(|outcome| &outcome.tiers).filter_map(|done| {
                let tier = tiers.iter().filter_map(|tier| tier.as_ref().ok()).find(|tier| tier.tier == done.tier)?;
                Some((tier, &done.plan))
            });
            let planned: Vec<_> = planned.collect();
            let mut heard = heard.into_inner();
            let complete = planned.len() == self.config.target.tiers.len();
            heard.see(planned, &policy, complete);
            if let Err(failure) = readiness.state.save_heard(&before, &heard).await {
                reconciled.failures.push(failure);
            }
        }
        reconciled
    }

    /// Returns what the last rounds heard. That it cannot be read holds nothing up.
    async fn heard(&self) -> (Heard, Option<Failure>) {
        match &self.readiness {
            Some(readiness) => match readiness.state.read_heard().await {
                Ok(heard) => (heard, None),
                Err(failure) => (Heard::default(), Some(failure)),
            },
            None => (Heard::default(), None),
        }
    }

    /// Plans and writes each name by itself: whatever becomes of one, the other is written. One after the other, since
    /// Route 53 refuses a second change of a zone while it works on the first (`PriorRequestNotComplete`).
    ///
    /// A refused batch was planned from a stale observation, so it is planned once more from the beginning. If that is
    /// refused too, somebody else keeps writing the same records, or the zone does not allow them.
    pub(crate) async fn converge(
        &self,
        target: &Target,
        dry_run: bool,
        plan: impl AsyncFn() -> Result<Vec<Result<Plan, Failure>>, Failure>,
    ) -> Reconciled<Outcome> {
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
        Reconciled { outcome: Some(Outcome { tiers, dry_run }), failures }
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
}

/// Logs one line for each planned change, and for each thing that is left as it is.
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
