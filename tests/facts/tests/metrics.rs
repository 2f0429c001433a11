//! The metrics that functions write, as they write them: in the life of a simulated cluster.

use std::{collections::BTreeSet, sync::OnceLock};

use cluster_sim::{
    cluster::Cluster,
    functions::BACKUP_PRUNER,
    time::{minutes, play, within},
};
use serde_json::Value;

use crate::backups;

/// A metric and its dimensions, each a name and a value. Each is paid for by itself.
pub(crate) type Series = (String, Vec<(String, String)>);

/// Returns the series of lines in the embedded metric format.
fn series(lines: &[Value]) -> BTreeSet<Series> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_line = |line: &Value| -> Vec<Series> {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let names = directive["Dimensions"][0].as_array().unwrap().iter().map(text);
        let dimensions: Vec<_> = names.map(|name| (name.clone(), text(&line[&name]))).collect();
        let metrics = directive["Metrics"].as_array().unwrap().iter();
        metrics.map(|metric| (text(&metric["Name"]), dimensions.clone())).collect()
    };
    lines.iter().flat_map(of_line).collect()
}

/// Returns what functions write while a core heals, another leaves, and backups are pruned.
pub(crate) fn written() -> &'static BTreeSet<Series> {
    static WRITTEN: OnceLock<BTreeSet<Series>> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        play(async {
            let cluster = Cluster::formed(3);
            backups::fill(&cluster);
            let lost = cluster.serving(2).unwrap();
            cluster.wire.world().lose_instance(&lost);
            cluster.until("core 2 serves", within(minutes(10)), |c| c.serving(2).is_some()).await;
            // And another one leaves as it should.
            let leaving = cluster.serving(1).unwrap();
            cluster.wire.world().mark_unhealthy(&leaving);
            cluster.until("core 1 is replaced", within(minutes(60)), |c| c.is_replaced(1, &leaving)).await;
            cluster.live(minutes(2)).await;
            prune(&cluster).await;
            series(&cluster.metrics.lock().unwrap())
        })
    })
}

/// Returns what functions write in each quiet minute of a cluster of three cores with backups.
pub(crate) fn steady() -> BTreeSet<Series> {
    play(async {
        let cluster = Cluster::formed(3);
        backups::fill(&cluster);
        cluster.live(minutes(10)).await;
        cluster.metrics.lock().unwrap().clear();
        cluster.live(minutes(3)).await;
        series(&cluster.metrics.lock().unwrap())
    })
}

/// Returns what a run of backup-pruner writes.
pub(crate) fn of_pruning() -> BTreeSet<Series> {
    play(async {
        let cluster = Cluster::formed(3);
        backups::fill(&cluster);
        cluster.metrics.lock().unwrap().clear();
        prune(&cluster).await;
        series(&cluster.metrics.lock().unwrap())
    })
}

/// Wakes backup-pruner, whose schedule would take six hours.
async fn prune(cluster: &Cluster) {
    let mut pruner = cluster.clone();
    pruner.subject = BACKUP_PRUNER;
    pruner.sweep().await.unwrap();
}
