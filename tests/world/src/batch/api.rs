//! What submits, describes and terminates jobs.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Job, Outcome, Refusal, World, arn, client, detail, short};

/// The most jobs of one `DescribeJobs` (API reference, `jobs`).
const MOST: usize = 100;
/// What a job may be besides, which the world has none of.
const ABSENT: [&str; 5] = ["arrayProperties", "dependsOn", "nodeOverrides", "ecsPropertiesOverride", "shareIdentifier"];

impl World {
    /// API reference of `SubmitJob`. There is no token: each call makes a job.
    pub(super) fn submit_job(&mut self, body: &Value) -> Result<Value, Refusal> {
        let name = needed(body, "jobName")?;
        if !is_name(name) {
            let rule = "up to 128 letters, numbers, hyphens and underscores, the first one no hyphen or underscore";
            return Err(client(format!("jobName {name} is not {rule}")));
        }
        if let Some(field) = ABSENT.into_iter().find(|field| !body[*field].is_null()) {
            return Err(client(format!("the world has no jobs with {field}")));
        }
        let queue = short("job-queue", needed(body, "jobQueue")?).to_owned();
        if !self.batch.queues.contains_key(&queue) {
            return Err(client(format!("JobQueue {queue} not found")));
        }
        let (definition, environment, timeout) = self.defined(needed(body, "jobDefinition")?)?;
        let overrides = overridden(body)?;
        let timeout = match &body["timeout"]["attemptDurationSeconds"] {
            Value::Null => timeout,
            seconds => seconds.as_i64(),
        };
        if timeout.is_some_and(|seconds| seconds < 60) {
            return Err(client("the minimum value for the timeout is 60 seconds"));
        }
        let parameters = body["parameters"].as_object().into_iter().flatten();
        let parameters = parameters.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let job = Job {
            name: name.to_owned(),
            queue,
            definition,
            parameters: parameters.collect(),
            environment: environment.into_iter().chain(overrides).collect(),
            status: "SUBMITTED",
            status_reason: None,
            created: self.now,
            started: None,
            stopped: None,
            exit_code: None,
            reason: None,
            task: None,
            log_stream: None,
            timeout: timeout.map(SignedDuration::from_secs),
            terminated: None,
            cancelled: false,
            outcome: Outcome::Good,
            due: Some(self.now + self.batch.pace.submitted),
            halfway: false,
            killed: None,
            number: self.batch.jobs.len(),
        };
        let (id, name) = (self.uuid(), job.name.clone());
        self.batch.jobs.insert(id.clone(), job);
        Ok(json!({"jobArn": arn("job", &id), "jobId": id, "jobName": name}))
    }

    /// What a definition says: `name`, `name:revision`, or its ARN; without a revision it is the latest one.
    #[expect(clippy::type_complexity, reason = "three facts of one definition")]
    fn defined(&self, id: &str) -> Result<((String, usize), BTreeMap<String, String>, Option<i64>), Refusal> {
        let id = short("job-definition", id);
        let (name, revision) = match id.split_once(':') {
            Some((name, revision)) => (name, revision.parse().ok()),
            None => (id, self.batch.definitions.get(id).map(Vec::len)),
        };
        let revisions = self.batch.definitions.get(name);
        let found = revision.zip(revisions).and_then(|(n, all)| Some((n, all.get(n.checked_sub(1)?)?)));
        let (revision, definition) = found.ok_or_else(|| client(format!("JobDefinition {id} not found")))?;
        Ok(((name.to_owned(), revision), definition.environment.clone(), definition.timeout))
    }

    /// API reference of `DescribeJobs`. Ids of no job are left out.
    pub(super) fn describe_jobs(&self, body: &Value) -> Result<Value, Refusal> {
        let ids = body["jobs"].as_array().ok_or_else(|| client("jobs is needed"))?;
        if ids.len() > MOST {
            return Err(client(format!("{} jobs, and {MOST} are the most", ids.len())));
        }
        let mut jobs = Vec::new();
        for id in ids.iter().filter_map(Value::as_str) {
            let id = short("job", id);
            jobs.extend(self.kept_job(id).map(|job| detail::job(id, job)));
        }
        Ok(json!({"jobs": jobs}))
    }

    /// API reference of `TerminateJob`. It answers with nothing.
    pub(super) fn terminate_job(&mut self, body: &Value) -> Result<Value, Refusal> {
        let (id, reason) = (needed(body, "jobId")?.to_owned(), needed(body, "reason")?.to_owned());
        if reason.len() > 1024 {
            return Err(client("the limit of reason is 1024 characters"));
        }
        if self.kept_job(&id).is_none() {
            return Err(client(format!("Job {id} not found")));
        }
        self.end_by_request(&id, &reason);
        Ok(json!({}))
    }
}

/// A text that a request must have.
fn needed<'a>(body: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    let text = body[key].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| client(format!("{key} is needed")))
}

/// «It can be up to 128 letters long. The first character must be alphanumeric, can contain uppercase and lowercase letters,
/// numbers, hyphens (-), and underscores (_).» (API reference of `SubmitJob`, `jobName`.)
fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// What the request adds to the environment (API reference of `ContainerOverrides`, `environment`).
fn overridden(body: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let mut environment = BTreeMap::new();
    for pair in body["containerOverrides"]["environment"].as_array().into_iter().flatten() {
        let (name, value) = (pair["name"].as_str().unwrap_or_default(), pair["value"].as_str().unwrap_or_default());
        if name.is_empty() {
            return Err(client("a variable of the environment has no name"));
        }
        if name.starts_with("AWS_BATCH") {
            return Err(client(format!("Environment variables cannot start with AWS_BATCH: {name}")));
        }
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(environment)
}
