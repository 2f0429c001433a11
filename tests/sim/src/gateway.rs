//! The function that asks Neo4j, in process: other functions invoke it by name, and its connections lead into the world.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use cluster_world::neo4j::{Reply, Request};
use neo4j_gateway::{Connect, Gateway};

use crate::{
    functions::Environment,
    wire::{Invocable, LATENCY, Wire, response},
};

/// Returns the gateway with this environment, as it is invoked.
#[must_use]
pub fn invocable(environment: &Environment, timeout: Duration) -> Invocable {
    let environment = environment.clone();
    Invocable {
        timeout,
        run: Arc::new(move |wire, payload| {
            let wire = wire.clone();
            let connect = Connect::new(move |address| SharedHttpConnector::new(Member { wire: wire.clone(), address }));
            let gateway = Gateway::new(&|name: &str| environment.get(name).cloned(), connect);
            Box::pin(async move {
                let answer = async { gateway?.handle(payload).await };
                answer.await.map_err(|failure| failure.chain())
            })
        }),
    }
}

/// What connects to an address in the world.
#[derive(Clone, Debug)]
struct Member {
    wire: Wire,
    address: Ipv4Addr,
}

impl HttpConnector for Member {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { wire, address } = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(LATENCY).await;
            let reply = wire.world().ask_neo4j(address, &read(&request));
            let answer = match reply {
                Reply::Answer(answer) => answer,
                Reply::Refused => return Err(ConnectorError::io("connection refused".into())),
                Reply::Reset => return Err(ConnectorError::io("connection reset by peer".into())),
                // Whether nothing comes or only a part, who asks waits. That the part is not taken for the whole is shown on
                // sockets.
                Reply::Silence | Reply::Unreachable | Reply::HalfClosed(_) => std::future::pending().await,
            };
            tokio::time::sleep(Duration::from_millis(answer.millis)).await;
            response(answer.status, &answer.headers, answer.body)
        })
    }
}

fn read(request: &HttpRequest) -> Request {
    let uri: http::Uri = request.uri().parse().unwrap_or_default();
    let header = |name: &str| request.headers().get(name).map(str::to_owned);
    Request {
        method: request.method().to_owned(),
        path: uri.path().to_owned(),
        authorization: header("authorization"),
        accept: header("accept"),
        content_type: header("content-type"),
        body: request.body().bytes().unwrap_or_default().to_vec(),
    }
}
