//! Servers outside of AWS that alerts are sent to: what they took, and what they answer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, Request, World};

/// A server, by its host.
#[derive(Clone, Debug)]
pub struct Server {
    /// What it answers.
    pub status: u16,
    /// The header `Retry-After`, where it sends one.
    pub retry_after: Option<u64>,
    /// How many requests it takes within a minute, where it limits that; the others it refuses with 429.
    pub per_minute: Option<usize>,
    /// What it refuses for good, with 400: bodies that hold this text.
    pub refuses: Option<&'static str>,
    /// What it has taken, in the order in which it came.
    pub taken: Vec<Taken>,
}

/// A request that a server took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// The path.
    pub path: String,
    /// Headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

impl Default for Server {
    fn default() -> Self {
        Self { status: 200, retry_after: None, per_minute: None, refuses: None, taken: Vec::new() }
    }
}

impl Server {
    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        let lately = self.taken.iter().filter(|taken| now.duration_since(taken.at).as_secs() < 60).count();
        let busy = self.per_minute.is_some_and(|most| lately >= most);
        let wrong = self.refuses.is_some_and(|text| String::from_utf8_lossy(&request.body).contains(text));
        let status = if wrong {
            400
        } else if busy {
            429
        } else {
            self.status
        };
        if (200..300).contains(&status) {
            let body = serde_json::from_slice(&request.body).unwrap_or_default();
            let (path, headers) = (request.path.clone(), request.headers.clone());
            self.taken.push(Taken { at: now, path, headers, body });
        }
        let after = self.retry_after.map(|seconds| ("retry-after", seconds.to_string()));
        Answer { status, headers: after.into_iter().collect(), body: "said".to_owned() }
    }
}

impl World {
    /// Returns a server of this host, which is made when it is asked for.
    pub fn server(&mut self, host: &str) -> &mut Server {
        self.outside.entry(host.to_owned()).or_default()
    }

    /// Returns whether a request goes to a server outside of AWS.
    #[must_use]
    pub fn is_outside(&self, request: &Request) -> bool {
        self.outside.contains_key(&request.host)
    }

    /// Answers a request to a server outside of AWS, if it is one.
    pub(super) fn answer_outside(&mut self, request: &Request) -> Option<Answer> {
        let now = self.now;
        Some(self.outside.get_mut(&request.host)?.answer(request, now))
    }
}
