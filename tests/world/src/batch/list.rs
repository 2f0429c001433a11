//! Lists of jobs.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{
    super::{Refusal, World, page},
    Job, KEPT, arn, client, detail, short,
};

/// The most jobs of a page with a filter, and without one (API reference of `ListJobs`, `maxResults`).
const MOST: (usize, usize) = (100, 1000);
const STATUSES: [&str; 7] = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"];
const SCOPES: [&str; 3] = ["jobQueue", "arrayJobId", "multiNodeJobId"];

impl World {
    /// The job of this id, as long as Batch remembers it.
    pub(super) fn kept_job(&self, id: &str) -> Option<&Job> {
        self.batch.jobs.get(id).filter(|job| self.keeps_job(job))
    }

    fn keeps_job(&self, job: &Job) -> bool {
        job.stopped.is_none_or(|stopped| self.now < stopped + KEPT)
    }

    /// API reference of `ListJobs`.
    pub(super) fn list_jobs(&self, body: &Value) -> Result<Value, Refusal> {
        let scopes: Vec<_> = SCOPES.into_iter().filter(|scope| !body[*scope].is_null()).collect();
        let ["jobQueue"] = scopes[..] else {
            return Err(client(match scopes.len() {
                1 => format!("the world has no jobs with {}", scopes.concat()),
                _ => "You must specify only one of jobQueue, multiNodeJobId and arrayJobId".to_owned(),
            }));
        };
        let queue = short("job-queue", body["jobQueue"].as_str().unwrap_or_default());
        if !self.batch.queues.contains_key(queue) {
            return Err(client(format!("JobQueue {queue} not found")));
        }
        let filter = filter(&body["filters"])?;
        let most = if filter.is_some() { MOST.0 } else { MOST.1 };
        let most = match &body["maxResults"] {
            Value::Null => most,
            wanted => {
                let wanted = wanted.as_u64().filter(|wanted| *wanted >= 1);
                let wanted = wanted.ok_or_else(|| client("the minimum value of maxResults is 1"))?;
                most.min(usize::try_from(wanted).unwrap_or(most))
            }
        };
        let fits = match &filter {
            Some(filter) => *filter,
            None => Filter::Status(status(&body["jobStatus"])?),
        };
        let jobs = self.batch.jobs.iter().filter(|(_, job)| job.queue == queue && self.keeps_job(job));
        let mut jobs: Vec<_> = jobs.filter(|(_, job)| fits.matches(job)).collect();
        // Sorted by `createdAt`, the most recent jobs first; by a name, «the results are grouped by the job name».
        let grouped = matches!(fits, Filter::Name(_));
        jobs.sort_by_key(|(_, job)| (grouped.then(|| job.name.clone()), Reverse((job.created, job.number))));
        let jobs: Vec<_> = jobs.into_iter().map(|(id, job)| detail::summary(id, job)).collect();
        let (jobs, next) = page(&jobs, body["nextToken"].as_str(), most.min(self.page));
        Ok(json!({"jobSummaryList": jobs, "nextToken": next}))
    }
}

/// What a list is of.
#[derive(Clone, Copy)]
enum Filter<'a> {
    Status(&'static str),
    Name(&'a str),
    Definition(&'a str),
    Before(i64),
    After(i64),
}

/// «Only one filter can be used at a time. When the filter is used, jobStatus is ignored.»
fn filter(filters: &Value) -> Result<Option<Filter<'_>>, Refusal> {
    let filter = match filters.as_array().map_or(&[][..], Vec::as_slice) {
        [] => return Ok(None),
        [filter] => filter,
        _ => return Err(client("only one filter can be used at a time")),
    };
    let values = filter["values"].as_array().map_or(&[][..], Vec::as_slice);
    let [Value::String(value)] = values else {
        return Err(client("the world reads filters with one value"));
    };
    let number = || value.parse().map_err(|_| client(format!("{value} is no time in milliseconds")));
    Ok(Some(match filter["name"].as_str().unwrap_or_default() {
        "JOB_NAME" => Filter::Name(value),
        "JOB_DEFINITION" => Filter::Definition(value),
        "BEFORE_CREATED_AT" => Filter::Before(number()?),
        "AFTER_CREATED_AT" => Filter::After(number()?),
        other => return Err(client(format!("the world has no filter {other}"))),
    }))
}

/// «If you don't specify a status, only RUNNING jobs are returned.»
fn status(asked: &Value) -> Result<&'static str, Refusal> {
    let Some(asked) = asked.as_str() else { return Ok("RUNNING") };
    let known = STATUSES.into_iter().find(|status| *status == asked);
    known.ok_or_else(|| client(format!("jobStatus {asked} is none of {}", STATUSES.join(", "))))
}

impl Filter<'_> {
    fn matches(self, job: &Job) -> bool {
        match self {
            Self::Status(status) => job.status == status,
            // «A case-insensitive match for the job name. If the value ends with an asterisk (*), the filter matches any job
            // name that begins with the string before the '*'.»
            Self::Name(value) => {
                let (name, value) = (job.name.to_lowercase(), value.to_lowercase());
                value.strip_suffix('*').map_or(name == value, |start| name.starts_with(start))
            }
            Self::Definition(value) => {
                let (name, revision) = &job.definition;
                let full = arn("job-definition", &format!("{name}:{revision}"));
                value == full || value.strip_suffix('*').map_or(name == value, |start| name.starts_with(start))
            }
            Self::Before(time) => job.created.as_millisecond() < time,
            Self::After(time) => job.created.as_millisecond() > time,
        }
    }
}
