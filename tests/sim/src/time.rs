//! Words for time, as stories say it.

use std::time::Duration;

/// Returns so many seconds.
#[must_use]
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns so many minutes.
#[must_use]
pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Returns so many hours.
#[must_use]
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

/// How long a story waits before it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within(pub Duration);

/// Says how long a story waits before it has failed.
#[must_use]
pub const fn within(time: Duration) -> Within {
    Within(time)
}

/// Runs a story on a paused clock: time passes only when everybody waits for it.
pub fn play<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(story)
}
