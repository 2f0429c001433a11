//! What has no form that is known.

use serde_json::Value;

use super::{
    super::{Alert, Key, Severity, Status},
    Envelope,
    console::is_region,
    event::labels,
    payload::{cut, digest, field, instant, raw, text},
};

/// Makes an alert that carries the payload as it came. Each opens an incident of its own, so that none hides another; and
/// since it may be anything, somebody looks at it today.
pub(super) fn read(payload: &Value, envelope: Envelope<'_>) -> Alert {
    let kind = text(payload, &["detail-type"]).or(envelope.subject).unwrap_or("a message");
    let event = text(payload, &["id"])
        .or(envelope.notification)
        .or(envelope.message)
        .map_or_else(|| digest(payload), str::to_owned);
    let region = text(payload, &["region"]).filter(|region| is_region(region));
    let account = text(payload, &["account", "AWSAccountId", "accountId"]).unwrap_or_default();
    Alert {
        // Two payloads with one id are two incidents all the same.
        key: Key::new(&format!("unclassified:{event}:{}", digest(payload))),
        event,
        status: Status::Firing,
        lasting: false,
        severity: Severity::Error,
        labels: labels("unclassified", account, region),
        title: format!("Unclassified: {}", cut(kind, 120)),
        meaning: format!("Nothing is known of this form. As it came:\n{}", raw(payload)),
        since: instant(field(payload, &["time", "Timestamp"])),
        reading: None,
        links: Vec::new(),
        next_step: None,
    }
}
