//! Whatever arrives as an event is read or refused, never a panic.
#![no_main]

use aws_lambda_events::sqs::SqsMessage;
use cluster_lambda::{Event, queue};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    if let Ok(payload) = serde_json::from_slice(data) {
        let _ = Event::read(payload);
    }
    let body = String::from_utf8_lossy(data);
    let message: SqsMessage = serde_json::from_value(json!({"messageId": "m", "body": body})).unwrap_or_default();
    let _ = queue::trigger(&message);
});
