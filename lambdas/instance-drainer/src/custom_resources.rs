use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as CustomResource;
use cluster_core::instance::{Origins, Phase, Target, Wanted};
use cluster_lambda::{Failure, Frame, custom_resource};
use cluster_state::Written;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Drainer;

/// The cluster's phase. The physical id never changes, so nothing ever replaces the resource.
pub(crate) const PHASE: &str = "Custom::ClusterPhase";
const PHASE_ID: &str = "phase";
/// What every member should run. Its physical id never changes, either.
pub(crate) const TARGET: &str = "Custom::Target";
const TARGET_ID: &str = "target";
/// The origins of the data volumes.
pub(crate) const DATA_VOLUME_ORIGINS: &str = "Custom::DataVolumeOrigins";

/// The properties of `Custom::DataVolumeOrigins`. CloudFormation passes numbers as strings.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OriginProperties {
    cores: String,
    /// The snapshots: one for each core, core 1 first; or none, which may come as one empty string.
    #[serde(default)]
    snapshots: Vec<String>,
    /// The zones of the three subnets.
    zones: Vec<String>,
    /// The key; empty for the account's default key.
    #[serde(default)]
    kms_key_arn: String,
}

/// The properties of `Custom::Target`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetProperties {
    core_task_definition: String,
    core_launch_templates: String,
    /// This and the next are empty without replicas.
    #[serde(default)]
    replica_task_definition: String,
    #[serde(default)]
    replica_launch_template: String,
}

impl TargetProperties {
    fn target(properties: &Value) -> Result<Target, Failure> {
        let read: Self =
            serde_json::from_value(properties.clone()).map_err(|error| wrong_properties().caused_by(error))?;
        let wanted = Wanted {
            core_task_definition: read.core_task_definition,
            core_launch_templates: read.core_launch_templates,
            replica_task_definition: read.replica_task_definition,
            replica_launch_template: read.replica_launch_template,
        };
        Target::read(&wanted).map_err(|refused| wrong_properties().caused_by(refused))
    }
}

impl OriginProperties {
    fn read(properties: &Value) -> Result<Self, Failure> {
        serde_json::from_value(properties.clone()).map_err(|error| wrong_properties().caused_by(error))
    }

    fn origins(self) -> Result<Origins, Failure> {
        let origins = Origins::new(number(&self.cores)?, self.snapshots, &self.zones, &self.kms_key_arn);
        origins.map_err(|why| Failure::permanent(why.to_string()))
    }
}

impl Drainer {
    /// Answers a request about one of the custom resources.
    pub(crate) async fn answer_for(
        &self,
        frame: &Frame<Self>,
        request: &CustomResource,
    ) -> Result<(String, Value), Failure> {
        match custom_resource::resource_type(request) {
            Some(PHASE) => self.phase(frame, request).await.map(|data| (PHASE_ID.to_owned(), data)),
            Some(TARGET) => self.target(frame.now(), request).await.map(|()| (TARGET_ID.to_owned(), json!({}))),
            Some(DATA_VOLUME_ORIGINS) => self.origins(request).await,
            _ => Err(custom_resource::unknown_type(request)),
        }
    }

    /// Returns the origins of the volumes. Checks an update against the cores that the cluster has, too.
    async fn origins(&self, request: &CustomResource) -> Result<(String, Value), Failure> {
        let (id, origins) = match request {
            CustomResource::Create(create) => {
                let origins = OriginProperties::read(&create.resource_properties)?.origins()?;
                (origins.to_string(), origins)
            }
            CustomResource::Update(update) => {
                let remembered = Origins::remembered(&update.physical_resource_id);
                let (wanted, old) = (&update.resource_properties, &update.old_resource_properties);
                // The properties that an update replaces do not show which cores run: an update with more cores that
                // failed half way is rolled back by an update with fewer, which must not be refused.
                let known = self.state.read().await?.cores.or_else(|| cores(old).ok());
                // Its snapshots no longer matter, not even their number: those of the creation are remembered.
                let wanted = OriginProperties { snapshots: Vec::new(), ..OriginProperties::read(wanted)? }.origins()?;
                remembered.refuse_change(&wanted, known).map_err(|why| Failure::permanent(why.to_string()))?;
                (update.physical_resource_id.clone(), remembered)
            }
            CustomResource::Delete(delete) => {
                (delete.physical_resource_id.clone(), Origins::remembered(&delete.physical_resource_id))
            }
            _ => return Err(custom_resource::unknown_request()),
        };
        let attributes =
            origins.snapshots_by_core().map(|(core, snapshot)| (format!("Snapshot{core}"), json!(snapshot)));
        Ok((id, Value::Object(attributes.collect())))
    }

    /// Records what every member should run. With the stack goes nothing: the table keeps what it holds.
    async fn target(&self, now: Timestamp, request: &CustomResource) -> Result<(), Failure> {
        let properties = match request {
            CustomResource::Create(create) => &create.resource_properties,
            CustomResource::Update(update) => &update.resource_properties,
            CustomResource::Delete(_) => return Ok(()),
            _ => return Err(custom_resource::unknown_request()),
        };
        let target = TargetProperties::target(properties)?;
        match self.state.write_target(&target, sent(request, now)).await? {
            Written::Yes | Written::Superseded => Ok(()),
            Written::NoTable => Err(self.state.missing()),
        }
    }

    /// Records the phase: complete once everything that makes up the cluster has been created, until the first of that
    /// is to be deleted. The resource is created last and deleted first, so its update is the end of the stack's.
    async fn phase(&self, frame: &Frame<Self>, request: &CustomResource) -> Result<Value, Failure> {
        let asked = sent(request, frame.now());
        let complete = async |properties: &Value| {
            let cores = cores(properties)?;
            match self.state.write_phase(Phase::Complete, cores, asked).await? {
                Written::Yes | Written::Superseded => Ok(json!({})),
                Written::NoTable => Err(self.state.missing()),
            }
        };
        match request {
            CustomResource::Create(create) => complete(&create.resource_properties).await,
            CustomResource::Update(update) => complete(&update.resource_properties).await,
            CustomResource::Delete(_) => {
                match self.state.write_phase(Phase::Deleting, self.config.tiers.cores, asked).await? {
                    Written::Yes => {}
                    Written::Superseded => return Ok(json!({})),
                    // There is nowhere left to record the phase, which must not keep the stack from being deleted.
                    Written::NoTable => tracing::error!("{}", self.state.missing().chain()),
                }
                let round = frame.round(frame.unattended_mode(), Vec::new());
                let reconciled = self.reconcile_in(Some(Phase::Deleting), &round).await;
                // The sweeps continue what this round leaves undone.
                if let Err(failure) = frame.finish(&round, reconciled) {
                    tracing::error!("the round failed: {}", failure.chain());
                }
                Ok(json!({}))
            }
            _ => Err(custom_resource::unknown_request()),
        }
    }
}

/// Returns when CloudFormation sent a request, not when this attempt arrived: a late attempt must not undo a later request.
fn sent(request: &CustomResource, now: Timestamp) -> Timestamp {
    let age = custom_resource::age(request, now).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// Returns the property `Cores` of a custom resource.
fn cores(properties: &Value) -> Result<u8, Failure> {
    number(properties.get("Cores").and_then(Value::as_str).unwrap_or_default())
}

fn number(cores: &str) -> Result<u8, Failure> {
    let most = cluster_core::instance::MOST_CORES;
    let number = cores.parse().ok().filter(|cores| (1..=most).contains(cores));
    number.ok_or_else(|| {
        wrong_properties().caused_by(format!("Cores is {cores:?}, but should be a number from 1 to {most}"))
    })
}

fn wrong_properties() -> Failure {
    Failure::permanent("the custom resource's properties are wrong")
}
