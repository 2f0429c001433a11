//! Time that passes in a cluster, with all that happens in it.

use std::time::Duration;

use super::{Cluster, STEP};
use crate::{
    events::{delivered, messages},
    time::{Within, minutes},
};

impl Cluster {
    /// Lets five seconds pass, hands every event to the functions whose rules match it, and lets schedules fire that are due.
    /// A function that fails is made good by the next sweep; what any other schedule sent is handed to it again. Whoever is to be
    /// invoked asynchronously is.
    pub async fn step(&self) {
        self.wire.sleep(STEP).await;
        let events = std::mem::take(&mut self.wire.world().events);
        let now = self.wire.world().now;
        let fired = self.fire(now, |_| true);
        for function in self.running() {
            let bodies: Vec<_> = self.matching(&function, events.clone()).iter().map(delivered).collect();
            for batch in bodies.chunks(10) {
                _ = self.invoke_function(&function, messages(batch)).await;
            }
            self.hand_on(&function, &fired).await;
        }
        self.deliver().await;
    }

    /// Lets time pass, with all that happens in it.
    pub async fn live(&self, time: Duration) {
        let seconds = time.as_secs();
        for _ in 0..seconds.div_ceil(STEP) {
            self.step().await;
        }
    }

    /// Lets time pass with a sweep each minute, while every event is lost. Asynchronous invocations are not: Lambda keeps them.
    pub async fn live_without_events(&self, time: Duration) {
        for _ in 0..time.as_secs().div_ceil(60) {
            self.wire.sleep(60).await;
            self.wire.world().events.clear();
            let now = self.wire.world().now;
            let fired = self.fire(now, |schedule| !schedule.sweeps());
            for function in self.running() {
                _ = self.sweep_function(&function).await;
                self.hand_on(&function, &fired).await;
            }
            self.deliver().await;
        }
    }

    /// Lets time pass until something is so, and returns how much that was.
    pub async fn until(&self, what: &str, within: Within, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = self.wire.world().now;
        while !is_so(self) {
            let passed = Duration::try_from(self.wire.world().now.duration_since(began)).unwrap();
            assert!(passed < within.0, "{what}: not within {:?}\n{}", within.0, self.picture());
            self.step().await;
        }
        Duration::try_from(self.wire.world().now.duration_since(began)).unwrap()
    }

    /// Lets the cluster form: each core boots for the first time, and the creation of the stack comes to its end.
    pub async fn form(&self) {
        let all = |cluster: &Self| (1..=cluster.nodes.len()).all(|core| cluster.serving(core).is_some());
        self.until("every core serves", Within(minutes(5)), all).await;
        let healthy = |cluster: &Self| cluster.fit("core").len() == cluster.nodes.len();
        self.until("every core's health check passes", Within(minutes(2)), healthy).await;
        self.live(minutes(1)).await;
        self.request_phase("Create").await;
        // A round declares the user that looks, and the next one takes note of what that user sees.
        self.live(minutes(2)).await;
    }
}
