//! Auto Scaling groups (EC2 Auto Scaling user guide, "Event reference").

use serde_json::Value;

use super::{
    super::{Alert, Key, Severity, Status, aws},
    console::{escape, partition},
    event::Event,
    payload::{cut, instant, text},
};

/// Reads that an instance could not be launched or terminated, or that the next one could.
///
/// No event has the name of an abandoned lifecycle hook. A launch that ended so is unsuccessful, and its status message says it;
/// what a termination that ended so sends is not documented.
pub(super) fn read(payload: &Value) -> Option<Alert> {
    let event = Event::of(payload, "aws.autoscaling")?;
    let (verb, status) = match event.kind {
        "EC2 Instance Launch Unsuccessful" => ("launch", Status::Firing),
        "EC2 Instance Launch Successful" => ("launch", Status::Resolved),
        "EC2 Instance Terminate Unsuccessful" => ("terminate", Status::Firing),
        "EC2 Instance Terminate Successful" => ("terminate", Status::Resolved),
        _ => return None,
    };
    let detail = event.detail;
    let group = text(detail, &["AutoScalingGroupName"])?;
    let region = event.region().unwrap_or_default();
    // Not the ARN, which is among the resources: it has an id besides the name, and a group that was made again under its name is
    // the same to whoever is on call.
    let arn = format!("arn:{}:autoscaling:{region}:{}:{group}", partition(region), event.account());
    let message = text(detail, &["StatusMessage"]);
    let abandoned = message.is_some_and(|text| text.contains("Lifecycle Action") && text.contains("abandoned"));
    let instance = text(detail, &["EC2InstanceId"]);
    let name = cut(group, 100);
    let title = match (status, abandoned) {
        (Status::Resolved, _) => format!("Auto Scaling could {verb} an instance of {name}"),
        (_, true) => format!("A lifecycle hook of {name} was abandoned"),
        _ => format!("Auto Scaling could not {verb} an instance of {name}"),
    };
    let details = &detail["Details"];
    let meaning = [
        message.map(|message| cut(message, 1000)),
        text(detail, &["Cause"]).map(|cause| cut(cause, 1000)),
        instance.map(|instance| format!("Instance: {instance}")),
        text(details, &["Availability Zone"]).map(|zone| format!("Zone: {zone}")),
    ];
    let mut labels = event.labels("auto-scaling");
    labels.insert("group".to_owned(), group.to_owned());
    let page =
        |region: &str| format!("ec2/home?region={region}#AutoScalingGroupDetails:id={};view=activity", escape(group));
    Some(Alert {
        key: Key::new(&format!("{arn}#{verb}")),
        event: event.id(),
        status,
        lasting: false,
        severity: Severity::Error,
        labels,
        title,
        meaning: meaning.into_iter().flatten().collect::<Vec<_>>().join("\n"),
        since: instant(&detail["EndTime"]).or_else(|| event.time()),
        reading: None,
        links: event.link("Activity of the group", page).into_iter().collect(),
        next_step: aws(
            "autoscaling describe-scaling-activities",
            &event.options(&[("auto-scaling-group-name", group), ("max-items", "5")]),
        ),
    })
}
