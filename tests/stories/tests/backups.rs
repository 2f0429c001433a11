//! Stories of backups.

mod pruner;
mod scheduler;
