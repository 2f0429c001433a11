//! The members of the world behind a proxy for plain HTTP, by which the real gateway reaches them.

use std::{net::Ipv4Addr, time::Duration};

use axum::{
    body::Bytes,
    http::{
        HeaderMap, Method, StatusCode, Uri,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use cluster_world::neo4j::{Reply, Request};

use crate::serve::Live;

/// Asks a member. One that is silent is silent here, too, until the gateway gives up; a connection that is refused or breaks
/// is what a proxy calls a bad gateway.
pub(crate) async fn ask(
    live: &Live,
    member: Ipv4Addr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        authorization: header(AUTHORIZATION),
        accept: header(ACCEPT),
        content_type: header(CONTENT_TYPE),
        body: body.to_vec(),
    };
    let reply = live.world().ask_neo4j(member, &request);
    match reply {
        Reply::Answer(answer) => {
            tokio::time::sleep(Duration::from_millis(answer.millis)).await;
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = (status, answer.body).into_response();
            for (name, value) in answer.headers {
                if let Ok(value) = value.parse() {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Reply::Silence | Reply::Unreachable | Reply::HalfClosed(_) => std::future::pending().await,
        Reply::Refused => (StatusCode::BAD_GATEWAY, "it refuses the connection").into_response(),
        Reply::Reset => (StatusCode::BAD_GATEWAY, "it resets the connection").into_response(),
    }
}
