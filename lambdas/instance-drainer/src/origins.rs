//! What the data volumes were made from, and where.
//!
//! CloudFormation replaces a volume whose snapshot, zone or key changes, and with it the core's data: of every core at
//! once. So what the stack was created with is kept in the resource's physical id. The snapshots are given back from there
//! ever after, whatever the parameter says by then; another zone or key is refused before any core is touched. So is a
//! lower number of cores: their instances would be retained while they run, with their volumes.

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as CustomResource;
use cluster_lambda::{Failure, custom_resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most cores that a cluster has.
const CORES: u8 = 7;

/// What the template says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    /// How many cores there are. CloudFormation hands numbers over as texts.
    cores: String,
    /// One for each core, core 1 first; or none, which may come as one empty text.
    #[serde(default)]
    snapshots: Vec<String>,
    /// Of the three places.
    zones: Vec<String>,
    /// Empty for the account's default key.
    #[serde(default)]
    kms_key_arn: String,
}

impl Properties {
    fn read(properties: &Value) -> Result<Self, Failure> {
        serde_json::from_value(properties.clone()).map_err(|error| wrong().caused_by(error))
    }

    /// What a change would replace every volume for.
    fn place(&self) -> String {
        format!("zones={};key={}", self.zones.join(","), self.kms_key_arn)
    }
}

fn wrong() -> Failure {
    Failure::permanent("the custom resource's properties are wrong")
}

/// Returns the property `Cores` of a custom resource, which CloudFormation hands over as a text.
pub(crate) fn cores(properties: &Value) -> Result<u8, Failure> {
    let cores = properties.get("Cores").and_then(Value::as_str).and_then(|cores| cores.parse().ok());
    let cores = cores.filter(|cores| (1..=CORES).contains(cores));
    cores.ok_or_else(|| wrong().caused_by(format!("Cores should be a number from 1 to {CORES}")))
}

/// Answers the physical id and the attributes `Snapshot1` to `Snapshot7`, empty for a blank volume. `known` is how many
/// cores the cluster had when its last deployment ended.
///
/// What an update replaces says nothing of that: an update with more cores that failed half way is rolled back by an update
/// with fewer, which must not be refused.
pub(crate) fn remembered(request: &CustomResource, known: Option<u8>) -> Result<(String, Value), Failure> {
    let id = match request {
        CustomResource::Create(create) => heard(&Properties::read(&create.resource_properties)?)?,
        CustomResource::Update(update) => {
            refuse_other_place(&update.physical_resource_id, &Properties::read(&update.resource_properties)?)?;
            let known = known.or_else(|| cores(&update.old_resource_properties).ok());
            refuse_fewer(cores(&update.resource_properties)?, known)?;
            update.physical_resource_id.clone()
        }
        CustomResource::Delete(delete) => delete.physical_resource_id.clone(),
        _ => return Err(custom_resource::unknown_request()),
    };
    let (snapshots, _) = id.split_once(';').unwrap_or_default();
    let snapshots: Vec<_> = snapshots.strip_prefix("snapshots=").unwrap_or_default().split(',').collect();
    let attribute =
        |n: u8| (format!("Snapshot{}", n + 1), json!(snapshots.get(usize::from(n)).copied().unwrap_or_default()));
    let attributes: Map<_, _> = (0..CORES).map(attribute).collect();
    Ok((id, Value::Object(attributes)))
}

fn refuse_other_place(id: &str, properties: &Properties) -> Result<(), Failure> {
    let now = properties.place();
    let (_, then) = id.split_once(';').unwrap_or_default();
    if now == then {
        return Ok(());
    }
    Err(Failure::permanent(format!(
        "the data volumes were made with {then}, and cannot be had with {now}: CloudFormation would replace every one by a \
         blank volume. Set CoreZone1 to CoreZone3 and DataKmsKeyArn as they were; for others deploy a second stack"
    )))
}

fn refuse_fewer(wants: u8, known: Option<u8>) -> Result<(), Failure> {
    let Some(known) = known.filter(|known| wants < *known) else { return Ok(()) };
    Err(Failure::permanent(format!(
        "the cluster has {known} cores, and CoreCount={wants} would take some away while they run: set CoreCount to {known} \
         or more; for fewer deploy a second stack with CoreCount={wants} and seed its databases from this one"
    )))
}

/// The physical id that remembers what a new stack is made from.
fn heard(properties: &Properties) -> Result<String, Failure> {
    let Properties { cores, snapshots, .. } = properties;
    let snapshots: Vec<_> = snapshots.iter().map(String::as_str).filter(|id| !id.is_empty()).collect();
    let count = snapshots.len();
    if count > 0 && cores.parse() != Ok(count) {
        let what =
            format!("RestoreSnapshotIds names {count} snapshots for {cores} cores: name one for each core, or none");
        return Err(Failure::permanent(what));
    }
    Ok(format!("snapshots={};{}", snapshots.join(","), properties.place()))
}
