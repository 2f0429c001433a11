use cluster_lambda::{
    Aws, Failure, Function, Reconciled, Round, SWEEP, client,
    env::Lookup,
    queue::Trigger,
    telemetry::{Metric, MetricSet},
};
use jiff::Timestamp;
use serde_json::Value;

use cluster_bucket::Bucket;

use crate::{Config, Outcome};

const AGE: &str = "NewestGoodBackupSeconds";
const DELETED: &str = "ChainsDeleted";
const KEPT: &str = "ChainsKept";
const REFUSED: &str = "PrunesFailed";
const UNVERIFIED: &str = "UnverifiedBackupSeconds";

/// The function: its configuration and its client.
#[derive(Debug)]
pub struct Pruner {
    pub(crate) config: Config,
    pub(crate) bucket: Bucket,
}

impl Function for Pruner {
    const NAME: &'static str = "backup-pruner";
    const WAKES: &'static [(&'static str, &'static str)] = &[SWEEP];
    const METRICS: &'static [&'static str] = &[AGE, DELETED, KEPT, REFUSED, UNVERIFIED];
    const ABSENT_AT_ZERO: &'static [&'static str] = &[DELETED];
    const LOOKS_UNLESS_TOLD: bool = true;

    type Outcome = Outcome;

    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let config = Config::read(lookup)?;
        Ok(Self { bucket: Bucket::new(client!(aws_sdk_s3, aws), config.place.clone()), config })
    }

    fn cluster(&self) -> &str {
        &self.config.cluster
    }

    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        vec![self.bucket.look().await]
    }

    fn log(&self, _: &Trigger) {}

    async fn reconcile(&self, round: &Round) -> Reconciled<Outcome> {
        self.prune(round).await
    }

    fn answer(&self, outcome: &Outcome) -> Value {
        outcome.answer()
    }

    /// The ages are written in each complete run, also when nothing is deleted: what is missing is an alarm.
    fn metrics(&self, _: &Round, reconciled: &Reconciled<Outcome>, _: Timestamp) -> Vec<MetricSet> {
        let refused = Metric::count(REFUSED, reconciled.failures.len());
        let Some(outcome) = &reconciled.outcome else {
            return vec![MetricSet { metrics: vec![refused], ..MetricSet::default() }];
        };
        let deleted = outcome.removed.chains;
        let metrics = vec![
            refused,
            Metric::count(DELETED, deleted),
            Metric::count(KEPT, outcome.plan.chains.len().saturating_sub(deleted)),
            Metric::seconds(UNVERIFIED, outcome.unverified_seconds()),
        ];
        let all = MetricSet { metrics, ..MetricSet::default() };
        let ages = outcome.ages().into_iter().filter_map(|(database, age)| {
            let dimensions = vec![("Database", database.to_owned())];
            Some(MetricSet { dimensions, metrics: vec![Metric::seconds(AGE, age?)] })
        });
        std::iter::once(all).chain(ages).collect()
    }
}
