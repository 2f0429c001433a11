//! The Lambda function `alarm-router`.

use alarm_router::Router;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    cluster_lambda::run::<Router>().await
}
