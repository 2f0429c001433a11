//! A function as a deployment has it: a world of its own behind endpoints, and the variables of the template.

use std::path::Path;

use cluster_sim::cluster::Cluster;

use super::{alive, endpoint::Endpoints};
use crate::serve::Live;

/// A world, and what the template gives to a function in it.
pub(super) struct Place {
    /// The world.
    pub(super) live: Live,
    /// What the function is told.
    pub(super) variables: Vec<(String, String)>,
}

impl Place {
    /// Opens the world of a deployment for its subject, which has Lambda's variables as well.
    pub(super) async fn of(cluster: &Cluster, others: &[(String, String)], folder: &Path) -> Self {
        let live = alive(cluster);
        let of_lambda = others.iter().filter(|(name, _)| name.starts_with("AWS_") && !name.contains("ENDPOINT"));
        let own = cluster.environment().iter().map(|(name, value)| (name.clone(), value.clone()));
        let variables = of_lambda.cloned().chain(own).chain(Endpoints::open(&live, folder).await.variables).collect();
        Self { live, variables }
    }
}
