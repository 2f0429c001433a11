//! What is asked of the model is read, authorised and answered as documented.

use std::collections::BTreeMap;

use cluster_world::{Kind, World, ec2::Contents};
use serde_json::{Value, json};

use super::{Core, GROUP, json_of, post, target};

#[test]
fn what_is_read_comes_in_pages_as_xml_and_counts_as_read() {
    let mut core = Core::up();
    let second = core.world.add_volume("eu-west-1b", 10, BTreeMap::new(), Contents::Blank);
    core.world.page = 1;
    let from = core.world.calls.len();
    let volumes = "Action=DescribeVolumes&Version=2016-11-15";
    let pages = [core.ask(volumes).body, core.ask(&format!("{volumes}&NextToken=1")).body];
    assert!(pages[0].contains("<nextToken>1</nextToken>") && !pages[1].contains("nextToken"), "{pages:?}");
    let all = pages.concat();
    assert!([&core.volume, &second].iter().all(|id| all.contains(&format!("<volumeId>{id}</volumeId><volumeType>"))));
    let ours = core.ask(&format!("{volumes}&Filter.1.Name=tag%3Aneo4j%3Acore&Filter.1.Value.1=1")).body;
    assert!(ours.contains(&core.volume) && !ours.contains(&second), "{ours}");
    assert!(ours.contains("<status>attached</status>") && ours.contains("<status>in-use</status>"), "{ours}");

    let groups = "Action=DescribeAutoScalingGroups&Version=2011-01-01&Filters.member.1.Name=tag%3Aneo4j%3Acore";
    let groups = core.ask(&format!("{groups}&Filters.member.1.Values.member.1=1")).body;
    assert!(groups.contains("<LifecycleState>InService</LifecycleState>"), "{groups}");
    assert_eq!(core.world.count_calls(from), (4, 0));
    assert_eq!(
        (post(volumes).kind(), post("Action=AttachVolume&Version=2016-11-15").kind()),
        (Kind::List, Kind::Write)
    );
}

#[test]
fn iam_is_asked_about_each_resource_with_its_own_tags() {
    let mut core = Core::new();
    core.world.advance(10);
    let instance = core.instance();
    let tags = |world: &World, form: &str| {
        let call = world.call(&post(form)).unwrap();
        let tag = "aws:ResourceTag/neo4j:core".to_owned();
        let questions = call.questions().into_iter().map(|(resources, context)| {
            (resources.join(" "), context.get(&tag).is_some_and(|values| values.contains("1")))
        });
        (call.action.clone(), questions.collect::<Vec<_>>())
    };
    let (volume, arn) = (&core.volume, "arn:aws:ec2:eu-west-1:000000000000:");
    let form = format!("Action=AttachVolume&Version=2016-11-15&VolumeId={volume}&InstanceId={instance}");
    let both = vec![(format!("{arn}volume/{volume}"), true), (format!("{arn}instance/{instance}"), true)];
    assert_eq!(tags(&core.world, &form), ("ec2:AttachVolume".to_owned(), both));
    let form = format!("Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId={instance}");
    let group = vec![(core.world.auto_scaling.groups[GROUP].arn.clone(), true)];
    assert_eq!(tags(&core.world, &form), ("autoscaling:TerminateInstanceInAutoScalingGroup".to_owned(), group));
    let form = "Action=DescribeVolumes&Version=2016-11-15";
    assert_eq!(tags(&core.world, form), ("ec2:DescribeVolumes".to_owned(), vec![("*".to_owned(), false)]));
}

#[test]
fn a_table_keeps_items_and_an_unknown_one_is_refused() {
    let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
    let table = world.create_in("neo4j", "AWS::DynamoDB::Table", "State", &json!({})).unwrap().unwrap().physical_id;
    assert!(table.starts_with("neo4j-State-"), "{table}");
    let mut ask =
        |operation: &str, body: &Value| world.answer(&target(&format!("DynamoDB_20120810.{operation}"), body));
    let key = json!({"pk": {"S": "cluster"}, "sk": {"S": "life"}});
    let mut item = key.clone();
    item["phase"] = json!({"S": "forming"});
    let get = json!({"TableName": table, "Key": key});
    assert_eq!(json_of(&ask("GetItem", &get)), json!({}));
    assert_eq!(ask("PutItem", &json!({"TableName": table, "Item": item})).status, 200);
    assert_eq!(json_of(&ask("GetItem", &get)), json!({"Item": item}));
    let older = |since: &str| {
        json!({
            "TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(#p) OR #p <= :since",
            "ExpressionAttributeNames": {"#p": "phase"}, "ExpressionAttributeValues": {":since": {"S": since}},
        })
    };
    assert_eq!(ask("PutItem", &older("forming")).status, 200);
    assert_eq!(json_of(&ask("PutItem", &older("formed")))["__type"], "ConditionalCheckFailedException");
    let absent = json_of(&ask("GetItem", &json!({"TableName": "other", "Key": key})));
    assert_eq!(absent["__type"], "ResourceNotFoundException");
}

#[test]
fn a_batch_of_reads_leaves_out_what_is_absent_and_names_what_it_could_not_read() {
    let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
    let table = world.create_in("neo4j", "AWS::DynamoDB::Table", "State", &json!({})).unwrap().unwrap().physical_id;
    let key = |sort: &str| json!({"pk": {"S": "cluster"}, "sk": {"S": sort}});
    let batch = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|sort| key(sort)).collect();
        target(
            "DynamoDB_20120810.BatchGetItem",
            &json!({"RequestItems": {&table: {"Keys": keys, "ConsistentRead": true}}}),
        )
    };
    for sort in ["phase", "lease"] {
        let mut item = key(sort);
        item["value"] = json!({"S": sort});
        world.answer(&target("DynamoDB_20120810.PutItem", &json!({"TableName": table, "Item": item})));
    }
    let three = batch(&["phase", "target", "lease"]);
    assert_eq!((three.kind(), three.is_consistent(), three.writes()), (Kind::List, true, false));
    let answer = json_of(&world.answer(&three));
    let read = |answer: &Value| -> Vec<String> {
        let items = answer["Responses"][&table].as_array().unwrap();
        let mut names: Vec<_> = items.iter().map(|item| item["sk"]["S"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!((read(&answer), &answer["UnprocessedKeys"]), (vec!["lease".to_owned(), "phase".to_owned()], &json!({})));
    let call = world.calls.last().unwrap();
    assert_eq!((call.action.as_str(), call.write), ("dynamodb:BatchGetItem", false));
    assert!(call.resources[0].ends_with(&table) && call.context["dynamodb:LeadingKeys"].contains("cluster"));

    world.dynamodb.cuts = 1;
    let cut = json_of(&world.answer(&three));
    assert_eq!(cut["UnprocessedKeys"][&table], json!({"Keys": [key("lease")], "ConsistentRead": true}));
    assert_eq!(json_of(&world.answer(&three))["UnprocessedKeys"], json!({}));
    world.page = 1;
    let page = json_of(&world.answer(&three));
    assert_eq!((read(&page).len(), page["UnprocessedKeys"][&table]["Keys"].as_array().unwrap().len()), (1, 2));
    assert_eq!(json_of(&world.answer(&batch(&["phase", "phase"])))["__type"], "ValidationException");
    assert_eq!(json_of(&world.answer(&batch(&[])))["__type"], "ValidationException");
}

/// A lease: whoever writes names the fence that it has read.
#[test]
fn of_two_who_write_with_the_same_fence_one_is_refused() {
    let mut world = World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1);
    let table = world.create_in("neo4j", "AWS::DynamoDB::Table", "State", &json!({})).unwrap().unwrap().physical_id;
    let mut put = |fence: &str, read: Option<&str>, core: Option<u8>| {
        let mut item = json!({"pk": {"S": "cluster"}, "sk": {"S": "lease"}, "fence": {"S": fence}});
        if let Some(core) = core {
            item["core"] = json!({"N": core.to_string()});
        }
        let mut body = json!({"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(fence)"});
        if let Some(read) = read {
            body["ConditionExpression"] = json!("attribute_not_exists(fence) OR fence = :read");
            body["ExpressionAttributeValues"] = json!({":read": {"S": read}});
        }
        json_of(&world.answer(&target("DynamoDB_20120810.PutItem", &body)))["__type"].clone()
    };
    let refused = json!("ConditionalCheckFailedException");
    assert_eq!(put("a", None, Some(1)), Value::Null);
    assert_eq!(put("b", None, Some(2)), refused, "somebody else was first");
    assert_eq!(put("b", Some("a"), None), Value::Null);
    assert_eq!(put("c", Some("a"), Some(3)), refused, "the fence has changed since");
    let lease = &world.dynamodb.tables[&table][&("cluster".to_owned(), "lease".to_owned())];
    assert_eq!(lease, &json!({"pk": {"S": "cluster"}, "sk": {"S": "lease"}, "fence": {"S": "b"}}));
    let unused = json!({"TableName": table, "Item": lease, "ExpressionAttributeValues": {":read": {"S": "b"}}});
    assert_eq!(json_of(&world.answer(&target("DynamoDB_20120810.PutItem", &unused)))["__type"], "ValidationException");
}

#[test]
fn what_people_ask_of_ec2_and_auto_scaling_is_answered_as_documented() {
    let mut core = Core::up();
    let (instance, volume) = (core.instance(), core.volume.clone());
    let ec2 = |action: &str, rest: &str| format!("Action={action}&Version=2016-11-15&{rest}");
    let created = core.ask(&ec2("CreateSnapshot", &format!("VolumeId={volume}&Description=core%201")));
    assert!(created.status == 200 && created.body.contains("snap-"), "{}", created.body);
    assert!(core.told(&ec2("CreateSnapshot", "VolumeId=vol-0")).unwrap_err().contains("InvalidVolume.NotFound"));
    let mut snapshots = |of: &str| core.ask(&ec2("DescribeSnapshots", &format!("Owner.1=self&{of}"))).body;
    let of = |volume: &str| format!("Filter.1.Name=volume-id&Filter.1.Value.1={volume}");
    assert!(snapshots(&of(&volume)).contains(&format!("<volumeId>{volume}</volumeId>")));
    assert!(!snapshots(&of("vol-0")).contains("snap-"), "a filter leaves out what does not fit");
    assert!(snapshots("Filter.1.Name=colour&Filter.1.Value.1=red").contains("InvalidParameterValue"));

    let instances = core.ask(&ec2("DescribeInstances", &format!("InstanceId.1={instance}"))).body;
    assert!(instances.contains("<name>running</name>"), "{instances}");
    let none = core.ask(&ec2("DescribeInstances", "Filter.1.Name=instance-state-name&Filter.1.Value.1=terminated"));
    assert!(!none.body.contains(&instance), "{}", none.body);
    assert!(
        core.told(&ec2("DescribeInstances", "InstanceId.1=i-0")).unwrap_err().contains("InvalidInstanceID.NotFound")
    );

    let sizes =
        |rest: &str| format!("Action=UpdateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName={GROUP}&{rest}");
    assert!(core.told(&sizes("DesiredCapacity=2")).unwrap_err().contains("must be between"));
    assert!(core.told(&sizes("MinSize=2")).unwrap_err().contains("Min bound"));
    core.told(&sizes("MinSize=0&DesiredCapacity=0")).unwrap();
    assert_eq!(core.member(&instance).state, "Terminating:Wait", "an empty group lets its instance go");
    core.told(&sizes("MinSize=1")).unwrap();
    assert_eq!(core.world.auto_scaling.groups[GROUP].desired, 1, "it follows the smallest size");
}
