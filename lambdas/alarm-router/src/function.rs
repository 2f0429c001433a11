use aws_lambda_events::{cloudformation::CloudFormationCustomResourceRequest, sqs::SqsMessage};
use cluster_lambda::{
    Aws, Failure, Frame, Function, Messages, Reconciled, Round, SWEEP, client,
    env::Lookup,
    queue::Trigger,
    telemetry::{Metric, MetricSet},
};
use cluster_state::StateTable;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    Config, Outcome, alarms::Alarms, deliver::Deliveries, route_test::ROUTE_TEST, routes::ROUTES, tell::Telling,
};

const TASK: (&str, &str) = ("aws.ecs", "ECS Task State Change");
const JOB: (&str, &str) = ("aws.batch", "Batch Job State Change");
const LAUNCH_FAILED: (&str, &str) = ("aws.autoscaling", "EC2 Instance Launch Unsuccessful");
const LAUNCHED: (&str, &str) = ("aws.autoscaling", "EC2 Instance Launch Successful");
const TERMINATION_FAILED: (&str, &str) = ("aws.autoscaling", "EC2 Instance Terminate Unsuccessful");
const TERMINATED: (&str, &str) = ("aws.autoscaling", "EC2 Instance Terminate Successful");

const DELIVERED: &str = "AlertsDelivered";
const FAILED: &str = "DeliveriesFailed";
const OPEN: &str = "AlertsOpen";
const UNDELIVERED: &str = "AlertUndeliveredSeconds";

/// The function: its configuration and its clients.
#[derive(Debug)]
pub struct Router {
    pub(crate) config: Config,
    pub(crate) state: StateTable,
    pub(crate) alarms: Alarms,
    pub(crate) deliveries: Deliveries,
    /// What the ARNs of alarms of this account and region begin with.
    own_alarms: String,
    /// The ARN of the function itself, as alarms have it as their action.
    pub(crate) own_arn: String,
    aws: Aws,
}

impl Router {
    pub(crate) fn now(&self) -> Timestamp {
        self.aws.now()
    }

    /// Returns whether an alarm is of this account and region: nobody else's can be asked about.
    pub(crate) fn is_own(&self, arn: &str) -> bool {
        arn.starts_with(&self.own_alarms)
    }

    /// Emits the metrics of what was told outside of a sweep.
    pub(crate) fn emit(&self, telling: &Telling) {
        let metrics = vec![Metric::count(DELIVERED, telling.delivered), Metric::count(FAILED, telling.failed.len())];
        if let Some(set) = (MetricSet { metrics, ..MetricSet::default() }).without_zeros_of(Self::ABSENT_AT_ZERO) {
            self.aws.metrics.emit(&set.line(self.now(), &self.config.cluster));
        }
    }
}

impl Function for Router {
    const NAME: &'static str = "alarm-router";
    const WAKES: &'static [(&'static str, &'static str)] =
        &[SWEEP, TASK, JOB, LAUNCH_FAILED, LAUNCHED, TERMINATION_FAILED, TERMINATED];
    const CUSTOM_RESOURCES: &'static [&'static str] = &[ROUTES];
    const METRICS: &'static [&'static str] = &[DELIVERED, FAILED, OPEN, UNDELIVERED];
    const ABSENT_AT_ZERO: &'static [&'static str] = &[DELIVERED, FAILED];
    const MESSAGES: Messages = Messages::Single;

    type Outcome = Outcome;

    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let config = Config::read(lookup)?;
        if let Some(why) = &config.refused {
            tracing::error!(
                why,
                "the routes are refused, and the standard ones are taken: correct the parameter AlertRoutes"
            );
        }
        // Its own topic is in the account and the region of the alarms that call it.
        let mut page = config.destinations.page.split(':');
        let (partition, region, account) = (page.nth(1), page.nth(1), page.next());
        let [partition, region, account] = [partition, region, account].map(Option::unwrap_or_default);
        Ok(Self {
            state: StateTable::new(client!(aws_sdk_dynamodb, aws), config.state_table.clone()),
            alarms: Alarms::new(lookup, aws)?,
            deliveries: Deliveries::new(config.destinations.clone(), lookup, aws)?,
            own_alarms: format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:"),
            own_arn: format!("arn:{partition}:lambda:{region}:{account}:function:{}", config.function),
            aws: aws.clone(),
            config,
        })
    }

    fn cluster(&self) -> &str {
        &self.config.cluster
    }

    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        vec![self.state.read_lease().await.map(drop)]
    }

    fn log(&self, _: &Trigger) {}

    fn reads(payload: &Value) -> bool {
        let Some(fields) = payload.as_object() else { return true };
        let of_queue = |record: &Value| record["eventSource"] == "aws:sqs";
        let records = fields.get("Records").and_then(Value::as_array);
        let messages = records.is_some_and(|records| !records.is_empty() && records.iter().all(of_queue));
        let operator = fields.keys().all(|name| name == "dryRun");
        !messages && !operator && !fields.contains_key("RequestType")
    }

    async fn invoked(&self, _: &Frame<Self>, payload: Value) -> Result<Value, Failure> {
        if let Some(test) = payload.get(ROUTE_TEST) {
            return self.route_test(test);
        }
        let telling = self.hear(&payload).await?;
        Ok(json!({"delivered": telling.delivered, "failed": telling.failed.len()}))
    }

    async fn message(&self, _: &Frame<Self>, message: &SqsMessage) -> Result<(), Failure> {
        self.hear_message(message).await
    }

    async fn reconcile(&self, round: &Round) -> Reconciled<Outcome> {
        self.sweep(round).await
    }

    fn answer(&self, outcome: &Outcome) -> Value {
        outcome.answer()
    }

    /// What is absent while no sweep succeeds is an alarm.
    fn metrics(&self, _: &Round, reconciled: &Reconciled<Outcome>, _: Timestamp) -> Vec<MetricSet> {
        let Some(outcome) = &reconciled.outcome else { return Vec::new() };
        let metrics = vec![
            Metric::count(OPEN, outcome.open.len()),
            Metric::seconds(UNDELIVERED, outcome.undelivered_seconds()),
            Metric::count(DELIVERED, outcome.delivered),
            Metric::count(FAILED, outcome.failed),
        ];
        vec![MetricSet { metrics, ..MetricSet::default() }]
    }

    async fn custom_resource(
        &self,
        _: &Frame<Self>,
        request: &CloudFormationCustomResourceRequest,
    ) -> Result<(String, Value), Failure> {
        self.check_routes(request).await
    }
}
