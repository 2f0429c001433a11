//! Tasks of ECS (ECS developer guide, "Task state change events"; API reference, `Task` and `Container`).

use serde_json::Value;

use super::{
    super::{Alert, Key, Severity, Status, aws},
    console::escape,
    event::Event,
    payload::{cut, instant, list, text},
};

/// Reads a change of state of a task.
///
/// A task of a service that ended by itself, or failed to start, opens an incident of the service, and the next one that runs
/// resolves it. That a task runs says nothing of its health, which no event tells.
pub(super) fn read(payload: &Value) -> Option<Alert> {
    let event = Event::of(payload, "aws.ecs").filter(|event| event.kind == "ECS Task State Change")?;
    let detail = event.detail;
    let (status, group) =
        (text(detail, &["lastStatus"])?, text(detail, &["group"]).unwrap_or("a task without a group"));
    let (cluster, task) = (text(detail, &["clusterArn"]).unwrap_or_default(), text(detail, &["taskArn"])?);
    let service = group.strip_prefix("service:");
    let own = service.map_or_else(|| task.to_owned(), |service| format!("{cluster}#{service}"));
    let name = cut(service.unwrap_or(group), 80);
    let outcome = Outcome::of(detail, status);
    let running = status == "RUNNING" && text(detail, &["desiredStatus"]) == Some("RUNNING");
    let (status, severity, key, title) = match outcome {
        Outcome::Failed => (Status::Firing, Severity::Error, own, format!("Task of {name} ended: {}", ends(detail))),
        Outcome::Unstarted => (Status::Firing, Severity::Error, own, format!("Task of {name} failed to start")),
        Outcome::Unhealthy => {
            (Status::Firing, Severity::Error, own, format!("Task of {name} was unhealthy and is stopped"))
        }
        Outcome::Other if running => (Status::Resolved, Severity::Error, own, format!("Task of {name} runs")),
        // Somebody wanted this: good to know for whoever routes it at all.
        Outcome::Other => (
            Status::Firing,
            Severity::Info,
            format!("{task}#{status}"),
            format!("Task of {name} is {}", cut(&status.to_ascii_lowercase(), 40)),
        ),
    };
    let id = task.rsplit('/').next().unwrap_or(task);
    let link = cluster.rsplit('/').next().filter(|cluster| !cluster.is_empty()).and_then(|cluster| {
        let (cluster, id) = (escape(cluster), escape(id));
        event.link("Task", |region| format!("ecs/v2/clusters/{cluster}/tasks/{id}?region={region}"))
    });
    let mut labels = event.labels("task");
    labels.insert("group".to_owned(), group.to_owned());
    labels.extend(service.map(|service| ("service".to_owned(), service.to_owned())));
    Some(Alert {
        key: Key::new(&key),
        event: event.id(),
        status,
        lasting: false,
        severity,
        labels,
        title: cut(&title, 200),
        meaning: meaning(detail),
        since: instant(&detail["stoppedAt"]).or_else(|| event.time()),
        reading: None,
        links: link.into_iter().collect(),
        next_step: aws("ecs describe-tasks", &event.options(&[("cluster", cluster), ("tasks", task)])),
    })
}

/// How a task came to its state.
enum Outcome {
    /// An essential container exited.
    Failed,
    /// It never ran.
    Unstarted,
    /// ECS stopped it for its health.
    Unhealthy,
    /// It was stopped by will, or it is not stopped.
    Other,
}

impl Outcome {
    /// Reads the code, and the reason where an older event has no code.
    fn of(detail: &Value, status: &str) -> Self {
        if status != "STOPPED" {
            return Self::Other;
        }
        let reason = text(detail, &["stoppedReason"]).unwrap_or_default().to_ascii_lowercase();
        match text(detail, &["stopCode"]) {
            Some("EssentialContainerExited") => Self::Failed,
            Some("TaskFailedToStart") => Self::Unstarted,
            _ if reason.starts_with("essential container") => Self::Failed,
            _ if reason.contains("health check") => Self::Unhealthy,
            _ => Self::Other,
        }
    }
}

/// Says how each container ended. The event does not say which of them is essential.
fn ends(detail: &Value) -> String {
    let ends = list(&detail["containers"]).iter().map(|container| {
        let name = text(container, &["name"]).unwrap_or("a container");
        let reason = text(container, &["reason"]).unwrap_or_default();
        match container["exitCode"].as_i64() {
            _ if reason.starts_with("OutOfMemory") => format!("{name} ran out of memory"),
            Some(code) => format!("{name} exited with {code}"),
            None => format!("{name} ended without an exit code"),
        }
    });
    let ends = ends.collect::<Vec<_>>().join(", ");
    if ends.is_empty() { "an essential container exited".to_owned() } else { ends }
}

fn meaning(detail: &Value) -> String {
    let said = text(detail, &["stoppedReason"]).map(|reason| cut(reason, 500));
    let place = text(detail, &["containerInstanceArn"]).map(|arn| format!("Container instance: {arn}"));
    let zone = text(detail, &["availabilityZone"]).map(|zone| format!("Zone: {zone}"));
    let containers = list(&detail["containers"]).iter().filter_map(|container| {
        let name = text(container, &["name"])?;
        let reason = text(container, &["reason"]).map(|reason| format!(": {}", cut(reason, 300)));
        let code = container["exitCode"].as_i64();
        let signal = code.and_then(signal).unwrap_or_default();
        let code = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}{signal}"));
        Some(format!("{name}: {code}{}", reason.unwrap_or_default()))
    });
    said.into_iter().chain(containers).chain(place).chain(zone).collect::<Vec<_>>().join("\n")
}

/// Names the signal behind an exit code: 128 and its number.
pub(super) fn signal(code: i64) -> Option<&'static str> {
    match code {
        134 => Some(" (SIGABRT)"),
        137 => Some(" (SIGKILL: no memory was left, or it did not stop in time)"),
        139 => Some(" (SIGSEGV)"),
        143 => Some(" (SIGTERM)"),
        _ => None,
    }
}
