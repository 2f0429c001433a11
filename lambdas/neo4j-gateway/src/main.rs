//! The Lambda function `neo4j-gateway`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cluster_lambda::Error> {
    neo4j_gateway::run().await
}
