//! The Lambda function `backup-scheduler`.

use backup_scheduler::Scheduler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    cluster_lambda::run::<Scheduler>().await
}
