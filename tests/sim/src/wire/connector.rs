//! The SDK's view of the wire: its clock, and its connections.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use cluster_world::Request;

use super::Wire;

/// What the functions' clock has beyond the milliseconds in which the runtime's virtual time goes: the clock of a real one is as
/// fine, so whatever is written in milliseconds and compared afterwards differs here as well.
const FINER: Duration = Duration::from_nanos(654_321);
impl TimeSource for Wire {
    fn now(&self) -> SystemTime {
        let since_epoch = self.0.began_at.as_duration();
        let since_epoch = Duration::try_from(since_epoch).unwrap_or_default();
        SystemTime::UNIX_EPOCH + since_epoch + self.0.began.elapsed() + FINER
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = wire.send(&parse(&request)).await?;
            response(answer.status, &answer.headers, answer.body)
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Makes a response as the SDK's connectors return it.
pub(crate) fn response(
    status: u16,
    headers: &[(&'static str, String)],
    body: impl Into<SdkBody>,
) -> Result<HttpResponse, ConnectorError> {
    let response = http::Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, value));
    let response = response.body(body.into());
    let response = response.map_err(|error| ConnectorError::other(error.into(), None))?;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

fn parse(request: &HttpRequest) -> Request {
    let uri: http::Uri = request.uri().parse().unwrap_or_default();
    // S3's buckets are in the names of its hosts.
    let bucket = uri.host().and_then(|host| host.split_once(".s3.")).map(|(bucket, _)| format!("/{bucket}"));
    let said = |name: &str| request.headers().get(name).map(|value| (name.to_owned(), value.to_owned()));
    Request {
        method: request.method().to_owned(),
        host: uri.host().unwrap_or_default().to_owned(),
        path: format!("{}{}", bucket.unwrap_or_default(), uri.path()),
        query: uri.query().unwrap_or_default().to_owned(),
        target: request.headers().get("x-amz-target").map(str::to_owned),
        headers: ["if-match", "if-none-match", "alert-signature", "alert-timestamp"]
            .into_iter()
            .filter_map(said)
            .collect(),
        body: request.body().bytes().unwrap_or_default().to_vec(),
    }
}
