use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::time::{SharedTimeSource, StaticTimeSource};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::{
    SWEEP,
    telemetry::{Metric, MetricSet, Sink},
};

/// A connector that keeps every request, and answers as SQS and CloudFormation do, or refuses as configured.
#[derive(Clone, Debug, Default)]
struct Recorder {
    requests: Arc<Mutex<Vec<(String, String)>>>,
    refuses: bool,
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        self.requests.lock().unwrap().push((request.uri().to_owned(), body));
        let (status, body) = if self.refuses { (400, r#"{"__type": "QueueDoesNotExist"}"#) } else { (200, "{}") };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))))
    }
}

/// The messages that a function has handled.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

/// A function that makes rounds.
struct Rounds {
    log: RefCell<Vec<String>>,
    fails: bool,
}

impl Function for Rounds {
    const NAME: &'static str = "rounds";
    const WAKES: &'static [(&'static str, &'static str)] = &[SWEEP, ("aws.x", "Changed")];
    const CUSTOM_RESOURCES: &'static [&'static str] = &["Custom::Known"];
    const METRICS: &'static [&'static str] = &["Rounds"];

    type Outcome = String;

    fn new(lookup: &impl Lookup, _: &Aws) -> Result<Self, Failure> {
        Ok(Self { log: RefCell::default(), fails: lookup("FAILS").is_some() })
    }

    fn cluster(&self) -> &'static str {
        "neo4j"
    }

    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        if self.fails {
            std::future::pending::<()>().await;
        }
        vec![Err(Failure::transient("throttled")), Ok(())]
    }

    fn log(&self, trigger: &Trigger) {
        self.log.borrow_mut().push(trigger.detail_type.clone());
    }

    async fn reconcile(&self, round: &Round) -> Reconciled<String> {
        let outcome = Some(format!("{:?} {}", round.mode, round.triggers.len()));
        let failures = if self.fails { vec![Failure::permanent("a"), Failure::transient("b")] } else { Vec::new() };
        Reconciled { outcome, failures }
    }

    fn answer(&self, outcome: &String) -> Value {
        json!(outcome)
    }

    fn metrics(&self, _: &Round, reconciled: &Reconciled<String>, _: Timestamp) -> Vec<MetricSet> {
        let metrics = vec![Metric::count("Rounds", usize::from(reconciled.outcome.is_some()))];
        vec![MetricSet { dimensions: Vec::new(), metrics }]
    }

    async fn custom_resource(&self, frame: &Frame<Self>, _: &CustomResource) -> Result<(String, Value), Failure> {
        let outcome = frame.unattended().await?;
        Ok(("id".to_owned(), json!({"Outcome": outcome})))
    }
}

/// A function that takes each message by itself; the message's body decides its result, and a variable that of its rounds.
struct Singles(Log, bool);

impl Function for Singles {
    const NAME: &'static str = "singles";
    const WAKES: &'static [(&'static str, &'static str)] = &[SWEEP];
    const METRICS: &'static [&'static str] = &[];
    const MESSAGES: Messages = Messages::Single;

    type Outcome = ();

    fn new(lookup: &impl Lookup, _: &Aws) -> Result<Self, Failure> {
        Ok(Self(Log::default(), lookup("FAILS").is_some()))
    }

    fn cluster(&self) -> &'static str {
        "neo4j"
    }

    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        Vec::new()
    }

    fn log(&self, _: &Trigger) {}

    async fn reconcile(&self, round: &Round) -> Reconciled<()> {
        self.0.0.lock().unwrap().push(format!("{:?} {}", round.mode, round.triggers.len()));
        if self.1 { Err(Failure::transient("not now")).into() } else { Ok(()).into() }
    }

    fn answer(&self, (): &()) -> Value {
        json!("nothing to do")
    }

    fn metrics(&self, _: &Round, _: &Reconciled<()>, _: Timestamp) -> Vec<MetricSet> {
        Vec::new()
    }

    fn reads(payload: &Value) -> bool {
        payload.get("alarm").is_some()
    }

    async fn invoked(&self, _: &Frame<Self>, payload: Value) -> Result<Value, Failure> {
        Ok(payload)
    }

    async fn message(&self, _: &Frame<Self>, message: &SqsMessage) -> Result<(), Failure> {
        let body = message.body.clone().unwrap_or_default();
        self.0.0.lock().unwrap().push(body.clone());
        match body.as_str() {
            "later" => Err(Failure::transient("not now")),
            "hangs" => std::future::pending().await,
            "never" => Err(Failure::permanent("no alert")),
            _ => Ok(()),
        }
    }
}

/// Makes a frame in the environment of a test, with the list of its metrics.
fn frame<F: Function>(variables: &[(&str, &str)], connector: Recorder) -> (Frame<F>, Arc<Mutex<Vec<Value>>>) {
    let metrics: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (written, connector) = (metrics.clone(), SharedHttpConnector::new(connector));
    let carried = connector.clone();
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "test")))
        .time_source(SharedTimeSource::new(StaticTimeSource::from_secs(1_795_428_000)))
        .http_client(http_client_fn(move |_, _| carried.clone()));
    let sink = Sink::new(move |line| written.lock().unwrap().push(line.clone()));
    let aws = Aws { sdk: sdk.build(), connector, retry_partition: None, metrics: sink };
    let lookup = |name: &str| {
        let own = variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        own.or_else(|| match name {
            "DRY_RUN" => Some("false".to_owned()),
            "DEAD_LETTER_QUEUE_URL" => Some("https://sqs.eu-west-1.amazonaws.com/0/dead.fifo".to_owned()),
            _ => None,
        })
    };
    (Frame::new(&lookup, &aws).unwrap(), metrics)
}

fn message(id: &str, body: &str, group: Option<&str>) -> Value {
    let attributes = group.map_or_else(|| json!({}), |group| json!({"MessageGroupId": group}));
    json!({"messageId": id, "body": body, "eventSource": "aws:sqs", "attributes": attributes})
}

fn event(source: &str, kind: &str) -> String {
    json!({"source": source, "detail-type": kind, "detail": {}}).to_string()
}

#[tokio::test]
async fn all_messages_make_one_round_that_acts_and_unknown_ones_make_none() {
    let (frame, metrics) = frame::<Rounds>(&[], Recorder::default());
    let [sweep, changed, unknown] = [event(SWEEP.0, SWEEP.1), event("aws.x", "Changed"), event("aws.x", "Unknown")]
        .map(|body| message("m", &body, None));
    let answer = frame.handle(json!({"Records": [sweep, changed, unknown]})).await.unwrap();
    assert_eq!(answer, json!({"reconciled": "Act 2", "deadLettered": 0}));
    assert_eq!(*frame.function().log.borrow(), ["Sweep", "Changed"]);
    assert_eq!(metrics.lock().unwrap().len(), 1);
    let answer = frame.handle(json!({"Records": [unknown]})).await.unwrap();
    assert_eq!(answer, json!({"reconciled": null, "deadLettered": 0}));
    assert_eq!(metrics.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unreadable_message_is_dead_lettered_and_the_rest_is_handled() {
    let recorder = Recorder::default();
    let (frame, _) = frame::<Rounds>(&[], recorder.clone());
    let records = json!({"Records": [message("bad", "neo4j", None), message("m", &event(SWEEP.0, SWEEP.1), None)]});
    let answer = frame.handle(records.clone()).await.unwrap();
    assert_eq!(answer, json!({"reconciled": "Act 1", "deadLettered": 1}));
    let sent = recorder.requests.lock().unwrap().clone();
    assert!(sent[0].1.contains("not an event") && sent[0].1.contains("dead.fifo"), "{sent:?}");
    // With the queue out of reach, the batch is delivered again as a whole.
    let (frame, metrics) = self::frame::<Rounds>(&[], Recorder { refuses: true, ..Recorder::default() });
    assert!(frame.handle(records).await.is_err());
    assert!(metrics.lock().unwrap().is_empty());
}

#[tokio::test]
async fn looking_leaves_no_metric_and_a_deployed_dry_run_watches() {
    for (dry_run, payload, answers, lines) in [
        ("false", json!({}), json!("Act 0"), 1),
        ("false", json!({"dryRun": true}), json!("Look 0"), 0),
        ("true", json!({}), json!("Look 0"), 0),
        (
            "true",
            json!({"Records": [message("m", &event(SWEEP.0, SWEEP.1), None)]}),
            json!({"reconciled": "Watch 1", "deadLettered": 0}),
            1,
        ),
    ] {
        let (frame, metrics) = frame::<Rounds>(&[("DRY_RUN", dry_run)], Recorder::default());
        assert_eq!(frame.handle(payload.clone()).await.unwrap(), answers, "{payload}");
        assert_eq!(metrics.lock().unwrap().len(), lines, "{payload}");
    }
}

#[tokio::test]
async fn a_round_that_fails_in_part_emits_its_metrics_and_names_every_cause() {
    let (frame, metrics) = frame::<Rounds>(&[("FAILS", "")], Recorder::default());
    let failure = frame.handle(json!({})).await.unwrap_err();
    assert_eq!((failure.kind(), failure.chain()), (Kind::Permanent, "a; and b".to_owned()));
    assert_eq!(metrics.lock().unwrap()[0]["Rounds"], json!(1.0));
}

#[tokio::test]
async fn custom_resources_are_answered_by_their_function_and_others_refused() {
    let recorder = Recorder::default();
    let (frame, _) = frame::<Rounds>(&[], recorder.clone());
    for (kind, status) in [("Custom::Known", "SUCCESS"), ("Custom::Other", "FAILED")] {
        let request = json!({
            "RequestType": "Create", "ResponseURL": "http://answers.example/x", "StackId": "s", "RequestId": "r",
            "ResourceType": kind, "LogicalResourceId": "l", "ResourceProperties": {},
        });
        frame.handle(request).await.unwrap();
        let (to, body) = recorder.requests.lock().unwrap().last().cloned().unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((to.as_str(), &answer["Status"]), ("http://answers.example/x", &json!(status)), "{body}");
    }
}

#[tokio::test]
async fn each_single_message_has_a_result_and_holds_up_only_its_own_group() {
    let recorder = Recorder::default();
    let (frame, _) = frame::<Singles>(&[], recorder.clone());
    let records = [
        message("1", "later", Some("a")),
        message("2", "fine a", Some("a")),
        message("3", "never", Some("b")),
        message("4", "fine b", Some("b")),
        message("5", "later", None),
        message("6", "fine", None),
    ];
    let answer = frame.handle(json!({"Records": records})).await.unwrap();
    let failed = ["1", "2", "5"].map(|id| json!({"itemIdentifier": id}));
    assert_eq!(answer, json!({"batchItemFailures": failed}));
    assert_eq!(*frame.function().0.0.lock().unwrap(), ["later", "never", "fine b", "later", "fine"]);
    let sent = recorder.requests.lock().unwrap();
    assert!(sent.len() == 1 && sent[0].1.contains("no alert"), "what never succeeds is dead-lettered: {sent:?}");
}

#[tokio::test]
async fn sweeps_among_single_messages_make_one_round_after_the_others() {
    let sweep = |id| message(id, &event(SWEEP.0, SWEEP.1), None);
    let records = json!({"Records": [sweep("1"), message("2", "fine", None), sweep("3")]});
    for (variables, failed) in [(&[][..], &[][..]), (&[("FAILS", "")], &["1", "3"])] {
        let (frame, _) = frame::<Singles>(variables, Recorder::default());
        let answer = frame.handle(records.clone()).await.unwrap();
        assert_eq!(*frame.function().0.0.lock().unwrap(), ["fine", "Act 2"]);
        let failed: Vec<_> = failed.iter().map(|id| json!({"itemIdentifier": id})).collect();
        assert_eq!(answer, json!({"batchItemFailures": failed}));
    }
}

#[tokio::test]
async fn a_function_gets_what_it_reads_by_itself_and_others_refuse_it() {
    let payload = json!({"alarm": "x"});
    assert_eq!(frame::<Singles>(&[], Recorder::default()).0.handle(payload.clone()).await.unwrap(), payload);
    let refused = frame::<Rounds>(&[], Recorder::default()).0.handle(payload).await.unwrap_err();
    assert!(refused.to_string().starts_with("unknown event"), "{refused}");
}

#[tokio::test]
async fn a_message_is_dead_lettered_into_a_queue_of_either_kind() {
    for (url, ordered) in [("https://sqs/0/dead.fifo", true), ("https://sqs/0/dead", false)] {
        let recorder = Recorder::default();
        let (frame, _) = frame::<Singles>(&[("DEAD_LETTER_QUEUE_URL", url)], recorder.clone());
        frame.handle(json!({"Records": [message("1", "never", None)]})).await.unwrap();
        let sent: Value = serde_json::from_str(&recorder.requests.lock().unwrap()[0].1).unwrap();
        let has = |name: &str| sent.get(name).is_some();
        assert_eq!((has("MessageGroupId"), has("MessageDeduplicationId")), (ordered, ordered), "{sent}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_dead_lettered_comes_again() {
    let (frame, _) = frame::<Singles>(&[], Recorder { refuses: true, ..Recorder::default() });
    let answer = frame.handle(json!({"Records": [message("1", "never", None)]})).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "1"}]}));
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_neither_fails_the_function_nor_holds_it_up() {
    let began = tokio::time::Instant::now();
    frame::<Rounds>(&[], Recorder::default()).0.warm_up().await;
    assert!(began.elapsed().is_zero());
    frame::<Rounds>(&[("FAILS", "")], Recorder::default()).0.warm_up().await;
    assert_eq!(began.elapsed(), WARM_UP);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_hangs_brings_back_none_of_the_others() {
    let (frame, _) = frame::<Singles>(&[], Recorder::default());
    let records = [message("1", "fine", None), message("2", "hangs", None), message("3", "fine too", None)];
    let (began, left) = (tokio::time::Instant::now(), Duration::from_secs(21));
    let answer = frame.handle_within(json!({"Records": records}), left).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "2"}]}));
    assert_eq!(*frame.function().0.0.lock().unwrap(), ["fine", "hangs", "fine too"]);
    assert_eq!(began.elapsed(), Duration::from_secs(10), "half of what was left, and a second to answer");
}
