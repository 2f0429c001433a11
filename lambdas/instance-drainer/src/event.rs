use aws_lambda_events::{cloudformation::CloudFormationCustomResourceRequest as CustomResource, sqs::SqsMessage};
use cluster_core::instance::{Action, Phase, State};
use cluster_lambda::{
    Event, Failure, custom_resource,
    queue::Trigger,
    telemetry::{self, Metric},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Drainer, Mode, Outcome, origins, state::Written};

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
                // Looking is no pass: it leaves no metric that an alarm could mistake for one.
                let looks = request.dry_run || self.config.dry_run;
                let outcome = if looks { self.pass(Mode::Look).await? } else { self.measured_pass(None).await? };
                Ok(outcome.answer())
            }
        }
    }

    /// One pass for all messages together: each is only a reason to look.
    async fn messages(&self, messages: &[SqsMessage]) -> Result<Value, Failure> {
        let (triggers, malformed) = self.dead_letters.sort(messages, is_known).await?;
        for trigger in triggers.iter().filter(|trigger| trigger.source != "neo4j.cluster") {
            let said = |key: &str| trigger.detail.get(key).and_then(Value::as_str);
            let instance = said("EC2InstanceId").or(said("ec2InstanceId")).unwrap_or("unsaid");
            let (what, group) = (&trigger.detail_type, said("AutoScalingGroupName").unwrap_or("unsaid"));
            if what == "EC2 Instance Launch Unsuccessful" {
                let why = said("StatusMessage").unwrap_or("unsaid");
                tracing::warn!(group, why, "Auto Scaling could not launch an instance");
            } else {
                tracing::info!(instance, group, what, "instance changed");
            }
        }
        let pass = if triggers.is_empty() { Value::Null } else { self.measured_pass(None).await?.answer() };
        Ok(json!({"pass": pass, "malformed": malformed}))
    }

    /// A pass with its metrics.
    async fn measured_pass(&self, phase: Option<Phase>) -> Result<Outcome, Failure> {
        let mode = if self.config.dry_run { Mode::Watch } else { Mode::Act };
        let (outcome, failed) = self.attempt(mode, phase).await?;
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
            Metric::count("Stuck", stuck + tally.stuck),
            Metric::count("Retained", retained),
            Metric::count("Refused", tally.refused),
            Metric::count("Attached", tally.attached),
            Metric::count("Admitted", tally.admitted),
            Metric::seconds("CoreNotWholeSeconds", outcome.not_whole_for(self.now())),
            Metric::count("CoresNotWhole", outcome.cores.iter().filter(|(core, _)| core.fault.is_some()).count()),
        ];
        metrics.extend(tally.attach_seconds.map(|seconds| Metric::seconds("AttachSeconds", seconds)));
        telemetry::embedded_metrics(self.now(), &[("Cluster", &self.config.cluster)], &metrics)
    }

    async fn custom_resource(&self, request: &CustomResource) -> Result<Value, Failure> {
        let result = match custom_resource::resource_type(request) {
            Some("Custom::ClusterLife") => self.cluster_life(request).await.map(|data| (PHYSICAL_ID.to_owned(), data)),
            Some("Custom::DataVolumeOrigins") => self.origins(request).await,
            _ => Err(custom_resource::unknown_type(request)),
        };
        custom_resource::respond(&self.answers, request, self.now(), result).await
    }

    /// Answers what the volumes are made from. An update also needs to know how many cores there are.
    async fn origins(&self, request: &CustomResource) -> Result<(String, Value), Failure> {
        let updates = matches!(request, CustomResource::Update(_));
        let cores = if updates { self.state.read().await?.cores } else { None };
        origins::remembered(request, cores)
    }

    /// The phase is complete when everything that makes up the cluster has been created, and ends when the first of that is
    /// to be deleted. It is created last and deleted first, so its update is the end of the stack's.
    async fn cluster_life(&self, request: &CustomResource) -> Result<Value, Failure> {
        // When CloudFormation asked, not when this try came: a late one must not undo what was asked later.
        let now = self.now();
        let age = custom_resource::age(request, now).unwrap_or_default();
        let asked = now.checked_sub(age).unwrap_or(now);
        let complete = async |properties: &Value| {
            let cores = origins::cores(properties)?;
            match self.state.write_phase(Phase::Complete, cores, asked).await? {
                Written::Yes | Written::Superseded => Ok(json!({})),
                Written::NoTable => Err(self.state.missing()),
            }
        };
        match request {
            CustomResource::Create(create) => complete(&create.resource_properties).await,
            CustomResource::Update(update) => complete(&update.resource_properties).await,
            CustomResource::Delete(_) => {
                match self.state.write_phase(Phase::Deleting, self.config.cores, asked).await? {
                    Written::Yes => {}
                    Written::Superseded => return Ok(json!({})),
                    // The word has no place any more, which must not keep the stack from being deleted.
                    Written::NoTable => tracing::error!("{}", self.state.missing().chain()),
                }
                // What this pass leaves undone the sweeps go on with.
                if let Err(failure) = self.measured_pass(Some(Phase::Deleting)).await {
                    tracing::error!("the pass failed: {}", failure.chain());
                }
                Ok(json!({}))
            }
            _ => Err(custom_resource::unknown_request()),
        }
    }
}
