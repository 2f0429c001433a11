//! What schedules send, on its way to functions.

use jiff::{SignedDuration, Timestamp};

use super::Cluster;
use crate::{events::messages, schedules::Schedule};

/// How often a queue hands a message on before it is dead (`maxReceiveCount`).
const RECEIVED: u8 = 3;
/// How long a queue waits before it hands a message on again (`VisibilityTimeout`).
const PAUSE: SignedDuration = SignedDuration::from_secs(100);

/// A message that a function failed with.
#[derive(Clone, Debug)]
pub(super) struct Again {
    at: Timestamp,
    function: String,
    body: String,
    received: u8,
}

/// A schedule that has fired, and when it was due.
pub(super) type Fired = (Schedule, Timestamp);

impl Cluster {
    /// Lets schedules fire that are due, as far as they are looked at. What is late by more than one of its times fires once.
    pub(super) fn fire(&self, now: Timestamp, looked_at: impl Fn(&Schedule) -> bool) -> Vec<Fired> {
        let mut next = self.next.lock().unwrap();
        let mut fired = Vec::new();
        for schedule in self.deployed.schedules.iter().filter(|schedule| looked_at(schedule)) {
            let due = next.entry(schedule.clone()).or_insert_with(|| schedule.next(now));
            if *due <= now {
                fired.push((schedule.clone(), *due));
                *due = schedule.next(now);
            }
        }
        fired
    }

    /// Hands what has fired to a function, and what it failed with before.
    pub(super) async fn hand_on(&self, function: &str, fired: &[Fired]) {
        let now = self.wire.world().now;
        let due = |again: &mut Again| again.at <= now && again.function == function;
        let again: Vec<_> = self.again.lock().unwrap().extract_if(.., due).collect();
        for Again { body, received, .. } in again {
            self.receive(function, body, received + 1).await;
        }
        for (schedule, due) in fired.iter().filter(|(schedule, _)| schedule.function == function) {
            if schedule.sweeps() {
                _ = self.sweep_function(function).await;
            } else {
                self.receive(function, schedule.message(*due), 1).await;
            }
        }
    }

    async fn receive(&self, function: &str, body: String, received: u8) {
        let result = self.invoke_function(function, messages(std::slice::from_ref(&body))).await;
        if result.is_err() && received < RECEIVED {
            let at = self.wire.world().now + PAUSE;
            self.again.lock().unwrap().push(Again { at, function: function.to_owned(), body, received });
        }
    }
}
