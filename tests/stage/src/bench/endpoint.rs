//! The modelled AWS behind TLS, as functions meet it: an endpoint a service, and an authority that the host's
//! certificate store does not know.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use crate::serve::Live;

/// Where distributions keep their certificates in one file.
const STORES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The services that functions call.
const SERVICES: [&str; 14] = [
    "AUTO_SCALING",
    "BATCH",
    "CLOUDWATCH",
    "CLOUDWATCH_LOGS",
    "DYNAMODB",
    "EC2",
    "ECS",
    "LAMBDA",
    "ROUTE_53",
    S3,
    "SECRETS_MANAGER",
    "SERVICEDISCOVERY",
    "SNS",
    "SQS",
];
/// At an address, the SDK puts the bucket into the path. At a name it puts it in front, and `backups.localhost` need not resolve.
const S3: &str = "S3";

/// The endpoints of a world.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// What tells the SDK where they are, and whom to trust.
    pub(super) variables: Vec<(String, String)>,
    /// How many certificates the store holds.
    pub(super) certificates: usize,
}

impl Endpoints {
    /// Opens the endpoints of a world, and writes a certificate store for them: the host's own, as a function parses one
    /// of that size, and the new authority.
    pub(super) async fn open(live: &Live, folder: &Path) -> Self {
        let Certified { authority, acceptor } = Certified::new(&["localhost", "127.0.0.1"]);
        let store = STORES.iter().find_map(|store| fs::read_to_string(store).ok()).unwrap_or_default() + &authority;
        let mut variables = vec![];
        for service in SERVICES {
            let listener = Tls::listen(acceptor.clone(), (Ipv4Addr::LOCALHOST, 0)).await;
            let host = if service == S3 { "127.0.0.1" } else { "localhost" };
            let url = format!("https://{host}:{}", listener.address.port());
            variables.push((format!("AWS_ENDPOINT_URL_{service}"), url));
            tokio::spawn(live.clone().serve(listener));
        }
        // Each world has an authority of its own.
        let port = variables.first().and_then(|(_, url)| url.rsplit(':').next()).unwrap_or_default();
        let file: PathBuf = folder.join(format!("certificates-{port}.pem"));
        fs::write(&file, &store).unwrap();
        variables.push(("SSL_CERT_FILE".to_owned(), file.display().to_string()));
        Self { variables, certificates: store.matches("BEGIN CERTIFICATE").count() }
    }
}

/// Somebody who is certified for names.
pub(super) struct Certified {
    /// The certificate of the authority, as PEM.
    pub(super) authority: String,
    /// Speaks TLS as these names.
    pub(super) acceptor: TlsAcceptor,
}

impl Certified {
    pub(super) fn new(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![server.der().clone()], key);
        Self { authority: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config.unwrap())) }
    }
}

/// A socket whose connections speak TLS.
#[derive(Debug)]
pub(super) struct Tls {
    address: SocketAddr,
    open: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Tls {
    pub(super) async fn listen(acceptor: TlsAcceptor, at: (Ipv4Addr, u16)) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, open) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        _ = tell.send((stream, peer)).await;
                    }
                });
            }
        });
        Self { address, open }
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.open.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}
