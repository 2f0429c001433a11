//! What the data volumes were made from, and where.
//!
//! CloudFormation replaces a volume whose snapshot, zone or key changes, and with it the core's data: of every core at
//! once. So what the stack was created with is kept in the resource's physical id. The snapshots are given back from there
//! ever after, whatever the parameter says by then; another zone or key is refused before any core is touched.

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as CustomResource;
use cluster_lambda::{Failure, custom_resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most cores that a cluster has.
const CORES: usize = 7;

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
        serde_json::from_value(properties.clone())
            .map_err(|error| Failure::permanent("the custom resource's properties are wrong").caused_by(error))
    }

    /// What a change would replace every volume for.
    fn place(&self) -> String {
        format!("zones={};key={}", self.zones.join(","), self.kms_key_arn)
    }
}

/// Answers the physical id and the attributes `Snapshot1` to `Snapshot7`, empty for a blank volume.
pub(crate) fn remembered(request: &CustomResource) -> Result<(String, Value), Failure> {
    let id = match request {
        CustomResource::Create(create) => heard(&Properties::read(&create.resource_properties)?)?,
        CustomResource::Update(update) => {
            let (id, now) = (&update.physical_resource_id, Properties::read(&update.resource_properties)?.place());
            let (_, then) = id.split_once(';').unwrap_or_default();
            if now != then {
                let what = format!(
                    "the data volumes were made with {then}, and cannot be had with {now}: CloudFormation would replace \
                     every one by a blank volume. Set CoreZone1 to CoreZone3 and DataKmsKeyArn as they were; for others \
                     deploy a second stack"
                );
                return Err(Failure::permanent(what));
            }
            id.clone()
        }
        CustomResource::Delete(delete) => delete.physical_resource_id.clone(),
        _ => return Err(custom_resource::unknown_request()),
    };
    let (snapshots, _) = id.split_once(';').unwrap_or_default();
    let snapshots: Vec<_> = snapshots.strip_prefix("snapshots=").unwrap_or_default().split(',').collect();
    let attribute = |n: usize| (format!("Snapshot{}", n + 1), json!(snapshots.get(n).copied().unwrap_or_default()));
    let attributes: Map<_, _> = (0..CORES).map(attribute).collect();
    Ok((id, Value::Object(attributes)))
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
