//! Webhooks of anybody's, signed over their time and their body.

use cluster_core::{
    alert::{Alert, render},
    neo4j::Secret,
};
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::Value;

use super::http::{Destination, Request, address};

/// A webhook. Its address is an object with `url` and `secret`.
pub(super) struct Webhook;

impl Destination for Webhook {
    fn request(&self, secret: &Value, alert: &Alert, now: Timestamp) -> Result<Request, Failure> {
        self.check(secret).map_err(|why| super::wrong("webhook", &why))?;
        let body = render::webhook(alert);
        let signed =
            render::sign(&key(secret), now, &body).map_err(|short| super::wrong("webhook", &short.to_string()))?;
        Ok(Request { url: secret["url"].as_str().unwrap_or_default().to_owned(), headers: signed.into(), body })
    }

    fn check(&self, secret: &Value) -> Result<(), String> {
        let form = "it should be {\"url\": …, \"secret\": …}, or a JSON object of several by name";
        if !secret["secret"].is_string() {
            return Err(form.to_owned());
        }
        address(secret["url"].as_str().ok_or(form)?)?;
        render::sign(&key(secret), Timestamp::UNIX_EPOCH, "").map(drop).map_err(|short| short.to_string())
    }
}

fn key(secret: &Value) -> Secret {
    Secret::new(secret["secret"].as_str().unwrap_or_default().to_owned())
}
