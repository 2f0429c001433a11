//! The metrics that functions write, as they write them: in the life of a simulated cluster.

use std::{collections::BTreeSet, sync::OnceLock};

use cluster_sim::{
    cluster::Cluster,
    functions::{BACKUP_PRUNER, FUNCTIONS},
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

/// Returns the metrics that are written only when they are not 0.
pub(crate) fn absent_at_zero() -> BTreeSet<&'static str> {
    FUNCTIONS.iter().flat_map(|function| function.function.absent_at_zero.iter().copied()).collect()
}

/// Returns what functions write in each quiet hour of a cluster of three cores, in which a backup is taken.
pub(crate) fn steady() -> BTreeSet<Series> {
    play(async {
        let cluster = Cluster::formed(3);
        // The first backup of each database is a full one, whatever its slot asks for.
        cluster.live(minutes(70)).await;
        cluster.metrics.lock().unwrap().clear();
        cluster.live(minutes(60)).await;
        series(&cluster.metrics.lock().unwrap())
    })
}

/// Returns what a run of backup-pruner writes that has nothing to delete, as most have not.
pub(crate) fn of_pruning() -> BTreeSet<Series> {
    play(async {
        let cluster = Cluster::formed(3);
        backups::fill(&cluster);
        // A run deletes a share of what is there at most.
        for _ in 0..10 {
            cluster.metrics.lock().unwrap().clear();
            prune(&cluster).await;
        }
        assert_eq!(cluster.metric("ChainsDeleted", None), None, "all is deleted that goes");
        series(&cluster.metrics.lock().unwrap())
    })
}

/// Wakes backup-pruner, whose schedule would take six hours.
async fn prune(cluster: &Cluster) {
    let mut pruner = cluster.clone();
    pruner.subject = BACKUP_PRUNER;
    pruner.sweep().await.unwrap();
}

#[test]
fn a_quiet_hour_has_no_metric_of_what_did_not_happen_but_for_a_backup() {
    let steady: BTreeSet<_> = steady().into_iter().map(|(metric, _)| metric).collect();
    let happened: Vec<_> = steady.iter().filter(|metric| absent_at_zero().contains(metric.as_str())).collect();
    assert_eq!(happened, ["BackupsGood"], "the differential of the hour");
}
