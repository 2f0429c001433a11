//! Requests to destinations outside of AWS.

use std::{fmt, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::{
    body::SdkBody,
    byte_stream::{AggregatedBytes, ByteStream},
};
use cluster_core::alert::Alert;
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::Undelivered;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a delivery may take, with all that a destination asks to wait.
const DELIVERY: Duration = Duration::from_secs(12);
/// How long is waited where a destination does not say how long.
const PAUSE: Duration = Duration::from_secs(1);
/// The most characters that are shown of an answer.
const SHOWN: usize = 200;

/// A destination outside of AWS.
pub(super) trait Destination {
    /// Returns what is sent of an alert; refuses a secret that is wrong, without showing it.
    fn request(&self, secret: &Value, alert: &Alert, now: Timestamp) -> Result<Request, Failure>;

    /// Returns what is wrong with a secret, without showing it.
    fn check(&self, secret: &Value) -> Result<(), String>;
}

/// A request. It prints nothing: its URL or its body are secret.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Request {
    /// Returns a request that posts JSON.
    pub(super) fn json(url: String, body: String) -> Self {
        Self { url, headers: vec![("content-type", "application/json".to_owned())], body }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request")
    }
}

/// Refuses what is not `https`, but for this machine itself, which nobody can listen to on the way.
pub(super) fn address(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || host.is_empty() || authority.contains('@') {
        return Err("it holds no URL such as https://hooks.example.org/…".to_owned());
    }
    match scheme {
        "https" => Ok(()),
        "http" if host == "127.0.0.1" || host == "localhost" => Ok(()),
        _ => Err("its URL does not begin with https".to_owned()),
    }
}

/// Sends requests.
#[derive(Clone, Debug)]
pub(super) struct Http(SharedHttpConnector);

/// How an attempt ended.
enum Attempt {
    Taken,
    /// It may be taken later, at the earliest after that time.
    Later(Option<Duration>, Failure),
    /// It may have been taken.
    Unanswered(Failure),
    Refused(Failure),
}

impl Http {
    /// Sends through this connector, which follows no redirect.
    pub(super) fn new(connector: SharedHttpConnector) -> Self {
        Self(connector)
    }

    /// Sends a request until it is taken or refused, or the time is over.
    pub(super) async fn send(&self, request: Request, to: &str) -> Result<(), Undelivered> {
        let (began, mut is_certain) = (Instant::now(), true);
        loop {
            let (pause, failure) = match self.attempt(&request, to).await {
                Attempt::Taken => return Ok(()),
                Attempt::Refused(failure) => return Err(Undelivered { failure, is_certain }),
                Attempt::Later(pause, failure) => (pause.unwrap_or(PAUSE), failure),
                Attempt::Unanswered(failure) => {
                    is_certain = false;
                    (PAUSE, failure)
                }
            };
            if began.elapsed() + pause + ATTEMPT > DELIVERY {
                return Err(Undelivered { failure, is_certain });
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, request: &Request, to: &str) -> Attempt {
        let failed = |why: &str| format!("could not deliver to {to}: {why}");
        let Ok(sent) = built(request) else {
            return Attempt::Refused(super::wrong(to, "it holds no URL that can be requested"));
        };
        let answer = match timeout(ATTEMPT, self.0.call(sent)).await {
            Err(_) => return Attempt::Unanswered(Failure::transient(failed("no response within 5 s"))),
            // The error may show the URL.
            Ok(Err(error)) => {
                let why = if error.is_timeout() { "no connection in time" } else { "no connection" };
                return Attempt::Unanswered(Failure::transient(failed(why)));
            }
            Ok(Ok(answer)) => answer,
        };
        let (status, after) = (answer.status().as_u16(), retry_after(&answer));
        match status {
            200..300 => Attempt::Taken,
            300..400 => Attempt::Refused(Failure::permanent(failed(&format!(
                "it answers {status}, a redirect, which is not followed: give its final URL"
            )))),
            408 | 425 | 429 | 500.. => Attempt::Later(after, Failure::transient(failed(&format!("response {status}")))),
            _ => {
                let body = timeout(ATTEMPT, text(answer)).await.unwrap_or_default();
                Attempt::Refused(Failure::permanent(failed(&format!("response {status}: {body}"))))
            }
        }
    }
}

fn built(request: &Request) -> Result<HttpRequest, ()> {
    let mut sent = HttpRequest::new(SdkBody::from(request.body.as_str()));
    sent.set_method("POST").map_err(drop)?;
    sent.set_uri(request.url.as_str()).map_err(drop)?;
    for (name, value) in &request.headers {
        sent.headers_mut().insert(*name, value.clone());
    }
    sent.headers_mut().insert("content-length", request.body.len().to_string());
    Ok(sent)
}

/// Reads the header `Retry-After` in its form of seconds (RFC 9110, 10.2.3). Its other form, a date, is not waited for.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    answer.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the beginning of an answer, in one line.
async fn text(answer: HttpResponse) -> String {
    let body = ByteStream::new(answer.into_body()).collect().await;
    let body = body.map(AggregatedBytes::to_vec).unwrap_or_default();
    let line = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|character| !character.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
    use cluster_lambda::{Kind, stub::Answers};

    use super::*;

    fn request() -> Request {
        Request::json("https://hooks.example.org/T0/secret".into(), "{}".into())
    }

    async fn send(answers: &[(u16, &str)]) -> (Result<(), Undelivered>, usize) {
        let answers = Answers::new(answers);
        let result = Http::new(SharedHttpConnector::new(answers.clone())).send(request(), "slack").await;
        let sent = answers.requests.lock().unwrap().len();
        (result, sent)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_sent_again_and_a_refusal_is_not() {
        let (result, sent) = send(&[(503, ""), (429, ""), (200, "ok")]).await;
        assert!(result.is_ok() && sent == 3);
        let (result, sent) = send(&[(404, "no_service\n at all")]).await;
        let Undelivered { failure, is_certain } = result.unwrap_err();
        assert!(is_certain);
        assert_eq!(
            (failure.kind(), failure.chain().as_str(), sent),
            (Kind::Permanent, "could not deliver to slack: response 404: no_service at all", 1)
        );
        let (result, sent) = send(&[(302, "")]).await;
        assert!(result.unwrap_err().failure.to_string().contains("a redirect, which is not followed") && sent == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_takes_longer_than_a_delivery_may() {
        for answer in [0, 500] {
            let began = Instant::now();
            let (result, _) = send(&[(answer, "")]).await;
            let Undelivered { failure, is_certain } = result.unwrap_err();
            assert_eq!(
                (failure.kind(), is_certain),
                (Kind::Transient, answer == 500),
                "without an answer it may be taken"
            );
            assert!(began.elapsed() <= DELIVERY, "{:?}", began.elapsed());
        }
    }

    /// Asks to wait before it takes anything.
    #[derive(Clone, Debug)]
    struct Busy(&'static str);

    impl HttpConnector for Busy {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let mut answer = HttpResponse::new(429.try_into().unwrap(), SdkBody::empty());
            answer.headers_mut().insert("retry-after", self.0);
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_says_how_long_it_wants_to_be_left_alone() {
        for (after, seconds) in [("3", 6), ("60", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 7)] {
            let began = Instant::now();
            let busy = Http::new(SharedHttpConnector::new(Busy(after)));
            assert_eq!(busy.send(request(), "slack").await.unwrap_err().failure.kind(), Kind::Transient);
            assert_eq!(began.elapsed().as_secs(), seconds, "{after}");
        }
    }

    #[test]
    fn only_https_leaves_this_machine() {
        for url in ["https://hooks.slack.com/services/T0/B0/x", "http://127.0.0.1:9000/x", "http://localhost/x"] {
            assert_eq!(address(url), Ok(()), "{url}");
        }
        for url in [
            "http://hooks.slack.com/x",
            "hooks.slack.com",
            "",
            "https://",
            "https://a@b/",
            "https://a b/",
            "http://127.0.0.1.example.org/",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
