//! The Lambda function `dns-replicator`.

use std::time::{Duration, SystemTime};

use cluster_lambda::{Failure, env, telemetry};
use dns_replicator::{Clients, Config, Replicator};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde_json::Value;

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
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        // Lambda would end the process without a word; this way the log and the answer say what happened.
        let left = left_of(&event.context).saturating_sub(Duration::from_secs(2));
        let answer = tokio::time::timeout(left, replicator.handle(event.payload)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::transient("AWS answered too slowly: the time was up")));
        match &answer {
            Ok(answer) => tracing::info!(%answer, "done"),
            Err(failure) => tracing::error!(kind = ?failure.kind(), "{}", failure.chain()),
        }
        answer as Result<Value, Failure>
    }))
    .await
}

#[expect(clippy::disallowed_methods, reason = "the deadline is on the host's clock")]
fn left_of(context: &Context) -> Duration {
    context.deadline().duration_since(SystemTime::now()).unwrap_or_default()
}
