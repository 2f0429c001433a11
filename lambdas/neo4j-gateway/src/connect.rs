use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns},
    http::SharedHttpConnector,
};
use cluster_lambda::Failure;

use crate::{Config, Tls};

/// How a member is reached: a connector for each address.
///
/// Each invocation asks for new ones, whose connections end with it. A connection that was kept would be a trap: Neo4j closes
/// it after 30 seconds, which a function that is frozen between two invocations does not notice, and another member may have
/// the address by then.
#[derive(Clone)]
pub struct Connect(Arc<dyn Fn(Ipv4Addr) -> SharedHttpConnector + Send + Sync>);

impl Connect {
    /// Makes one from what returns the connector of an address.
    pub fn new(connect: impl Fn(Ipv4Addr) -> SharedHttpConnector + Send + Sync + 'static) -> Self {
        Self(Arc::new(connect))
    }

    /// Connects by sockets.
    pub fn direct(config: &Config) -> Result<Self, Failure> {
        Self::sockets(config, ProxyConfig::disabled())
    }

    /// Connects by sockets, or through the proxy that `HTTP_PROXY` and the like name.
    pub fn from_environment(config: &Config) -> Result<Self, Failure> {
        Self::sockets(config, ProxyConfig::from_env())
    }

    fn sockets(config: &Config, proxy: ProxyConfig) -> Result<Self, Failure> {
        let trusted = match &config.tls {
            Some(Tls { authorities: None, .. }) => TrustStore::default(),
            Some(Tls { authorities: Some(pem), .. }) => TrustStore::empty().with_pem_certificate(pem.as_bytes()),
            // Nothing is verified: the public authorities would take milliseconds to parse.
            None => TrustStore::empty(),
        };
        let context = TlsContext::builder().with_trust_store(trusted).build();
        let context = context.map_err(|e| Failure::permanent("no TLS is possible").caused_by(e))?;
        Ok(Self::new(move |address| {
            let connector = Connector::builder()
                .sleep_impl(TokioSleep::new())
                .proxy_config(proxy.clone())
                .tls_provider(Provider::rustls(CryptoMode::AwsLc))
                .tls_context(context.clone())
                .build_with_resolver(Only(address));
            SharedHttpConnector::new(connector)
        }))
    }

    /// Returns a new connector to the member at an address.
    #[must_use]
    pub fn to(&self, address: Ipv4Addr) -> SharedHttpConnector {
        (self.0)(address)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

/// Answers one address for every name: the name that is verified stands for all members.
#[derive(Clone, Debug)]
struct Only(Ipv4Addr);

impl ResolveDns for Only {
    fn resolve_dns<'a>(&'a self, _name: &'a str) -> DnsFuture<'a> {
        DnsFuture::ready(Ok(vec![IpAddr::V4(self.0)]))
    }
}
