//! Keeps multivalue A records equal to the healthy members of Cloud Map SRV services.
//!
//! ECS registers tasks in host or bridge networking as SRV records only, which few clients can read. This function
//! copies the members into plain A records in a zone of the cluster's own.

mod config;
mod custom_resources;
mod function;
mod members;
mod observe;
mod ready;
mod reconcile;
mod teardown;
mod zone;

pub use config::{Asks, Config, Names, Target, TierTarget};
pub use function::Replicator;
pub use reconcile::{Outcome, TierOutcome};
