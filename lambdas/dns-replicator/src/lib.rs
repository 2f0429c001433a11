//! Keeps multivalue A records equal to the healthy members of Cloud Map SRV services.
//!
//! ECS registers tasks in host or bridge networking as SRV records only, which few clients can read. This function
//! copies the members into plain A records in a zone of the cluster's own.

mod config;
mod event;
mod members;
mod pass;
mod teardown;
mod zone;

pub use cluster_lambda::Event;
pub use config::{Config, Names, Target, TierTarget};
pub use pass::{Outcome, Pass, TierOutcome};

use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use cluster_lambda::{queue::DeadLetters, telemetry::Sink};
use members::Members;
use zone::Zone;

/// The clients through which a [`Replicator`] sees and changes the world.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Cloud Map.
    pub cloud_map: aws_sdk_servicediscovery::Client,
    /// ECS.
    pub ecs: aws_sdk_ecs::Client,
    /// Route 53.
    pub route53: aws_sdk_route53::Client,
    /// SQS, for messages that nobody can read.
    pub sqs: aws_sdk_sqs::Client,
    /// What carries answers to CloudFormation.
    pub answers: SharedHttpConnector,
    /// Tells how late an event was acted upon.
    pub clock: SharedTimeSource,
    /// Where metrics go.
    pub metrics: Sink,
}

/// The function: its configuration and its view of the world.
#[derive(Debug)]
pub struct Replicator {
    config: Config,
    members: Members,
    zone: Zone,
    dead_letters: DeadLetters,
    answers: SharedHttpConnector,
    clock: SharedTimeSource,
    metrics: Sink,
}

impl Replicator {
    /// Works through these clients.
    #[must_use]
    pub fn new(config: Config, clients: Clients) -> Self {
        Self {
            members: Members::new(clients.cloud_map, clients.ecs),
            zone: Zone::new(clients.route53),
            dead_letters: DeadLetters::new(clients.sqs, config.dead_letter_queue.clone()),
            answers: clients.answers,
            clock: clients.clock,
            metrics: clients.metrics,
            config,
        }
    }
}
