//! Batch takes jobs, lists and describes them, and ends them, as its API reference says.

mod life;
mod runs;

use cluster_sim::{
    time::play,
    wire::{Fault, Wire},
};
use cluster_world::{
    Kind, Request, World,
    batch::{Definition, Job, Outcome, Queue},
};
use serde_json::{Value, json};

use super::json_of;

const BUCKET: &str = "backups";
const GROUP: &str = "/neo4j/backup";

/// A world with two queues, a definition, and a bucket.
struct Jobs {
    world: World,
}

fn request(operation: &str, body: &Value) -> Request {
    Request {
        method: "POST".to_owned(),
        path: format!("/v1/{operation}"),
        body: body.to_string().into_bytes(),
        ..Request::default()
    }
}

impl Jobs {
    fn new() -> Self {
        let mut world = World::new("2026-11-30T01:00:00Z".parse().unwrap(), 1);
        world.put_job_queue("spot", Queue::default());
        world.put_job_queue("on-demand", Queue::default());
        let region = ("AWS_REGION".to_owned(), "eu-west-1".to_owned());
        let definition = Definition {
            environment: [region].into(),
            timeout: Some(3600),
            log_group: Some(GROUP.to_owned()),
            stream_prefix: None,
        };
        assert_eq!(
            world.put_job_definition("backup", definition),
            "arn:aws:batch:eu-west-1:000000000000:job-definition/backup:1"
        );
        world.bucket(BUCKET);
        Self { world }
    }

    fn ask(&mut self, operation: &str, body: &Value) -> Value {
        let answer = self.world.answer(&request(operation, body));
        assert_eq!(answer.status, 200, "{}", answer.body);
        json_of(&answer)
    }

    /// Asks for what is refused, and returns the message.
    fn refused(&mut self, operation: &str, body: &Value) -> String {
        let answer = self.world.answer(&request(operation, body));
        let header = ("x-amzn-errortype", "ClientException".to_owned());
        assert_eq!((answer.status, &answer.headers[..]), (400, &[header][..]), "{}", answer.body);
        json_of(&answer)["message"].as_str().unwrap().to_owned()
    }

    fn submit(&mut self, name: &str) -> String {
        let answer = self.ask("submitjob", &job(name));
        answer["jobId"].as_str().unwrap().to_owned()
    }

    fn list(&mut self, body: &Value) -> Vec<String> {
        let mut body = body.clone();
        body["jobQueue"] = json!("spot");
        let answer = self.ask("listjobs", &body);
        let jobs = answer["jobSummaryList"].as_array().unwrap();
        jobs.iter().map(|job| job["jobName"].as_str().unwrap().to_owned()).collect()
    }

    fn describe(&mut self, id: &str) -> Value {
        self.ask("describejobs", &json!({"jobs": [id]}))["jobs"][0].clone()
    }

    fn status(&mut self, id: &str) -> String {
        self.describe(id)["status"].as_str().unwrap().to_owned()
    }

    fn job(&self, id: &str) -> &Job {
        &self.world.batch.jobs[id]
    }

    /// The states that events have told of, since the last look.
    fn told(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.world.events);
        let details = events.iter().map(|event| {
            assert_eq!(
                (&event["Source"], &event["DetailType"]),
                (&json!("aws.batch"), &json!("Batch Job State Change"))
            );
            serde_json::from_str::<Value>(event["Detail"].as_str().unwrap()).unwrap()["status"].clone()
        });
        details.map(|status| status.as_str().unwrap().to_owned()).collect()
    }
}

fn job(name: &str) -> Value {
    json!({"jobName": name, "jobQueue": "spot", "jobDefinition": "backup"})
}

#[test]
fn each_submission_is_a_job_of_its_own_and_names_are_as_the_reference_says() {
    let mut jobs = Jobs::new();
    let (first, second) = (jobs.submit("nightly"), jobs.submit("nightly"));
    assert_ne!(first, second, "there is no token: a repeated call makes another job");
    for name in ["", "-nightly", "_nightly", "nightly.neo4j", "näher", &"n".repeat(129)] {
        jobs.refused("submitjob", &job(name));
    }
    jobs.submit(&format!("1_-{}", "n".repeat(125)));
    let given = job("given");
    for (field, value) in [
        ("jobQueue", json!("other")),
        ("jobDefinition", json!("other")),
        ("jobDefinition", json!("backup:2")),
        ("timeout", json!({"attemptDurationSeconds": 59})),
        ("containerOverrides", json!({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "1"}]})),
    ] {
        let mut wrong = given.clone();
        wrong[field] = value;
        jobs.refused("submitjob", &wrong);
    }
    let mut by_arn = given;
    by_arn["jobQueue"] = json!("arn:aws:batch:eu-west-1:000000000000:job-queue/spot");
    by_arn["jobDefinition"] = json!("arn:aws:batch:eu-west-1:000000000000:job-definition/backup:1");
    by_arn["containerOverrides"] = json!({"environment": [{"name": "AWS_REGION", "value": "eu-north-1"}]});
    by_arn["parameters"] = json!({"kind": "full"});
    let answer = jobs.ask("submitjob", &by_arn);
    let id = answer["jobId"].as_str().unwrap().to_owned();
    assert_eq!(answer["jobArn"], json!(format!("arn:aws:batch:eu-west-1:000000000000:job/{id}")));
    let described = jobs.describe(&id);
    assert_eq!(described["container"]["environment"], json!([{"name": "AWS_REGION", "value": "eu-north-1"}]));
    assert_eq!(
        (&described["parameters"], &described["timeout"]),
        (&json!({"kind": "full"}), &json!({"attemptDurationSeconds": 3600}))
    );
    assert_eq!(described["jobQueue"], by_arn["jobQueue"]);
    assert!(described["startedAt"].is_null() && described["container"]["logStreamName"].is_null(), "{described}");
    let call = jobs.world.calls.iter().rev().find(|call| call.action == "batch:SubmitJob").unwrap();
    let resources = [&by_arn["jobDefinition"], &by_arn["jobQueue"]].map(|arn| arn.as_str().unwrap().to_owned());
    assert_eq!((&call.resources[..], call.write), (&resources[..], true));
}

#[test]
fn a_list_without_a_status_is_of_running_jobs_and_a_filter_does_not_look_at_the_status() {
    let mut jobs = Jobs::new();
    jobs.world.batch.queues.get_mut("spot").unwrap().capacity = Some(1);
    let running = jobs.submit("Nightly-neo4j");
    jobs.world.advance(10);
    jobs.submit("nightly-system");
    jobs.world.advance(150);
    assert_eq!(jobs.status(&running), "RUNNING");
    assert_eq!(jobs.list(&json!({})), ["Nightly-neo4j"]);
    assert_eq!(jobs.list(&json!({"jobStatus": "RUNNABLE"})), ["nightly-system"]);
    assert!(jobs.list(&json!({"jobStatus": "SUCCEEDED"})).is_empty());
    let by = |name: &str, value: &str| json!({"filters": [{"name": name, "values": [value]}], "jobStatus": "FAILED"});
    assert_eq!(jobs.list(&by("JOB_NAME", "NIGHTLY-NEO4J")), ["Nightly-neo4j"]);
    assert!(jobs.list(&by("JOB_NAME", "nightly")).is_empty(), "no prefix without an asterisk");
    assert_eq!(jobs.list(&by("JOB_NAME", "nightly*")).len(), 2);
    assert_eq!(jobs.list(&by("JOB_DEFINITION", "backup")), ["nightly-system", "Nightly-neo4j"], "the newest first");
    let began = jobs.job(&running).created.as_millisecond();
    assert_eq!(jobs.list(&by("AFTER_CREATED_AT", &began.to_string())), ["nightly-system"]);
    for wrong in [
        json!({}),
        json!({"jobQueue": "spot", "arrayJobId": "1"}),
        json!({"jobQueue": "other"}),
        json!({"jobQueue": "spot", "jobStatus": "ENDED"}),
        json!({"jobQueue": "spot", "maxResults": 0}),
        json!({"jobQueue": "spot", "filters": [{"name": "JOB_NAME", "values": ["a"]}, {"name": "JOB_NAME", "values": ["b"]}]}),
    ] {
        jobs.refused("listjobs", &wrong);
    }
    let call = jobs.world.call(&request("listjobs", &json!({"jobQueue": "spot"}))).unwrap();
    assert_eq!(
        (call.action.as_str(), &call.resources[..], call.write),
        ("batch:ListJobs", &["*".to_owned()][..], false)
    );
    let none =
        jobs.ask("listjobs", &json!({"jobQueue": "on-demand", "filters": [{"name": "JOB_NAME", "values": ["*"]}]}));
    assert_eq!(none["jobSummaryList"], json!([]), "a list is of one queue");
}

#[test]
fn a_list_comes_in_pages_of_a_hundred_at_most_where_it_has_a_filter() {
    let mut jobs = Jobs::new();
    for n in 0..250 {
        jobs.submit(&format!("nightly-{n}"));
    }
    let filter = json!([{"name": "JOB_NAME", "values": ["nightly-*"]}]);
    let (mut names, mut sizes, mut token) = (std::collections::BTreeSet::new(), vec![], Value::Null);
    loop {
        let page = jobs.ask("listjobs", &json!({"jobQueue": "spot", "filters": filter, "nextToken": token}));
        let found = page["jobSummaryList"].as_array().unwrap();
        sizes.push(found.len());
        names.extend(found.iter().map(|job| job["jobName"].as_str().unwrap().to_owned()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((names.len(), &sizes[..]), (250, &[100, 100, 50][..]));
    let short = jobs.ask("listjobs", &json!({"jobQueue": "spot", "filters": filter, "maxResults": 3}));
    assert_eq!(short["jobSummaryList"].as_array().unwrap().len(), 3);
}

#[test]
fn a_description_leaves_out_what_is_not_there_and_takes_a_hundred_ids() {
    let mut jobs = Jobs::new();
    let id = jobs.submit("nightly");
    let found = jobs.ask("describejobs", &json!({"jobs": ["0000", id]}));
    assert_eq!(found["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(jobs.ask("describejobs", &json!({"jobs": []}))["jobs"], json!([]));
    jobs.refused("describejobs", &json!({"jobs": vec![id; 101]}));
    jobs.refused("describejobs", &json!({}));
}

#[test]
fn calls_meet_faults_as_batch_words_them() {
    play(async {
        let wire = Wire::new(Jobs::new().world);
        let (list, submit) = (
            request("listjobs", &json!({"jobQueue": "spot", "jobStatus": "SUBMITTED"})),
            request("submitjob", &job("nightly")),
        );
        let describe = request("describejobs", &json!({"jobs": []}));
        assert_eq!((list.kind(), submit.kind(), describe.kind()), (Kind::List, Kind::Write, Kind::Read));
        assert!(!list.writes() && !describe.writes() && submit.writes());
        for (fault, status, code) in
            [(Fault::Throttle, 429, "TooManyRequestsException"), (Fault::Denied, 403, "AccessDeniedException")]
        {
            wire.plan(1, fault);
            let refused = wire.send(&submit).await.unwrap();
            assert_eq!((refused.status, refused.headers[0].1.as_str()), (status, code));
        }
        wire.remember();
        wire.plan_for("batch:SubmitJob", 1, Fault::ResetAfterEffect);
        assert!(wire.send(&submit).await.is_err());
        assert_eq!(wire.world().batch.jobs.len(), 1, "the job is there, though nobody heard of it");
        wire.plan(1, Fault::Stale);
        let stale = wire.send(&list).await.unwrap();
        assert_eq!(json_of(&stale)["jobSummaryList"], json!([]), "no page says that a list is complete at once");
        assert_eq!(json_of(&wire.send(&list).await.unwrap())["jobSummaryList"].as_array().unwrap().len(), 1);
    });
}
