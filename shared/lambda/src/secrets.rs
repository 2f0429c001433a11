//! Secrets Manager: what a secret holds, and nothing that prints it.

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use crate::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Service, Signed, json_refusal},
};

const SECRETS_MANAGER: Service = Service { name: "secretsmanager", variable: "SECRETS_MANAGER", refusal: json_refusal };

/// A client of Secrets Manager.
#[derive(Clone, Debug)]
pub struct Secrets(Signed);

/// A version of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// Its text.
    pub text: String,
    /// Its id.
    pub id: String,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    secret_string: Option<String>,
    version_id: Option<String>,
}

impl Secrets {
    /// Makes a client. Refuses where no endpoint is known.
    pub fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self(Signed::new(SECRETS_MANAGER, lookup, aws)?))
    }

    /// Returns what a secret holds now: its version `AWSCURRENT`, where none is asked for (API reference of `GetSecretValue`).
    /// Nothing when it is not a text; why it cannot be read would show a part of it.
    pub async fn current(&self, arn: &str) -> Result<Option<Version>, Failure> {
        let body = json!({ "SecretId": arn }).to_string();
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.GetSecretValue")];
        let answer = self.0.call(Call::new("GetSecretValue", "/", &headers, body.as_bytes())).await;
        Ok(read(&answer.map_err(|error| error.failure(&format!("read the secret {arn}")))?.body))
    }
}

fn read(body: &[u8]) -> Option<Version> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    Some(Version { text: answer.secret_string?, id: answer.version_id.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_and_never_printed() {
        let read_of = |body: &str| read(body.as_bytes());
        let found = read_of(r#"{"ARN": "a", "VersionId": "v1", "SecretString": "p4ss", "CreatedDate": 1.5}"#).unwrap();
        assert_eq!((found.text.as_str(), found.id.as_str()), ("p4ss", "v1"));
        assert!(!format!("{found:?}").contains("p4ss"));
        for body in [r#"{"SecretBinary": "AAAA"}"#, "{}", "", "<html>"] {
            assert_eq!(read_of(body), None, "{body}");
        }
    }
}
