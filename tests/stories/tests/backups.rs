//! Stories of backups.

mod pruner;
