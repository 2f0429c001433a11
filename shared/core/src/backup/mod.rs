//! Backups: which one a slot takes and from whom, what a finished job was worth, and which ones may go.
//!
//! One folder is one chain: a full backup opens it, differentials join it, and it is kept or deleted as a whole.

mod agenda;
mod artifact;
mod chain;
mod evidence;
mod job;
mod judge;
mod layout;
mod manifest;
mod retention;
mod slot;
mod source;
#[cfg(test)]
mod tests;

pub use agenda::{Age, Ages, OpenJob, Slot, Step, decide};
pub use artifact::{Artifact, Unreadable, read_inspected};
pub use chain::{Chain, Folder, Hold, Object, State};
pub use evidence::Evidence;
pub use job::{Job, JobName, Limits, Next, Overdue, Progress, next};
pub use judge::{Ended, Task, judge};
pub use layout::{ChainId, Key, Kind, Layout};
pub use manifest::{Backup, Manifest, Verdict};
pub use retention::{Fate, Keep, Plan, Policy, Refused, Removal, plan, report, waves};
pub use slot::{Because, Choice, Refusal, Running, choose};
pub use source::{NoSource, Role, Source, databases, source};
