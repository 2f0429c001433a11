//! The logs of jobs, in CloudWatch Logs.

use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Error, Service, Signed, json_refusal},
};
use serde::Deserialize;
use serde_json::json;

const LOGS: Service = Service { name: "logs", variable: "CLOUDWATCH_LOGS", refusal: json_refusal };
/// The most pages of one log, of up to 10,000 lines or 1 MB each.
const PAGES: usize = 200;

/// The logs of jobs.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    signed: Signed,
    group: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    events: Vec<Line>,
    next_forward_token: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: String,
}

impl Logs {
    /// Makes a client of one log group. Refuses where no endpoint is known.
    pub(crate) fn new(group: String, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { signed: Signed::new(LOGS, lookup, aws)?, group })
    }

    /// Returns those lines of a log that begin with this word, in their order; nothing when there is no such log yet.
    ///
    /// A page may be empty though more follow: «If you have reached the end of the stream, it returns the same token you passed in»
    /// (API reference of `GetLogEvents`, `nextForwardToken`).
    pub(crate) async fn lines(&self, stream: &str, word: &str) -> Result<Option<Vec<String>>, Failure> {
        let step = format!("read the log {stream} of {}", self.group);
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.GetLogEvents")];
        let mut lines = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let mut body = json!({"logGroupName": self.group, "logStreamName": stream, "startFromHead": true});
            if let (Some(fields), Some(token)) = (body.as_object_mut(), &token) {
                fields.insert("nextToken".to_owned(), json!(token));
            }
            let body = body.to_string();
            let answer = match self.signed.call(Call::new("GetLogEvents", "", &headers, body.as_bytes())).await {
                Ok(answer) => answer,
                Err(Error::Refused { code, .. }) if code == "ResourceNotFoundException" => return Ok(None),
                Err(error) => return Err(error.failure(&step)),
            };
            let page: Page = serde_json::from_slice(&answer.body).map_err(|error| {
                Failure::transient(format!("could not {step}")).caused_by(format!("the answer is unreadable: {error}"))
            })?;
            lines.extend(page.events.into_iter().map(|line| line.message).filter(|line| line.starts_with(word)));
            if page.next_forward_token.is_none() || page.next_forward_token == token {
                return Ok(Some(lines));
            }
            token = page.next_forward_token;
        }
        Err(Failure::permanent(format!("could not {step}: it does not end")))
    }
}
