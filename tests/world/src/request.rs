//! Requests to an API and its answers, whatever carried them.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{
    batch, lambda,
    query::{self, Form},
    route53, s3,
};

/// A request to an API, whatever carried it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The host that it goes to, without its port, where what carried it knows that.
    pub host: String,
    /// The path without the query.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
    /// The header `X-Amz-Target` of the JSON protocols.
    pub target: Option<String>,
    /// The other headers that say something, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a call does, as far as it decides which faults can make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads a list, perhaps in pages.
    List,
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It is a batch of changes for Route 53.
    Batch,
    /// It invokes a function that only looks.
    Invoke,
}

/// What an API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, where a protocol says something in them.
    pub headers: Vec<(&'static str, String)>,
    /// JSON or XML.
    pub body: String,
}

/// A refusal, as the service words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Request {
    /// Returns whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        if let Some(form) = Form::parse(self) {
            return form.writes();
        }
        if lambda::invoked(self).is_some() {
            return !lambda::reads(self);
        }
        if let Some(operation) = batch::operation(self) {
            return !batch::reads(operation);
        }
        let operation = self.target.as_deref().and_then(|target| target.split('.').nth(1));
        operation.map_or(!matches!(self.method.as_str(), "GET" | "HEAD"), |operation| {
            !["Describe", "List", "Get", "BatchGet", "Query"].iter().any(|v| operation.starts_with(v))
        })
    }

    /// Returns what it does, as far as it decides which faults can make a difference.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if lambda::invoked(self).is_some() {
            return if lambda::reads(self) { Kind::Invoke } else { Kind::Write };
        }
        match batch::operation(self) {
            Some("ListJobs") => return Kind::List,
            Some(operation) => return if batch::reads(operation) { Kind::Read } else { Kind::Write },
            None => {}
        }
        match s3::operation(self) {
            Some("ListObjectsV2") => return Kind::List,
            Some("PutObject" | "DeleteObjects") => return Kind::Write,
            Some(_) => return Kind::Read,
            None => {}
        }
        let form = Form::parse(self);
        let lists = self.target.as_deref().map_or(self.method == "GET", |target| {
            // What it leaves unprocessed is asked for again, as a page is.
            target.contains(".List") || target.ends_with(".BatchGetItem")
        });
        match (self.writes(), lists || form.is_some()) {
            (true, _) if self.path.starts_with("/2013-04-01/") && self.method == "POST" => Kind::Batch,
            (true, _) => Kind::Write,
            (false, true) => Kind::List,
            (false, false) => Kind::Read,
        }
    }

    /// Returns whether it reads what has been written, however lately (DynamoDB: `ConsistentRead`).
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        // S3 is strongly consistent (user guide, «Amazon S3 data consistency model»).
        if s3::is_asked(self) {
            return true;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { return false };
        let of_tables = body["RequestItems"].as_object().into_iter().flatten();
        body["ConsistentRead"] == true
            || of_tables.clone().next().is_some()
                && of_tables.into_iter().all(|(_, asked)| asked["ConsistentRead"] == true)
    }

    /// Returns whether it is a batch of reads, which may come back in part.
    #[must_use]
    pub fn is_batch_read(&self) -> bool {
        self.target.as_deref().is_some_and(|target| target.ends_with(".BatchGetItem"))
    }

    /// Returns whether it is an answer to CloudFormation, which the world keeps with its messages.
    pub(crate) fn answers_cloudformation(&self) -> bool {
        self.method == "PUT" && self.path == "/cfn"
    }

    /// Returns a refusal that any service may give, in the protocol of this request.
    #[must_use]
    pub fn refused(&self, status: u16, code: &str, message: &str) -> Answer {
        if let Some(form) = Form::parse(self) {
            return form.refused(code, message);
        }
        if lambda::invoked(self).is_some() {
            return lambda::refused(code, message);
        }
        if batch::operation(self).is_some() {
            return batch::refused(code, message);
        }
        if s3::is_asked(self) {
            return s3::refused(code, message);
        }
        let body = if self.target.is_some() {
            format!(r#"{{"__type":"{code}","message":"{message}"}}"#)
        } else {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            format!("<ErrorResponse>{error}</ErrorResponse>")
        };
        Answer { status, ..Answer::ok(body) }
    }
}

impl Answer {
    /// Returns an answer that says yes.
    #[must_use]
    pub fn ok(body: impl Into<String>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// Returns the same answer as if no page followed.
    #[must_use]
    pub fn without_next_page(&self) -> Self {
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(mut body) => {
                if let Some(body) = body.as_object_mut() {
                    // ECS spells it its own way.
                    body.remove("NextToken");
                    body.remove("nextToken");
                }
                body.to_string()
            }
            Err(_) => query::without_token(&self.body).replace("<IsTruncated>true", "<IsTruncated>false"),
        };
        Self { body, ..self.clone() }
    }
}

/// Returns a refusal in the protocol of the request.
#[must_use]
pub fn refused(request: &Request, refusal: Refusal) -> Answer {
    if let Some(form) = Form::parse(request) {
        return form.refused(refusal.code, &refusal.message);
    }
    if lambda::invoked(request).is_some() {
        return lambda::refused(refusal.code, &refusal.message);
    }
    if batch::operation(request).is_some() {
        return batch::refused(refusal.code, &refusal.message);
    }
    if s3::is_asked(request) {
        return s3::refused(refusal.code, &refusal.message);
    }
    if request.target.is_none() {
        return route53::refused(refusal);
    }
    let body = json!({"__type": refusal.code, "message": refusal.message}).to_string();
    Answer { status: 400, ..Answer::ok(body) }
}

/// Returns a page of `items`: those from `token` on, and the token of the next page.
pub(crate) fn page<T: Clone>(items: &[T], token: Option<&str>, size: usize) -> (Vec<T>, Option<String>) {
    let from: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let next = from + size;
    (items.iter().skip(from).take(size).cloned().collect(), (next < items.len()).then(|| next.to_string()))
}
