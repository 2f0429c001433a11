//! Volumes whose attachment is refused or hangs.

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play},
    wire::Fault,
};

use super::nth;

#[test]
fn a_refusal_that_nobody_has_listed_is_stuck_and_stops_nobody_else() {
    play(async {
        let cluster = Cluster::new(3);
        let volume = cluster.nodes[0].volume.clone();
        cluster.wire.world().ec2.volumes.get_mut(&volume).unwrap().revoked = true;
        cluster.wire.sleep(60).await;
        let answer = cluster.sweep().await.expect("the round does not fail for it");
        assert_eq!(cluster.metric("InstancesStuck", None), Some(1.0), "{answer}");
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.contains("CustomerKeyHasBeenRevoked: The key has been revoked by the customer."), "{why}");
        cluster.live(minutes(5)).await;
        assert!(cluster.serving(2).is_some() && cluster.serving(3).is_some());
        assert!(cluster.serving(1).is_none());
    });
}

#[test]
fn a_volume_whose_attachment_hangs_does_not_use_up_the_time_of_the_others() {
    play(async {
        let mut cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        // The clocks of the cores are written, and nothing is attached yet.
        cluster.set("DRY_RUN", "true");
        cluster.sweep().await.unwrap();
        cluster.set("DRY_RUN", "false");
        // Attachments come last: those of cores 1 and 2 hang, and each of their two further attempts.
        let first = nth(&cluster, "ec2:AttachVolume").await;
        for call in [first, first + 1, first + 3, first + 4, first + 5, first + 6] {
            cluster.wire.plan(call, Fault::Hang);
        }
        let began = cluster.wire.world().now;
        _ = cluster.sweep().await;
        let took = cluster.wire.world().now.duration_since(began).as_secs();
        assert!(took <= 13, "the round took {took} s, and Lambda ends it after 28");
        assert_eq!((cluster.holder(1), cluster.holder(2)), (None, None));
        assert!(cluster.holder(3).is_some());
    });
}

#[test]
fn what_ec2_says_of_a_volume_that_is_not_to_be_had_now_is_told() {
    play(async {
        let cluster = Cluster::new(3);
        cluster.wire.sleep(60).await;
        cluster.wire.world().ec2.attach_errors.push_back("IncorrectState");
        let answer = cluster.sweep().await.unwrap();
        let why = answer["reconciled"]["cores"][0]["why"].as_str().unwrap();
        assert!(why.ends_with("but AWS says: IncorrectState: The request was refused."), "{why}");
        assert_eq!(cluster.metric_beside("InstancesWaiting", "InstancesStuck", None), Some(0.0));
    });
}
