//! The alarms of the rendered templates, in a running cluster.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
};
use cluster_world::cloudwatch::State;

#[test]
fn a_cluster_that_is_whole_has_no_alarm() {
    play(async {
        let cluster = Cluster::formed(3).with_alarms();
        assert_eq!(cluster.alarm("CoreNotWholeAlarm"), State::InsufficientData);
        cluster.live(minutes(45)).await;
        assert_eq!(cluster.alarms(), Vec::<String>::new());
        assert_eq!(cluster.alarm("CoreNotWholeAlarm"), State::Ok);
        assert_eq!(cluster.alarm("QuorumLostAlarm"), State::Ok);
        assert_eq!(cluster.alarm("DataDiskUnreportedAlarm"), State::Ok, "by metric math");
        assert_eq!(cluster.alarm("Monitoring/Silence/SilenceAlarm"), State::Ok);
    });
}
