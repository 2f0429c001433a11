//! Answers to CloudFormation about a custom resource. A request without an answer leaves its stack hanging.

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as Request;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};

use crate::{Failure, Kind, aws::ATTEMPT_TIMEOUT};

/// Lambda tries a request at once, after one minute and after three: from this age on, no other attempt follows.
const LAST_ATTEMPT: SignedDuration = SignedDuration::from_secs(150);

/// CloudFormation refuses an answer over 4,096 bytes; this leaves room for everything but the reason.
const MAX_REASON: usize = 2_000;

/// The answer of a custom resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The resource's physical id. A changed one makes CloudFormation delete the old resource.
    pub physical_id: String,
    /// The attributes for `Fn::GetAtt`, or why it failed.
    pub result: Result<Value, String>,
}

/// The fields that the three kinds of requests have in common.
struct Common<'a> {
    url: &'a str,
    stack: &'a str,
    id: &'a str,
    logical_id: &'a str,
    physical_id: Option<&'a str>,
    resource_type: &'a str,
}

fn common(request: &Request) -> Option<Common<'_>> {
    macro_rules! common {
        ($request:ident, $physical_id:expr) => {
            Some(Common {
                url: &$request.response_url,
                stack: &$request.stack_id,
                id: &$request.request_id,
                logical_id: &$request.logical_resource_id,
                physical_id: $physical_id,
                resource_type: &$request.resource_type,
            })
        };
    }
    match request {
        Request::Create(create) => common!(create, None),
        Request::Update(update) => common!(update, Some(&update.physical_resource_id)),
        Request::Delete(delete) => common!(delete, Some(&delete.physical_resource_id)),
        _ => None,
    }
}

/// Returns the type of the custom resource, such as `Custom::DnsRecords`.
#[must_use]
pub fn resource_type(request: &Request) -> Option<&str> {
    Some(common(request)?.resource_type)
}

/// Returns how long ago CloudFormation sent the request, by the date in the signature of its response URL; nothing when
/// that has no date.
#[must_use]
pub fn age(request: &Request, now: Timestamp) -> Option<SignedDuration> {
    let (_, rest) = common(request)?.url.split_once("X-Amz-Date=")?;
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", rest.split('&').next()?).ok()?;
    Some(now.duration_since(TimeZone::UTC.to_timestamp(date).ok()?))
}

/// Returns the physical id that CloudFormation knows, if it knows one.
#[must_use]
pub fn physical_id(request: &Request) -> Option<&str> {
    common(request)?.physical_id
}

/// Answers CloudFormation with a physical id and attributes, or with why there are none. Returns what was answered.
///
/// Only a transient failure goes unanswered: Lambda then invokes the function again after one minute, and once more
/// after another two. The last attempt always answers.
pub async fn respond(
    connector: &SharedHttpConnector,
    request: &Request,
    now: Timestamp,
    result: Result<(String, Value), Failure>,
) -> Result<Value, Failure> {
    let known = physical_id(request).unwrap_or("none").to_owned();
    let last_attempt = age(request, now).is_some_and(|age| age >= LAST_ATTEMPT);
    let what = match result {
        Ok((physical_id, data)) => Answer { physical_id, result: Ok(data) },
        Err(failure) if failure.kind() == Kind::Transient && !last_attempt => return Err(failure),
        Err(failure) => Answer { physical_id: known, result: Err(failure.chain()) },
    };
    answer(connector, request, &what).await?;
    Ok(json!({"answered": what.physical_id, "failed": what.result.err()}))
}

/// Returns the refusal of a request for another function.
#[must_use]
pub fn unknown_type(request: &Request) -> Failure {
    let other = resource_type(request);
    Failure::permanent(format!("this function provides no custom resource of type {other:?}"))
}

/// Returns the refusal of a request that is neither a creation nor an update nor a deletion.
#[must_use]
pub fn unknown_request() -> Failure {
    Failure::permanent("CloudFormation sent a kind of request that this version does not know")
}

/// Puts the answer where CloudFormation waits for it. Makes three attempts: nothing else would ever answer.
pub async fn answer(connector: &SharedHttpConnector, request: &Request, answer: &Answer) -> Result<(), Failure> {
    let Common { url, stack, id, logical_id, .. } = common(request).ok_or_else(unknown_request)?;
    let (status, reason, data) = match &answer.result {
        Ok(data) => ("SUCCESS", String::new(), data.clone()),
        Err(reason) => ("FAILED", reason.chars().take(MAX_REASON).collect(), json!({})),
    };
    let body = json!({
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": answer.physical_id,
        "StackId": stack,
        "RequestId": id,
        "LogicalResourceId": logical_id,
        "Data": data,
    })
    .to_string();
    let mut last = Failure::transient("nothing was sent");
    for _ in 0..3 {
        match put(connector, url, &body).await {
            Ok(()) => return Ok(()),
            Err(failure) => last = failure,
        }
    }
    Err(Failure::transient("could not answer CloudFormation, whose stack waits until the resource times out")
        .caused_by(last))
}

async fn put(connector: &SharedHttpConnector, url: &str, body: &str) -> Result<(), Failure> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("PUT").map_err(|error| Failure::permanent("PUT is not a method").caused_by(error))?;
    request
        .set_uri(url)
        .map_err(|error| Failure::permanent(format!("ResponseURL {url:?} is not a URL")).caused_by(error))?;
    request.headers_mut().insert("content-length", body.len().to_string());
    let response = tokio::time::timeout(ATTEMPT_TIMEOUT, connector.call(request)).await;
    let response = response.map_err(|_| Failure::transient("no response in time"))?;
    let response = response.map_err(|error| Failure::transient("no response").caused_by(error))?;
    let status = response.status().as_u16();
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::transient(format!("response {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request {
        serde_json::from_value(json!({
            "RequestType": "Delete", "ResponseURL": url, "StackId": "s", "RequestId": "r", "ResourceType": "Custom::X",
            "LogicalResourceId": "l", "PhysicalResourceId": "p", "ResourceProperties": {},
        }))
        .unwrap()
    }

    #[test]
    fn a_request_is_as_old_as_the_signature_of_its_url() {
        let now = "2026-11-23T10:03:00Z".parse().unwrap();
        let signed = request("https://bucket/x?X-Amz-Algorithm=A&X-Amz-Date=20261123T100000Z&X-Amz-Expires=7200");
        assert_eq!(age(&signed, now), Some(SignedDuration::from_mins(3)));
        for url in ["https://bucket/x", "https://bucket/x?X-Amz-Date=yesterday", "https://bucket/x?Expires=1"] {
            assert_eq!(age(&request(url), now), None, "{url}");
        }
    }
}
