use aws_lambda_events::{
    cloudformation::CloudFormationCustomResourceRequest as CustomResource,
    sqs::{SqsEvent, SqsMessage},
};
use cluster_lambda::{
    Failure, Kind,
    custom_resource::{self, Answer},
    queue::{self, Trigger},
    telemetry::{self, Metric},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Names, Outcome, Replicator, Target};

/// A request of CloudFormation is tried by Lambda at once, after one minute and after three: from this age on no other
/// try follows.
const LAST_TRY: SignedDuration = SignedDuration::from_secs(150);

/// What may wake the function.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages of the queue: task changes and sweeps.
    Messages(Vec<SqsMessage>),
    /// CloudFormation creates, updates or deletes the stack.
    CustomResource(Box<CustomResource>),
    /// A person invokes the function: `{}` for a pass, `{"dryRun": true}` to see the plan.
    Operator(Request),
}

/// What a person asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Plan, but write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Event {
    /// Tells the three apart by their shape.
    pub fn read(payload: Value) -> Result<Self, Failure> {
        let unreadable = |what: &str, error: serde_json::Error| {
            Failure::permanent(format!("the event looks like {what}, but cannot be read")).caused_by(error)
        };
        if payload.get("Records").is_some() {
            let event: SqsEvent = serde_json::from_value(payload).map_err(|e| unreadable("messages of a queue", e))?;
            return Ok(Self::Messages(event.records));
        }
        if payload.get("RequestType").is_some() {
            let request = serde_json::from_value(payload).map_err(|e| unreadable("a custom resource", e))?;
            return Ok(Self::CustomResource(Box::new(request)));
        }
        serde_json::from_value(payload).map(Self::Operator).map_err(|error| {
            let known = "messages of its queue, a CloudFormation custom resource, {} or {\"dryRun\": true}";
            Failure::permanent(format!("unknown event: this function takes {known}")).caused_by(error)
        })
    }
}

/// Whether a pass should follow. What happened is looked up afterwards, so the detail does not matter.
fn is_known(trigger: &Trigger) -> bool {
    matches!(
        (trigger.source.as_str(), trigger.detail_type.as_str()),
        ("aws.ecs", "ECS Task State Change") | ("neo4j.cluster", "Sweep")
    )
}

impl Replicator {
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
        let (mut look, mut since, mut buried) = (false, None, 0);
        for message in messages {
            match queue::trigger(message) {
                Ok(trigger) if is_known(&trigger) => {
                    look = true;
                    if trigger.source == "aws.ecs" {
                        since = [since, trigger.time].into_iter().flatten().min();
                        let said = |key: &str| trigger.detail.get(key).and_then(Value::as_str).unwrap_or("unsaid");
                        let (task, status, wanted) = (said("taskArn"), said("lastStatus"), said("desiredStatus"));
                        tracing::info!(task, status, wanted, "task changed");
                    }
                }
                Ok(trigger) => {
                    tracing::warn!(source = trigger.source, detail_type = trigger.detail_type, "unknown event ignored");
                }
                Err(why) => {
                    tracing::error!(
                        why,
                        message = message.message_id,
                        "malformed message moved to the dead-letter queue"
                    );
                    self.dead_letters.bury(message, &why).await?;
                    buried += 1;
                }
            }
        }
        let dry_run = self.config.dry_run;
        let pass = if look { self.measured_pass(dry_run, since).await?.answer() } else { Value::Null };
        Ok(json!({"pass": pass, "malformed": buried}))
    }

    /// A pass with its metrics. `since` is when the oldest event happened that it answers.
    async fn measured_pass(&self, dry_run: bool, since: Option<Timestamp>) -> Result<Outcome, Failure> {
        let result = self.pass(dry_run).await;
        let diverged = result.as_ref().is_err_and(|failure| failure.kind() == Kind::Diverged);
        if result.is_ok() || diverged {
            for line in self.lines(result.as_ref().ok(), self.now(), since) {
                self.metrics.emit(&line);
            }
        }
        result
    }

    fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock.now()).unwrap_or_default()
    }

    /// The metric lines of a pass, or of one that could not converge.
    fn lines(&self, outcome: Option<&Outcome>, now: Timestamp, since: Option<Timestamp>) -> Vec<Value> {
        let cluster = self.config.target.owner.to_string();
        let applied = outcome.filter(|outcome| outcome.applied);
        let mut metrics = vec![
            Metric::count("Changes", applied.map_or(0, |outcome| outcome.plan.changes.len())),
            Metric::count("Divergence", usize::from(outcome.is_none())),
        ];
        if let (Some(since), Some(_)) = (since, applied) {
            // The clocks of the event's source and of this function differ a little.
            let lag = now.as_millisecond().saturating_sub(since.as_millisecond()).max(0);
            metrics.push(Metric::milliseconds("ReplicationLagMs", lag));
        }
        let mut lines = vec![telemetry::embedded_metrics(now, &[("Cluster", &cluster)], &metrics)];
        // A dry run publishes nothing.
        let written = outcome.filter(|outcome| !outcome.dry_run);
        for (tier, published) in written.iter().flat_map(|outcome| &outcome.plan.published) {
            let truncated = written.and_then(|outcome| outcome.plan.truncated.get(tier)).copied().unwrap_or(0);
            let metrics = [Metric::count("RecordsPublished", *published), Metric::count("Truncated", truncated)];
            lines.push(telemetry::embedded_metrics(now, &[("Cluster", &cluster), ("Tier", tier)], &metrics));
        }
        lines
    }

    /// Answers CloudFormation. Only a transient failure goes unanswered: Lambda then invokes the function again one
    /// minute later, and once more after another two. The last try answers whatever comes.
    async fn custom_resource(&self, request: &CustomResource) -> Result<Value, Failure> {
        let known = custom_resource::physical_id(request).unwrap_or("none").to_owned();
        let result = match custom_resource::resource_type(request) {
            Some("Custom::DnsRecords") => self.records(request).await,
            Some("Custom::DnsGuard") => self.guard(request).await,
            other => Err(Failure::permanent(format!("this function is no custom resource of type {other:?}"))),
        };
        let last_try = custom_resource::age(request, self.now()).is_some_and(|age| age >= LAST_TRY);
        let answer = match result {
            Ok((physical_id, data)) => Answer { physical_id, result: Ok(data) },
            Err(failure) if failure.kind() == Kind::Transient && !last_try => return Err(failure),
            Err(failure) => Answer { physical_id: known, result: Err(failure.chain()) },
        };
        custom_resource::answer(&self.answers, request, &answer).await?;
        Ok(json!({"answered": answer.physical_id, "failed": answer.result.err()}))
    }

    /// The records of the stack: a first pass when it is created or changed, a last one when it is deleted.
    async fn records(&self, request: &CustomResource) -> Result<(String, Value), Failure> {
        match request {
            CustomResource::Create(create) => self.first_pass(&create.resource_properties).await,
            CustomResource::Update(update) => {
                let new = target(&update.resource_properties)?;
                // A replaced target is cleaned up when all else has succeeded, where a refusal would come too late.
                if let Ok(old) = target(&update.old_resource_properties)
                    && old.physical_id() != new.physical_id()
                {
                    self.refuse_while_in_use(&old).await?;
                }
                self.first_pass(&update.resource_properties).await
            }
            CustomResource::Delete(delete) => match target(&delete.resource_properties) {
                Ok(target) => {
                    let removed = self.tear_down(&target).await?;
                    Ok((delete.physical_resource_id.clone(), json!({"Removed": removed.to_string()})))
                }
                // Its creation was refused for the same reason, so there is nothing to remove; another refusal would
                // only leave the stack stuck.
                Err(failure) => {
                    tracing::error!(failure = failure.chain(), "nothing removed");
                    Ok((delete.physical_resource_id.clone(), json!({"Removed": "0"})))
                }
            },
            _ => Err(unknown_request()),
        }
    }

    async fn first_pass(&self, properties: &Value) -> Result<(String, Value), Failure> {
        let physical_id = target(properties)?.physical_id();
        let outcome = self.measured_pass(self.config.dry_run, None).await?;
        let published: usize = outcome.plan.published.values().sum();
        let published = if outcome.dry_run { 0 } else { published };
        Ok((physical_id, json!({"Published": published.to_string()})))
    }

    /// The first thing that is asked when the stack is deleted, while everything still works.
    async fn guard(&self, request: &CustomResource) -> Result<(String, Value), Failure> {
        let guarded = ("guard".to_owned(), json!({}));
        match request {
            CustomResource::Create(_) | CustomResource::Update(_) => Ok(guarded),
            CustomResource::Delete(delete) => {
                if let Ok(target) = target(&delete.resource_properties) {
                    self.refuse_while_in_use(&target).await?;
                }
                Ok(guarded)
            }
            _ => Err(unknown_request()),
        }
    }
}

fn unknown_request() -> Failure {
    Failure::permanent("CloudFormation sent a kind of request that this version does not know")
}

fn target(properties: &Value) -> Result<Target, Failure> {
    let names: Names = serde_json::from_value(properties.clone())
        .map_err(|error| Failure::permanent("the custom resource's properties are wrong").caused_by(error))?;
    Target::new(names).map_err(|wrong| Failure::permanent(format!("custom resource property {wrong}")))
}
