//! What the function is asked: dry runs, messages, events of no known shape, a warm-up.

use std::collections::BTreeSet;

use cluster_facts::template::read;
use cluster_lambda::Kind;
use cluster_sim::{
    cluster::Cluster,
    events::{delivered, messages},
    time::play,
};
use serde_json::{Value, json};

use super::addresses;

/// Version 1 of the AWS CLI takes no `--cli-binary-format`, version 2 reads a bare payload as base64; both take bytes from a
/// file.
#[test]
fn the_command_that_shows_the_plan_runs_with_every_version_of_the_cli() {
    let command = read("infra/discovery.yaml")["Outputs"]["ShowPlan"]["Value"]["Fn::Sub"].clone();
    let command = command.as_str().unwrap();
    assert!(command.starts_with("echo '{\"dryRun\":true}' | aws lambda invoke "), "{command}");
    assert!(command.contains(" --payload fileb:///dev/stdin ") && !command.contains("binary-format"), "{command}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        cluster.invoke(json!({"dryRun": true})).await.unwrap();
        assert_eq!(cluster.metric("DnsDivergence", None), None, "looking is no pass");
        for answer in [
            cluster.invoke(json!({"dryRun": true})).await.unwrap(),
            cluster.with("DRY_RUN", "true").sweep().await.unwrap()["reconciled"].clone(),
        ] {
            let task = cluster.a_task("core");
            let change = format!("+ core.neo4j.service A 10.0.1.1 (neo4j/{task}): task is running");
            assert_eq!(answer["changes"], json!([change]));
            assert_eq!((&answer["applied"], &answer["dryRun"]), (&json!(false), &json!(true)));
        }
        assert_eq!(cluster.wire.world().calls.iter().filter(|call| call.write).count(), 0);
        assert_eq!(cluster.metric("DnsRecordsPublished", Some("core")), None, "nothing was published");
    });
}

#[test]
fn a_malformed_message_goes_aside_an_unknown_one_is_ignored_and_the_rest_is_served() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 1);
        cluster.wire.sleep(60).await;
        let events: Vec<_> = cluster.wire.world().events.drain(..).collect();
        let unknown = json!({"source": "aws.health", "detail-type": "AWS Health Event", "detail": {}}).to_string();
        let bodies = ["not json".to_owned(), unknown.clone(), delivered(events.last().unwrap()), String::new()];
        let answer = cluster.invoke(messages(&bodies)).await.unwrap();
        assert_eq!(answer["deadLettered"], json!(2));
        assert_eq!(cluster.published("core"), addresses(1..=1));
        assert_eq!(
            cluster.metric("DnsReplicationLagMs", None),
            Some(51_120.0),
            "from the event to the accepted change"
        );
        let dead = cluster.wire.world().messages.clone();
        assert_eq!(
            dead,
            [
                (cluster.variable("DEAD_LETTER_QUEUE_URL").into(), "not json".into()),
                (cluster.variable("DEAD_LETTER_QUEUE_URL").into(), "(empty)".into())
            ]
        );

        let calls = cluster.wire.world().calls.len();
        let answer = cluster.invoke(messages(&[unknown])).await.unwrap();
        assert_eq!(
            (&answer["reconciled"], cluster.wire.world().calls.len()),
            (&Value::Null, calls),
            "no reason to look"
        );
    });
}

#[test]
fn an_event_of_no_known_shape_is_refused_with_what_is_taken() {
    play(async {
        let failure = Cluster::discovery().invoke(json!({"dryrun": true})).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Permanent);
        assert!(failure.to_string().contains("{\"dryRun\": true}"), "{failure}");
        assert!(failure.chain().contains("unknown field `dryrun`"), "{}", failure.chain());
    });
}

#[test]
fn a_warm_up_reads_every_service_that_a_round_reads_and_is_no_round() {
    play(async {
        let cluster = Cluster::discovery();
        cluster.scale("core", 3);
        cluster.wire.sleep(300).await;
        let results = cluster.replicator().warm_up().await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let world = cluster.wire.world();
        let actions: BTreeSet<_> = world.calls.iter().map(|call| call.action.as_str()).collect();
        let reads = ["ecs:DescribeServices", "route53:ListResourceRecordSets", "servicediscovery:ListInstances"];
        assert_eq!(actions, BTreeSet::from(reads));
        assert!(world.calls.iter().all(|call| !call.write));
        drop(world);
        assert!(cluster.published("core").is_empty());
        assert!(cluster.metrics.lock().unwrap().is_empty(), "no metric that an alarm could mistake for a pass");
    });
}
