//! What each function of the cluster needs around its logic: configuration, events, failures, telemetry.

pub mod env;
mod failure;
pub mod telemetry;

#[cfg(feature = "function")]
pub mod custom_resource;
#[cfg(feature = "function")]
mod event;
#[cfg(feature = "function")]
pub mod queue;
#[cfg(feature = "function")]
mod runtime;
#[cfg(feature = "function")]
mod sdk;

#[cfg(feature = "function")]
pub use event::{Event, Request};
pub use failure::{Failure, Kind};
#[cfg(feature = "function")]
pub use runtime::run;
#[cfg(feature = "function")]
pub use sdk::{connector, sdk_config, warm_up};
