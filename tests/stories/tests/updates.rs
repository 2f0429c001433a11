//! A formed cluster is updated.

use cluster_sim::{cluster::Cluster, time::play};

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
