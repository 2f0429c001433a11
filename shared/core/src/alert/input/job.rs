//! Jobs of Batch (Batch user guide, "Job state change events"; API reference, `JobDetail`).

use serde_json::Value;

use super::{
    super::{Alert, Key, Severity, Status, aws},
    console::escape,
    event::Event,
    payload::{cut, field, instant, list, text},
    task::signal,
};

/// Where jobs log that say nothing else (API reference, `AttemptContainerDetail`).
const LOGS: &str = "/aws/batch/job";

/// Reads a change of state of a job. A job that failed stays failed: its incident is closed by whoever looked at it.
pub(super) fn read(payload: &Value) -> Option<Alert> {
    let event = Event::of(payload, "aws.batch").filter(|event| event.kind == "Batch Job State Change")?;
    let detail = event.detail;
    let status = text(detail, &["status"])?;
    let arn = text(detail, &["jobArn"]).or_else(|| event.resource(":job/"))?;
    let id = text(detail, &["jobId"]).or_else(|| arn.rsplit('/').next()).unwrap_or_default();
    let (name, queue) = (text(detail, &["jobName"]).unwrap_or(id), text(detail, &["jobQueue"]).unwrap_or_default());
    let (name, queue) = (cut(name, 128), queue.rsplit('/').next().unwrap_or_default());
    let (status, severity, key, title) = match status {
        "FAILED" => (Status::Firing, Severity::Error, arn.to_owned(), format!("Batch job {name} failed")),
        "SUCCEEDED" => (Status::Resolved, Severity::Error, arn.to_owned(), format!("Batch job {name} succeeded")),
        other => {
            let title = format!("Batch job {name} is {}", cut(&other.to_ascii_lowercase(), 40));
            (Status::Firing, Severity::Info, format!("{arn}#{other}"), title)
        }
    };
    let log = log(detail);
    let page = |region: &str| format!("batch/home?region={region}#jobs/detail/{}", escape(id));
    let links = [event.link("Job", page), log.and_then(|(group, stream)| event.log(group, stream))];
    let next_step = match log {
        Some((group, stream)) => {
            let options = [("log-group-name", group), ("log-stream-name", stream), ("limit", "50")];
            aws("logs get-log-events", &event.options(&options))
        }
        None => aws("batch describe-jobs", &event.options(&[("jobs", id)])),
    };
    let mut labels = event.labels("job");
    labels.insert("job".to_owned(), name);
    labels.insert("queue".to_owned(), queue.to_owned());
    Some(Alert {
        key: Key::new(&key),
        event: event.id(),
        status,
        lasting: false,
        severity,
        labels,
        title,
        meaning: meaning(detail),
        since: instant(&detail["stoppedAt"]).or_else(|| event.time()),
        reading: None,
        links: links.into_iter().flatten().collect(),
        next_step,
    })
}

/// Returns the container of the last attempt, in which the reason and the exit code are of that attempt.
fn container(detail: &Value) -> &Value {
    list(&detail["attempts"])
        .last()
        .map(|attempt| &attempt["container"])
        .filter(|it| it.is_object())
        .unwrap_or(&detail["container"])
}

/// Returns the group and the stream of the job's log. A job that never started has none.
fn log(detail: &Value) -> Option<(&str, &str)> {
    let stream =
        text(container(detail), &["logStreamName"]).or_else(|| text(&detail["container"], &["logStreamName"]))?;
    let configured = field(&detail["container"], &["logConfiguration"]);
    match text(configured, &["logDriver"]) {
        None | Some("awslogs") => Some((text(&configured["options"], &["awslogs-group"]).unwrap_or(LOGS), stream)),
        Some(_) => None,
    }
}

fn meaning(detail: &Value) -> String {
    let container = container(detail);
    let code = container["exitCode"].as_i64();
    let signal = code.and_then(signal).unwrap_or_default();
    let attempts = list(&detail["attempts"]).len();
    let lines = [
        text(detail, &["statusReason"]).map(|reason| cut(reason, 500)),
        text(container, &["reason"]).map(|reason| format!("Container: {}", cut(reason, 500))),
        Some(code.map_or_else(
            // So it is when the host was reclaimed.
            || "No exit code is known.".to_owned(),
            |code| format!("Exit code {code}{signal}"),
        )),
        (attempts > 0).then(|| format!("Attempts: {attempts}")),
        text(detail, &["jobDefinition"]).map(|definition| format!("Definition: {definition}")),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}
