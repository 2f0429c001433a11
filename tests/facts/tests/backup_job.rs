//! The job that takes a backup: what it may, what it is told, and how it ends. `make members` runs its script.

use std::collections::BTreeSet;

use cluster_facts::template::read;
use serde_json::{Value, json};

const TEMPLATE: &str = "infra/backup-job.yaml";

fn definition() -> Value {
    read(TEMPLATE)["Resources"]["JobDefinition"]["Properties"].clone()
}

/// Returns the statements of a role: (actions, resource, condition).
fn statements(role: &str) -> Vec<(BTreeSet<String>, Value, Value)> {
    let role = read(TEMPLATE)["Resources"][role]["Properties"].clone();
    let policies = role["Policies"].as_array().unwrap().iter().map(|policy| match policy["Fn::If"].as_array() {
        Some(either) => either[1].clone(),
        None => policy.clone(),
    });
    let documents: Vec<_> =
        policies.flat_map(|p| p["PolicyDocument"]["Statement"].as_array().unwrap().clone()).collect();
    let list = |value: &Value| match value.as_array() {
        Some(list) => list.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        None => BTreeSet::from([value.as_str().unwrap().to_owned()]),
    };
    documents.iter().map(|s| (list(&s["Action"]), s["Resource"].clone(), s["Condition"].clone())).collect()
}

/// A backup that cannot be deleted by the job cannot be deleted by whoever gets hold of it.
#[test]
fn the_job_adds_to_the_chains_of_its_cluster_and_deletes_nothing() {
    let of = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect::<BTreeSet<_>>();
    let account = json!({"s3:ResourceAccount": {"Ref": "AWS::AccountId"}});
    let bucket = "arn:${AWS::Partition}:s3:::${BucketName}";
    let want = [
        (
            of(&["s3:ListBucket"]),
            json!({"Fn::Sub": bucket}),
            json!({"StringEquals": account, "StringLikeIfExists": {"s3:prefix": {"Fn::Sub": "${Prefix}*"}}}),
        ),
        (
            of(&["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]),
            json!({"Fn::Sub": format!("{bucket}/${{Prefix}}chains/*")}),
            json!({"StringEquals": account}),
        ),
        (
            of(&["kms:Decrypt", "kms:GenerateDataKey"]),
            json!({"Ref": "BucketKmsKeyArn"}),
            json!({"StringEquals": {"kms:ViaService": {"Fn::Sub": "s3.${AWS::Region}.${AWS::URLSuffix}"}}}),
        ),
    ];
    assert_eq!(statements("JobRole"), want);
}

#[test]
fn no_variable_of_the_job_becomes_a_setting_of_neo4j() {
    let variables = definition()["ContainerProperties"]["Environment"].as_array().unwrap().clone();
    let names: Vec<_> = variables.iter().map(|variable| variable["Name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["AWS_REGION", "BACKUP_MEMORY_MIB"]);
    let container = definition()["ContainerProperties"].clone();
    let memory = container["ResourceRequirements"][0].clone();
    assert_eq!(
        memory,
        json!({"Type": "MEMORY", "Value": variables[1]["Value"]}),
        "the script counts with another memory"
    );
    assert!(container["Secrets"].is_null() && container["Privileged"].is_null() && container["User"].is_null());
}

/// Two attempts would write into one folder, and the log of a job is waited for.
#[test]
fn a_job_is_tried_once_and_loses_no_line_of_its_log() {
    let definition = definition();
    assert_eq!(definition["RetryStrategy"], json!({"Attempts": 1}));
    let log = &definition["ContainerProperties"]["LogConfiguration"];
    assert_eq!((&log["LogDriver"], &log["Options"]["mode"]), (&json!("awslogs"), &json!("blocking")));
    assert_eq!(log["Options"]["awslogs-group"], json!({"Ref": "JobLogs"}));
}

/// backup-scheduler ends a job, and says why. Batch ends it only if nobody did.
#[test]
fn batch_ends_a_job_later_than_backup_scheduler_does() {
    let text = definition()["Timeout"]["AttemptDurationSeconds"]["Fn::Sub"].as_str().unwrap().to_owned();
    let minutes = read(TEMPLATE)["Parameters"]["TimeoutMinutes"].clone();
    for minutes in ["MinValue", "Default", "MaxValue"].map(|bound| minutes[bound].as_u64().unwrap()) {
        let seconds: u64 = text.replace("${TimeoutMinutes}", &minutes.to_string()).parse().unwrap();
        assert!(seconds > minutes * 60 + 300, "{minutes} minutes, and Batch ends the job after {seconds} s");
    }
}

/// A folder of the host would be shared by jobs on one instance, and would keep what a killed one has left.
#[test]
fn each_job_has_a_disk_of_its_own_where_the_entry_point_gives_it_to_neo4j() {
    let container = definition()["ContainerProperties"].clone();
    assert_eq!(container["Volumes"], json!([{"Name": "scratch", "Host": {}}]));
    let mounts = json!([{"SourceVolume": "scratch", "ContainerPath": "/data/scratch"}]);
    assert_eq!(container["MountPoints"], mounts);
}
