//! A stub of AWS for the tests of single adapters.

use std::sync::{Arc, Mutex};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::{SharedTimeSource, StaticTimeSource},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;

use crate::{
    query::{Api, EC2, Query},
    signed::Signed,
};

/// A connector that gives these answers in turn, and the last one forever; status 0 never answers.
#[derive(Clone, Debug)]
pub struct Answers {
    answers: Arc<Mutex<Vec<(u16, String)>>>,
    /// The requests that it received.
    pub requests: Arc<Mutex<Vec<HttpRequest>>>,
}

impl Answers {
    /// Returns a connector that gives these answers.
    #[must_use]
    pub fn new(answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        Self { answers: Arc::new(Mutex::new(answers)), requests: Arc::default() }
    }

    /// Returns a client of EC2 that gets these answers.
    #[must_use]
    pub fn ec2(&self) -> Query {
        self.client(EC2)
    }

    /// Returns a client of a service that gets these answers.
    #[must_use]
    pub fn client(&self, api: Api) -> Query {
        let signed = Signed {
            service: api.service,
            endpoint: format!("https://{}.eu-west-1.amazonaws.com", api.service.name),
            region: "eu-west-1".into(),
            credentials: SharedCredentialsProvider::new(credentials()),
            connector: SharedHttpConnector::new(self.clone()),
            sleep: SharedAsyncSleep::new(TokioSleep::new()),
            clock: SharedTimeSource::new(StaticTimeSource::from_secs(1_795_428_000)),
        };
        Query { api, signed }
    }
}

/// Returns credentials that no account has.
#[must_use]
pub fn credentials() -> Credentials {
    Credentials::new("id", "secret", Some("token".into()), None, "test")
}

impl HttpConnector for Answers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.requests.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        HttpConnectorFuture::new(async move {
            if status == 0 {
                std::future::pending::<()>().await;
            }
            Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
        })
    }
}
