//! Who the members are, by what ECS and EC2 say: their tasks, their container instances and their addresses.

mod addresses;
mod config;
mod container_instances;
mod listen;

pub use addresses::Addresses;
pub use config::{Cluster, Tiers};
pub use container_instances::ContainerInstances;
pub use listen::{asked, core_of, going, tasks};
