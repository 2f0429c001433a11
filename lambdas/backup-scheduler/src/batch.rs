//! AWS Batch: four operations of its REST API, all of them `POST` with JSON.

use std::collections::BTreeMap;

use cluster_core::backup::{Job, Progress};
use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Error, Service, Signed, json_refusal},
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

const BATCH: Service = Service { name: "batch", variable: "BATCH", refusal: json_refusal };
/// The most jobs that one call describes (API reference of `DescribeJobs`, `jobs`).
const PER_CALL: usize = 100;
/// The most pages of one list. A list that does not end is no list.
const PAGES: usize = 100;

/// AWS Batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    signed: Signed,
}

/// A job as Batch describes it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// How far it is.
    pub(crate) progress: Progress,
    /// When it was submitted.
    pub(crate) created: Timestamp,
    /// When its container began to run; nothing when it never did.
    pub(crate) started: Option<Timestamp>,
    /// When it stopped.
    pub(crate) stopped: Option<Timestamp>,
    /// The exit code of its container.
    pub(crate) exit_code: Option<i32>,
    /// Why it ended, in Batch's and its container's words.
    pub(crate) reason: String,
    /// Where its log is.
    pub(crate) log_stream: Option<String>,
    /// The variable `BACKUP_NONCE` that it was submitted with.
    pub(crate) nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Submitted {
    job_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    job_summary_list: Vec<Summary>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    job_id: String,
    job_name: String,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    job_id: String,
    status: String,
    #[serde(default)]
    status_reason: String,
    /// «The Unix timestamp (in milliseconds) for when the job was created»; those below are of the same form.
    created_at: Option<i64>,
    /// «when it's transitioned from the STARTING state to the RUNNING state»: nothing for a job that never ran.
    started_at: Option<i64>,
    /// «when the job transitioned from the RUNNING state to a terminal state».
    stopped_at: Option<i64>,
    #[serde(default)]
    container: Container,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    /// «The exit code to return upon completion.» There is none where the container never ran.
    exit_code: Option<i32>,
    #[serde(default)]
    reason: String,
    log_stream_name: Option<String>,
    #[serde(default)]
    environment: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

impl Described {
    /// Returns what is decided by. In which queue a job is, is known better by whoever submitted it.
    pub(crate) fn job(&self, on_spot: bool) -> Job {
        Job { progress: self.progress, created: self.created, started: self.started, on_spot }
    }
}

impl Batch {
    /// Makes a client. Refuses where no endpoint is known.
    pub(crate) fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { signed: Signed::new(BATCH, lookup, aws)? })
    }

    /// Submits a job and returns its id. Once: Batch knows no token by which it would tell a second attempt from a second job.
    pub(crate) async fn submit(
        &self,
        name: &str,
        queue: &str,
        definition: &str,
        variables: &[(&str, String)],
    ) -> Result<String, Error> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let body = json!({
            "jobName": name, "jobQueue": queue, "jobDefinition": definition, "containerOverrides": {"environment": variables},
        });
        let body = body.to_string();
        let call = call("SubmitJob", "/v1/submitjob", &body);
        let timeout = call.attempt_timeout;
        let answer = self.signed.call(call.once(timeout)).await?;
        let submitted: Submitted =
            serde_json::from_slice(&answer.body).map_err(|error| Error::Request(Box::new(error)))?;
        Ok(submitted.job_id)
    }

    /// Returns the ids of all jobs of a queue with this name. «If this filter is used, the jobStatus parameter is ignored» (API
    /// reference of `ListJobs`, `filters`): those that have ended are among them.
    pub(crate) async fn named(&self, name: &str, queue: &str) -> Result<Vec<String>, Failure> {
        let step = format!("look for the job {name}");
        let mut ids = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let filters = json!([{"name": "JOB_NAME", "values": [name]}]);
            let mut body = json!({"jobQueue": queue, "filters": filters});
            if let (Some(fields), Some(token)) = (body.as_object_mut(), token.take()) {
                fields.insert("nextToken".to_owned(), Value::String(token));
            }
            let page: Page = self.read("ListJobs", "/v1/listjobs", &body, &step).await?;
            // The filter takes no account of upper and lower case.
            ids.extend(page.job_summary_list.into_iter().filter(|job| job.job_name == name).map(|job| job.job_id));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(ids);
            }
        }
        Err(Failure::permanent(format!("the list of jobs named {name} does not end")))
    }

    /// Describes jobs by id. One that Batch has forgotten is not among them.
    pub(crate) async fn describe(&self, ids: &[&str]) -> Result<BTreeMap<String, Described>, Failure> {
        let mut described = BTreeMap::new();
        for ids in ids.chunks(PER_CALL) {
            let step = "describe the jobs";
            let found: Jobs = self.read("DescribeJobs", "/v1/describejobs", &json!({"jobs": ids}), step).await?;
            for mut detail in found.jobs {
                let id = std::mem::take(&mut detail.job_id);
                described.insert(id.clone(), read(&id, detail)?);
            }
        }
        Ok(described)
    }

    /// Ends a job: one that waits is cancelled, one that runs is killed. One that has ended stays as it is.
    pub(crate) async fn terminate(&self, id: &str, why: &str) -> Result<(), Failure> {
        let body = json!({"jobId": id, "reason": why}).to_string();
        let ended = self.signed.call(call("TerminateJob", "/v1/terminatejob", &body)).await;
        ended.map(drop).map_err(|error| error.failure(&format!("terminate the job {id}")))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        body: &Value,
        step: &str,
    ) -> Result<T, Failure> {
        let body = body.to_string();
        let answer = self.signed.call(call(operation, path, &body)).await.map_err(|error| error.failure(step))?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::transient(format!("could not {step}")).caused_by(format!("Batch's answer is unreadable: {error}"))
        })
    }
}

fn call<'a>(operation: &'a str, path: &'a str, body: &'a str) -> Call<'a> {
    Call::new(operation, path, &[("content-type", "application/json")], body.as_bytes())
}

fn read(id: &str, detail: Detail) -> Result<Described, Failure> {
    let progress = Progress::read(&detail.status).ok_or_else(|| {
        Failure::transient(format!("Batch says that the job {id} is {:?}, which is unknown", detail.status))
    })?;
    let created = detail.created_at.and_then(time);
    let created =
        created.ok_or_else(|| Failure::transient(format!("Batch does not say when the job {id} was created")))?;
    let started = detail.started_at.and_then(time);
    let words: Vec<_> =
        [detail.status_reason, detail.container.reason].into_iter().filter(|words| !words.is_empty()).collect();
    let nonce = detail.container.environment.into_iter().find(|variable| variable.name == "BACKUP_NONCE");
    Ok(Described {
        progress,
        created,
        started,
        stopped: detail.stopped_at.and_then(time),
        exit_code: detail.container.exit_code,
        reason: words.join(": "),
        log_stream: detail.container.log_stream_name,
        nonce: nonce.map(|variable| variable.value),
    })
}

/// Reads a time. The reference calls `startedAt` of a job required, and does not say what it is of one that never ran: 0 is none.
fn time(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok().filter(|at| *at > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_never_ran_has_not_started_whether_its_time_is_missing_or_zero() {
        for started in ["", r#""startedAt": 0,"#] {
            let text = format!(r#"{{"jobId": "j", "status": "FAILED", {started} "createdAt": 1795428000000}}"#);
            let found = read("j", serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!((found.started, found.progress), (None, Progress::Ended), "{text}");
        }
    }
}
