//! How functions reach AWS: one configuration for the clients of every crate.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
pub use aws_sdk_sqs::config::retry::RetryPartition;
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::{SharedTimeSource, SystemTimeSource},
};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use jiff::Timestamp;

use crate::{
    Failure,
    env::{self, Lookup},
    telemetry::Sink,
};

/// The connect timeout of every request.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout of one attempt, short enough for three attempts to fit into one invocation.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// The timeout of a call with all its attempts.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// How often a call is attempted.
pub const MAX_ATTEMPTS: u32 = 3;

/// The means by which a function reaches AWS. [`client!`](crate::client) makes the SDK's clients from it.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The configuration of every client.
    pub sdk: SdkConfig,
    /// The connector that carries every request, to AWS and to CloudFormation's response URLs.
    pub connector: SharedHttpConnector,
    /// The clients' budget of retries. The SDK shares one for each service and process, but tests run many functions in
    /// one process.
    pub retry_partition: Option<RetryPartition>,
    /// The destination of metrics.
    pub metrics: Sink,
}

impl Aws {
    /// Reads the environment that Lambda gives a function. Refuses one without a region.
    pub fn from_environment(lookup: fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let connector = connector();
        let sdk = sdk_config(lookup, &connector)?;
        Ok(Self { sdk, connector, retry_partition: None, metrics: Sink::stdout() })
    }

    /// Returns the current time by the clock that signs requests.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.clock().now()).unwrap_or_default()
    }

    /// Returns the clock that signs requests.
    #[must_use]
    pub fn clock(&self) -> SharedTimeSource {
        self.sdk.time_source().unwrap_or_default()
    }
}

/// Makes the client of one of the SDK's crates: `client!(aws_sdk_ecs, aws)`.
#[macro_export]
macro_rules! client {
    ($sdk:ident, $aws:expr) => {{
        let mut config = $sdk::config::Builder::from(&$aws.sdk);
        config.set_retry_partition($aws.retry_partition.clone());
        $sdk::Client::from_conf(config.build())
    }};
}

/// Makes the connector of all requests of a function: one pool of connections, and one certificate store, which takes
/// milliseconds to parse. By default each client parses two stores of its own.
fn connector() -> SharedHttpConnector {
    // Every caller has a timeout of its own, the longest of them 12 s.
    let settings =
        HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(Duration::from_secs(13)).build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::rustls(CryptoMode::AwsLc))
        .build();
    SharedHttpConnector::new(connector)
}

/// Returns the SDK configuration of every function.
///
/// The behaviour version is pinned: an update of the SDK must not change the timeouts of functions that drain a database.
///
/// Lambda always passes region and credentials as environment variables. `aws_config::defaults` would also search
/// profiles, instance metadata and web identities, which costs size, and time at each start.
fn sdk_config(lookup: fn(&str) -> Option<String>, connector: &SharedHttpConnector) -> Result<SdkConfig, Failure> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let connector = connector.clone();
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(env::required(&lookup, "AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .use_fips(is_true(&lookup, "AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_true(&lookup, "AWS_USE_DUALSTACK_ENDPOINT"))
        .service_config(Variables(lookup))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts);
    Ok(config.build())
}

/// Returns whether one of the SDK's variables is switched on.
pub fn is_true(lookup: &impl Lookup, name: &str) -> bool {
    lookup(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Settings of single services: `AWS_ENDPOINT_URL_ROUTE_53` takes precedence over `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Variables(fn(&str) -> Option<String>);

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace([' ', '-'], "_");
        let set = |name: &str| (self.0)(name).filter(|value| !value.is_empty());
        set(&format!("{}_{service}", key.env())).or_else(|| set(key.env()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let set = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "https://all"),
            ("AWS_ENDPOINT_URL_ROUTE_53", "https://dns"),
            ("AWS_ENDPOINT_URL_ECS", ""),
        ];
        set.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
    }

    #[test]
    fn a_services_own_endpoint_comes_before_that_of_all() {
        for (service, endpoint) in [("Route 53", "https://dns"), ("ECS", "https://all"), ("SQS", "https://all")] {
            let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            assert_eq!(Variables(lookup).load_config(key.build().unwrap()).as_deref(), Some(endpoint), "{service}");
        }
        let none = ServiceConfigKey::builder().service_id("SQS").env("AWS_OTHER").profile("other").build().unwrap();
        assert_eq!(Variables(lookup).load_config(none), None);
    }

    #[test]
    fn no_region_is_refused_by_name() {
        let aws = Aws::from_environment(lookup).unwrap();
        assert_eq!(aws.sdk.region().map(Region::as_ref), Some("eu-west-1"));
        let text = Aws::from_environment(|_| None).unwrap_err().to_string();
        assert_eq!(text, "environment variable AWS_REGION is missing or empty: set it");
    }
}
