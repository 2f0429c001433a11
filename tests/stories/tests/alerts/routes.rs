//! Routes: how they are checked at the deployment, and tested by a person.

use cluster_sim::{cluster::Cluster, time::play};
use serde_json::{Value, json};

use super::{PAGERDUTY, SLACK, stage, stage_with, taken};

/// Asks for the custom resource as CloudFormation does, and returns what it is answered.
async fn deploy(cluster: &Cluster, routes: &str) -> Value {
    let request = json!({
        "RequestType": "Create", "ResponseURL": "http://answers.example/cfn",
        "StackId": "s", "RequestId": "r", "ResourceType": "Custom::Neo4jAlertRoutes", "LogicalResourceId": "Routes",
        "ResourceProperties": {"Routes": routes},
    });
    cluster.invoke(request).await.unwrap();
    cluster.last_answer().unwrap()
}

#[test]
fn wrong_routes_and_secrets_without_an_address_stop_the_deployment_with_the_place_of_the_fault() {
    play(async {
        let cluster = stage();
        for (routes, why) in [
            ("", ""),
            (
                r#"{"to": ["slack:db"], "routes": [{"match": {"severity": "critical"}, "to": ["pagerduty", "webhook"]}]}"#,
                "",
            ),
            (
                "{\n  \"to\": [\"page\"],\n  \"rout\": []\n}",
                "AlertRoutes is refused: line 3, column 8: unknown field `rout`",
            ),
            (r#"{"to": ["notify"]}"#, "there is no destination \"notify\": there are page, pagerduty, slack, webhook"),
            (r#"{"to": ["slack:nobody"]}"#, "has no entry \"nobody\""),
        ] {
            let answer = deploy(&cluster, routes).await;
            let reason = answer["Reason"].as_str().unwrap_or_default();
            assert_eq!(answer["Status"] == "SUCCESS", why.is_empty(), "{answer}");
            assert!(reason.contains(why), "{reason}");
        }
        let arn = cluster.variable("SLACK_SECRET_ARN").to_owned();
        for (secret, why) in
            [("http://hooks.slack.com/services/x", "does not begin with https"), ("xoxb-token", "holds no URL")]
        {
            cluster.wire.world().set_secret(&arn, secret.to_owned());
            let reason = deploy(&cluster, "").await["Reason"].as_str().unwrap_or_default().to_owned();
            assert!(reason.contains(why) && !reason.contains(secret), "{reason}");
        }
    });
}

#[test]
fn a_test_of_the_routes_shows_the_messages_and_sends_none() {
    play(async {
        let routes = r#"{"to": ["slack"], "routes": [{"match": {"tier": "core", "severity": ">=error"}, "to": ["pagerduty", "page"], "repeatMinutes": 30}]}"#;
        let cluster = stage_with(routes);
        let before = cluster.wire.calls().len();
        let answer =
            cluster.invoke(json!({"routeTest": {"severity": "critical", "labels": {"tier": "core"}}})).await.unwrap();
        let takes = answer["alerts"][0]["takes"].as_array().unwrap();
        let ways: Vec<_> = takes.iter().map(|way| (&way["to"], &way["route"], &way["repeatMinutes"])).collect();
        assert_eq!(ways, [(&json!("pagerduty"), &json!("1"), &json!(30)), (&json!("page"), &json!("1"), &json!(30))]);
        assert_eq!(takes[0]["message"]["event_action"], json!("trigger"));
        assert!(takes[1]["message"]["subject"].as_str().unwrap().starts_with("[CRITICAL]"), "{takes:?}");
        // Any payload that the function understands may stand there.
        let alarm =
            json!({"routeTest": {"AlarmName": "a", "NewStateValue": "ALARM", "AlarmDescription": "[warning] x"}});
        let answer = cluster.invoke(alarm).await.unwrap();
        assert_eq!(answer["alerts"][0]["takes"][0]["to"], json!("slack"));
        let refused = cluster.invoke(json!({"routeTest": {"severity": "urgent"}})).await.unwrap_err().to_string();
        assert!(refused.contains("severity should be info, warning, error or critical"), "{refused}");
        assert_eq!(cluster.wire.calls().len(), before);
        assert_eq!((taken(&cluster, SLACK), taken(&cluster, PAGERDUTY)), (0, 0));
    });
}
