//! The way by which a function reaches AWS.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
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

use crate::{Failure, env};

/// The longest that [`warm_up`] holds the init phase up.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// What carries all requests of a function, to AWS and to CloudFormation alike: one pool of connections, and one
/// certificate store, which takes milliseconds to parse. Left to itself each client parses two stores of its own.
#[must_use]
pub fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(2))
        .read_timeout(Duration::from_secs(5))
        .build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::rustls(CryptoMode::AwsLc))
        .build();
    SharedHttpConnector::new(connector)
}

/// The SDK configuration of every function.
///
/// The behaviour version is pinned: an update of the SDK must not change the time-outs of functions that drain a
/// database. An attempt that hangs gives way to the next one early enough for three of them to fit into one invocation.
///
/// Lambda hands region and credentials over as environment variables, always. `aws_config::defaults` would bring along what
/// searches profiles, instance metadata and web identities, which costs size and time at each start.
pub fn sdk_config(lookup: fn(&str) -> Option<String>, connector: &SharedHttpConnector) -> Result<SdkConfig, Failure> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(12))
        .build();
    let connector = connector.clone();
    let wants = |name: &str| lookup(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(env::required(&lookup, "AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .use_fips(wants("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(wants("AWS_USE_DUALSTACK_ENDPOINT"))
        .service_config(Variables(lookup))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts);
    Ok(config.build())
}

/// Settings of single services, such as `AWS_ENDPOINT_URL_ROUTE_53` before `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Variables(fn(&str) -> Option<String>);

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace([' ', '-'], "_");
        let set = |name: &str| (self.0)(name).filter(|value| !value.is_empty());
        set(&format!("{}_{service}", key.env())).or_else(|| set(key.env()))
    }
}

/// Makes first calls in the init phase, which Lambda runs at full speed whatever the function's memory: connections, TLS
/// sessions and pages of the binary are there when the first event comes.
///
/// Only calls that change nothing belong here. Nothing follows from their answers: a failure shows itself again in the
/// first event, which can tell whoever sent it.
pub async fn warm_up<const N: usize>(calls: impl Future<Output = [Result<(), Failure>; N]>) {
    let Ok(results) = tokio::time::timeout(WARM_UP, calls).await else {
        tracing::debug!("the calls to warm up took too long");
        return;
    };
    for failure in results.into_iter().filter_map(Result::err) {
        tracing::debug!(failure = failure.chain(), "a call to warm up failed");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

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
        let config = sdk_config(lookup, &connector()).unwrap();
        assert_eq!(config.region().map(Region::as_ref), Some("eu-west-1"));
        let text = sdk_config(|_| None, &connector()).unwrap_err().to_string();
        assert_eq!(text, "environment variable AWS_REGION is missing or empty: set it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_warm_up_neither_fails_the_function_nor_holds_it_up() {
        let began = tokio::time::Instant::now();
        warm_up(async { [Err(Failure::transient("throttled")), Ok(())] }).await;
        assert!(began.elapsed().is_zero());
        warm_up(pending::<[_; 1]>()).await;
        assert_eq!(began.elapsed(), WARM_UP);
    }
}
