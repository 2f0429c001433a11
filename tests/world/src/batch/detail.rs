//! How jobs are described: `JobDetail`, `JobSummary`, and the detail of their events, which «resembles the `JobDetail`».

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{ACCOUNT, REGION},
    Job, arn,
};

/// The object of these fields without those that are not known.
fn known(fields: Value) -> Value {
    let Value::Object(fields) = fields else { return fields };
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}

fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

fn definition(job: &Job) -> String {
    let (name, revision) = &job.definition;
    arn("job-definition", &format!("{name}:{revision}"))
}

fn task(job: &Job) -> Option<String> {
    job.task.as_ref().map(|task| format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/AWSBatch-{}/{task}", job.queue))
}

/// API reference of `JobSummary`.
pub(super) fn summary(id: &str, job: &Job) -> Value {
    known(json!({
        "jobArn": arn("job", id), "jobId": id, "jobName": job.name, "jobDefinition": definition(job),
        "createdAt": job.created.as_millisecond(), "startedAt": millis(job.started), "stoppedAt": millis(job.stopped),
        "status": job.status, "statusReason": job.status_reason,
        "container": known(json!({"exitCode": job.exit_code, "reason": job.reason})),
        "isCancelled": job.cancelled.then_some(true), "isTerminated": job.terminated.is_some().then_some(true),
    }))
}

/// API reference of `JobDetail`. An attempt is one that has ended; a job that never ran has none.
pub(super) fn job(id: &str, job: &Job) -> Value {
    let environment = job.environment.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let attempt = job.stopped.filter(|_| job.task.is_some()).map(|stopped| {
        known(json!({
            "container": known(json!({
                "exitCode": job.exit_code, "reason": job.reason, "logStreamName": job.log_stream,
                "taskArn": task(job), "networkInterfaces": [],
            })),
            "startedAt": millis(job.started), "stoppedAt": stopped.as_millisecond(), "statusReason": job.status_reason,
        }))
    });
    let timeout = job.timeout.map(|timeout| json!({"attemptDurationSeconds": timeout.as_secs()}));
    known(json!({
        "jobArn": arn("job", id), "jobId": id, "jobName": job.name, "jobQueue": arn("job-queue", &job.queue),
        "jobDefinition": definition(job), "status": job.status, "statusReason": job.status_reason,
        "createdAt": job.created.as_millisecond(), "startedAt": millis(job.started), "stoppedAt": millis(job.stopped),
        "attempts": Vec::from_iter(attempt), "retryStrategy": {"attempts": 1, "evaluateOnExit": []}, "dependsOn": [],
        "parameters": job.parameters, "timeout": timeout, "tags": {}, "propagateTags": false,
        "platformCapabilities": ["EC2"], "eksAttempts": [],
        "container": known(json!({
            "environment": environment.collect::<Vec<_>>(), "exitCode": job.exit_code, "reason": job.reason,
            "logStreamName": job.log_stream, "taskArn": task(job),
            "volumes": [], "mountPoints": [], "ulimits": [], "networkInterfaces": [], "secrets": [],
        })),
        "isCancelled": job.cancelled, "isTerminated": job.terminated.is_some(),
    }))
}
