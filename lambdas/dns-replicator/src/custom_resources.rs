use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as CustomResource;
use cluster_lambda::{Failure, Frame, custom_resource};
use serde_json::{Value, json};

use crate::{Names, Replicator, Target};

/// The records of a stack: its creation and each change make a first round, its deletion removes them.
pub(crate) const RECORDS: &str = "Custom::DnsRecords";
/// The first resource that is deleted with the stack, while everything still works.
pub(crate) const GUARD: &str = "Custom::DnsGuard";

impl Replicator {
    /// Answers a request about one of the two custom resources.
    pub(crate) async fn answer_for(
        &self,
        frame: &Frame<Self>,
        request: &CustomResource,
    ) -> Result<(String, Value), Failure> {
        match custom_resource::resource_type(request) {
            Some(RECORDS) => self.records(frame, request).await,
            Some(GUARD) => self.guard(request).await,
            _ => Err(custom_resource::unknown_type(request)),
        }
    }

    async fn records(&self, frame: &Frame<Self>, request: &CustomResource) -> Result<(String, Value), Failure> {
        match request {
            CustomResource::Create(create) => first_round(frame, &create.resource_properties).await,
            CustomResource::Update(update) => {
                let new = target(&update.resource_properties)?;
                // A replaced target is cleaned up once everything else has succeeded, when a refusal would come too
                // late.
                if let Ok(old) = target(&update.old_resource_properties)
                    && old.physical_id() != new.physical_id()
                {
                    self.refuse_while_in_use(&old).await?;
                }
                first_round(frame, &update.resource_properties).await
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

async fn first_round(frame: &Frame<Replicator>, properties: &Value) -> Result<(String, Value), Failure> {
    let physical_id = target(properties)?.physical_id();
    let outcome = frame.unattended().await?;
    let published: usize = outcome.tiers.iter().map(|tier| tier.plan.published).sum();
    let published = if outcome.dry_run { 0 } else { published };
    Ok((physical_id, json!({"Published": published.to_string()})))
}

fn target(properties: &Value) -> Result<Target, Failure> {
    let names: Names = serde_json::from_value(properties.clone())
        .map_err(|error| Failure::permanent("the custom resource's properties are wrong").caused_by(error))?;
    Target::new(names).map_err(|wrong| Failure::permanent(format!("custom resource property {wrong}")))
}
