//! Answers to CloudFormation about a custom resource. A request without an answer leaves its stack hanging.

use std::time::Duration;

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as Request;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::Failure;

/// CloudFormation refuses an answer over 4,096 bytes; this leaves room for everything but the reason.
const LONGEST_REASON: usize = 2_000;

/// What a custom resource answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Becomes the resource's physical id. Another one than before makes CloudFormation delete the old resource.
    pub physical_id: String,
    /// Attributes for `Fn::GetAtt`, or why it failed.
    pub result: Result<Value, String>,
}

/// What identifies a request in its answer: (response URL, stack id, request id, logical id, physical id).
fn identity(request: &Request) -> Option<(&str, &str, &str, &str, Option<&str>)> {
    match request {
        Request::Create(r) => Some((&r.response_url, &r.stack_id, &r.request_id, &r.logical_resource_id, None)),
        Request::Update(r) => {
            Some((&r.response_url, &r.stack_id, &r.request_id, &r.logical_resource_id, Some(&r.physical_resource_id)))
        }
        Request::Delete(r) => {
            Some((&r.response_url, &r.stack_id, &r.request_id, &r.logical_resource_id, Some(&r.physical_resource_id)))
        }
        _ => None,
    }
}

/// The physical id that CloudFormation knows, if it knows one.
#[must_use]
pub fn physical_id(request: &Request) -> Option<&str> {
    identity(request)?.4
}

/// The connector that carries answers over TLS in a function.
pub fn connector(sleep: Option<SharedAsyncSleep>) -> Result<SharedHttpConnector, Failure> {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(5))
        .build();
    aws_smithy_http_client::default_connector(&settings, sleep)
        .ok_or_else(|| Failure::permanent("this build has no TLS connector for CloudFormation's answers"))
}

/// Puts the answer where CloudFormation waits for it. Tries three times: nothing else would ever answer.
pub async fn answer(connector: &SharedHttpConnector, request: &Request, answer: &Answer) -> Result<(), Failure> {
    let (url, stack, id, logical, _) = identity(request)
        .ok_or_else(|| Failure::permanent("CloudFormation sent a kind of request that this version does not know"))?;
    let (status, reason, data) = match &answer.result {
        Ok(data) => ("SUCCESS", String::new(), data.clone()),
        Err(reason) => ("FAILED", reason.chars().take(LONGEST_REASON).collect(), json!({})),
    };
    let body = json!({
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": answer.physical_id,
        "StackId": stack,
        "RequestId": id,
        "LogicalResourceId": logical,
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
        .map_err(|error| Failure::permanent(format!("ResponseURL {url:?} is no URL")).caused_by(error))?;
    request.headers_mut().insert("content-length", body.len().to_string());
    let response = connector.call(request).await.map_err(|error| Failure::transient("no response").caused_by(error))?;
    let status = response.status().as_u16();
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::transient(format!("response {status}"))) }
}
