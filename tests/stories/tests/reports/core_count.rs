//! Fewer cores are refused, and those that an update would leave out are looked after.

use cluster_sim::{
    cluster::{Cluster, ZONES},
    time::play,
};
use serde_json::{Value, json};

#[test]
fn fewer_cores_are_refused_before_anything_is_touched_and_a_rollback_is_not() {
    play(async {
        let cluster = Cluster::new(5);
        let ask = async |cores: usize, old: usize| -> Value {
            let properties = |cores: usize| json!({"ServiceToken": "arn", "Cores": cores.to_string(), "Snapshots": [""], "Zones": ZONES, "KmsKeyArn": ""});
            let request = json!({
                "RequestType": "Update", "ResponseURL": "http://answers.example/cfn", "StackId": "stack", "RequestId": "r",
                "ResourceType": "Custom::DataVolumeOrigins", "LogicalResourceId": "Origins",
                "PhysicalResourceId": format!("snapshots=;zones={};key=", ZONES.join(",")),
                "ResourceProperties": properties(cores), "OldResourceProperties": properties(old),
            });
            cluster.invoke(request).await.unwrap();
            let world = cluster.wire.world();
            serde_json::from_str(&world.messages.iter().rev().find(|(to, _)| to == "/cfn").unwrap().1).unwrap()
        };
        cluster.form().await;
        let refused = ask(3, 5).await;
        assert_eq!(refused["Status"], json!("FAILED"), "{refused}");
        let reason = refused["Reason"].as_str().unwrap();
        assert!(
            reason.starts_with("the cluster has 5 cores, and CoreCount=3 would take some away while they run"),
            "{reason}"
        );
        assert_eq!(ask(5, 3).await["Status"], json!("SUCCESS"), "the refused update is rolled back");
        assert_eq!(ask(7, 5).await["Status"], json!("SUCCESS"));
        // The two further cores fail; the cluster never came to have seven.
        assert_eq!(ask(5, 7).await["Status"], json!("SUCCESS"), "the failed update is rolled back");
    });
}

#[test]
fn cores_that_a_refused_update_left_out_are_still_looked_after() {
    play(async {
        let mut cluster = Cluster::new(5);
        cluster.form().await;
        cluster.set("CORE_COUNT", "3");
        let answer = cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(answer["cores"].as_array().unwrap().len(), 5, "{answer}");
    });
}
