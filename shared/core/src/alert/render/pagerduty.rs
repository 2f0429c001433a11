use serde_json::{Map, Value, json};

use super::{
    super::{Alert, Status},
    text::{Room, facts, labels, line, links, meaning, next_step, state, title},
};
use crate::neo4j::Secret;

/// The longest summary (developer.pagerduty.com, docs/events-api-v2/trigger-events, `payload.summary`).
const SUMMARY: usize = 1_024;
/// No limit is documented for these: as long as a key may be.
const FIELD: usize = 255;
/// Keep an event, which may have 512 KB (developer.pagerduty.com, docs/events-api-v2/overview, "Size Limits"), below 300:
/// each character of a text takes at most twice its bytes in JSON.
const MEANING: usize = 65_536;
const COMMAND: usize = 8_192;

/// An event of the Events API v2, without the key that routes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty(Map<String, Value>);

impl PagerDuty {
    /// Returns the body of the request to `/v2/enqueue`. It contains the routing key, so it is as secret as that.
    #[must_use]
    pub fn body(&self, routing_key: &Secret) -> Secret {
        let mut event = self.0.clone();
        event.insert("routing_key".to_owned(), Value::from(routing_key.reveal()));
        Secret::new(Value::Object(event).to_string())
    }

    /// Returns the event, to be shown.
    #[must_use]
    pub fn event(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// Renders an alert for `PagerDuty`.
///
/// An alert of which nobody knows triggers: on an open incident that is an entry in its log, and it resolves none. A resolve
/// only counts with the routing key of its trigger.
#[must_use]
pub fn pagerduty(alert: &Alert) -> PagerDuty {
    let mut event = Map::new();
    event.insert("dedup_key".to_owned(), alert.key.as_str().into());
    if alert.status == Status::Resolved {
        event.insert("event_action".to_owned(), "resolve".into());
        return PagerDuty(event);
    }
    event.insert("event_action".to_owned(), "trigger".into());
    event.insert("payload".to_owned(), payload(alert));
    let links: Vec<_> = links(alert).into_iter().map(|(text, href)| json!({"href": href, "text": text})).collect();
    if !links.is_empty() {
        event.insert("links".to_owned(), links.into());
    }
    PagerDuty(event)
}

fn payload(alert: &Alert) -> Value {
    let title = title(alert);
    let summary = if alert.status == Status::Unknown { format!("{}: {title}", state(alert)) } else { title };
    let metric = alert.reading.as_ref().map(|reading| reading.metric.as_str());
    let mut payload = Map::new();
    payload.insert("summary".to_owned(), Room::chars(SUMMARY).fit(&summary).into());
    payload.insert("severity".to_owned(), alert.severity.to_string().into());
    payload.insert("custom_details".to_owned(), details(alert));
    // It is required, so it ends with what every alert has.
    let source = first(alert, &["instance", "member", "stack", "alarm", "account"], Some(alert.key.as_str()));
    payload.insert("source".to_owned(), source.unwrap_or_else(|| "unknown".to_owned()).into());
    let optional = [
        ("component", first(alert, &["component", "tier"], None)),
        ("group", first(alert, &["stack", "account"], None)),
        ("class", first(alert, &["class", "kind"], metric)),
        ("timestamp", alert.since.map(|since| since.to_string())),
    ];
    let known = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    payload.extend(known);
    payload.into()
}

/// Returns the first of the labels that is there and says something, or else the fallback.
fn first(alert: &Alert, names: &[&str], fallback: Option<&str>) -> Option<String> {
    let texts = names.iter().filter_map(|name| alert.labels.get(*name)).map(String::as_str).chain(fallback);
    texts.map(line).find(|text| !text.is_empty()).map(|text| Room::chars(FIELD).fit(&text))
}

fn details(alert: &Alert) -> Value {
    let short = Room::bytes(1_024);
    let mut details = Map::new();
    for (name, value) in facts(alert) {
        details.insert(name.to_lowercase(), short.fit(&value).into());
    }
    let meaning = Room::bytes(MEANING).fit(&meaning(alert));
    let step = next_step(alert, COMMAND).map(|step| step.map_or_else(|why| why, str::to_owned));
    let texts = [("what it means", Some(meaning).filter(|meaning| !meaning.is_empty())), ("next step", step)];
    details.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    let labels: Map<_, _> = labels(alert).into_iter().map(|(name, value)| (name, value.into())).collect();
    details.insert("labels".to_owned(), labels.into());
    details.insert("event".to_owned(), short.fit(&line(&alert.event)).into());
    details.into()
}
