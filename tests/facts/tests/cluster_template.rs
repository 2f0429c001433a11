//! Facts about the templates of instances, network and secrets.

use std::collections::{BTreeMap, BTreeSet};

use cluster_core::names;
use cluster_facts::template::{all, dependencies, read, resources};
use serde_json::{Value, json};

use crate::template::of_type;

/// Collects every value of a template with the keys that lead to it.
fn walk(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), value.clone()));
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, found)),
        Value::Object(map) => map.iter().for_each(|(key, inner)| walk(inner, &format!("{path}/{key}"), found)),
        _ => {}
    }
}

fn everywhere() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for path in all() {
        walk(&read(&path), &path, &mut found);
    }
    found
}

#[test]
fn each_port_of_a_member_is_open_to_its_users_and_none_to_the_world() {
    let mut open = BTreeSet::new();
    for (id, rule) in of_type("AWS::EC2::SecurityGroupIngress") {
        assert_eq!(rule["GroupId"], json!({"Ref": "Members"}), "{id}: nothing but members is connected to");
        assert_eq!(rule["FromPort"], rule["ToPort"], "{id}");
        let from = rule["SourceSecurityGroupId"]["Ref"].as_str().or(rule["CidrIp"]["Ref"].as_str()).unwrap();
        open.insert(format!("{} from {from}", rule["FromPort"]));
    }
    let http = r#"{"Fn::If":["HasTls",7473,7474]}"#;
    let want = [
        "6000 from Members".to_owned(),
        "6362 from BackupJobs".to_owned(),
        "7000 from Members".to_owned(),
        "7687 from ClientCidr".to_owned(),
        "7687 from Clients".to_owned(),
        "7688 from Members".to_owned(),
        format!("{http} from ClientCidr"),
        format!("{http} from Clients"),
        format!("{http} from Gateway"),
    ];
    assert_eq!(open, BTreeSet::from(want));
    for (id, group) in of_type("AWS::EC2::SecurityGroup") {
        assert!(group["SecurityGroupIngress"].is_null(), "{id}: rules stand by themselves");
        assert!(group["SecurityGroupEgress"].is_array(), "{id}: without its own a group may go everywhere");
    }
    for (path, value) in everywhere() {
        let open = value == json!("0.0.0.0/0") || value == json!("::/0");
        assert!(!open || path.contains("SecurityGroupEgress"), "{path} is open to the world");
        assert!(!path.ends_with("AssociatePublicIpAddress") || value == json!(false), "{path}");
    }
}

#[test]
fn no_password_is_a_parameter_and_none_stands_in_an_environment() {
    for path in all() {
        for (name, definition) in read(&path)["Parameters"].as_object().into_iter().flatten() {
            let secret = ["password", "token"].iter().any(|word| name.to_ascii_lowercase().contains(word));
            assert!(!secret && definition["NoEcho"].is_null(), "{path}: {name}");
        }
    }
    for (path, value) in everywhere() {
        let resolved = value.as_str().is_some_and(|text| text.contains("{{resolve:"));
        assert!(!resolved, "{path}: CloudFormation would write the secret into what it makes");
    }
    for (id, task) in of_type("AWS::ECS::TaskDefinition") {
        let containers = task["ContainerDefinitions"].as_array().unwrap();
        for variable in
            containers.iter().flat_map(|container| container["Environment"].as_array().into_iter().flatten())
        {
            let text = variable.to_string().to_ascii_lowercase();
            assert!(!text.contains("secret") && !text.contains("password"), "{id}: {variable}");
        }
        let of_cluster = containers[0]["Secrets"].to_string();
        for (secret, key) in
            [("AdminSecretArn", "password"), ("TlsSecretArn", "private_key"), ("ClusterTlsSecretArn", "ca")]
        {
            assert!(of_cluster.contains(&format!("${{{secret}}}:{key}::")), "{id}: {secret}");
        }
    }
}

#[test]
fn whatever_holds_data_is_encrypted() {
    for (id, volume) in of_type("AWS::EC2::Volume") {
        assert_eq!(volume["Encrypted"], json!(true), "{id}");
    }
    for (id, template) in of_type("AWS::EC2::LaunchTemplate") {
        let disks = template["LaunchTemplateData"]["BlockDeviceMappings"].as_array().unwrap();
        assert!(disks.iter().all(|disk| disk["Ebs"]["Encrypted"] == json!(true)), "{id}");
    }
    for (id, table) in of_type("AWS::DynamoDB::Table") {
        assert_eq!(table["SSESpecification"]["SSEEnabled"], json!(true), "{id}");
        assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], json!(true), "{id}");
        assert!(table["TableName"].is_null(), "{id}: a kept table would stand in the way of the next");
    }
    for (id, topic) in of_type("AWS::SNS::Topic") {
        assert!(!topic["KmsMasterKeyId"].is_null(), "{id}");
    }
}

#[test]
fn each_instance_requires_tokens_is_protected_from_people_and_runs_a_given_image() {
    let templates = of_type("AWS::EC2::LaunchTemplate");
    assert_eq!(templates.len(), 3);
    for (id, template) in templates {
        let data = &template["LaunchTemplateData"];
        assert_eq!(data["MetadataOptions"]["HttpTokens"], json!("required"), "{id}");
        assert_eq!(data["MetadataOptions"]["HttpPutResponseHopLimit"], json!(1), "{id}");
        // Batch decides about the rest: https://docs.aws.amazon.com/batch/latest/userguide/launch-templates.html
        if id.starts_with("infra/backups.yaml") {
            continue;
        }
        // Spot refuses it.
        let protected = json!({"Fn::If": ["OnDemand", true, {"Ref": "AWS::NoValue"}]});
        assert_eq!(data["DisableApiTermination"], protected, "{id}");
        assert_eq!(data["InstanceInitiatedShutdownBehavior"], json!("terminate"), "{id}: it would keep the volume");
        assert!(data["KeyName"].is_null(), "{id}: people come by Session Manager");
        assert_eq!(data["ImageId"], json!({"Ref": "AmiId"}), "{id}: «latest» would roll every core on any update");
        assert_eq!(data["IamInstanceProfile"], json!({"Arn": {"Ref": "InstanceProfileArn"}}), "{id}");
    }
    let ami = &read("infra/template.yaml")["Parameters"]["AmiId"];
    assert_eq!((&ami["Type"], &ami["Default"]), (&json!("AWS::EC2::Image::Id"), &Value::Null));
}

#[test]
fn a_core_is_one_instance_with_both_hooks_that_is_retained_unless_somebody_releases_it() {
    let template = read("infra/core-node.yaml");
    let group = &template["Resources"]["Group"];
    for policy in ["UpdatePolicy", "CreationPolicy"] {
        assert!(group[policy].is_null(), "{policy}: CloudFormation must not roll cores");
    }
    let group = &group["Properties"];
    for size in ["MinSize", "MaxSize", "DesiredCapacity"] {
        assert_eq!(group[size], json!("1"), "{size}");
    }
    assert_eq!(group["VPCZoneIdentifier"], json!([{"Ref": "SubnetId"}]));
    assert_eq!(group["CapacityRebalance"], json!(false), "a second instance could not have the volume");
    assert_eq!(group["InstanceLifecyclePolicy"]["RetentionTriggers"]["TerminateHookAbandon"], json!("retain"));
    let hooks = group["LifecycleHookSpecificationList"].as_array().unwrap();
    let hooks: BTreeSet<_> = hooks
        .iter()
        .map(|hook| {
            assert_eq!(hook["DefaultResult"], json!("ABANDON"), "{hook}: it fails safe");
            // AWS waits for 100 timeouts at most, and for 48 hours.
            assert!(hook["HeartbeatTimeout"].as_u64().unwrap() * 100 >= 48 * 3600, "{hook}");
            (hook["LifecycleHookName"].as_str().unwrap(), hook["LifecycleTransition"].as_str().unwrap())
        })
        .collect();
    let launch = (names::LAUNCH_HOOK, "autoscaling:EC2_INSTANCE_LAUNCHING");
    assert_eq!(hooks, BTreeSet::from([launch, (names::TERMINATE_HOOK, "autoscaling:EC2_INSTANCE_TERMINATING")]));
    let tags = |tags: &Value| -> BTreeSet<String> {
        tags.as_array().unwrap().iter().map(|tag| format!("{}={}", tag["Key"], tag["Value"])).collect()
    };
    let (owned, volume) = (tags(&group["Tags"]), tags(&template["Resources"]["DataVolume"]["Properties"]["Tags"]));
    for (key, value) in [(names::CLUSTER_TAG, "ClusterName"), (names::CORE_TAG, "Core")] {
        let tag = format!(r#""{key}"={{"Ref":"{value}"}}"#);
        assert!(owned.contains(&tag) && volume.contains(&tag), "{tag} is not on both: {owned:?}, {volume:?}");
    }
    assert!(owned.contains(&format!(r#""{}"={{"Ref":"DataVolume"}}"#, names::VOLUME_TAG)));
    let launch = template["Resources"]["LaunchTemplate"].to_string();
    assert!(launch.contains(&format!(r#"\"{}\": \"${{Core}}\""#, names::CORE_ATTRIBUTE)), "the agent says its core");
}

#[test]
fn a_replica_waits_for_its_drain_and_is_retained_unless_somebody_releases_it() {
    let group = read("infra/replicas.yaml")["Resources"]["Group"]["Properties"].take();
    let core = read("infra/core-node.yaml")["Resources"]["Group"]["Properties"].take();
    assert_eq!(group["InstanceLifecyclePolicy"], core["InstanceLifecyclePolicy"]);
    let hooks = core["LifecycleHookSpecificationList"].as_array().unwrap().iter();
    let terminate = hooks.filter(|hook| hook["LifecycleHookName"] == names::TERMINATE_HOOK).cloned();
    // No launch hook: a replica has no volume to wait for.
    assert_eq!(group["LifecycleHookSpecificationList"], terminate.collect::<Value>());
    let at_risk = json!({"Fn::If": ["OnDemand", false, true]});
    assert_eq!(group["CapacityRebalance"], at_risk, "its termination goes through the hook");
}

#[test]
fn a_drain_ends_two_hours_before_auto_scaling_would_end_it() {
    let hooks =
        read("infra/core-node.yaml")["Resources"]["Group"]["Properties"]["LifecycleHookSpecificationList"].take();
    let heartbeats = hooks.as_array().unwrap().iter().map(|hook| hook["HeartbeatTimeout"].as_u64().unwrap());
    // The whole wait is 48 hours, or a hundred times the heartbeat's timeout:
    // https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
    let limit = heartbeats.map(|timeout| (timeout * 100).min(48 * 3600)).min().unwrap();
    let parameters = read("infra/template.yaml")["Parameters"].take();
    for name in ["CoreDrainTimeoutMinutes", "ReplicaDrainTimeoutMinutes"] {
        let most = parameters[name]["MaxValue"].as_u64().unwrap() * 60;
        assert!(most + 2 * 3600 <= limit, "{name}: {most} s, and Auto Scaling waits for {limit} s");
    }
}

#[test]
fn the_core_stacks_differ_in_nothing_but_their_number_and_place() {
    let template = read("infra/cores.yaml");
    let cores: Vec<_> =
        resources(&template).into_iter().filter(|(_, r)| r["Properties"]["Location"] == "core-node.yaml").collect();
    assert_eq!(cores.len(), 7);
    for (n, (id, core)) in (1..).zip(&cores) {
        assert_eq!(id, &format!("Core{n}"));
        let text = core["Properties"]["Parameters"].to_string();
        let place = (n - 1) % 3 + 1;
        let same = text
            .replace(&format!("Snapshot{n}\""), "Snapshot1\"")
            .replace(&format!("\"Core\":{n}"), "\"Core\":1")
            .replace(&format!("\"Core{n}\""), "\"Core1\"")
            .replace(&format!("CoreSubnet{place}"), "CoreSubnet1")
            .replace(&format!("CoreZone{place}"), "CoreZone1");
        assert_eq!(same, cores[0].1["Properties"]["Parameters"].to_string(), "{id}");
        let condition = match n {
            1..=3 => Value::Null,
            4 | 5 => json!("IsFiveOrMore"),
            _ => json!("IsSeven"),
        };
        assert_eq!(core["Condition"], condition, "{id}");
    }
}

#[test]
fn the_memory_of_a_task_and_of_neo4j_follow_from_the_instance_type_by_one_rule() {
    let template = read("infra/template.yaml");
    let types = template["Mappings"]["InstanceType"].as_object().unwrap();
    for parameter in ["CoreInstanceType", "ReplicaInstanceType"] {
        let allowed = template["Parameters"][parameter]["AllowedValues"].as_array().unwrap();
        let allowed: BTreeSet<_> = allowed.iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(allowed, types.keys().map(String::as_str).collect(), "{parameter}");
    }
    for (name, numbers) in types {
        let (family, size) = name.split_once('.').unwrap();
        // GiB for each two processors, as all types of these families have it.
        let each = if family.starts_with('m') { 8 } else { 16 };
        let memory = 1024
            * each
            * match size {
                "large" => 1,
                "xlarge" => 2,
                other => 2 * other.strip_suffix("xlarge").unwrap().parse::<u64>().unwrap(),
            };
        let down = |value: u64, by: u64| value / by * by;
        let task = down(memory * 92 / 100 - 768, 256);
        let both = task * 76 / 100;
        let heap = down((both * 5 / 12).min(31 * 1024), 128);
        let want = json!({"Task": task, "Heap": heap, "PageCache": down(both - heap, 128), "Types": numbers["Types"]});
        assert_eq!(numbers, &want, "{name}");
        let arm = |family: &str| family.ends_with('g');
        for stand_in in numbers["Types"].as_array().unwrap() {
            let (other, same_size) = stand_in.as_str().unwrap().split_once('.').unwrap();
            assert_eq!((same_size, arm(other), &other[..1]), (size, arm(family), &family[..1]), "{name}: {stand_in}");
        }
        assert_eq!(numbers["Types"][0], json!(name), "the chosen type comes first");
    }
    // Memory of the sidecars beside the task must fit into what the rule leaves: 8 % of the smallest, and 768 MiB.
    let containers = &read("infra/task.yaml")["Resources"]["Task"]["Properties"]["ContainerDefinitions"];
    let sidecars = [&containers[1], &containers[2]["Fn::If"][1]].map(|container| container["Memory"].as_u64().unwrap());
    assert_eq!(sidecars.iter().sum::<u64>(), 128);
}

#[test]
fn the_license_must_be_accepted_and_each_zone_be_that_of_its_subnet() {
    let template = read("infra/template.yaml");
    assert_eq!(template["Parameters"]["AcceptLicense"]["Default"], json!("no"));
    let rules = &template["Rules"];
    let refused = json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "AcceptLicense"}, "no"]}]});
    assert_eq!(rules["LicenseIsAccepted"]["Assertions"][0]["Assert"], refused);
    for place in 0..3 {
        let (subnet, zone) = (format!("CoreSubnet{}", place + 1), format!("CoreZone{}", place + 1));
        let same = json!({"Fn::Equals": [{"Fn::ValueOf": [subnet, "AvailabilityZone"]}, {"Ref": zone}]});
        assert_eq!(rules["SubnetsAreInTheirZones"]["Assertions"][place]["Assert"], same);
    }
}

#[test]
fn deletion_begins_with_the_clusters_phase_and_ends_with_what_everything_needs() {
    let resources: BTreeMap<String, Value> = resources(&read("infra/template.yaml")).into_iter().collect();
    let needs = |id: &str| dependencies(&resources, id);
    let phase = needs("Phase");
    // Nothing needs the last two, and they may go whenever they like.
    for id in resources.keys().filter(|id| !["Phase", "Dashboard", "Muting"].contains(&id.as_str())) {
        assert!(phase.contains(id), "{id} could be gone before instances may terminate");
    }
    for (first, then) in [
        ("State", "Draining"),
        ("Ecs", "Discovery"),
        ("Discovery", "Cores"),
        ("Draining", "Cores"),
        ("CoreTask", "Cores"),
        ("Cores", "Replicas"),
        ("ReplicaTask", "Replicas"),
        ("Monitoring", "Target"),
        ("Backup", "Scheduling"),
        ("BackupJob", "Scheduling"),
        ("Scheduling", "Monitoring"),
        ("Pruning", "Monitoring"),
        ("Cores", "Target"),
        ("Replicas", "Target"),
    ] {
        assert!(needs(then).contains(first), "{then} could outlive {first}");
    }
    // A deletion would wait for the jobs before members could go.
    for id in ["Backup", "BackupJob", "Scheduling", "Pruning"] {
        for needed in ["Cores", "Replicas", "Draining", "Discovery", "Gateway"] {
            assert!(!needs(id).contains(needed) && !needs(needed).contains(id), "{id} and {needed}");
        }
    }
}

#[test]
fn the_alarm_on_cores_that_are_not_whole_goes_off_when_the_log_says_so() {
    let alarm = &read("infra/monitoring.yaml")["Resources"]["CoreNotWholeAlarm"]["Properties"];
    let threshold = cluster_core::instance::NOT_WHOLE.as_secs();
    assert_eq!((alarm["Threshold"].as_i64(), &alarm["Statistic"]), (Some(threshold), &json!("Maximum")));
    assert_eq!(alarm["MetricName"], json!("CoreNotWholeSeconds"));
    let calls = &read("infra/monitoring.yaml")["Resources"]["CoreNotWholeUnlessQuorumLostAlarm"]["Properties"];
    let text = calls["AlarmDescription"]["Fn::Sub"].as_str().unwrap();
    assert!(text.contains("«a core has not been whole»") || text.contains("«a core has not\nbeen whole»"), "{text}");
}

#[test]
fn the_phase_comes_last_and_with_it_the_number_of_cores() {
    let template = read("infra/template.yaml");
    let phase = &template["Resources"]["Phase"];
    assert_eq!(phase["Type"], json!("Custom::ClusterPhase"));
    assert_eq!(phase["Properties"]["Cores"], json!({"Ref": "CoreCount"}));
    let waits: Vec<_> = phase["DependsOn"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(waits.contains(&"Target") && waits.contains(&"Monitoring"), "{waits:?}");
    let after = dependencies(&template["Resources"].as_object().unwrap().clone().into_iter().collect(), "Phase");
    assert!(after.contains("Replicas"), "{after:?}");
}
