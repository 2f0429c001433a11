use aws_lambda_events::{cloudformation::CloudFormationCustomResourceRequest as CustomResource, sqs::SqsMessage};
use cluster_lambda::{
    Event, Failure, custom_resource,
    queue::Trigger,
    telemetry::{self, Metric},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Names, Outcome, Pass, Replicator, Target, TierOutcome};

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
                let outcome =
                    if dry_run { self.pass(true).await.result()? } else { self.measured_pass(false, None).await? };
                Ok(outcome.answer())
            }
        }
    }

    /// One pass for all messages together: each is only a reason to look.
    async fn messages(&self, messages: &[SqsMessage]) -> Result<Value, Failure> {
        let (triggers, malformed) = self.dead_letters.sort(messages, is_known).await?;
        let tasks: Vec<_> = triggers.iter().filter(|trigger| trigger.source == "aws.ecs").collect();
        for trigger in &tasks {
            let said = |key: &str| trigger.detail.get(key).and_then(Value::as_str).unwrap_or("unsaid");
            let (task, status, wanted) = (said("taskArn"), said("lastStatus"), said("desiredStatus"));
            tracing::info!(task, status, wanted, "task changed");
        }
        let since = tasks.iter().filter_map(|trigger| trigger.time).min();
        let dry_run = self.config.dry_run;
        let pass = if triggers.is_empty() { Value::Null } else { self.measured_pass(dry_run, since).await?.answer() };
        Ok(json!({"pass": pass, "malformed": malformed}))
    }

    /// A pass with its metrics. `since` is when the oldest event happened that it answers.
    async fn measured_pass(&self, dry_run: bool, since: Option<Timestamp>) -> Result<Outcome, Failure> {
        let pass = self.pass(dry_run).await;
        for line in self.lines(&pass, self.now(), since) {
            self.metrics.emit(&line);
        }
        pass.result()
    }

    fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock.now()).unwrap_or_default()
    }

    /// The metric lines of a pass: of each name that it was done with, whatever became of the other. `Divergence` stands
    /// for a pass that came to an end for both, since its absence is what silence is alarmed on.
    fn lines(&self, pass: &Pass, now: Timestamp, since: Option<Timestamp>) -> Vec<Value> {
        let cluster = self.config.target.owner.to_string();
        let Pass { outcome, failures } = pass;
        let waiting = |tier: &TierOutcome| tier.plan.occupied.as_ref().map_or(0, |occupied| occupied.waiting);
        let mut metrics = Vec::new();
        if pass.diverged() || failures.is_empty() {
            metrics.push(Metric::count("Divergence", usize::from(pass.diverged())));
        }
        if !(metrics.is_empty() && outcome.tiers.is_empty()) {
            let applied: Vec<_> = outcome.tiers.iter().filter(|tier| tier.applied).collect();
            metrics.push(Metric::count("Changes", applied.iter().map(|tier| tier.plan.changes.len()).sum()));
            metrics.push(Metric::count("Occupied", outcome.tiers.iter().map(waiting).sum()));
            if let (Some(since), false) = (since, applied.is_empty()) {
                // The clocks of the event's source and of this function differ a little.
                let lag = now.as_millisecond().saturating_sub(since.as_millisecond()).max(0);
                metrics.push(Metric::milliseconds("ReplicationLagMs", lag));
            }
        }
        let mut lines = Vec::new();
        if !metrics.is_empty() {
            lines.push(telemetry::embedded_metrics(now, &[("Cluster", &cluster)], &metrics));
        }
        // A dry run publishes nothing.
        for tier in outcome.tiers.iter().filter(|_| !outcome.dry_run) {
            let metrics = [
                Metric::count("RecordsPublished", tier.plan.published),
                Metric::count("Truncated", tier.plan.truncated),
                Metric::count("Occupied", waiting(tier)),
            ];
            lines.push(telemetry::embedded_metrics(now, &[("Cluster", &cluster), ("Tier", tier.tier)], &metrics));
        }
        lines
    }

    async fn custom_resource(&self, request: &CustomResource) -> Result<Value, Failure> {
        let result = match custom_resource::resource_type(request) {
            Some("Custom::DnsRecords") => self.records(request).await,
            Some("Custom::DnsGuard") => self.guard(request).await,
            _ => Err(custom_resource::unknown_type(request)),
        };
        custom_resource::respond(&self.answers, request, self.now(), result).await
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
            _ => Err(custom_resource::unknown_request()),
        }
    }

    async fn first_pass(&self, properties: &Value) -> Result<(String, Value), Failure> {
        let physical_id = target(properties)?.physical_id();
        let outcome = self.measured_pass(self.config.dry_run, None).await?;
        let published: usize = outcome.tiers.iter().map(|tier| tier.plan.published).sum();
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
            _ => Err(custom_resource::unknown_request()),
        }
    }
}

fn target(properties: &Value) -> Result<Target, Failure> {
    let names: Names = serde_json::from_value(properties.clone())
        .map_err(|error| Failure::permanent("the custom resource's properties are wrong").caused_by(error))?;
    Target::new(names).map_err(|wrong| Failure::permanent(format!("custom resource property {wrong}")))
}
