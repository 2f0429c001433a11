//! The Lambda function `backup-pruner`.

use backup_pruner::Pruner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    cluster_lambda::run::<Pruner>().await
}
