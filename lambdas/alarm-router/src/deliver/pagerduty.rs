//! `PagerDuty`'s Events API v2 (developer.pagerduty.com, docs/events-api-v2/overview).

use cluster_core::{
    alert::{Alert, render},
    neo4j::Secret,
};
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::Value;

use super::http::{Destination, Request, address};

/// The length of an integration key («`routing_key`: a 32 character integration key»).
const KEY: usize = 32;

/// `PagerDuty`. Its address is an integration key.
pub(super) struct PagerDuty<'a> {
    pub(super) url: &'a str,
}

impl Destination for PagerDuty<'_> {
    fn request(&self, secret: &Value, alert: &Alert, _: Timestamp) -> Result<Request, Failure> {
        self.check(secret).map_err(|why| super::wrong("pagerduty", &why))?;
        let key = Secret::new(secret.as_str().unwrap_or_default().to_owned());
        Ok(Request::json(self.url.to_owned(), render::pagerduty(alert).body(&key).reveal().to_owned()))
    }

    fn check(&self, secret: &Value) -> Result<(), String> {
        let key = secret.as_str().unwrap_or_default();
        if key.len() != KEY || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let form = "an integration key of 32 letters and digits, or a JSON object of several by name";
            return Err(format!("it should be {form}"));
        }
        address(self.url).map_err(|why| format!("PAGERDUTY_URL: {why}"))
    }
}
