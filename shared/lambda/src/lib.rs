//! What each function of the cluster needs around its logic: configuration, events, failures, telemetry.

pub mod env;
mod failure;
mod sdk;
pub mod telemetry;

#[cfg(feature = "function")]
pub mod custom_resource;
#[cfg(feature = "function")]
pub mod queue;

pub use failure::{Failure, Kind};
pub use sdk::sdk_config;
