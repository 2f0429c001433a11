//! The custom resource that checks the routes at the deployment.

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as Request;
use cluster_lambda::Failure;
use serde_json::{Value, json};

use crate::Router;

/// The type of the custom resource.
pub(crate) const ROUTES: &str = "Custom::Neo4jAlertRoutes";
/// Its physical id: there is one in a stack.
const ID: &str = "alert-routes";

impl Router {
    /// Refuses routes that cannot be read, or go where nothing can be delivered.
    pub(crate) async fn check_routes(&self, request: &Request) -> Result<(String, Value), Failure> {
        let properties = match request {
            Request::Create(create) => &create.resource_properties,
            Request::Update(update) => &update.resource_properties,
            Request::Delete(delete) => return Ok((delete.physical_resource_id.clone(), json!({}))),
            _ => return Err(cluster_lambda::custom_resource::unknown_request()),
        };
        let text = properties["Routes"].as_str().unwrap_or_default();
        let refused = |why: String| Failure::permanent(format!("the parameter AlertRoutes is refused: {why}"));
        let tree = self.config.destinations.routes(text).map_err(refused)?;
        let mut failures = Vec::new();
        for to in tree.destinations() {
            if let Err(failure) = self.deliveries.check(&to, self.now()).await {
                failures.push(failure);
            }
        }
        let mut failures = failures.into_iter();
        match failures.next() {
            Some(first) => Err(first.combined(failures)),
            None => Ok((ID.to_owned(), json!({}))),
        }
    }
}
