use aws_lambda_events::{cloudformation::CloudFormationCustomResourceRequest as CustomResource, sqs::SqsMessage};
use cluster_core::instance::{Action, Life, State};
use cluster_lambda::{
    Event, Failure, custom_resource,
    queue::Trigger,
    telemetry::{self, Metric},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Drainer, Outcome, life::Written, origins};

/// Identifies the word on the cluster's life. It never changes, so that nothing ever replaces it.
const PHYSICAL_ID: &str = "life";

/// Whether a pass should follow. What happened is looked up afterwards, so the detail does not matter.
fn is_known(trigger: &Trigger) -> bool {
    matches!(
        (trigger.source.as_str(), trigger.detail_type.as_str()),
        (
            "aws.autoscaling",
            "EC2 Instance-launch Lifecycle Action"
                | "EC2 Instance-terminate Lifecycle Action"
                | "EC2 Instance Terminate Successful"
                | "EC2 Instance Launch Unsuccessful"
        ) | ("aws.ecs", "ECS Container Instance State Change")
            | ("neo4j.cluster", "Sweep")
    )
}

impl Drainer {
    /// Handles one invocation and answers what it did.
    pub async fn handle(&self, payload: Value) -> Result<Value, Failure> {
        match Event::read(payload)? {
            Event::Messages(messages) => self.messages(&messages).await,
            Event::CustomResource(request) => self.custom_resource(&request).await,
            Event::Operator(request) => {
                let dry_run = request.dry_run || self.config.dry_run;
                // Looking is no pass: it leaves no metric that an alarm could mistake for one.
                let outcome = if dry_run { self.pass(true).await? } else { self.measured_pass(false, None).await? };
                Ok(outcome.answer())
            }
        }
    }

    /// One pass for all messages together: each is only a reason to look.
    async fn messages(&self, messages: &[SqsMessage]) -> Result<Value, Failure> {
        let (triggers, buried) = self.dead_letters.sort(messages, is_known).await?;
        for trigger in triggers.iter().filter(|trigger| trigger.source != "neo4j.cluster") {
            let said = |key: &str| trigger.detail.get(key).and_then(Value::as_str);
            let instance = said("EC2InstanceId").or(said("ec2InstanceId")).unwrap_or("unsaid");
            tracing::info!(instance, what = trigger.detail_type, "instance changed");
        }
        let dry_run = self.config.dry_run;
        let pass = if triggers.is_empty() { Value::Null } else { self.measured_pass(dry_run, None).await?.answer() };
        Ok(json!({"pass": pass, "malformed": buried}))
    }

    /// A pass with its metrics.
    async fn measured_pass(&self, dry_run: bool, life: Option<Life>) -> Result<Outcome, Failure> {
        let (outcome, failed) = self.attempt(dry_run, life).await?;
        self.metrics.emit(&self.line(&outcome));
        failed.map_or(Ok(outcome), Err)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock.now()).unwrap_or_default()
    }

    /// The metric line of a pass. All its counts come each time, so that their absence means that there was no pass.
    fn line(&self, outcome: &Outcome) -> Value {
        let Outcome { plan, tally, .. } = outcome;
        let waits = plan.steps.iter().filter(|step| matches!(step.action, Action::Wait { .. }));
        let waiting = waits.clone().filter(|step| step.state != State::Retained).count();
        let stuck = waits.filter(|step| step.why.is_stuck()).count();
        let retained = plan.steps.iter().filter(|step| step.state == State::Retained).count();
        let mut metrics = vec![
            Metric::count("Waiting", waiting + tally.put_off),
            Metric::count("Stuck", stuck + tally.no_room),
            Metric::count("Retained", retained),
            Metric::count("Refused", tally.refused),
            Metric::count("Attached", tally.attached),
            Metric::count("Admitted", tally.admitted),
        ];
        metrics.extend(tally.attach_seconds.map(|seconds| Metric::seconds("AttachSeconds", seconds)));
        telemetry::embedded_metrics(self.now(), &[("Cluster", &self.config.cluster)], &metrics)
    }

    async fn custom_resource(&self, request: &CustomResource) -> Result<Value, Failure> {
        let result = match custom_resource::resource_type(request) {
            Some("Custom::ClusterLife") => self.cluster_life(request).await.map(|data| (PHYSICAL_ID.to_owned(), data)),
            Some("Custom::DataVolumeOrigins") => origins::remembered(request),
            _ => Err(custom_resource::unknown_type(request)),
        };
        custom_resource::respond(&self.answers, request, self.now(), result).await
    }

    /// The cluster's life: it is complete when everything that makes it up has been created, and ends when the first of
    /// that is to be deleted.
    async fn cluster_life(&self, request: &CustomResource) -> Result<Value, Failure> {
        // When CloudFormation asked, not when this try came: a late one must not undo what was asked later.
        let now = self.now();
        let age = custom_resource::age(request, now).unwrap_or_default();
        let asked = now.checked_sub(age).unwrap_or(now);
        match request {
            CustomResource::Create(_) => match self.life.write(Life::Complete, asked).await? {
                Written::Yes | Written::Outrun => Ok(json!({})),
                Written::NoTable => Err(self.life.missing()),
            },
            CustomResource::Update(_) => Ok(json!({})),
            CustomResource::Delete(_) => {
                match self.life.write(Life::Deleting, asked).await? {
                    Written::Yes => {}
                    Written::Outrun => return Ok(json!({})),
                    // The word has no place any more, which must not keep the stack from being deleted.
                    Written::NoTable => tracing::error!("{}", self.life.missing().chain()),
                }
                // What this pass leaves undone the sweeps go on with.
                if let Err(failure) = self.measured_pass(self.config.dry_run, Some(Life::Deleting)).await {
                    tracing::error!("the pass failed: {}", failure.chain());
                }
                Ok(json!({}))
            }
            _ => Err(custom_resource::unknown_request()),
        }
    }
}
