//! What the free space of a disk over time proves.

use jiff::{SignedDuration, Timestamp};

/// Under so many per cent a disk is full.
pub(super) const FULL: f64 = 1.0;
/// Over so many per cent it has room.
const ROOM: f64 = 20.0;
/// How long it must have had room.
const LONG: SignedDuration = SignedDuration::from_mins(10);
/// The longest gap between two values: each core writes one a minute.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// The greatest age of the last value: it has the time at which its minute began, and CloudWatch shows it a minute or two after
/// that minute's end.
const AGE: SignedDuration = SignedDuration::from_mins(5);

/// What the free space of a disk says now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Room {
    /// It has had room for long enough: this much is free.
    Free(f64),
    /// It has no room: this much is free.
    Full(f64),
    /// It has room, but only since then: this much is free.
    Since(Timestamp, f64),
    /// Nobody has said for a while: the last value was of this time, if there was any.
    Unknown(Option<Timestamp>),
}

/// Judges whether a disk has room. `values` are in the order of their times.
pub(super) fn room(values: &[(Timestamp, f64)], now: Timestamp) -> Room {
    let Some((last, free)) = values.last().copied() else { return Room::Unknown(None) };
    if now.duration_since(last).abs() >= AGE || !free.is_finite() {
        return Room::Unknown(Some(last));
    }
    if free <= ROOM {
        return Room::Full(free);
    }
    let mut since = last;
    for (at, free) in values.iter().rev().skip(1) {
        if *free <= ROOM || !free.is_finite() || since.duration_since(*at) > GAP {
            break;
        }
        since = *at;
    }
    if now.duration_since(since) >= LONG { Room::Free(free) } else { Room::Since(since, free) }
}

/// Returns how much of a disk was free when a task started, if it was full: by the first value after that, and by the last one
/// before it if there is one.
///
/// The value after it counts most: if there was room by then, the start found room, and what takes long is its recovery.
pub(super) fn full_at(values: &[(Timestamp, f64)], started: Timestamp) -> Option<f64> {
    let near = |at: &Timestamp| at.duration_since(started).abs() <= GAP;
    let (_, after) = values.iter().find(|(at, _)| *at >= started).filter(|(at, _)| near(at))?;
    let before = values.iter().rev().find(|(at, _)| *at < started).filter(|(at, _)| near(at));
    let full = |free: f64| free < FULL;
    (full(*after) && before.is_none_or(|(_, free)| full(*free))).then_some(*after)
}

/// Returns the last value.
pub(super) fn last(values: &[(Timestamp, f64)]) -> Option<f64> {
    values.last().map(|(_, free)| *free)
}

/// Returns whether a status message is about a full disk: the operating system's words for `ENOSPC` and `EDQUOT`, which Java
/// hands on.
pub(super) fn is_meant(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["no space left on device", "disk quota exceeded"].iter().any(|words| message.contains(words))
}
