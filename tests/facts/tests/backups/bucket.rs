//! What the bucket keeps, and whom it lets in.

use std::collections::BTreeSet;

use cluster_facts::template::{deployments, rendered, resources};
use serde_json::{Value, json};

/// Every bucket of every deployment: (deployment, the bucket, its policy).
fn buckets() -> Vec<(String, Value, Value)> {
    let of = |deployment: String| {
        let stacks = rendered(&deployment)["stacks"].take();
        let all = stacks.as_object().unwrap().values().flat_map(|stack| resources(&stack["live"])).collect::<Vec<_>>();
        let of_type =
            |kind: &str| all.iter().filter(|(_, r)| r["Type"] == kind).map(|(_, r)| r.clone()).collect::<Vec<_>>();
        let (buckets, policies) = (of_type("AWS::S3::Bucket"), of_type("AWS::S3::BucketPolicy"));
        assert_eq!(buckets.len(), policies.len(), "{deployment}");
        buckets
            .into_iter()
            .zip(policies)
            .map(move |(bucket, policy)| (deployment.clone(), bucket, policy))
            .collect::<Vec<_>>()
    };
    deployments().into_iter().flat_map(of).collect()
}

#[test]
fn the_bucket_keeps_versions_lets_nobody_in_without_tls_and_outlives_the_stack() {
    let found = buckets();
    assert!(found.len() > 5, "{}", found.len());
    for (deployment, bucket, policy) in found {
        for resource in [&bucket, &policy] {
            let policies = (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]);
            assert_eq!(policies, (&json!("Retain"), &json!("Retain")), "{deployment}");
        }
        let bucket = &bucket["Properties"];
        assert!(bucket["BucketName"].is_null(), "{deployment}: a kept bucket would stand in the way of the next");
        assert_eq!(bucket["VersioningConfiguration"]["Status"], json!("Enabled"), "{deployment}");
        assert_eq!(bucket["OwnershipControls"]["Rules"], json!([{"ObjectOwnership": "BucketOwnerEnforced"}]));
        let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
        assert!(blocked.len() == 4 && blocked.values().all(|value| *value == json!(true)), "{deployment}: {blocked:?}");
        let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        let by_kms = encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms";
        assert_eq!(encryption["BucketKeyEnabled"].as_bool().unwrap_or_default(), by_kms, "{deployment}");
        let lock = &bucket["ObjectLockConfiguration"];
        assert!(lock.is_null() || bucket["ObjectLockEnabled"] == true, "{deployment}");
        assert!(lock.is_null() || lock["Rule"]["DefaultRetention"]["Mode"] == "GOVERNANCE", "{deployment}");
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
        let arn = statements[0]["Resource"][0].as_str().unwrap();
        let without_tls = json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        });
        assert_eq!(statements, &[without_tls], "{deployment}");
    }
}

/// S3 knows neither chains nor which backup is good: a rule by age would delete the last ones when backups stop.
#[test]
fn no_rule_of_the_bucket_touches_an_object_that_is_current() {
    for (deployment, bucket, _) in buckets() {
        let mut rules = BTreeSet::new();
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"].as_array().unwrap() {
            assert_eq!(rule["Status"], json!("Enabled"), "{deployment}");
            let acts = rule.as_object().unwrap().iter().filter(|(key, _)| !["Id", "Status"].contains(&key.as_str()));
            rules.extend(acts.map(|(key, value)| format!("{key}: {value}")));
        }
        let harmless = [
            r#"AbortIncompleteMultipartUpload: {"DaysAfterInitiation":7}"#,
            "ExpiredObjectDeleteMarker: true",
            r#"NoncurrentVersionExpiration: {"NoncurrentDays":30}"#,
        ];
        assert_eq!(rules, harmless.map(str::to_owned).into(), "{deployment}");
    }
}
