//! The Lambda function `dns-replicator`.

use dns_replicator::Replicator;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    cluster_lambda::run::<Replicator>().await
}
