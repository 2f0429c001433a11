//! The Lambda function `instance-drainer`.

use instance_drainer::Drainer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    cluster_lambda::run::<Drainer>().await
}
