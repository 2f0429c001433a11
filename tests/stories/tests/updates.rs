//! A formed cluster is updated: nobody stops, whatever the update changes.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::template::{read, rendered};
use cluster_sim::{
    cluster::Cluster,
    stacks::releases,
    time::{minutes, play},
};
use serde_json::Value;

/// The parameters that no update of these stories changes, and why.
const UNCHANGED: [(&str, &str); 13] = [
    ("CoreCount", "more cores are a story of their own, and fewer are refused"),
    ("CoreOnDemandBase", "Auto Scaling may replace cores, which the manual says"),
    ("CorePurchase", "Auto Scaling may replace cores, which the manual says"),
    ("CoreSubnet3", "as CoreSubnet1 and CoreSubnet2; there is no other in its zone"),
    ("CoreZone1", "refused: it would replace the volumes"),
    ("CoreZone2", "refused: it would replace the volumes"),
    ("CoreZone3", "refused: it would replace the volumes"),
    ("DataKmsKeyArn", "refused: it would replace the volumes"),
    ("DomainName", "fixed while members run, as the README says"),
    ("DryRun", "nothing heals meanwhile: an hour without it would show nothing"),
    ("HostedZoneId", "fixed while members run, like the domain"),
    ("RestoreSnapshotIds", "used when the stack is created, and never again"),
    ("VpcId", "the subnets belong to it"),
];

/// Returns the tasks of the cores that are to run, each with the instance below it.
fn members(cluster: &Cluster) -> BTreeMap<String, String> {
    let instances = (1..=cluster.nodes.len()).map(|core| cluster.serving(core).unwrap());
    instances.map(|instance| (cluster.task(&instance).unwrap(), instance)).collect()
}

/// Returns what the state table says that every member should have.
fn target(cluster: &Cluster) -> Value {
    let world = cluster.wire.world();
    let table = world.dynamodb.tables.values().next().unwrap();
    table[&("cluster".to_owned(), "target".to_owned())].clone()
}

/// Returns how many versions each core's launch template has.
fn versions(cluster: &Cluster) -> Vec<usize> {
    let world = cluster.wire.world();
    cluster.nodes.iter().map(|node| world.ec2.templates[&node.template].versions.len()).collect()
}

/// Updates a cluster, and holds that an hour later the same tasks run on the same instances with the same volumes.
async fn nobody_stops(mut cluster: Cluster, to: &str) -> Cluster {
    let (before, nodes) = (members(&cluster), cluster.nodes.clone());
    assert_eq!(before.len(), nodes.len(), "{to}: each core serves before");
    // The VPC has more subnets than a deployment begins with.
    for (subnet, zone) in [("subnet-00000000000000004", "eu-west-1a"), ("subnet-00000000000000005", "eu-west-1b")] {
        cluster.wire.world().ec2.subnets.insert(subnet.to_owned(), zone.to_owned());
    }
    cluster.update(to).await;
    cluster.live(minutes(60)).await;
    assert_eq!(members(&cluster), before, "{to}\n{}", cluster.picture());
    assert_eq!(cluster.nodes, nodes, "{to}: groups, volumes and launch templates stay");
    cluster
}

/// Does the same, and holds that what should be new is there for whoever starts next.
async fn nobody_stops_for_what_is_new(cluster: Cluster, to: &str) {
    let (wanted, had) = (target(&cluster), versions(&cluster));
    let cluster = nobody_stops(cluster, to).await;
    for part in ["coreTaskDefinition", "coreLaunchTemplates"] {
        assert!(wanted[part]["S"].is_string());
        assert_ne!(target(&cluster)[part], wanted[part], "{to}: {part} of the target is what it was");
    }
    assert_eq!(had, vec![1; cluster.nodes.len()], "{to}");
    assert_eq!(versions(&cluster), vec![2; cluster.nodes.len()], "{to}: launch templates have a new version");
    let world = cluster.wire.world();
    for node in &cluster.nodes {
        assert_eq!(world.ec2.volumes[&node.volume].size, 200, "{to}: {} has grown", node.volume);
    }
}

#[test]
fn an_update_that_changes_nothing_makes_nothing_new() {
    play(async {
        let cluster = Cluster::formed(3);
        let revisions = |cluster: &Cluster| cluster.wire.world().ecs.definitions.clone();
        let (wanted, had, defined) = (target(&cluster), versions(&cluster), revisions(&cluster));
        let cluster = nobody_stops(cluster, "default").await;
        assert_eq!((target(&cluster), versions(&cluster), revisions(&cluster)), (wanted, had, defined));
    });
}

#[test]
fn an_update_that_changes_everything_that_people_may_change_stops_no_core() {
    play(async {
        nobody_stops_for_what_is_new(Cluster::formed(3), "changed").await;
        nobody_stops_for_what_is_new(Cluster::formed(7), "changed-seven").await;
    });
}

/// The functions are today's: what they were in a release is gone. Its templates made everything that they find.
#[test]
fn an_update_from_each_release_stops_no_core() {
    play(async {
        for release in releases() {
            nobody_stops(Cluster::formed_as(&release), "replicas").await;
            nobody_stops_for_what_is_new(Cluster::formed_as(&release), "changed").await;
            let seven = Cluster::formed_as(&format!("{release}-seven"));
            nobody_stops_for_what_is_new(seven, "changed-seven").await;
        }
    });
}

#[test]
fn every_parameter_is_changed_or_there_is_a_reason() {
    let values = |deployment: &str| rendered(deployment)["stacks"]["root"]["parameters"].take();
    let mut changed = BTreeSet::new();
    for (from, to) in [("default", "changed"), ("seven", "changed-seven")] {
        let (before, after) = (values(from), values(to));
        let all = before.as_object().unwrap().keys();
        changed.extend(all.filter(|name| before[*name] != after[*name]).cloned());
    }
    let unchanged = UNCHANGED.map(|(name, _)| name.to_owned());
    let known: BTreeSet<_> = changed.iter().cloned().chain(unchanged.clone()).collect();
    let all: BTreeSet<_> = read("infra/template.yaml")["Parameters"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(known, all, "left: changed by an update in these stories or in UNCHANGED; right: the parameters");
    let both: Vec<_> = unchanged.iter().filter(|name| changed.contains(*name)).collect();
    assert!(both.is_empty(), "{both:?}: changed, and not in need of a reason");
}
