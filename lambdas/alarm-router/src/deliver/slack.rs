//! Slack's incoming webhooks (docs.slack.dev, «Sending messages using incoming webhooks»).

use cluster_core::alert::{Alert, render};
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::Value;

use super::http::{Destination, Request, address};

/// Slack. Its address is the webhook's URL, which is as secret as a password.
pub(super) struct Slack;

impl Destination for Slack {
    fn request(&self, secret: &Value, alert: &Alert, _: Timestamp) -> Result<Request, Failure> {
        let url = secret.as_str().unwrap_or_default().to_owned();
        self.check(secret).map_err(|why| super::wrong("slack", &why))?;
        Ok(Request::json(url, render::slack(alert).to_string()))
    }

    fn check(&self, secret: &Value) -> Result<(), String> {
        let form = "it should be the URL of an incoming webhook, or a JSON object of several by name";
        address(secret.as_str().ok_or(form)?)
    }
}
