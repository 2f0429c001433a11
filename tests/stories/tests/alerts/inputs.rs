//! What is no alarm of CloudWatch: events, topics of other people's, dead letters, and whatever nobody knows.

use cluster_sim::{events::messages, time::play};
use serde_json::{Value, json};

use super::{PAGERDUTY, SLACK, pages, stage, stage_with, taken};

fn task(status: &str, code: &str, at: &str) -> String {
    json!({
        "version": "0", "id": format!("{status}-{at}"), "source": "aws.ecs", "detail-type": "ECS Task State Change",
        "account": "000000000000", "region": "eu-west-1", "time": at,
        "detail": {
            "clusterArn": "arn:aws:ecs:eu-west-1:000000000000:cluster/neo4j", "group": "service:core-2", "desiredStatus": status,
            "taskArn": "arn:aws:ecs:eu-west-1:000000000000:task/neo4j/1", "lastStatus": status, "stopCode": code,
            "containers": [{"name": "neo4j", "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}],
        },
    })
    .to_string()
}

#[test]
fn a_task_that_ended_is_told_once_and_resolved_when_the_next_one_runs() {
    play(async {
        let cluster = stage_with(r#"{"to": ["page"]}"#);
        let stopped = task("STOPPED", "EssentialContainerExited", "2026-11-23T12:00:00Z");
        // SQS may deliver it twice.
        cluster.invoke(messages(&[stopped.clone(), stopped.clone()])).await.unwrap();
        cluster.invoke(messages(&[stopped])).await.unwrap();
        let [page] = &pages(&cluster)[..] else { panic!("{:?}", pages(&cluster)) };
        assert!(page.contains("Task of core-2 ended: neo4j ran out of memory"), "{page}");
        cluster.live(cluster_sim::time::hours(30)).await;
        assert_eq!(pages(&cluster).len(), 1, "what has happened is not told again");
        cluster.invoke(messages(&[task("RUNNING", "", "2026-11-24T20:00:00Z")])).await.unwrap();
        let pages = pages(&cluster);
        assert!(pages.len() == 2 && pages[1].starts_with("[RESOLVED]"), "{pages:?}");
    });
}

#[test]
fn whatever_nobody_knows_is_told_as_it_came_however_it_came() {
    play(async {
        let cluster = stage_with(r#"{"to": ["page"]}"#);
        let odd = json!({"what": "is this?"});
        let topic = json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": "help"});
        cluster.invoke(messages(&[odd.to_string(), "not even JSON".to_owned(), topic.to_string()])).await.unwrap();
        cluster.invoke(json!({"Records": [{"EventSource": "aws:sns", "Sns": topic}]})).await.unwrap();
        cluster.invoke(odd).await.unwrap();
        // The same notification is the same incident.
        let pages = pages(&cluster);
        assert_eq!(pages.len(), 4, "{pages:?}");
        assert!(pages.iter().all(|page| page.contains("Unclassified")), "{pages:?}");
    });
}

#[test]
fn an_alert_that_cannot_be_written_down_comes_again() {
    play(async {
        let cluster = stage();
        cluster.wire.plan_for("dynamodb:GetItem", 99, cluster_sim::wire::Fault::ServerError);
        let stopped = messages(&[task("STOPPED", "EssentialContainerExited", "2026-11-23T12:00:00Z")]);
        let answer = cluster.invoke(stopped.clone()).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m-0"}]}));
        // An alarm's own call fails as a whole, and Lambda tries it again.
        let alarm = json!({"source": "aws.cloudwatch", "alarmArn": "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:a",
            "alarmData": {"alarmName": "a", "state": {"value": "ALARM"}}});
        assert!(cluster.invoke(alarm).await.is_err());
        cluster.wire.calm();
        let answer: Value = cluster.invoke(stopped).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
        assert_eq!((taken(&cluster, SLACK), taken(&cluster, PAGERDUTY)), (1, 0), "an error wakes nobody");
    });
}

#[test]
fn an_unreadable_incident_is_replaced_when_its_alarm_is_heard_of() {
    play(async {
        let cluster = stage_with(r#"{"to": ["page"]}"#);
        let stopped = messages(&[task("STOPPED", "EssentialContainerExited", "2026-11-23T12:00:00Z")]);
        cluster.invoke(stopped).await.unwrap();
        let table = cluster.variable("STATE_TABLE").to_owned();
        {
            let mut world = cluster.wire.world();
            let items = world.dynamodb.tables.get_mut(&table).unwrap();
            let (_, item) = items.iter_mut().find(|((partition, _), _)| partition == "incident").unwrap();
            (item["incident"], item["over"]) = (json!({"S": "{"}), json!({"BOOL": false}));
        }
        let refused = cluster.sweep().await.unwrap();
        assert_eq!(
            refused["batchItemFailures"].as_array().unwrap().len(),
            1,
            "which ends in a dead letter, and a page"
        );
        let again = messages(&[task("STOPPED", "EssentialContainerExited", "2026-11-23T13:00:00Z")]);
        assert_eq!(cluster.invoke(again).await.unwrap(), json!({"batchItemFailures": []}));
        assert_eq!(pages(&cluster).len(), 2);
        assert_eq!(cluster.sweep().await.unwrap(), json!({"batchItemFailures": []}));
    });
}
