//! The surroundings of every function of the cluster: frame, configuration, events, failures, telemetry.

pub mod env;
mod failure;
pub mod telemetry;

#[cfg(feature = "function")]
pub mod aws;
#[cfg(feature = "function")]
pub mod custom_resource;
#[cfg(feature = "function")]
mod event;
#[cfg(feature = "function")]
mod frame;
#[cfg(feature = "function")]
mod function;
#[cfg(feature = "function")]
pub mod queue;

#[cfg(feature = "function")]
pub use aws::Aws;
#[cfg(feature = "function")]
pub use event::{Event, Request};
pub use failure::{Failure, Kind, is_refusal, is_temporary, is_throttle};
#[cfg(feature = "function")]
pub use frame::{Frame, run};
#[cfg(feature = "function")]
pub use function::{Description, Function, Messages, Mode, Reconciled, Round, SWEEP};
#[cfg(feature = "function")]
pub use lambda_runtime::Error;
