//! The Lambda function `dns-replicator`.

use cluster_lambda::{env, telemetry};
use dns_replicator::{Clients, Config, Replicator};
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::read(&env::process).inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    let connector = cluster_lambda::connector();
    let sdk = cluster_lambda::sdk_config(env::process, &connector)
        .inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    let clients = Clients {
        cloud_map: aws_sdk_servicediscovery::Client::new(&sdk),
        ecs: aws_sdk_ecs::Client::new(&sdk),
        route53: aws_sdk_route53::Client::new(&sdk),
        sqs: aws_sdk_sqs::Client::new(&sdk),
        answers: connector,
        clock: sdk.time_source().unwrap_or_default(),
        metrics: telemetry::Sink::stdout(),
    };
    let replicator = Replicator::new(config, clients);
    cluster_lambda::warm_up(Box::pin(replicator.touch())).await;
    cluster_lambda::run(|event| replicator.handle(event)).await
}
