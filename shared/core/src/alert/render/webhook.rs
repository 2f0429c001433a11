use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::{
    super::Alert,
    text::{Room, labels, line, lines, links, next_step, title},
};
use crate::neo4j::Secret;

/// The version of the body. Fields may be added to it; what is there keeps its name, its form and its meaning.
const VERSION: u32 = 1;
/// Keep a body below 256 KiB: each character of a text takes at most twice its bytes in JSON.
const MEANING: usize = 65_536;
const COMMAND: usize = 8_192;
/// The shortest secret: a key should not be shorter than the hash (RFC 2104, section 3).
const SECRET: usize = 32;

/// Renders an alert as JSON of our own. The signature is over these very bytes.
#[must_use]
pub fn webhook(alert: &Alert) -> String {
    let short = Room::bytes(1_024);
    let (command, left_out) = match next_step(alert, COMMAND) {
        Some(Ok(command)) => (Some(command), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let reading = alert.reading.as_ref().map(|reading| {
        let threshold = reading.threshold.as_deref().map(|threshold| short.fit(&line(threshold)));
        // JSON knows no infinity and no NaN: they become null.
        json!({"metric": short.fit(&line(&reading.metric)), "value": reading.value, "threshold": threshold})
    });
    let links: Vec<_> = links(alert).into_iter().map(|(title, url)| json!({"title": title, "url": url})).collect();
    let labels: Map<_, _> = labels(alert).into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    let body = json!({
        "version": VERSION,
        "key": alert.key.as_str(),
        "event": short.fit(&line(&alert.event)),
        "status": alert.status,
        "severity": alert.severity,
        "labels": labels,
        "title": short.fit(&title(alert)),
        "meaning": Room::bytes(MEANING).fit(&lines(&alert.meaning)),
        "since": alert.since.map(|since| since.to_string()),
        "reading": reading,
        "links": links,
        "next_step": command,
        "next_step_left_out": left_out,
    });
    body.to_string()
}

/// A secret that is too short to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret that signs webhooks has {0} bytes: give it 32 or more, such as what `openssl rand -hex 32` prints")]
pub struct ShortSecret(usize);

/// Returns the headers of a webhook that is sent at a time: its type, the time in seconds, and the signature over
/// `timestamp.body`. Whoever receives it computes the same, and refuses a time that is minutes away: so nobody can replay it.
pub fn sign(secret: &Secret, at: Timestamp, body: &str) -> Result<[(&'static str, String); 3], ShortSecret> {
    let key = secret.reveal().as_bytes();
    let short = ShortSecret(key.len());
    if key.len() < SECRET {
        return Err(short);
    }
    let seconds = at.as_second().to_string();
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| short)?;
    for part in [seconds.as_bytes(), b".", body.as_bytes()] {
        mac.update(part);
    }
    let digits = mac.finalize().into_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let hex: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    Ok([
        ("content-type", "application/json".to_owned()),
        ("alert-timestamp", seconds),
        ("alert-signature", format!("v1={hex}")),
    ])
}
