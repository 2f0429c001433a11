//! Says which routes an alert would take, and what each destination would get. Nothing is sent.

use std::collections::BTreeMap;

use cluster_core::alert::{Alert, Key, Severity, Status, named, read, render};
use cluster_lambda::Failure;
use serde_json::{Value, json};

use crate::Router;

/// The field of a payload that asks for it.
pub(crate) const ROUTE_TEST: &str = "routeTest";

impl Router {
    pub(crate) fn route_test(&self, payload: &Value) -> Result<Value, Failure> {
        let alerts = match short(payload)? {
            Some(alert) => vec![alert],
            None => read(payload),
        };
        let tested = alerts.iter().map(|alert| {
            let takes = self.config.tree.ways(alert).into_iter().map(|way| {
                json!({
                    "to": way.to,
                    "route": way.route,
                    "holdMinutes": way.hold.as_mins(),
                    "repeatMinutes": way.repeat.as_mins(),
                    "message": message(&way.to, alert),
                })
            });
            json!({
                "title": alert.title,
                "severity": alert.severity,
                "status": alert.status,
                "labels": alert.labels,
                "takes": takes.collect::<Vec<_>>(),
            })
        });
        Ok(json!({"alerts": tested.collect::<Vec<_>>(), "refused": self.config.refused}))
    }
}

/// Reads the short form, `{"severity": "critical", "labels": {"tier": "core"}}`, in which `title` may stand too.
fn short(payload: &Value) -> Result<Option<Alert>, Failure> {
    let Some(fields) = payload.as_object() else { return Ok(None) };
    if fields.is_empty() || !fields.keys().all(|name| ["severity", "labels", "title"].contains(&name.as_str())) {
        return Ok(None);
    }
    let wrong = |what: &str, form: &str| Failure::permanent(format!("{ROUTE_TEST}: {what} should be {form}"));
    let severity = match &payload["severity"] {
        Value::Null => Severity::Error,
        value => {
            let form = "info, warning, error or critical";
            value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong("severity", form))?
        }
    };
    let labels: BTreeMap<String, String> = match &payload["labels"] {
        Value::Null => BTreeMap::new(),
        value => serde_json::from_value(value.clone()).map_err(|_| wrong("labels", "an object of texts"))?,
    };
    Ok(Some(Alert {
        key: Key::new("route-test"),
        event: "route-test".to_owned(),
        status: Status::Firing,
        lasting: true,
        severity,
        labels,
        title: payload["title"].as_str().unwrap_or("A test of the routes").to_owned(),
        meaning: "Somebody tests the routes. Nothing is wrong.".to_owned(),
        since: None,
        reading: None,
        links: Vec::new(),
        next_step: None,
    }))
}

fn message(to: &str, alert: &Alert) -> Value {
    match named(to).0 {
        "slack" => render::slack(alert),
        "pagerduty" => Value::Object(render::pagerduty(alert).event().clone()),
        "webhook" => serde_json::from_str(&render::webhook(alert)).unwrap_or_default(),
        _ => {
            let message = render::sns(alert);
            json!({"subject": message.subject, "text": message.text})
        }
    }
}
