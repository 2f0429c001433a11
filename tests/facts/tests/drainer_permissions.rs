//! The drainer may do exactly what it does.

use std::collections::BTreeSet;

use cluster_sim::{
    cluster::{CLUSTER, Cluster, ZONES},
    events::messages,
    functions::INSTANCE_DRAINER,
    time::{minutes, play},
};
use cluster_world::{ACCOUNT, Context, REGION, queue_arn};
use serde_json::json;

use crate::iam::{Around, Question, Rendered, Statement, questions};

const KEY: &str = "arn:aws:kms:eu-west-1:000000000000:key/*";

fn drainers_rights(around: &Around) -> Vec<Statement> {
    let drainer = Rendered::of("default", "Draining");
    let cluster = Cluster::new(3);
    let here = |name: &str| cluster.variable(name).to_owned();
    let names = [
        (drainer.variable("ECS_CLUSTER"), here("ECS_CLUSTER")),
        (drainer.variable("STATE_TABLE"), here("STATE_TABLE")),
        (drainer.variable("GATEWAY_FUNCTION"), here("GATEWAY_FUNCTION")),
        (drainer.variable("ADMIN_SECRET_ARN"), here("ADMIN_SECRET_ARN")),
        (drainer.variable("MONITOR_SECRET_ARN"), here("MONITOR_SECRET_ARN")),
        (around.dead_letters.clone(), queue_arn(&here("DEAD_LETTER_QUEUE_URL"))),
    ];
    assert_eq!((drainer.parameter("ClusterName").as_str(), ACCOUNT, REGION), (CLUSTER, "000000000000", "eu-west-1"));
    drainer.rights(&names)
}

/// Plays the formation, a loss, an instance that waits for hours, one that is drained, one that dies, one that is retained,
/// members that hang and that meet a full disk, an instance that nobody reaches, and the deletion.
fn whole_life() -> BTreeSet<Question> {
    play(async {
        let cluster = Cluster::new(3).only(&[INSTANCE_DRAINER]).with("CORE_DRAIN_TIMEOUT_MINUTES", "10");
        cluster.form().await;
        let lost = cluster.serving(2).unwrap();
        cluster.wire.world().ec2.no_capacity.insert(ZONES[1].to_owned());
        cluster.wire.world().lose_instance(&lost);
        cluster.live(minutes(3)).await;
        cluster.wire.world().ec2.no_capacity.clear();
        cluster.live(minutes(8)).await;
        let kept = cluster.serving(1).unwrap();
        cluster.wire.world().mark_unhealthy(&kept);
        cluster.live(minutes(40)).await;
        cluster.invoke(messages(&["not json".to_owned()])).await.unwrap();
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        cluster.empty(3);
        cluster.live(minutes(2)).await;
        let emptied = cluster.in_state(3, "InService").unwrap();
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-3", 0);
        cluster.set_status(3, "ACTIVE");
        cluster.wire.world().mark_unhealthy(&emptied);
        cluster.live(minutes(8)).await;
        cluster.wire.world().scale(&cluster.ecs_cluster, "core-3", 1);
        cluster.live(minutes(2)).await;
        let dead = cluster.serving(2).unwrap();
        cluster.wire.world().silence(&dead);
        cluster.wire.world().impair(&dead);
        cluster.live(minutes(30)).await;
        // Nobody can spare core 1 while core 2 hangs: it is retained, until core 2 is back.
        let (retained, hung) = (cluster.serving(1).unwrap(), cluster.serving(2).unwrap());
        let task = cluster.task(&hung).unwrap();
        cluster.wire.world().hang_member(&task, true);
        cluster.wire.world().mark_unhealthy(&retained);
        cluster.live(minutes(90)).await;
        assert!(cluster.is_replaced(1, &retained), "{}", cluster.picture());
        let volume = cluster.nodes[2].volume.clone();
        cluster.wire.world().fill_disk(&volume);
        cluster.live(minutes(5)).await;
        cluster.wire.world().free_disk(&volume);
        cluster.live(minutes(60)).await;
        let wedged = cluster.serving(3).unwrap();
        let task = cluster.task(&wedged).unwrap();
        cluster.wire.world().hang_member(&task, true);
        cluster.wire.world().silence(&wedged);
        cluster.live(minutes(60)).await;
        assert!(cluster.is_replaced(3, &wedged), "{}", cluster.picture());
        cluster.delete(true).await;
        let world = cluster.wire.world();
        questions(&world).into_iter().flatten().collect()
    })
}

#[test]
fn the_drainer_may_do_whatever_it_does_and_does_whatever_it_may() {
    let around = Around::of("default", "Draining");
    let (rights, asked) = (drainers_rights(&around), whole_life());
    for question in &asked {
        assert!(rights.iter().any(|statement| statement.allows(question)), "not allowed: {question:?}");
    }
    let mut unused = BTreeSet::new();
    for statement in &rights {
        for (action, resource) in statement.actions.iter().flat_map(|a| statement.resources.iter().map(move |r| (a, r)))
        {
            let one =
                Statement { actions: vec![action.clone()], resources: vec![resource.clone()], ..statement.clone() };
            if !asked.iter().any(|question| one.allows(question)) {
                unused.insert((action.as_str(), resource.as_str()));
            }
        }
    }
    let spot_endings = around.spot_endings.as_deref().unwrap();
    let in_its_name = [
        // Lambda polls the queues, writes the log and sends traces with the function's role.
        ("sqs:ReceiveMessage", around.triggers.as_str()),
        ("sqs:DeleteMessage", around.triggers.as_str()),
        ("sqs:GetQueueAttributes", around.triggers.as_str()),
        ("sqs:ReceiveMessage", spot_endings),
        ("sqs:DeleteMessage", spot_endings),
        ("sqs:GetQueueAttributes", spot_endings),
        ("logs:CreateLogStream", around.log_streams.as_str()),
        ("logs:PutLogEvents", around.log_streams.as_str()),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
        // A request of CloudFormation that failed three times goes there.
        ("sqs:SendMessage", around.undelivered.as_str()),
        // EC2 makes itself a grant when a volume with the customer's key is attached.
        ("kms:CreateGrant", KEY),
    ];
    assert_eq!(unused, BTreeSet::from(in_its_name), "left: rights that nobody uses; right: those with a reason");
}

#[test]
fn the_drainer_may_not_touch_what_is_not_its_own() {
    let rights = drainers_rights(&Around::of("default", "Draining"));
    let asks = |action: &str, resource: &str, cluster: Option<&str>| {
        let tag = cluster.map(|cluster| ("aws:ResourceTag/neo4j:cluster".into(), BTreeSet::from([cluster.to_owned()])));
        let context: Context = tag.into_iter().collect();
        let question = Question { action: action.to_owned(), resource: resource.to_owned(), context };
        rights.iter().any(|statement| statement.allows(&question))
    };
    let volume = "arn:aws:ec2:eu-west-1:000000000000:volume/vol-1";
    assert!(asks("ec2:AttachVolume", volume, Some(CLUSTER)));
    assert!(!asks("ec2:AttachVolume", volume, Some("other")), "another cluster's volume");
    assert!(!asks("ec2:AttachVolume", volume, None), "a volume that nobody has tagged");
    for never in ["ec2:DetachVolume", "ec2:DeleteVolume", "ec2:TerminateInstances", "ec2:CreateTags"] {
        assert!(!asks(never, volume, Some(CLUSTER)), "{never}");
    }
    let group = |name: &str| {
        format!("arn:aws:autoscaling:eu-west-1:000000000000:autoScalingGroup:1-2:autoScalingGroupName/{name}")
    };
    let complete = "autoscaling:CompleteLifecycleAction";
    assert!(asks(complete, &group("neo4j-Cores-1-Group"), Some(CLUSTER)));
    assert!(!asks(complete, &group("neo4j-staging-Group"), Some("neo4j-staging")), "a name that begins alike");
    assert!(!asks(complete, &group("other-Group"), Some(CLUSTER)), "a name of somebody else's");
    for never in ["autoscaling:UpdateAutoScalingGroup", "autoscaling:SetDesiredCapacity", "autoscaling:DetachInstances"]
    {
        assert!(!asks(never, &group("neo4j-Cores-1-Group"), Some(CLUSTER)), "{never}");
    }
    let cluster = Cluster::new(3);
    let host = |cluster: &str| format!("arn:aws:ecs:eu-west-1:000000000000:container-instance/{cluster}/1");
    assert!(asks("ecs:UpdateContainerInstancesState", &host(cluster.variable("ECS_CLUSTER")), None));
    assert!(!asks("ecs:UpdateContainerInstancesState", &host("other"), None));
    let deletes = |partition: &str| {
        let context = [("dynamodb:LeadingKeys".to_owned(), BTreeSet::from([partition.to_owned()]))].into();
        let resource = format!("arn:aws:dynamodb:eu-west-1:000000000000:table/{}", cluster.variable("STATE_TABLE"));
        let question = Question { action: "dynamodb:DeleteItem".to_owned(), resource, context };
        rights.iter().any(|statement| statement.allows(&question))
    };
    assert!(deletes("clock"));
    assert!(!deletes("cluster"), "without its phase every instance of the cluster might go");
}
