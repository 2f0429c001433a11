//! Stories of the dns-replicator: what the zone says while members come and go, whatever happens to the function.

mod custom_resources;
mod members;
mod others_records;
mod refusals;
mod requests;
mod two_names;

use std::collections::BTreeSet;

use cluster_sim::cluster::Cluster;

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

fn addresses(range: std::ops::RangeInclusive<u8>) -> BTreeSet<String> {
    range.map(|n| format!("10.0.1.{n}")).collect()
}

/// Lets 3 cores come up and publishes them.
async fn three_cores(cluster: &Cluster) {
    cluster.scale("core", 3);
    cluster.wire.sleep(60).await;
    cluster.sweep().await.unwrap();
    assert_eq!(cluster.published("core"), addresses(1..=3));
}
