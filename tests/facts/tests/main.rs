//! Facts that hold templates, code and documents together.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod alarms;
mod alert_permissions;
mod alerts_alone;
mod backup_job;
mod backups;
mod cluster_template;
mod costs;
mod dashboard;
mod disks;
mod documents;
mod drain_alone;
mod drainer_permissions;
mod ecs;
mod functions;
mod gateway;
mod iam;
mod members;
mod metrics;
mod permissions;
mod releases;
mod template;
