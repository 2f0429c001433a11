use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest;
use cluster_lambda::{
    Aws, Failure, Frame, Function, Kind, Reconciled, Round, SWEEP, client,
    env::Lookup,
    queue::Trigger,
    telemetry::{Metric, MetricSet},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Config, Outcome, TierOutcome,
    custom_resources::{GUARD, RECORDS},
    members::Members,
    ready::Ready,
    zone::Zone,
};

/// The event of ECS about a task. ECS promises none when only a task's health changes: the sweep sees that.
const TASK_CHANGED: (&str, &str) = ("aws.ecs", "ECS Task State Change");

const CHANGES: &str = "DnsChanges";
const DIVERGENCE: &str = "DnsDivergence";
const MEMBERS_BLOCKED: &str = "DnsMembersBlocked";
const MEMBERS_TRUNCATED: &str = "DnsMembersTruncated";
const RECORDS_PUBLISHED: &str = "DnsRecordsPublished";
const REPLICATION_LAG: &str = "DnsReplicationLagMs";

/// The function: its configuration and its clients.
#[derive(Debug)]
pub struct Replicator {
    pub(crate) config: Config,
    pub(crate) members: Members,
    pub(crate) zone: Zone,
    pub(crate) readiness: Option<Ready>,
}

impl Function for Replicator {
    const NAME: &'static str = "dns-replicator";
    const WAKES: &'static [(&'static str, &'static str)] = &[TASK_CHANGED, SWEEP];
    const CUSTOM_RESOURCES: &'static [&'static str] = &[RECORDS, GUARD];
    const METRICS: &'static [&'static str] =
        &[CHANGES, DIVERGENCE, MEMBERS_BLOCKED, MEMBERS_TRUNCATED, RECORDS_PUBLISHED, REPLICATION_LAG];
    const ABSENT_AT_ZERO: &'static [&'static str] = &[CHANGES, MEMBERS_BLOCKED, MEMBERS_TRUNCATED];

    type Outcome = Outcome;

    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let config = Config::read(lookup)?;
        Ok(Self {
            readiness: config.asks.as_ref().map(|asks| Ready::new(asks, lookup, aws)).transpose()?,
            config,
            members: Members::new(client!(aws_sdk_servicediscovery, aws), client!(aws_sdk_ecs, aws)),
            zone: Zone::new(client!(aws_sdk_route53, aws)),
        })
    }

    fn cluster(&self) -> &str {
        self.config.target.owner.as_str()
    }

    /// Reads a little of each service that a round reads, with the same calls and rights.
    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        let target = &self.config.target;
        let services: Vec<_> = target.tiers.iter().flat_map(|tier| &tier.ecs_services).map(String::as_str).collect();
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let ([cores, replicas], services, records) = tokio::join!(
            self.members.listed(target),
            self.members.services(&target.ecs_cluster, &services),
            self.zone.records(&target.hosted_zone, names),
        );
        vec![cores.and(replicas).map(drop), services.map(drop), records.map(drop)]
    }

    fn log(&self, trigger: &Trigger) {
        if trigger.kind() == TASK_CHANGED {
            let text = |key: &str| trigger.text(key).unwrap_or("unknown");
            let (task, status, wanted) = (text("taskArn"), text("lastStatus"), text("desiredStatus"));
            tracing::info!(task, status, wanted, "task changed");
        }
    }

    async fn reconcile(&self, round: &Round) -> Reconciled<Outcome> {
        self.round(round).await
    }

    fn answer(&self, outcome: &Outcome) -> Value {
        outcome.answer()
    }

    /// Returns the metrics of each name that the round has completed, whatever became of the other. `DnsDivergence`
    /// means that the round ended for both: the alarm on silence watches for its absence.
    fn metrics(&self, round: &Round, reconciled: &Reconciled<Outcome>, now: Timestamp) -> Vec<MetricSet> {
        let Some(outcome) = &reconciled.outcome else { return Vec::new() };
        let diverged = reconciled.failures.iter().any(|failure| failure.kind() == Kind::Diverged);
        let blocked = |tier: &TierOutcome| tier.plan.occupied.as_ref().map_or(0, |occupied| occupied.waiting);
        let mut metrics = Vec::new();
        if diverged || reconciled.failures.is_empty() {
            metrics.push(Metric::count(DIVERGENCE, usize::from(diverged)));
        }
        if !(metrics.is_empty() && outcome.tiers.is_empty()) {
            let applied: Vec<_> = outcome.tiers.iter().filter(|tier| tier.applied).collect();
            metrics.push(Metric::count(CHANGES, applied.iter().map(|tier| tier.plan.changes.len()).sum()));
            metrics.push(Metric::count(MEMBERS_BLOCKED, outcome.tiers.iter().map(blocked).sum()));
            if let (Some(since), false) = (oldest(round), applied.is_empty()) {
                // The clocks of the event's source and of this function differ a little.
                let lag = now.as_millisecond().saturating_sub(since.as_millisecond()).max(0);
                metrics.push(Metric::milliseconds(REPLICATION_LAG, lag));
            }
        }
        let mut sets = Vec::new();
        if !metrics.is_empty() {
            sets.push(MetricSet { dimensions: Vec::new(), metrics });
        }
        // A dry run publishes nothing.
        for tier in outcome.tiers.iter().filter(|_| !outcome.dry_run) {
            let metrics = vec![
                Metric::count(RECORDS_PUBLISHED, tier.plan.published),
                Metric::count(MEMBERS_TRUNCATED, tier.plan.truncated),
                Metric::count(MEMBERS_BLOCKED, blocked(tier)),
            ];
            sets.push(MetricSet { dimensions: vec![("Tier", tier.tier.to_owned())], metrics });
        }
        sets
    }

    async fn custom_resource(
        &self,
        frame: &Frame<Self>,
        request: &CloudFormationCustomResourceRequest,
    ) -> Result<(String, Value), Failure> {
        self.answer_for(frame, request).await
    }
}

/// Returns when the oldest task change happened that woke a round.
fn oldest(round: &Round) -> Option<Timestamp> {
    let changes = round.triggers.iter().filter(|trigger| trigger.kind() == TASK_CHANGED);
    changes.filter_map(|trigger| trigger.time).min()
}
