//! The Lambda function `instance-drainer`.

use cluster_lambda::{env, telemetry};
use instance_drainer::{Clients, Config, Drainer, Ec2};
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::read(&env::process).inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    let connector = cluster_lambda::connector();
    let sdk = cluster_lambda::sdk_config(env::process, &connector)
        .inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    let clients = Clients {
        auto_scaling: aws_sdk_autoscaling::Client::new(&sdk),
        ecs: aws_sdk_ecs::Client::new(&sdk),
        dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
        ec2: Ec2::new(&env::process, &sdk, connector.clone())
            .inspect_err(|failure| tracing::error!("{}", failure.chain()))?,
        sqs: aws_sdk_sqs::Client::new(&sdk),
        answers: connector,
        clock: sdk.time_source().unwrap_or_default(),
        metrics: telemetry::Sink::stdout(),
    };
    let drainer = Drainer::new(config, clients);
    cluster_lambda::warm_up(Box::pin(drainer.touch())).await;
    cluster_lambda::run(|event| drainer.handle(event)).await
}
