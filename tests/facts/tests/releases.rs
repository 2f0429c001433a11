//! What AWS and the state table keep from one release to the next. A running cluster is found by these names: under another
//! key it reads as one that is being created, and under another logical id CloudFormation deletes the old resource.
//!
//! The templates of each release are in `tests/fixtures/releases`. What the code alone decides is listed here. Nothing may
//! leave these lists while a release that has it may still be updated.

use std::collections::{BTreeMap, BTreeSet};

use cluster_core::names;
use cluster_facts::{
    root,
    template::{deployments, rendered},
};
use cluster_sim::{
    cluster::Cluster,
    functions::FUNCTIONS,
    stacks::releases,
    time::{minutes, play},
};
use serde_json::Value;

/// The types of resources that hold state, that instances or clients refer to, or that say something when they are deleted.
const KEPT: [&str; 17] = [
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::Batch::ComputeEnvironment",
    "AWS::Batch::JobQueue",
    "AWS::CloudFormation::Stack",
    "AWS::DynamoDB::Table",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Volume",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::Logs::LogGroup",
    "AWS::Route53::HostedZone",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::ServiceDiscovery::PrivateDnsNamespace",
    "AWS::ServiceDiscovery::Service",
];
/// The properties that name a resource. A change of one replaces the resource.
const NAMES: [&str; 6] = ["ClusterName", "Family", "LogGroupName", "Name", "ServiceName", "TableName"];

/// Returns what a deployment has that the next release must still have, each in a line.
fn kept(deployment: &str) -> BTreeSet<String> {
    let stacks = rendered(deployment)["stacks"].take();
    let mut lines = BTreeSet::new();
    for (path, stack) in stacks.as_object().unwrap() {
        for (id, resource) in stack["live"]["Resources"].as_object().unwrap() {
            let (kind, properties) = (resource["Type"].as_str().unwrap(), &resource["Properties"]);
            if !KEPT.contains(&kind) && !kind.starts_with("Custom::") {
                continue;
            }
            lines.insert(format!("{path}: {id} ({kind})"));
            for name in NAMES.iter().filter(|name| properties[**name].is_string()) {
                lines.insert(format!("{path}: {id}: {name} {}", properties[*name]));
            }
            for tag in properties["Tags"].as_array().into_iter().flatten().filter(|tag| tag["Key"] != "Name") {
                lines.insert(format!("{path}: {id}: tag {} {}", tag["Key"], tag["Value"]));
            }
            for hook in properties["LifecycleHookSpecificationList"].as_array().into_iter().flatten() {
                lines.insert(format!("{path}: {id}: hook {}", hook["LifecycleHookName"]));
            }
        }
    }
    let root = &stacks["root"];
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    lines.extend(names(&root["live"]["Outputs"]).iter().map(|name| format!("output {name}")));
    lines.extend(names(&root["parameters"]).iter().map(|name| format!("parameter {name}")));
    lines
}

#[test]
fn nothing_that_a_release_created_leaves_the_templates() {
    let today: BTreeMap<_, _> = [("", "replicas"), ("-seven", "seven")].into();
    for release in releases() {
        for (size, deployment) in &today {
            let (then, now) = (kept(&format!("{release}{size}")), kept(deployment));
            let gone: Vec<_> = then.difference(&now).collect();
            assert!(
                gone.is_empty(),
                "{release} has what these templates no longer have. An update would delete or replace it, or break who \
                 reads it: {gone:#?}"
            );
        }
    }
}

#[test]
fn each_released_version_has_its_templates() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let headings = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let versions = headings.filter_map(|heading| heading.split_whitespace().next());
    let released: BTreeSet<_> =
        versions.map(|version| version.trim_matches(['[', ']'])).filter(|version| *version != "Unreleased").collect();
    let fixtures = releases();
    assert_eq!(
        released,
        fixtures.iter().map(String::as_str).collect(),
        "left: CHANGELOG.md, right: tests/fixtures/releases"
    );
    assert!(deployments().iter().all(|deployment| !fixtures.iter().any(|release| deployment.starts_with(release))));
}

#[test]
fn the_names_by_which_the_functions_find_a_cluster_are_those_of_0_1_0() {
    let found = [
        names::CLUSTER_TAG,
        names::CORE_TAG,
        names::VOLUME_TAG,
        names::CORE_ATTRIBUTE,
        names::LAUNCH_HOOK,
        names::TERMINATE_HOOK,
    ];
    let kept = ["neo4j:cluster", "neo4j:core", "neo4j:volume", "neo4j.core", "neo4j-launch", "neo4j-terminate"];
    assert_eq!(found, kept);
}

#[test]
fn the_metrics_of_0_1_0_are_still_written() {
    let kept = [
        "CoreNotWholeSeconds",
        "CoresNotWhole",
        "DataDiskFreePercent",
        "DnsChanges",
        "DnsDivergence",
        "DnsMembersBlocked",
        "DnsMembersTruncated",
        "DnsRecordsPublished",
        "DnsReplicationLagMs",
        "InstancesAdmitted",
        "InstancesRetained",
        "InstancesStuck",
        "InstancesWaiting",
        "LaunchesAbandoned",
        "VolumeAttachSeconds",
        "VolumesAttached",
    ];
    let written = FUNCTIONS.iter().flat_map(|function| function.function.metrics).map(|name| (*name).to_owned());
    let written: BTreeSet<_> = written.chain(crate::disks::metrics()).collect();
    let gone: Vec<_> = kept.iter().filter(|name| !written.contains(**name)).collect();
    assert!(gone.is_empty(), "alarms and dashboards of others read these: {gone:?}");
}

#[test]
fn custom_resources_keep_the_physical_ids_of_0_1_0() {
    play(async {
        let cluster = Cluster::formed(3);
        let mut found = cluster.custom_resources();
        cluster.request_phase("Create").await;
        let phase = cluster.last_answer().unwrap()["PhysicalResourceId"].as_str().unwrap().to_owned();
        found.insert("Custom::ClusterPhase".to_owned(), phase);
        let [core, replica] = &cluster.registries;
        let kept = [
            ("Custom::ClusterPhase", "phase".to_owned()),
            ("Custom::DataVolumeOrigins", "snapshots=;zones=eu-west-1a,eu-west-1b,eu-west-1c;key=".to_owned()),
            ("Custom::DnsGuard", "guard".to_owned()),
            ("Custom::DnsRecords", format!("neo4j@{}/neo4j.service/{core}/{replica}", cluster.zone)),
            ("Custom::Target", "target".to_owned()),
        ];
        for (kind, id) in kept {
            assert_eq!(
                found.get(kind),
                Some(&id),
                "CloudFormation deletes the old {kind} when it gets another physical id"
            );
        }
    });
}

#[test]
fn the_state_table_keeps_the_items_of_0_1_0() {
    play(async {
        let cluster = Cluster::formed(3);
        let silent = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&silent);
        cluster.live(minutes(3)).await;
        let found = items(&cluster);
        let kept = [
            "clock disconnected/arn:… seen:S since:S",
            "clock not-whole/2 seen:S since:S",
            "cluster phase cores:N phase:S since:S",
            "cluster target coreLaunchTemplates:S coreTaskDefinition:S replicaLaunchTemplate:S replicaTaskDefinition:S since:S",
        ];
        let gone: Vec<_> = kept.iter().filter(|item| !found.iter().any(|found| found == **item)).collect();
        assert!(gone.is_empty(), "a running cluster has these items, and nobody reads them: {gone:?} of {found:#?}");
    });
}

/// Returns the items of the state table in short: keys, then attributes with their types.
fn items(cluster: &Cluster) -> Vec<String> {
    let world = cluster.wire.world();
    let table = world.dynamodb.tables.values().next().unwrap();
    let line = |(keys, item): (&(String, String), &Value)| {
        let attributes = item.as_object().unwrap().iter().filter(|(name, _)| !["pk", "sk"].contains(&name.as_str()));
        let attributes =
            attributes.map(|(name, value)| format!(" {name}:{}", value.as_object().unwrap().keys().next().unwrap()));
        let sort = keys.1.split_once("arn:").map_or_else(|| keys.1.clone(), |(prefix, _)| format!("{prefix}arn:…"));
        format!("{} {sort}{}", keys.0, attributes.collect::<String>())
    };
    table.iter().map(line).collect()
}
