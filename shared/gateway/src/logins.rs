use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cluster_core::neo4j::Login;
use cluster_lambda::{Aws, Failure, env::Lookup, secrets::Secrets};
use jiff::{SignedDuration, Timestamp};

/// How long a login is used before its secret is read again: each call costs, and there is one round a minute.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// The logins in secrets, each a JSON object with `username` and `password`.
#[derive(Clone, Debug)]
pub struct Logins {
    secrets: Secrets,
    kept: Arc<Mutex<HashMap<String, (Timestamp, Versioned)>>>,
}

/// A login as one version of its secret has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The login.
    pub login: Login,
    /// The id of the secret's version.
    pub version: String,
}

impl Logins {
    /// Makes a client of Secrets Manager.
    pub fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { secrets: Secrets::new(lookup, aws)?, kept: Arc::default() })
    }

    /// Returns the login in a secret, which may be an hour old unless it was [forgotten](Self::forget).
    pub async fn of(&self, arn: &str, now: Timestamp) -> Result<Versioned, Failure> {
        let kept = self.kept().get(arn).cloned();
        if let Some((_, versioned)) = kept.filter(|(at, _)| now.duration_since(*at) < KEPT) {
            return Ok(versioned);
        }
        let version = self.secrets.current(arn).await?;
        let versioned = version.and_then(|version| read(&version.text, version.id)).ok_or_else(|| {
            Failure::permanent(format!(
                "could not read the secret {arn}: its value should be {{\"username\": …, \"password\": …}}: correct it"
            ))
        })?;
        self.kept().insert(arn.to_owned(), (now, versioned.clone()));
        Ok(versioned)
    }

    /// Forgets the login in a secret: a refused one may have been rotated.
    pub fn forget(&self, arn: &str) {
        self.kept().remove(arn);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Timestamp, Versioned)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the text of a secret. Why it cannot be read would show a part of it.
fn read(text: &str, version: String) -> Option<Versioned> {
    let login: Login = serde_json::from_str(text).ok()?;
    let good = !login.username.is_empty() && !login.password.reveal().is_empty();
    good.then_some(Versioned { login, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_and_never_printed() {
        let text = r#"{"username": "monitor", "password": "p4ss", "other": 1}"#;
        let found = read(text, "v1".into()).unwrap();
        assert_eq!((found.login.username.as_str(), found.version.as_str()), ("monitor", "v1"));
        assert_eq!(found.login.password.reveal(), "p4ss");
        assert!(!format!("{found:?}").contains("p4ss"));
    }

    #[test]
    fn anything_else_is_no_login() {
        for text in [
            "p4ss",
            r#"{"username": "", "password": "p4ss"}"#,
            r#"{"username": "monitor", "password": ""}"#,
            r#"{"username": "monitor"}"#,
            "",
        ] {
            assert_eq!(read(text, String::new()), None, "{text}");
        }
    }
}
