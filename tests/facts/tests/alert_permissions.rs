//! That alarm-router may do what it does, and no more.

use std::collections::BTreeSet;

use cluster_sim::{
    alerts::{add_alarm, lease, set, stage},
    cluster::Cluster,
    time::{minutes, play},
};
use cluster_world::cloudwatch::State;

use crate::{
    backups::roles::{in_its_name, unused},
    iam::{Around, Question, Rendered, questions},
};

/// A deployment with every destination.
const DEPLOYMENT: &str = "changed";
/// Variables whose values the rights name.
const NAMED: [&str; 6] = [
    "STATE_TABLE",
    "PAGE_TOPIC_ARN",
    "NOTIFY_TOPIC_ARN",
    "SLACK_SECRET_ARN",
    "PAGERDUTY_SECRET_ARN",
    "WEBHOOK_SECRET_ARN",
];

/// Plays an alarm that goes everywhere, while a core is stopped on purpose, until it is over, and one whose call is lost.
fn life() -> (Cluster, BTreeSet<Question>) {
    play(async {
        let mut cluster = stage();
        let notify = cluster.wire.world().topic("notify");
        cluster.set("NOTIFY_TOPIC_ARN", &notify);
        cluster.set("ROUTES", r#"{"to": ["page", "notify", "slack", "pagerduty", "webhook"]}"#);
        let began = cluster.wire.world().calls.len();
        add_alarm(&cluster, "Fewer", &[("severity", "critical"), ("planned", "drain")]);
        lease(&cluster, None);
        set(&cluster, "Fewer", State::Alarm);
        cluster.live(minutes(3)).await;
        set(&cluster, "Fewer", State::Ok);
        cluster.live(minutes(1)).await;
        set(&cluster, "Fewer", State::Alarm);
        cluster.wire.world().lambda.invocations.clear();
        cluster.live(minutes(11)).await;
        assert_eq!(cluster.wire.world().published(&notify).len(), 3);
        let asked = questions(&cluster.wire.world()).split_off(began);
        (cluster, asked.into_iter().flatten().collect())
    })
}

#[test]
fn the_router_may_do_whatever_it_does_and_does_whatever_it_may() {
    let (cluster, asked) = life();
    let function = Rendered::of(DEPLOYMENT, "Alerting");
    let names: Vec<_> = NAMED.iter().map(|name| (function.variable(name), cluster.variable(name).to_owned())).collect();
    let (allowed, denied) = (function.rights(&names), function.denials(&[]));
    let around = Around::of(DEPLOYMENT, "Alerting");
    let mut with_a_reason = in_its_name(&around);
    let keys = [function.parameter("SecretsKmsKeyArn"), function.parameter("TopicsKmsKeyArn")];
    for (action, resource) in [
        // A message that never will be written down.
        ("sqs:SendMessage", around.dead_letters.as_str()),
        // Secrets Manager and SNS ask KMS in its name.
        ("kms:Decrypt", keys[0].as_str()),
        ("kms:Decrypt", keys[1].as_str()),
        ("kms:GenerateDataKey", keys[1].as_str()),
    ] {
        with_a_reason.insert((action.to_owned(), resource.to_owned()));
    }
    let unused = unused(&asked, &allowed, &denied);
    assert_eq!(unused, with_a_reason, "left: rights that nobody uses; right: those with a reason");
    // What it remembers is its own, but for the lease, which it only reads.
    let may = |action: &str, partition: &str| {
        let resource = format!("arn:aws:dynamodb:eu-west-1:000000000000:table/{}", cluster.variable("STATE_TABLE"));
        let context = [("dynamodb:LeadingKeys".to_owned(), [partition.to_owned()].into())].into();
        let question = Question { action: action.to_owned(), resource, context };
        allowed.iter().any(|statement| statement.allows(&question))
    };
    for (action, own, others) in
        [("dynamodb:PutItem", true, false), ("dynamodb:Query", true, false), ("dynamodb:GetItem", true, true)]
    {
        assert_eq!((may(action, "incident"), may(action, "cluster")), (own, others), "{action}");
    }
    assert!(!may("dynamodb:DeleteItem", "incident"));
}
