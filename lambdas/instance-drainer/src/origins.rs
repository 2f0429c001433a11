//! What the data volumes were made from.
//!
//! CloudFormation replaces a volume whose snapshot changes, and with it the core's data. So the snapshots are heard when
//! the stack is created, kept in the resource's physical id, and given back unchanged ever after, whatever the parameter
//! says by then.

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as CustomResource;
use cluster_lambda::{Failure, custom_resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most cores that a cluster has.
const CORES: usize = 7;
/// Begins the physical id; the snapshots' ids follow, with commas.
const PREFIX: &str = "snapshots:";

/// What the template says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    /// How many cores there are. CloudFormation hands numbers over as texts.
    cores: String,
    /// One for each core, core 1 first; or none, which may come as one empty text.
    #[serde(default)]
    snapshots: Vec<String>,
}

/// Answers the physical id and the attributes `Snapshot1` to `Snapshot7`, empty for a blank volume.
pub(crate) fn remembered(request: &CustomResource) -> Result<(String, Value), Failure> {
    let id = match request {
        CustomResource::Create(create) => heard(&create.resource_properties)?,
        CustomResource::Update(update) => update.physical_resource_id.clone(),
        CustomResource::Delete(delete) => delete.physical_resource_id.clone(),
        _ => return Err(custom_resource::unknown_request()),
    };
    let snapshots: Vec<_> = id.strip_prefix(PREFIX).unwrap_or_default().split(',').collect();
    let attribute = |n: usize| (format!("Snapshot{}", n + 1), json!(snapshots.get(n).copied().unwrap_or_default()));
    let attributes: Map<_, _> = (0..CORES).map(attribute).collect();
    Ok((id, Value::Object(attributes)))
}

/// The physical id that remembers the snapshots of a new stack.
fn heard(properties: &Value) -> Result<String, Failure> {
    let Properties { cores, snapshots } = serde_json::from_value(properties.clone())
        .map_err(|error| Failure::permanent("the custom resource's properties are wrong").caused_by(error))?;
    let snapshots: Vec<_> = snapshots.into_iter().filter(|id| !id.is_empty()).collect();
    let count = snapshots.len();
    if count > 0 && cores.parse() != Ok(count) {
        let what =
            format!("RestoreSnapshotIds names {count} snapshots for {cores} cores: name one for each core, or none");
        return Err(Failure::permanent(what));
    }
    Ok(format!("{PREFIX}{}", snapshots.join(",")))
}
