use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cluster_core::neo4j::Login;
use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Service, Signed, json_refusal},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

/// Secrets Manager.
const SECRETS_MANAGER: Service = Service { name: "secretsmanager", variable: "SECRETS_MANAGER", refusal: json_refusal };
/// How long a login is used before its secret is read again: each call costs, and there is one round a minute.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// The logins in secrets, each a JSON object with `username` and `password`.
#[derive(Clone, Debug)]
pub struct Logins {
    client: Signed,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    secret_string: Option<String>,
    version_id: Option<String>,
}

impl Logins {
    /// Makes a client of Secrets Manager.
    pub fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { client: Signed::new(SECRETS_MANAGER, lookup, aws)?, kept: Arc::default() })
    }

    /// Returns the login in a secret, which may be an hour old unless it was [forgotten](Self::forget).
    pub async fn of(&self, arn: &str, now: Timestamp) -> Result<Versioned, Failure> {
        let kept = self.kept().get(arn).cloned();
        if let Some((_, versioned)) = kept.filter(|(at, _)| now.duration_since(*at) < KEPT) {
            return Ok(versioned);
        }
        let step = format!("read the secret {arn}");
        let body = json!({ "SecretId": arn }).to_string();
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.GetSecretValue")];
        let answer = self.client.call(Call::new("GetSecretValue", "/", &headers, body.as_bytes())).await;
        let answer = answer.map_err(|error| error.failure(&step))?;
        let versioned = read(&answer.body).ok_or_else(|| {
            Failure::permanent(format!(
                "could not {step}: its value should be {{\"username\": …, \"password\": …}}: correct it"
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

/// Reads an answer of `GetSecretValue`. Why it cannot be read would show a part of it.
fn read(body: &[u8]) -> Option<Versioned> {
    let secret: Secret = serde_json::from_slice(body).ok()?;
    let login: Login = serde_json::from_str(&secret.secret_string?).ok()?;
    let good = !login.username.is_empty() && !login.password.reveal().is_empty();
    good.then(|| Versioned { login, version: secret.version_id.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_from_what_secrets_manager_answers() {
        let answer = r#"{"ARN": "arn", "Name": "n", "VersionId": "v1", "CreatedDate": 1.5,
            "SecretString": "{\"username\": \"monitor\", \"password\": \"p4ss\", \"other\": 1}"}"#;
        let found = read(answer.as_bytes()).unwrap();
        assert_eq!((found.login.username.as_str(), found.version.as_str()), ("monitor", "v1"));
        assert_eq!(found.login.password.reveal(), "p4ss");
        assert!(!format!("{found:?}").contains("p4ss"));
    }

    #[test]
    fn anything_else_is_no_login() {
        for value in [
            r#"{"VersionId": "v1"}"#,
            r#"{"SecretBinary": "AAAA"}"#,
            r#"{"SecretString": "p4ss"}"#,
            r#"{"SecretString": "{\"username\": \"\", \"password\": \"p4ss\"}"}"#,
            r#"{"SecretString": "{\"username\": \"monitor\", \"password\": \"\"}"}"#,
            r#"{"SecretString": "{\"username\": \"monitor\"}"}"#,
            "",
        ] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }
}
