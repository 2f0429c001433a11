//! Who is told: an alarm of a running cluster reaches a server on this machine, through the real function.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, body::Bytes, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Person, STACK};
use crate::{
    documents::ensure,
    stage::{Stage, Trouble},
};

/// What signs the webhook.
const SIGNING: &str = "a secret of more than thirty-two bytes";

/// A server on this machine that takes alerts: as Slack, and as somebody's webhook.
#[derive(Debug)]
pub(super) struct Sink {
    /// What came, by path.
    taken: Arc<Mutex<Vec<(&'static str, Value)>>>,
    /// The parameters of a stack that sends there.
    pub(super) parameters: Vec<(&'static str, String)>,
    server: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sink {
    /// Listens, and makes a topic and the secrets that lead here.
    pub(super) async fn open(stage: &Stage) -> Result<Self, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("no port for alerts: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("no address for alerts: {e}"))?;
        let taken: Arc<Mutex<Vec<_>>> = Arc::default();
        let route_of = |path: &'static str| {
            let taken = taken.clone();
            post(move |body: Bytes| async move {
                let body = serde_json::from_slice(&body).unwrap_or_default();
                taken.lock().unwrap_or_else(PoisonError::into_inner).push((path, body));
                "ok"
            })
        };
        let router = Router::new().route("/slack", route_of("slack")).route("/webhook", route_of("webhook"));
        let server = tokio::spawn(async move { _ = axum::serve(listener, router).await });
        let webhook = json!({"url": format!("http://{address}/webhook"), "secret": SIGNING}).to_string();
        let parameters = vec![
            ("AlarmTopicArn", stage.make_topic("alarms").await?),
            ("SlackSecretArn", stage.make_secret("slack", &format!("http://{address}/slack")).await?),
            ("WebhookSecretArn", stage.make_secret("webhook", &webhook).await?),
        ];
        Ok(Self { taken, parameters, server })
    }

    /// Returns what came so far on a path.
    fn of(&self, path: &str) -> Vec<Value> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().filter(|(to, _)| *to == path).map(|(_, body)| body.clone()).collect()
    }
}

/// What an alarm of CloudWatch calls its function with (CloudWatch user guide, «Invoke a Lambda function from an alarm»).
fn call(alarm: &str, state: &str, at: &str) -> Value {
    json!({
        "source": "aws.cloudwatch",
        "alarmArn": format!("arn:aws:cloudwatch:eu-west-1:000000000000:alarm:{alarm}"),
        "accountId": "000000000000", "time": at, "region": "eu-west-1",
        "alarmData": {
            "alarmName": alarm, "state": {"value": state, "reason": "Threshold Crossed", "timestamp": at},
            "configuration": {"description": "The disk of somebody is full. Look at it.", "metrics": []},
        },
    })
}

impl Person<'_> {
    pub(super) async fn is_told(&mut self, sink: &Sink) -> Result<(), Trouble> {
        let outputs = self.stage.outputs(STACK).await?;
        let function = outputs.get("AlarmRouterFunction").ok_or("the stack has no AlarmRouterFunction")?.clone();
        let put = "aws cloudwatch put-metric-alarm --alarm-name somebody --namespace Test --metric-name Disk --statistic Maximum \
                   --period 60 --evaluation-periods 1 --threshold 1 --comparison-operator GreaterThanThreshold\n\
                   aws cloudwatch tag-resource --resource-arn arn:aws:cloudwatch:eu-west-1:000000000000:alarm:somebody \
                   --tags Key=severity,Value=critical Key=tier,Value=core";
        self.run(put, false).await?;
        let (of_slack, of_webhook) = (sink.of("slack").len(), sink.of("webhook").len());
        for (state, at, status) in [
            ("ALARM", "2026-11-30T10:00:00.000+0000", "firing"),
            ("ALARM", "2026-11-30T10:00:00.000+0000", "firing"),
            ("OK", "2026-11-30T10:05:00.000+0000", "resolved"),
        ] {
            self.stage.invoke(&function, &call("somebody", state, at)).await?;
            let webhook = sink.of("webhook").split_off(of_webhook);
            let last = webhook.last().map(|body| body["status"].clone());
            ensure(last == Some(json!(status)), || format!("the webhook should be told {status}: {webhook:?}"))?;
        }
        let (slack, webhook) = (sink.of("slack").split_off(of_slack), sink.of("webhook").split_off(of_webhook));
        ensure((slack.len(), webhook.len()) == (2, 2), || format!("each should be told once: {slack:?}\n{webhook:?}"))?;
        ensure(webhook[0]["severity"] == "critical" && webhook[0]["labels"]["tier"] == "core", || {
            format!("the tags of the alarm should be asked for: {}", webhook[0])
        })?;
        let plan = self.output("ShowAlarmRouterPlan").await?;
        ensure(plan.contains("\"open\""), || format!("ShowAlarmRouterPlan should show what is open: {plan}"))?;
        let test = self.output("TestAlertRoutes").await?.replace(": ", ":");
        ensure(test.contains("\"to\":\"page\"") && test.contains("\"to\":\"slack\""), || {
            format!("TestAlertRoutes should show where a critical alert goes: {test}")
        })?;
        let ways = self.documents.block("Try the routes", 0)?;
        let ways = self.run(&ways, false).await?;
        ensure(ways.lines().any(|way| way.starts_with("page\t1\t0\t60")), || {
            format!("the way of what is critical should be shown: {ways}")
        })?;
        let open = self.documents.block("Nobody is told", 1)?;
        self.run(&open, false).await.map(drop)
    }
}
