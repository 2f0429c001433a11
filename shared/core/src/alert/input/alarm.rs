//! Alarms of CloudWatch, in the three forms in which they come: the message of an SNS action, the payload of a Lambda action,
//! and the event of EventBridge. The pages that describe each, and what they leave open, are in `tests/fixtures/fixtures.md`.

mod measured;
mod severity;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{Alert, Key, Link, Status, aws},
    console::{self, Arn, escape, is_region},
    event::labels,
    payload::{cut, field, instant, list, pairs, text},
};

/// How long a rule of a composite alarm is shown; it can have 10,240 characters (API reference, `PutCompositeAlarm`).
const RULE: usize = 1000;
/// How long a title is.
const TITLE: usize = 120;

/// An alarm's change of state, whatever told of it.
struct Change<'a> {
    /// The id of the notification or event, where there is one.
    id: Option<&'a str>,
    name: &'a str,
    arn: Option<&'a str>,
    account: &'a str,
    /// As the form writes it: SNS gives the region's name for people.
    region: &'a str,
    value: &'a str,
    previous: Option<&'a str>,
    reason: Option<&'a str>,
    /// JSON in a text, where the form has it.
    reason_data: Option<Value>,
    time: Option<Timestamp>,
    description: Option<&'a str>,
    /// What has the metrics: the trigger, or the configuration.
    metrics: &'a Value,
    rule: Option<&'a str>,
    /// The ARNs of the alarms that made a composite alarm change.
    children: Vec<String>,
    contributor: Option<&'a str>,
    contributor_attributes: &'a Value,
    /// What has the fields about tags.
    tagged: &'a Value,
    /// Why CloudWatch does not run the alarm's actions, and until when, where it says so.
    held_back: Option<String>,
}

/// Reads an alarm in whichever form it has.
pub(super) fn read(payload: &Value, id: Option<&str>) -> Option<Alert> {
    let change = action(payload).or_else(|| event(payload)).or_else(|| notification(payload, id))?;
    let status = match change.value {
        "ALARM" => Status::Firing,
        "OK" => Status::Resolved,
        "INSUFFICIENT_DATA" => Status::Unknown,
        _ => return None,
    };
    Some(change.alert(status))
}

/// The labels of an alarm that are no tags.
const OWN: [&str; 6] = ["account", "actions", "alarm", "contributor", "region", "source"];

impl Alert {
    /// Returns the ARN of its alarm where nothing is known of the alarm's tags: a form has them only where the alarm says so
    /// (CloudWatch user guide, "Alarm tags in action payloads").
    #[must_use]
    pub fn untagged_alarm(&self) -> Option<&str> {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let untagged = label("source") == Some("alarm") && self.labels.keys().all(|name| OWN.contains(&name.as_str()));
        let arn = self.key.as_str().split('#').next()?;
        (untagged && Arn::parse(arn).is_some_and(|arn| arn.resource.starts_with("alarm:"))).then_some(arn)
    }

    /// Takes over the tags of its alarm: the severity, and each other one as a label.
    pub fn tag(&mut self, tags: &[(String, String)]) {
        let severity = tags.iter().find(|(name, _)| severity::is_name(name));
        self.severity = severity.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(self.severity);
        for (name, value) in tags.iter().filter(|(name, _)| !severity::is_name(name)) {
            self.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        // What is known is not asked for again.
        self.labels.entry("tags".to_owned()).or_insert_with(|| tags.len().to_string());
    }
}

/// Reads the message of an SNS action.
fn notification<'a>(payload: &'a Value, id: Option<&'a str>) -> Option<Change<'a>> {
    let trigger = &payload["Trigger"];
    let children = list(&payload["TriggeringChildren"]).iter().filter_map(|child| child["Arn"].as_str());
    Some(Change {
        id,
        name: text(payload, &["AlarmName"])?,
        arn: text(payload, &["AlarmArn"]),
        account: text(payload, &["AWSAccountId"]).unwrap_or_default(),
        region: text(payload, &["Region"]).unwrap_or_default(),
        value: text(payload, &["NewStateValue"])?,
        previous: text(payload, &["OldStateValue"]),
        reason: text(payload, &["NewStateReason"]),
        reason_data: None,
        time: instant(&payload["StateChangeTime"]),
        description: text(payload, &["AlarmDescription"]),
        metrics: trigger,
        rule: text(payload, &["AlarmRule"]),
        children: children.map(str::to_owned).collect(),
        contributor: text(payload, &["AlarmContributorId"]),
        contributor_attributes: &payload["AlarmContributorAttributes"],
        tagged: payload,
        held_back: None,
    })
}

/// Reads the payload of a Lambda action.
fn action(payload: &Value) -> Option<Change<'_>> {
    let data = &payload["alarmData"];
    let arn = text(payload, &["alarmArn"]).or_else(|| resource(payload));
    let change = changed(payload, data, arn, text(payload, &["accountId", "account"]))?;
    Some(Change { tagged: if payload["alarmTags"].is_null() { data } else { payload }, ..change })
}

/// Reads an event of EventBridge, of an alarm or of one of its contributors.
fn event(payload: &Value) -> Option<Change<'_>> {
    let kind = payload["detail-type"].as_str()?;
    let known = matches!(kind, "CloudWatch Alarm State Change" | "CloudWatch Alarm Contributor State Change");
    if payload["source"] != "aws.cloudwatch" || !known {
        return None;
    }
    let change = changed(payload, &payload["detail"], resource(payload), text(payload, &["account"]))?;
    Some(Change { id: text(payload, &["id"]), ..change })
}

/// Returns the ARN among an event's resources.
fn resource(payload: &Value) -> Option<&str> {
    list(&payload["resources"]).iter().filter_map(Value::as_str).find(|arn| arn.contains(":alarm:"))
}

/// Reads what the Lambda action and the event have in common.
fn changed<'a>(
    payload: &'a Value,
    data: &'a Value,
    arn: Option<&'a str>,
    account: Option<&'a str>,
) -> Option<Change<'a>> {
    let (state, configuration) = (&data["state"], &data["configuration"]);
    let reason_data: Option<Value> = text(state, &["reasonData"]).and_then(|data| serde_json::from_str(data).ok());
    let children = reason_data.iter().flat_map(|data| list(&data["triggeringAlarms"]));
    let children = children.filter_map(|child| child["arn"].as_str().map(str::to_owned)).collect();
    let suppressed = text(state, &["actionsSuppressedBy"]).map(|by| {
        format!("CloudWatch does not run its actions: {}.", text(state, &["actionsSuppressedReason"]).unwrap_or(by))
    });
    let muted = text(&data["muteDetail"], &["mutedByArn"]).map(|by| {
        let until = text(&data["muteDetail"], &["muteWindowEnd"]).unwrap_or("an unknown time");
        format!("CloudWatch does not run its actions until {until}: {by} mutes them.")
    });
    Some(Change {
        id: None,
        name: text(data, &["alarmName"])?,
        arn,
        account: account.unwrap_or_default(),
        region: text(payload, &["region"]).unwrap_or_default(),
        value: text(state, &["value"])?,
        previous: text(&data["previousState"], &["value"]),
        reason: text(state, &["reason"]),
        reason_data,
        time: instant(&state["timestamp"]).or_else(|| instant(&payload["time"])),
        description: text(configuration, &["description"]),
        metrics: configuration,
        rule: text(configuration, &["alarmRule"]),
        children,
        contributor: text(&data["alarmContributor"], &["id"]),
        contributor_attributes: field(&data["alarmContributor"], &["attributes"]),
        tagged: data,
        held_back: suppressed.or(muted),
    })
}

impl Change<'_> {
    fn alert(&self, status: Status) -> Alert {
        let identity = self.identity();
        let arn = Arn::parse(&identity);
        let region = arn.map(|arn| arn.region).or(Some(self.region)).filter(|region| is_region(region));
        let tags = pairs(field(self.tagged, &["alarmTags", "AlarmTags"]));
        let (severity, description) = severity::judge(&tags, self.name, self.description);
        let key = match self.contributor {
            Some(contributor) => format!("{identity}#{contributor}"),
            None => identity.clone(),
        };
        let event = match (self.id, self.time) {
            (Some(id), _) => id.to_owned(),
            (None, Some(time)) => format!("{key}@{time}/{}", self.value),
            (None, None) => format!("{key}@/{}/{}", self.value, self.reason.unwrap_or_default()),
        };
        Alert {
            event,
            status,
            lasting: true,
            severity,
            labels: self.labels(tags, arn, region),
            title: title(description, self.name),
            meaning: self.meaning(description),
            since: self.time,
            reading: measured::reading(self.metrics, self.reason, self.reason_data.as_ref()),
            links: region.and_then(|region| self.link(region, arn)).into_iter().collect(),
            next_step: self.next_step(region),
            key: Key::new(&key),
        }
    }

    /// Returns the alarm's ARN. Where the form lacks it, it is made of what else is there; an SNS message without one has no
    /// region to make it of, and is known by its own words.
    fn identity(&self) -> String {
        match self.arn {
            Some(arn) => arn.to_owned(),
            None if is_region(self.region) => {
                let partition = console::partition(self.region);
                format!("arn:{partition}:cloudwatch:{}:{}:alarm:{}", self.region, self.account, self.name)
            }
            None => format!("alarm:{}:{}:{}", self.account, self.region, self.name),
        }
    }

    fn labels(
        &self,
        tags: Vec<(String, String)>,
        arn: Option<Arn<'_>>,
        region: Option<&str>,
    ) -> BTreeMap<String, String> {
        let account = if self.account.is_empty() { arn.map_or("", |arn| arn.account) } else { self.account };
        let mut all: BTreeMap<String, String> = tags.into_iter().filter(|(name, _)| !severity::is_name(name)).collect();
        all.extend(labels("alarm", account, region));
        all.insert("alarm".to_owned(), self.name.to_owned());
        if let Some(contributor) = self.contributor {
            all.insert("contributor".to_owned(), contributor.to_owned());
        }
        if self.held_back.is_some() {
            all.insert("actions".to_owned(), "held back".to_owned());
        }
        all
    }

    fn meaning(&self, description: Option<&str>) -> String {
        let attributes = pairs(self.contributor_attributes);
        let attributes =
            attributes.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
        let tags = text(self.tagged, &["alarmTagsStatus", "AlarmTagsStatus"]).filter(|status| *status != "SUCCESS");
        let lines = [
            description.map(str::to_owned),
            Some(self.reason.unwrap_or("CloudWatch gives no reason.").to_owned()),
            self.contributor
                .map(|id| if attributes.is_empty() { format!("Of {id}.") } else { format!("Of {attributes}.") }),
            (!self.children.is_empty()).then(|| cut(&format!("Changed by: {}", self.children.join(", ")), RULE)),
            self.rule.map(|rule| format!("Rule: {}", cut(rule, RULE))),
            self.previous.map(|previous| format!("Before: {previous}")),
            self.held_back.clone(),
            tags.map(|status| {
                format!("Its tags are missing or incomplete ({status}): so may its severity and its routes be.")
            }),
        ];
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    fn link(&self, region: &str, arn: Option<Arn<'_>>) -> Option<Link> {
        let page = format!("cloudwatch/deeplink.js?region={region}#alarmsV2:alarm/{}", escape(self.name));
        console::link("Alarm", region, arn.map_or(console::partition(region), |arn| arn.partition), &page)
    }

    /// Shows when and why the alarm changed. Without the type the history of a composite alarm is left out (API reference,
    /// `DescribeAlarmHistory`).
    fn next_step(&self, region: Option<&str>) -> Option<String> {
        let composite = self.rule.map(|_| ("alarm-types", "CompositeAlarm"));
        let contributor = self.contributor.map(|id| ("alarm-contributor-id", id));
        let options = region.map(|region| ("region", region)).into_iter().chain([("alarm-name", self.name)]);
        let options: Vec<_> = options.chain(composite).chain(contributor).chain([("max-items", "10")]).collect();
        aws("cloudwatch describe-alarm-history", &options)
    }
}

/// Returns the first sentence of the description: names that CloudFormation gives tell little. Where it is missing or long,
/// the name it is.
fn title(description: Option<&str>, name: &str) -> String {
    let sentence = description
        .and_then(|text| text.lines().next())
        .map(|line| line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches(['.', ' ']).to_owned());
    sentence.filter(|text| (1..=TITLE).contains(&text.chars().count())).unwrap_or_else(|| cut(name, TITLE))
}
