//! The surroundings of every function of the cluster: frame, configuration, events, failures, telemetry.

pub mod aws;
pub mod custom_resource;
pub mod env;
mod event;
mod failure;
mod frame;
mod function;
pub mod query;
pub mod queue;
pub mod secrets;
pub mod signed;
#[cfg(feature = "stub")]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is for tests")]
pub mod stub;
pub mod telemetry;

pub use aws::Aws;
pub use event::{Event, Request};
pub use failure::{Failure, Kind, is_refusal, is_temporary, is_throttle};
pub use frame::{Frame, run};
pub use function::{Description, Function, Messages, Mode, Reconciled, Round, SWEEP};
pub use lambda_runtime::Error;
