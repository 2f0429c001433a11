//! The Lambda function `dns-replicator`.

use cluster_lambda::{Failure, custom_resource, env, telemetry};
use dns_replicator::{Clients, Config, Replicator};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::read(&env::process).inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    let sdk = cluster_lambda::sdk_config().await;
    let clients = Clients {
        cloud_map: aws_sdk_servicediscovery::Client::new(&sdk),
        ecs: aws_sdk_ecs::Client::new(&sdk),
        route53: aws_sdk_route53::Client::new(&sdk),
        sqs: aws_sdk_sqs::Client::new(&sdk),
        answers: custom_resource::connector(sdk.sleep_impl())?,
        clock: sdk.time_source().unwrap_or_default(),
        metrics: telemetry::Sink::stdout(),
    };
    let replicator = Replicator::new(config, clients);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let answer = replicator.handle(event.payload).await;
        match &answer {
            Ok(answer) => tracing::info!(%answer, "done"),
            Err(failure) => tracing::error!(kind = ?failure.kind(), "{}", failure.chain()),
        }
        answer as Result<Value, Failure>
    }))
    .await
}
