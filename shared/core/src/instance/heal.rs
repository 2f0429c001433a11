//! stub
use super::{Observed, Policy};
use jiff::Timestamp;
#[allow(dead_code)]
pub(super) enum Ill {
    Hanging { task: String },
    DiskStart { task: String },
    DiskRunning { task: String },
    Wedged { task: String },
}
pub(super) fn ill(_: &Observed, _: &Policy, _: u8, _: Timestamp) -> Option<Ill> {
    None
}
