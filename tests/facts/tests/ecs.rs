//! Facts about the ECS services, their task definitions and the role that starts tasks.

use std::collections::{BTreeMap, BTreeSet};

use cluster_core::names;
use cluster_facts::template::{dependencies, deployments, read, references, rendered, resources};
use serde_json::{Value, json};

use crate::template::of_type;

#[test]
fn nothing_holds_up_the_end_of_neo4j() {
    let containers = &read("infra/task.yaml")["Resources"]["Task"]["Properties"]["ContainerDefinitions"];
    for sidecar in [&containers[1], &containers[2]["Fn::If"][1]] {
        // The agent stops a container only when those that depend on it have stopped, and a first process without a
        // handler never sees its signal.
        assert!(sidecar["DependsOn"].is_null(), "{sidecar}");
        assert_eq!(sidecar["EntryPoint"][0], json!("tini"), "{sidecar}");
        assert!(sidecar["StopTimeout"].as_u64().is_some_and(|seconds| seconds <= 30), "{sidecar}");
        assert_eq!(sidecar["Essential"], json!(false), "{sidecar}");
        // What is not essential would otherwise stay away until the task ends.
        assert_eq!(sidecar["RestartPolicy"], json!({"Enabled": true, "RestartAttemptPeriod": 60}), "{sidecar}");
        assert_eq!(sidecar["ReadonlyRootFilesystem"], json!(true), "{sidecar}");
        let mounts = sidecar["MountPoints"].as_array().unwrap();
        assert!(mounts.iter().all(|mount| mount["ReadOnly"] == json!(true)), "{sidecar}");
    }
}

/// What a change of a core's ECS service would do, and what has to be done about it.
const FROZEN: &str = "these properties are frozen: of any change CloudFormation makes an UpdateService with the family's newest \
    revision, for all cores at once and past every gate. A release that has to change one must chain Core1 to Core7 in \
    infra/cores.yaml (DependsOn), put a custom resource between them that waits until the core before is whole again, and \
    update this test in the same change";

#[test]
fn nothing_in_the_ecs_service_of_a_core_changes() {
    let service = &read("infra/core-node.yaml")["Resources"]["Service"];
    let frozen = json!({
        "Type": "AWS::ECS::Service",
        "DependsOn": "Group",
        "Properties": {
            "ServiceName": {"Fn::Sub": "core-${Core}"},
            "Cluster": {"Ref": "EcsClusterName"},
            "LaunchType": "EC2",
            "TaskDefinition": {"Ref": "TaskFamily"},
            "DesiredCount": 1,
            "DeploymentConfiguration": {
                "MinimumHealthyPercent": 0,
                "MaximumPercent": 100,
                "DeploymentCircuitBreaker": {"Enable": false, "Rollback": false},
            },
            "AvailabilityZoneRebalancing": "DISABLED",
            "PlacementConstraints": [{"Type": "memberOf", "Expression": {"Fn::Sub": "attribute:neo4j.core == ${Core}"}}],
            "ServiceRegistries": [
                {"RegistryArn": {"Ref": "RegistryArn"}, "ContainerName": "neo4j", "ContainerPort": 6000},
            ],
            "EnableECSManagedTags": true,
            "PropagateTags": "SERVICE",
        },
    });
    assert_eq!(*service, frozen, "{FROZEN}");
    // What it refers to, down to the root: names, none of which changes with an image, a size or a setting.
    let (node, cores, root) = (read("infra/core-node.yaml"), read("infra/cores.yaml"), read("infra/template.yaml"));
    let passed: BTreeSet<_> =
        references(service).into_iter().filter(|name| !node["Parameters"][name].is_null()).collect();
    let passed: BTreeSet<_> = passed.iter().map(String::as_str).collect();
    assert_eq!(passed, BTreeSet::from(["Core", "EcsClusterName", "RegistryArn", "TaskFamily"]), "{FROZEN}");
    for core in 1..=7 {
        let given = &cores["Resources"][format!("Core{core}")]["Properties"]["Parameters"];
        assert_eq!(given["Core"], json!(core), "{FROZEN}");
        for name in ["EcsClusterName", "RegistryArn", "TaskFamily"] {
            assert_eq!(given[name], json!({"Ref": name}), "{FROZEN}");
        }
    }
    let given = &root["Resources"]["Cores"]["Properties"]["Parameters"];
    for (name, stack, output) in [
        ("EcsClusterName", "Ecs", "ClusterName"),
        ("RegistryArn", "Discovery", "CoreRegistryArn"),
        ("TaskFamily", "CoreTask", "Family"),
    ] {
        assert_eq!(given[name], json!({"Fn::GetAtt": [stack, format!("Outputs.{output}")]}), "{FROZEN}");
    }
}

#[test]
fn services_name_a_family_without_a_revision_and_what_is_replaced_stays_registered() {
    let task = read("infra/task.yaml");
    let family = json!({"Fn::Sub": "${EcsClusterName}-${Tier}"});
    assert_eq!(task["Resources"]["Task"]["Properties"]["Family"], family);
    assert_eq!(task["Outputs"]["Family"]["Value"], family);
    assert_eq!(task["Outputs"]["TaskDefinitionArn"]["Value"], json!({"Ref": "Task"}), "the target has the revision");
    // ECS refuses to update a service to a revision that is inactive.
    assert_eq!(task["Resources"]["Task"]["UpdateReplacePolicy"], json!("Retain"));
    for (id, service) in of_type("AWS::ECS::Service") {
        assert_eq!(service["TaskDefinition"], json!({"Ref": "TaskFamily"}), "{id}");
    }
    let replica = &read("infra/replicas.yaml")["Resources"]["Service"]["Properties"];
    let deployment = &replica["DeploymentConfiguration"];
    assert_eq!(deployment["MaximumPercent"], json!(100), "two tasks have no room on an instance");
    assert_eq!(deployment["DeploymentCircuitBreaker"]["Enable"], json!(false));
    assert_eq!(replica["AvailabilityZoneRebalancing"], json!("DISABLED"));
    assert_eq!(replica["PlacementConstraints"][0], json!({"Type": "distinctInstance"}));
}

#[test]
fn each_ecs_service_is_deleted_before_its_group_and_those_of_the_cores_do_not_wait_for_each_other() {
    for path in ["infra/core-node.yaml", "infra/replicas.yaml"] {
        let resources: BTreeMap<String, Value> = resources(&read(path)).into_iter().collect();
        assert!(dependencies(&resources, "Service").contains("Group"), "{path}");
    }
    // Neo4j forms a cluster only when a majority of its cores has started.
    let cores: BTreeMap<String, Value> = resources(&read("infra/cores.yaml")).into_iter().collect();
    for id in cores.keys().filter(|id| id.starts_with("Core")) {
        let others: Vec<_> = dependencies(&cores, id).into_iter().filter(|other| other.starts_with("Core")).collect();
        assert_eq!(others, [""; 0], "{id}");
    }
}

#[test]
fn both_functions_know_the_services_that_the_templates_create_core_1_first() {
    let root = read("infra/template.yaml");
    let named = |stack: &str, parameter: &str| {
        let names = root["Resources"][stack]["Properties"]["Parameters"][parameter].as_str().unwrap();
        names::services(names).unwrap()
    };
    let service = &read("infra/core-node.yaml")["Resources"]["Service"]["Properties"]["ServiceName"];
    let pattern = service["Fn::Sub"].as_str().unwrap();
    let cores: Vec<_> = (1..=7).map(|core| pattern.replace("${Core}", &core.to_string())).collect();
    let replica = read("infra/replicas.yaml")["Resources"]["Service"]["Properties"]["ServiceName"].clone();
    for stack in ["Discovery", "Draining"] {
        assert_eq!(named(stack, "CoreServiceNames"), cores, "{stack}");
        assert_eq!(json!(named(stack, "ReplicaServiceNames")), json!([replica]), "{stack}");
    }
}

/// A member that is not rolled yet starts again with the role of its old revision.
#[test]
fn each_set_of_secrets_key_and_repository_has_a_role_of_its_own_that_is_kept() {
    let mut roles: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let without = ["discovery", "drain-alone", "alerts-alone"];
    for deployment in deployments().into_iter().filter(|name| !without.contains(&name.as_str())) {
        let ecs = rendered(&deployment)["stacks"]["Ecs"].take();
        let named = ["AdminSecretArn", "TlsSecretArn", "ClusterTlsSecretArn", "SecretsKmsKeyArn", "ImageRepositoryArn"];
        let given: Vec<_> = named.iter().map(|name| ecs["parameters"][*name].clone()).collect();
        let resources = ecs["live"]["Resources"].as_object().unwrap();
        let role = &resources["ExecutionRole"];
        assert_eq!(role["UpdateReplacePolicy"], json!("Retain"), "{deployment}");
        let others = resources.values().filter(|other| other["Type"] == "AWS::IAM::RolePolicy");
        assert_eq!(others.count(), 0, "{deployment}: a policy outside of the role would leave the old one");
        let path = role["Properties"]["Path"].as_str().unwrap();
        assert!(path.starts_with("/neo4j/neo4j/") && path.ends_with('/') && path.len() <= 512, "{path}");
        let known = roles.entry(path.to_owned()).or_insert_with(|| given.clone());
        assert_eq!(*known, given, "{deployment}: {path} would be changed in place");
    }
    assert!(roles.len() > 10, "{roles:?}");
}
