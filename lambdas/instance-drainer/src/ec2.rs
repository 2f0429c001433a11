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
use cluster_lambda::{
    Aws, Failure,
    aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT, MAX_ATTEMPTS, is_true},
    env::{self, Lookup},
    is_temporary, is_throttle,
};
use http::Uri;
use serde::Deserialize;

/// The version of EC2's API.
const VERSION: &str = "2016-11-15";
/// The most characters that are shown of an answer that is not EC2's.
const MAX_BODY: usize = 200;

/// A client of EC2's Query API with the SDK's own signer and connections: the SDK's crate for EC2 takes eight minutes
/// and 7.6 GB to compile, for two operations.
#[derive(Clone, Debug)]
pub(crate) struct Ec2 {
    /// The endpoint, such as `https://ec2.eu-west-1.amazonaws.com`, with a host and without a query.
    pub(crate) endpoint: String,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// The credentials of the function.
    pub(crate) credentials: SharedCredentialsProvider,
    /// The connector that carries the requests.
    pub(crate) connector: SharedHttpConnector,
    /// The sleep between two attempts.
    pub(crate) sleep: SharedAsyncSleep,
    /// The clock that signs requests.
    pub(crate) clock: SharedTimeSource,
}

/// The error of a call to EC2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// EC2 refused.
    #[error("{code}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code, such as `VolumeInUse`.
        code: String,
        /// EC2's message.
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
    /// Returns EC2's code if EC2 refused.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Returns whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => *status >= 500 || is_throttle(code),
            Self::TooSlow(_) | Self::Connection(_) | Self::Body(_) => true,
            Self::Request(_) => false,
        }
    }

    /// Makes the failure of a step, as in «describe the volumes».
    pub(crate) fn failure(self, step: &str) -> Failure {
        let temporary = self.is_transient() || self.code().is_some_and(is_temporary);
        let what = format!("could not {step}");
        if temporary { Failure::transient(what) } else { Failure::permanent(what) }.caused_by(self)
    }
}

impl Ec2 {
    /// Makes a client that reaches EC2 as the SDK's own would. Refuses where no endpoint is known.
    pub(crate) fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let sdk = &aws.sdk;
        let missing = |what: &str| Failure::permanent(format!("the SDK's configuration has no {what}"));
        let region = sdk.region().ok_or_else(|| missing("region"))?.to_string();
        Ok(Self {
            endpoint: endpoint(lookup, &region)?,
            region,
            credentials: sdk.credentials_provider().ok_or_else(|| missing("credentials"))?,
            connector: aws.connector.clone(),
            sleep: sdk.sleep_impl().ok_or_else(|| missing("sleep"))?,
            clock: aws.clock(),
        })
    }

    /// Calls an operation and returns the body of EC2's answer. Retries what may succeed a moment later, so the
    /// operation must allow to be repeated.
    pub(crate) async fn call(&self, operation: &str, parameters: &[(&str, &str)]) -> Result<String, Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", VERSION).extend_pairs(parameters);
        let form = form.finish();
        let tries = async {
            let mut tried: u32 = 1;
            loop {
                match self.attempt(&form).await {
                    Err(error) if error.is_transient() && tried < MAX_ATTEMPTS => {
                        tracing::debug!(operation, %error, "tried again");
                        self.sleep.sleep(Duration::from_secs(tried.into()).mul_f64(fastrand::f64())).await;
                        tried += 1;
                    }
                    result => return result,
                }
            }
        };
        Timeout::new(tries, self.sleep.sleep(CALL_TIMEOUT)).await.unwrap_or(Err(Error::TooSlow(CALL_TIMEOUT)))
    }

    async fn attempt(&self, form: &str) -> Result<String, Error> {
        let sent = async {
            let request = self.signed(form).await.map_err(Error::Request)?;
            let response = self.connector.call(request).await.map_err(Error::Connection)?;
            let status = response.status();
            let body = ByteStream::new(response.into_body()).collect().await.map_err(Error::Body)?;
            let body = String::from_utf8_lossy(&body.to_vec()).into_owned();
            if status.is_success() { Ok(body) } else { Err(refusal(status.as_u16(), &body)) }
        };
        Timeout::new(sent, self.sleep.sleep(ATTEMPT_TIMEOUT)).await.unwrap_or(Err(Error::TooSlow(ATTEMPT_TIMEOUT)))
    }

    async fn signed(&self, form: &str) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = HttpRequest::new(SdkBody::from(form));
        request.set_method("POST")?;
        request.set_uri(self.endpoint.as_str())?;
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        request.headers_mut().insert("content-length", form.len().to_string());
        let identity = self.credentials.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(form.as_bytes());
        let signable = SignableRequest::new("POST", request.uri(), request.headers().iter(), body)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        for header in instructions.into_parts().0 {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
}

/// Returns EC2's endpoint: the one that the environment names, as for the SDK's clients, or the region's.
fn endpoint(lookup: &impl Lookup, region: &str) -> Result<String, Failure> {
    let set = |name: &'static str| Some((name, lookup(name).filter(|value| !value.is_empty())?));
    if let Some((name, url)) = set("AWS_ENDPOINT_URL_EC2").or_else(|| set("AWS_ENDPOINT_URL")) {
        let uri: Option<Uri> = url.parse().ok();
        let good = uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("https" | "http")));
        return if good { Ok(url) } else { Err(env::wrong(name, &url, "a URL such as https://ec2.example.org")) };
    }
    let dual_stack = is_true(lookup, "AWS_USE_DUALSTACK_ENDPOINT");
    let host = match is_true(lookup, "AWS_USE_FIPS_ENDPOINT") {
        // There all EC2 endpoints comply with FIPS.
        true if region.starts_with("us-gov-") && !dual_stack => "ec2",
        true => "ec2-fips",
        false => "ec2",
    };
    // The domains of other partitions, as of us-iso-east-1 or eusc-de-east-1, are not known here.
    let known = region.starts_with("us-gov-") || (region.split('-').count() == 3 && !region.starts_with("eusc-"));
    if !known {
        let form = "a region of AWS, AWS GovCloud or AWS China, or AWS_ENDPOINT_URL_EC2 should be set";
        return Err(env::wrong("AWS_REGION", region, form));
    }
    let domain = match (region.starts_with("cn-"), dual_stack) {
        (true, true) => "api.amazonwebservices.com.cn",
        (true, false) => "amazonaws.com.cn",
        (false, true) => "api.aws",
        (false, false) => "amazonaws.com",
    };
    Ok(format!("https://{host}.{region}.{domain}"))
}

/// EC2's answer when it refuses.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: RefusalError,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefusalError {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads the refusal in an answer; an answer without one, as from a proxy, is shown as it is.
fn refusal(status: u16, body: &str) -> Error {
    match quick_xml::de::from_str::<Refusal>(body) {
        Ok(Refusal { errors: Errors { error: RefusalError { code, message } } }) => {
            Error::Refused { status, code, message }
        }
        Err(_) => Error::Refused {
            status,
            code: format!("response {status}"),
            message: body.chars().take(MAX_BODY).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::stub::Answers;

    const TAKEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <Response><Errors><Error><Code>VolumeInUse</Code><Message>vol-1 is already attached to an instance</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#;
    const BUSY: &str = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>r</RequestID></Response>";

    async fn call(answers: &[(u16, &'static str)]) -> (Result<String, Error>, Vec<String>) {
        let answers = Answers::new(answers);
        let result = answers.ec2().call("DescribeVolumes", &[("NextToken", "a+b/c=")]).await;
        let requests = answers.requests.lock().unwrap();
        let sent = requests.iter().map(|request| {
            let signature = request.headers().get("authorization").unwrap();
            assert!(signature.contains("/20261123/eu-west-1/ec2/aws4_request"), "{signature}");
            assert_eq!(request.headers().get("x-amz-security-token"), Some("token"));
            String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap()
        });
        (result, sent.collect())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_three_times_and_a_refusal_once() {
        let form = "Action=DescribeVolumes&Version=2016-11-15&NextToken=a%2Bb%2Fc%3D";
        let (result, sent) = call(&[(503, BUSY), (503, BUSY), (200, "<ok/>")]).await;
        assert_eq!((result.unwrap().as_str(), sent.as_slice()), ("<ok/>", [form; 3].map(str::to_owned).as_slice()));
        let (result, sent) = call(&[(503, BUSY)]).await;
        assert_eq!(result.unwrap_err().to_string(), "RequestLimitExceeded: Request limit exceeded.");
        assert_eq!(sent.len(), 3);
        let (result, sent) = call(&[(400, TAKEN)]).await;
        let error = result.unwrap_err();
        assert_eq!(error.code(), Some("VolumeInUse"));
        assert_eq!(error.to_string(), "VolumeInUse: vol-1 is already attached to an instance");
        assert_eq!(sent.len(), 1);
        let (result, _) = call(&[(502, "<html>Bad gateway</html>")]).await;
        assert_eq!(result.unwrap_err().to_string(), "response 502: <html>Bad gateway</html>");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_times_out_and_all_of_them_end_in_time() {
        let began = Instant::now();
        let (result, _) = call(&[(0, ""), (200, "<ok/>")]).await;
        assert_eq!(result.unwrap(), "<ok/>");
        assert!((ATTEMPT_TIMEOUT..ATTEMPT_TIMEOUT + Duration::from_secs(1)).contains(&began.elapsed()));
        let began = Instant::now();
        let (result, _) = call(&[(0, "")]).await;
        assert!(matches!(result, Err(Error::TooSlow(_))));
        assert_eq!(began.elapsed(), CALL_TIMEOUT);
    }

    #[test]
    fn the_endpoint_is_the_environments_or_the_regions() {
        let with = |region: &str, set: &[(&str, &str)]| {
            let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            endpoint(&lookup, region).map_err(|failure| failure.to_string())
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
            assert_eq!(with(region, set).as_deref(), Ok(want), "{region} {set:?}");
        }
        let refused = with("eu-west-1", &[("AWS_ENDPOINT_URL_EC2", "localhost")]).unwrap_err();
        assert!(
            refused.starts_with("environment variable AWS_ENDPOINT_URL_EC2 is \"localhost\", but should be"),
            "{refused}"
        );
        for region in ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1"] {
            let refused = with(region, &[]).unwrap_err();
            assert!(refused.starts_with(&format!("environment variable AWS_REGION is {region:?}")), "{refused}");
        }
    }
}
