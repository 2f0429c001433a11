//! The addresses in secrets: one, or several by name.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    secrets::{Secrets, Version},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How long what a secret holds is used before it is read again, unless it is refused.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// The addresses in secrets.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    secrets: Secrets,
    kept: Arc<Mutex<HashMap<String, (Timestamp, Version)>>>,
}

/// An address: whatever a destination needs. It prints nothing.
#[derive(Clone, PartialEq)]
pub(super) struct Address {
    pub(super) value: Value,
    /// Whether it was read by an earlier delivery.
    pub(super) is_old: bool,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

impl Addresses {
    /// Makes a client of Secrets Manager.
    pub(super) fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { secrets: Secrets::new(lookup, aws)?, kept: Arc::default() })
    }

    /// Returns an address, which may be an hour old.
    pub(super) async fn of(&self, arn: &str, entry: Option<&str>, now: Timestamp) -> Result<Address, Failure> {
        let kept = self.kept().get(arn).cloned();
        match kept.filter(|(at, _)| now.duration_since(*at) < KEPT) {
            Some((_, version)) => Ok(Address { value: pick(arn, &version.text, entry)?, is_old: true }),
            None => self.fresh(arn, entry, now).await,
        }
    }

    /// Returns an address as the secret holds it now.
    pub(super) async fn fresh(&self, arn: &str, entry: Option<&str>, now: Timestamp) -> Result<Address, Failure> {
        let version = self.secrets.current(arn).await?;
        let version =
            version.ok_or_else(|| Failure::permanent(format!("the secret {arn} holds no text: put one into it")))?;
        self.kept().insert(arn.to_owned(), (now, version.clone()));
        Ok(Address { value: pick(arn, &version.text, entry)?, is_old: false })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, (Timestamp, Version)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Picks an entry out of a secret's text: a JSON object by name where one is asked for, and otherwise all of it, or its entry
/// `default`.
fn pick(arn: &str, text: &str, entry: Option<&str>) -> Result<Value, Failure> {
    let text = text.trim();
    let object = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let missing = |name: &str| {
        Failure::permanent(format!("the secret {arn} has no entry {name:?}: add it, or let no route name it"))
    };
    match (entry, object) {
        (Some(name), Some(object)) => object.get(name).cloned().ok_or_else(|| missing(name)),
        (Some(name), None) => Err(missing(name)),
        (None, Some(object)) => Ok(object.get("default").cloned().unwrap_or(object)),
        (None, None) => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_holds_one_address_or_several_by_name() {
        let several = r#"{"default": "https://a", "db": {"url": "https://b", "secret": "s"}}"#;
        for (text, entry, want) in [
            ("https://a\n", None, json!("https://a")),
            (several, None, json!("https://a")),
            (several, Some("db"), json!({"url": "https://b", "secret": "s"})),
            (r#"{"url": "https://b", "secret": "s"}"#, None, json!({"url": "https://b", "secret": "s"})),
        ] {
            assert_eq!(pick("arn", text, entry).unwrap(), want, "{text}");
        }
        for (text, entry) in [("https://a", Some("db")), (several, Some("x"))] {
            let refused = pick("arn:1", text, entry).unwrap_err().to_string();
            assert!(refused.starts_with("the secret arn:1 has no entry") && !refused.contains("https"), "{refused}");
        }
    }
}
