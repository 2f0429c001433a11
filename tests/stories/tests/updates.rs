//! A formed cluster is updated: nobody stops, whatever the update changes.

use std::collections::BTreeMap;

use cluster_sim::{
    cluster::Cluster,
    stacks::releases,
    time::{minutes, play},
};

/// Returns the tasks of the cores that are to run, each with the instance below it.
fn members(cluster: &Cluster) -> BTreeMap<String, String> {
    let instances = (1..=cluster.nodes.len()).map(|core| cluster.serving(core).unwrap_or_default());
    instances.map(|instance| (cluster.task(&instance).unwrap_or_default(), instance)).collect()
}

/// Updates a cluster, and holds that an hour later the same tasks run on the same instances with the same volumes.
async fn nobody_stops(mut cluster: Cluster, to: &str) -> Cluster {
    let (before, nodes) = (members(&cluster), cluster.nodes.clone());
    cluster.update(to).await;
    cluster.live(minutes(60)).await;
    assert_eq!(members(&cluster), before, "{to}\n{}", cluster.picture());
    assert_eq!(cluster.nodes, nodes, "{to}: groups, volumes and launch templates stay");
    cluster
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    play(async {
        let mut cluster = Cluster::formed(3);
        let from = cluster.wire.world().calls.len();
        cluster.update("default").await;
        let world = cluster.wire.world();
        let writes: Vec<_> = world.calls.iter().skip(from).filter(|call| call.write).map(|call| &call.action).collect();
        assert_eq!(writes, [] as [&String; 0]);
    });
}

#[test]
fn an_update_that_changes_everything_that_people_may_change_stops_no_core() {
    play(async {
        nobody_stops(Cluster::formed(3), "changed").await;
        nobody_stops(Cluster::formed(7), "changed-seven").await;
    });
}

/// The functions are today's: what they were in a release is gone. Its templates made everything that they find.
#[test]
fn an_update_from_each_release_stops_no_core() {
    play(async {
        for release in releases() {
            nobody_stops(Cluster::formed_as(&release), "replicas").await;
            nobody_stops(Cluster::formed_as(&release), "changed").await;
            nobody_stops(Cluster::formed_as(&format!("{release}-seven")), "changed-seven").await;
        }
    });
}
