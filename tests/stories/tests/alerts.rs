//! Whom alarm-router tells of what, how often, and what becomes of it when it or a destination fails.

mod alone;
mod delivery;
mod incidents;
mod inputs;
mod routes;
mod unheard;

use cluster_sim::{
    alerts::{self, stage},
    cluster::Cluster,
    time::{minutes, seconds},
};

/// The stage, on which all alerts take this tree's ways.
fn stage_with(routes: &str) -> Cluster {
    stage().with("ROUTES", routes)
}

/// What PagerDuty has taken: action and key, in their order.
fn pagerduty(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let told = alerts::pagerduty(cluster).into_iter();
    told.map(|one| (if one.over { "resolve" } else { "trigger" }, one.key)).collect()
}

/// Lets a minute and a bit pass, so that a sweep has come.
async fn a_sweep(cluster: &Cluster) {
    cluster.live(minutes(1) + seconds(10)).await;
}
