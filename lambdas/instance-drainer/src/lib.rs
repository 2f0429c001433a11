//! Looks after the instances that Auto Scaling holds in a lifecycle hook, or retains.
//!
//! A core is one data volume and whichever instance has it. This function gives a new instance its core's volume, admits
//! it once its ECS agent has registered, and lets an instance go only when nothing is lost with it.

mod config;
mod container_instances;
mod ec2;
mod event;
mod groups;
mod observe;
mod origins;
mod pass;
mod state;
mod statuses;
#[cfg(test)]
mod stub;
mod volumes;

pub use cluster_lambda::Event;
pub use config::Config;
pub use ec2::Ec2;
pub use pass::{Mode, Outcome, Tally};

use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use cluster_lambda::{queue::DeadLetters, telemetry::Sink};
use container_instances::ContainerInstances;
use groups::Groups;
use state::StateTable;
use statuses::Statuses;
use volumes::Volumes;

/// The clients through which a [`Drainer`] sees and changes the world.
#[derive(Clone, Debug)]
pub struct Clients {
    /// EC2 Auto Scaling.
    pub auto_scaling: aws_sdk_autoscaling::Client,
    /// ECS.
    pub ecs: aws_sdk_ecs::Client,
    /// `DynamoDB`, for the state table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// EC2.
    pub ec2: Ec2,
    /// SQS, for messages that nobody can read.
    pub sqs: aws_sdk_sqs::Client,
    /// What carries answers to CloudFormation.
    pub answers: SharedHttpConnector,
    /// Tells how long ago a volume was attached.
    pub clock: SharedTimeSource,
    /// Where metrics go.
    pub metrics: Sink,
}

/// The function: its configuration and its view of the world.
#[derive(Debug)]
pub struct Drainer {
    config: Config,
    groups: Groups,
    container_instances: ContainerInstances,
    volumes: Volumes,
    statuses: Statuses,
    state: StateTable,
    dead_letters: DeadLetters,
    answers: SharedHttpConnector,
    clock: SharedTimeSource,
    metrics: Sink,
}

impl Drainer {
    /// Works through these clients.
    #[must_use]
    pub fn new(config: Config, clients: Clients) -> Self {
        Self {
            groups: Groups::new(clients.auto_scaling),
            container_instances: ContainerInstances::new(clients.ecs, config.ecs_cluster.clone()),
            volumes: Volumes::new(clients.ec2.clone()),
            statuses: Statuses::new(clients.ec2),
            state: StateTable::new(clients.dynamodb, config.state_table.clone()),
            dead_letters: DeadLetters::new(clients.sqs, config.dead_letter_queue.clone()),
            answers: clients.answers,
            clock: clients.clock,
            metrics: clients.metrics,
            config,
        }
    }
}
