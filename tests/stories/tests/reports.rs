//! What people who do this job have reported, played against the real function.

mod alarms;
mod attachments;
mod core_count;
mod registrations;
mod silence;
mod tasks;

use cluster_sim::cluster::Cluster;
use cluster_world::{World, ecs::ContainerInstance};
use serde_json::{Value, json};

/// What the function answers to a person about one core.
async fn core(cluster: &Cluster, number: usize) -> Value {
    let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
    answer["cores"][number - 1].clone()
}

fn registration<'a>(world: &'a mut World, instance: &str) -> &'a mut ContainerInstance {
    let (cluster, address) = world.registered(instance).unwrap();
    world.ecs.clusters.get_mut(&cluster).unwrap().container_instances.get_mut(&address).unwrap()
}

/// The number of a round's first call of this action, counted from 1, as a dry run makes it.
async fn nth(cluster: &Cluster, action: &str) -> usize {
    // The first one may read a secret, which is kept.
    cluster.invoke(json!({"dryRun": true})).await.unwrap();
    let from = cluster.wire.world().calls.len();
    cluster.invoke(json!({"dryRun": true})).await.unwrap();
    let world = cluster.wire.world();
    let made = world.calls[from..].iter().position(|call| call.action == action);
    made.unwrap_or(world.calls.len() - from) + 1
}
