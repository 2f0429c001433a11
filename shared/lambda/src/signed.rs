//! Signed requests to AWS with the SDK's own signer and connections, for services of which one or two operations are
//! called: the SDK's crates for them take minutes to compile, that for EC2 eight and 7.6 GB.

use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_async::{
    future::timeout::Timeout,
    rt::sleep::{AsyncSleep, SharedAsyncSleep},
    time::SharedTimeSource,
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use aws_smithy_types::{
    body::SdkBody,
    byte_stream::{self, ByteStream},
};
use http::Uri;

use crate::{
    Aws, Failure,
    aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT, MAX_ATTEMPTS, is_true},
    env::{self, Lookup},
    is_temporary, is_throttle,
};

/// A service that is called by signed requests.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its name in signatures and hosts, such as `ec2`.
    pub name: &'static str,
    /// Its name in variables: `AWS_ENDPOINT_URL_<variable>` overrules its endpoint.
    pub variable: &'static str,
    /// Reads the code and the message of a refusal; nothing when the answer is none of the service's, as from a proxy.
    pub refusal: fn(&Response) -> Option<(String, String)>,
}

/// A client of one service.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The service.
    pub service: Service,
    /// The endpoint, such as `https://ec2.eu-west-1.amazonaws.com`, with a host and without a path.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The credentials of the function.
    pub credentials: SharedCredentialsProvider,
    /// The connector that carries the requests.
    pub connector: SharedHttpConnector,
    /// The sleep between two attempts.
    pub sleep: SharedAsyncSleep,
    /// The clock that signs requests.
    pub clock: SharedTimeSource,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it asks for, for the log.
    pub operation: &'a str,
    /// The path, as it is sent: it holds nothing that would have to be escaped.
    pub path: &'a str,
    /// Headers, besides those of the signature.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// How often it is attempted. More than once only where it may be repeated.
    pub attempts: u32,
    /// The timeout of one attempt.
    pub attempt_timeout: Duration,
    /// The timeout of all attempts together.
    pub timeout: Duration,
}

impl<'a> Call<'a> {
    /// Returns a request that may be repeated, with the timeouts of the SDK's clients.
    #[must_use]
    pub fn new(operation: &'a str, path: &'a str, headers: &'a [(&'static str, &'a str)], body: &'a [u8]) -> Self {
        let (attempts, attempt_timeout, timeout) = (MAX_ATTEMPTS, ATTEMPT_TIMEOUT, CALL_TIMEOUT);
        Self { operation, path, headers, body, attempts, attempt_timeout, timeout }
    }

    /// Returns the same request with one attempt, which may take so long.
    #[must_use]
    pub fn once(self, timeout: Duration) -> Self {
        Self { attempts: 1, attempt_timeout: timeout, timeout, ..self }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns a header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The error of a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service refused.
    #[error("{code}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code, such as `VolumeInUse`.
        code: String,
        /// The service's message.
        message: String,
    },
    /// There was no answer in time.
    #[error("no response within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// There was no answer.
    #[error("no response")]
    Connection(#[source] ConnectorError),
    /// The answer broke off.
    #[error("the response broke off")]
    Body(#[source] byte_stream::error::Error),
    /// The request could not even be built and signed.
    #[error("could not build the request")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Returns the service's code if the service refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Returns whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => *status >= 500 || is_throttle(code),
            Self::TooSlow(_) | Self::Connection(_) | Self::Body(_) => true,
            Self::Request(_) => false,
        }
    }

    /// Makes the failure of a step, as in «describe the volumes».
    #[must_use]
    pub fn failure(self, step: &str) -> Failure {
        let temporary = self.is_transient() || self.code().is_some_and(is_temporary);
        let what = format!("could not {step}");
        if temporary { Failure::transient(what) } else { Failure::permanent(what) }.caused_by(self)
    }
}

/// The most characters that are shown of an answer that is not the service's.
const MAX_BODY: usize = 200;

impl Signed {
    /// Makes a client that reaches a service as the SDK's own would. Refuses where no endpoint is known.
    pub fn new(service: Service, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let sdk = &aws.sdk;
        let missing = |what: &str| Failure::permanent(format!("the SDK's configuration has no {what}"));
        let region = sdk.region().ok_or_else(|| missing("region"))?.to_string();
        Ok(Self {
            service,
            endpoint: endpoint(service, lookup, &region)?,
            region,
            credentials: sdk.credentials_provider().ok_or_else(|| missing("credentials"))?,
            connector: aws.connector.clone(),
            sleep: sdk.sleep_impl().ok_or_else(|| missing("sleep"))?,
            clock: aws.clock(),
        })
    }

    /// Sends a request and returns the service's answer. What may succeed a moment later is tried again, as often as the
    /// request allows.
    pub async fn call(&self, call: Call<'_>) -> Result<Response, Error> {
        let tries = async {
            let mut tried: u32 = 1;
            loop {
                match self.attempt(&call).await {
                    Err(error) if error.is_transient() && tried < call.attempts => {
                        tracing::debug!(operation = call.operation, %error, "tried again");
                        self.sleep.sleep(Duration::from_secs(tried.into()).mul_f64(fastrand::f64())).await;
                        tried += 1;
                    }
                    result => return result,
                }
            }
        };
        Timeout::new(tries, self.sleep.sleep(call.timeout)).await.unwrap_or(Err(Error::TooSlow(call.timeout)))
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Response, Error> {
        let sent = async {
            let request = self.signed(call).await.map_err(Error::Request)?;
            let response = self.connector.call(request).await.map_err(Error::Connection)?;
            let status = response.status();
            let headers = response.headers().iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
            let headers = headers.collect();
            let body = ByteStream::new(response.into_body()).collect().await.map_err(Error::Body)?.to_vec();
            let response = Response { status: status.as_u16(), headers, body };
            if status.is_success() { Ok(response) } else { Err(self.refused(&response)) }
        };
        let timeout = call.attempt_timeout;
        Timeout::new(sent, self.sleep.sleep(timeout)).await.unwrap_or(Err(Error::TooSlow(timeout)))
    }

    fn refused(&self, response: &Response) -> Error {
        let status = response.status;
        let (code, message) = (self.service.refusal)(response)
            .unwrap_or_else(|| (format!("response {status}"), response.text().chars().take(MAX_BODY).collect()));
        Error::Refused { status, code, message }
    }

    async fn signed(&self, call: &Call<'_>) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = HttpRequest::new(SdkBody::from(call.body));
        request.set_method("POST")?;
        request.set_uri(format!("{}{}", self.endpoint.trim_end_matches('/'), call.path))?;
        for (name, value) in call.headers {
            request.headers_mut().insert(*name, (*value).to_owned());
        }
        request.headers_mut().insert("content-length", call.body.len().to_string());
        let identity = self.credentials.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.name)
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable =
            SignableRequest::new("POST", request.uri(), request.headers().iter(), SignableBody::Bytes(call.body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        for header in instructions.into_parts().0 {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
}

/// Reads the refusal of a service that answers in JSON: its code is the header `x-amzn-errortype` or the field `__type`,
/// either of which may be longer than the code.
#[must_use]
pub fn json_refusal(response: &Response) -> Option<(String, String)> {
    let body: serde_json::Value = serde_json::from_slice(&response.body).ok()?;
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
    let code = response.header("x-amzn-errortype").or_else(|| text("__type"))?;
    let code = code.split(':').next().unwrap_or(code);
    let code = code.rsplit('#').next().unwrap_or(code);
    Some((code.to_owned(), text("message").or_else(|| text("Message")).unwrap_or_default().to_owned()))
}

/// Returns a service's endpoint: the one that the environment names, as for the SDK's clients, or the region's.
fn endpoint(Service { name, variable, .. }: Service, lookup: &impl Lookup, region: &str) -> Result<String, Failure> {
    let set = |name: &str| Some((name.to_owned(), lookup(name).filter(|value| !value.is_empty())?));
    let own = format!("AWS_ENDPOINT_URL_{variable}");
    if let Some((set, url)) = set(&own).or_else(|| set("AWS_ENDPOINT_URL")) {
        let uri: Option<Uri> = url.parse().ok();
        let good = uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("https" | "http")));
        return if good {
            Ok(url)
        } else {
            Err(env::wrong(&set, &url, format!("a URL such as https://{name}.example.org")))
        };
    }
    let dual_stack = is_true(lookup, "AWS_USE_DUALSTACK_ENDPOINT");
    // In GovCloud all endpoints of EC2 comply with FIPS.
    let plain = name == "ec2" && region.starts_with("us-gov-") && !dual_stack;
    let fips = if is_true(lookup, "AWS_USE_FIPS_ENDPOINT") && !plain { "-fips" } else { "" };
    // The domains of other partitions, as of us-iso-east-1 or eusc-de-east-1, are not known here.
    let known = region.starts_with("us-gov-") || (region.split('-').count() == 3 && !region.starts_with("eusc-"));
    if !known {
        let form = format!("a region of AWS, AWS GovCloud or AWS China, or {own} should be set");
        return Err(env::wrong("AWS_REGION", region, form));
    }
    let domain = match (region.starts_with("cn-"), dual_stack) {
        (true, true) => "api.amazonwebservices.com.cn",
        (true, false) => "amazonaws.com.cn",
        (false, true) => "api.aws",
        (false, false) => "amazonaws.com",
    };
    Ok(format!("https://{name}{fips}.{region}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC2: Service = Service { name: "ec2", variable: "EC2", refusal: json_refusal };

    #[test]
    fn the_endpoint_is_the_environments_or_the_regions() {
        let with = |service: Service, region: &str, set: &[(&str, &str)]| {
            let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            endpoint(service, &lookup, region).map_err(|failure| failure.to_string())
        };
        let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
        let dual = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        let own = ("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:4566");
        for (region, set, want) in [
            ("eu-west-1", &[][..], "https://ec2.eu-west-1.amazonaws.com"),
            ("cn-north-1", &[], "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", &[dual], "https://ec2.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-east-1", &[fips], "https://ec2-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", &[fips], "https://ec2.us-gov-west-1.amazonaws.com"),
            ("us-east-1", &[dual], "https://ec2.us-east-1.api.aws"),
            ("us-east-1", &[fips, dual], "https://ec2-fips.us-east-1.api.aws"),
            ("eu-west-1", &[("AWS_ENDPOINT_URL", "https://all"), own], "http://127.0.0.1:4566"),
            ("eu-west-1", &[("AWS_ENDPOINT_URL", "https://all"), ("AWS_ENDPOINT_URL_EC2", "")], "https://all"),
        ] {
            assert_eq!(with(EC2, region, set).as_deref(), Ok(want), "{region} {set:?}");
        }
        let lambda = Service { name: "lambda", variable: "LAMBDA", ..EC2 };
        let gov = with(lambda, "us-gov-west-1", &[fips, own]).unwrap();
        assert_eq!(gov, "https://lambda-fips.us-gov-west-1.amazonaws.com");
        let refused = with(EC2, "eu-west-1", &[("AWS_ENDPOINT_URL_EC2", "localhost")]).unwrap_err();
        assert!(
            refused.starts_with("environment variable AWS_ENDPOINT_URL_EC2 is \"localhost\", but should be"),
            "{refused}"
        );
        for region in ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1"] {
            let refused = with(EC2, region, &[]).unwrap_err();
            assert!(refused.starts_with(&format!("environment variable AWS_REGION is {region:?}")), "{refused}");
        }
    }

    #[test]
    fn a_refusal_in_json_is_read_from_header_or_body() {
        let read = |header: Option<&str>, body: &str| {
            let headers = header.map(|value| ("x-amzn-errortype".to_owned(), value.to_owned())).into_iter().collect();
            json_refusal(&Response { status: 400, headers, body: body.as_bytes().to_vec() })
        };
        let refused = |code: &str, message: &str| Some((code.to_owned(), message.to_owned()));
        let lambda = read(
            Some("ResourceNotFoundException:http://internal.amazon.com/coral/"),
            r#"{"Type":"User","Message":"Function not found"}"#,
        );
        assert_eq!(lambda, refused("ResourceNotFoundException", "Function not found"));
        let secrets = read(None, r#"{"__type":"com.amazonaws#AccessDeniedException","message":"no"}"#);
        assert_eq!(secrets, refused("AccessDeniedException", "no"));
        assert_eq!(read(None, "<html>"), None);
        assert_eq!(read(None, "{}"), None);
    }
}
