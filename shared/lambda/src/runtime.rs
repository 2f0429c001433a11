use std::time::{Duration, SystemTime};

use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde_json::Value;

use crate::Failure;

/// What an invocation keeps of its time to say that the rest was not enough.
const FAREWELL: Duration = Duration::from_secs(2);

/// Hands each event to `handle` until Lambda ends the process, and logs what came of it.
pub async fn run(handle: impl AsyncFn(Value) -> Result<Value, Failure>) -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        // Lambda would end the process without a word; this way the log and the answer say what happened.
        let left = left_of(&event.context).saturating_sub(FAREWELL);
        // Boxed, since a future as deep as a whole pass overflows the compiler's limit on the depth of types.
        let answer = tokio::time::timeout(left, Box::pin(handle(event.payload))).await;
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
