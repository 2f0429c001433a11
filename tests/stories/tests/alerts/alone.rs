//! The router by itself, without a cluster: alarms of any account, its topics, its jobs, its groups.

use cluster_sim::{
    alerts::{add_alarm, pages, set},
    cluster::Cluster,
    events::messages,
    time::{hours, minutes, play, seconds},
};
use cluster_world::{
    Request,
    batch::{Definition, Queue},
    cloudwatch::State,
};
use serde_json::{Value, json};

use super::a_sweep;

/// Hands the queue what a topic has published last, as a subscription without raw delivery does.
async fn hand_on(cluster: &Cluster, topic: &str) {
    let published = cluster.wire.world().published(topic).last().unwrap().clone();
    let notification = json!({
        "Type": "Notification", "MessageId": published.id, "TopicArn": topic, "Subject": published.subject,
        "Message": published.message, "Timestamp": published.at.to_string(),
    });
    let answer = cluster.invoke(messages(&[notification.to_string()])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

/// Lets a job of a queue begin, and takes its host away.
async fn a_job_fails(cluster: &Cluster, queue: &str) {
    let body = json!({"jobName": format!("{queue}-report"), "jobQueue": queue, "jobDefinition": "report"});
    let (method, path, body) = ("POST".to_owned(), "/v1/submitjob".to_owned(), body.to_string().into_bytes());
    let answer = cluster.wire.world().answer(&Request { method, path, body, ..Request::default() });
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    cluster.live(minutes(2) + seconds(10)).await;
    cluster.wire.world().reclaim_host(answer["jobId"].as_str().unwrap());
    cluster.live(seconds(10)).await;
}

/// Says that a group could launch an instance, or could not.
async fn launch(cluster: &Cluster, group: &str, result: &str) {
    let detail = json!({
        "AutoScalingGroupName": group, "StatusMessage": "no capacity", "StatusCode": "Failed", "EndTime": "2026-11-23T12:00:00Z",
        "ActivityId": format!("{group}-{result}"), "EC2InstanceId": "",
    });
    {
        let mut world = cluster.wire.world();
        let at = world.now.to_string();
        let (kind, detail) = (format!("EC2 Instance Launch {result}"), detail.to_string());
        let resources = json!([]);
        world.events.push(json!({
            "Source": "aws.autoscaling", "DetailType": kind, "Time": at, "Resources": resources, "Detail": detail,
        }));
    }
    cluster.live(seconds(10)).await;
}

/// What was told since the last look.
fn new(cluster: &Cluster, seen: &mut usize) -> Vec<String> {
    let told = pages(cluster).split_off(*seen);
    *seen += told.len();
    told
}

#[test]
fn alarms_of_any_account_are_told_and_resolved_without_a_cluster() {
    play(async {
        let cluster = Cluster::alerts_alone().quiet();
        let mut seen = 0;
        a_sweep(&cluster).await;
        assert_eq!(new(&cluster, &mut seen), [""; 0], "nothing is wrong");

        // An alarm that has the function as its action.
        add_alarm(&cluster, "checkout-errors", &[("severity", "critical"), ("team", "shop")]);
        set(&cluster, "checkout-errors", State::Alarm);
        cluster.live(seconds(10)).await;
        assert_eq!(new(&cluster, &mut seen), ["[CRITICAL] checkout-errors is wrong"]);
        set(&cluster, "checkout-errors", State::Ok);
        cluster.live(seconds(10)).await;
        assert_eq!(new(&cluster, &mut seen), ["[RESOLVED] checkout-errors is wrong"]);

        // One that knows a topic only, which sends it on.
        let topic = cluster.wire.world().topic("shop");
        let properties = json!({
            "AlarmName": "queue-too-long", "AlarmDescription": "Orders wait.", "Namespace": "Shop", "MetricName": "Waiting",
            "Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore", "AlarmActions": [topic],
            "OKActions": [topic],
        });
        cluster.wire.world().create("AWS::CloudWatch::Alarm", "queue-too-long", &properties).unwrap();
        set(&cluster, "queue-too-long", State::Alarm);
        hand_on(&cluster, &topic).await;
        assert_eq!(new(&cluster, &mut seen), ["[ERROR] Orders wait"]);
        set(&cluster, "queue-too-long", State::Ok);
        hand_on(&cluster, &topic).await;
        assert_eq!(new(&cluster, &mut seen), ["[RESOLVED] Orders wait"]);
        cluster.live(hours(5)).await;
        assert_eq!(new(&cluster, &mut seen), [""; 0], "what is over is over");
    });
}

#[test]
fn jobs_of_the_named_queues_and_groups_of_the_named_beginnings_are_told_of_and_no_others() {
    play(async {
        let cluster = Cluster::alerts_alone().quiet();
        let mut seen = 0;
        {
            let mut world = cluster.wire.world();
            world.put_job_definition("report", Definition::default());
            for queue in ["nightly", "others"] {
                world.put_job_queue(queue, Queue::default());
            }
        }
        a_job_fails(&cluster, "others").await;
        assert_eq!(new(&cluster, &mut seen), [""; 0]);
        a_job_fails(&cluster, "nightly").await;
        assert_eq!(new(&cluster, &mut seen), ["[ERROR] Batch job nightly-report failed"]);
        // No job of this name takes it back: it failed, and is told once.
        cluster.live(hours(13)).await;
        assert_eq!(new(&cluster, &mut seen), [""; 0]);

        launch(&cluster, "other", "Unsuccessful").await;
        launch(&cluster, "shop", "Unsuccessful").await;
        assert_eq!(new(&cluster, &mut seen), [""; 0], "the beginning is shop-");
        launch(&cluster, "shop-web", "Unsuccessful").await;
        launch(&cluster, "till-1", "Unsuccessful").await;
        assert_eq!(new(&cluster, &mut seen).len(), 2);
        launch(&cluster, "shop-web", "Successful").await;
        let [over] = &new(&cluster, &mut seen)[..] else { panic!("{:?}", pages(&cluster)) };
        assert!(over.starts_with("[RESOLVED]") && over.contains("shop-web"), "{over}");
    });
}
