//! Tells an incident: claims it, delivers what is due, and writes down what was taken.

use std::collections::BTreeSet;

use cluster_core::alert::{Alert, Due, Incident, Key, Planned, Step, Way};
use cluster_lambda::Failure;
use cluster_state::Found;
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{Router, deliver::Undelivered};

/// How often a write is tried that somebody else's was quicker than.
pub(crate) const TRIES: u8 = 8;

/// What came of telling an incident.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// How many destinations took what they were told.
    pub(crate) delivered: usize,
    /// The destinations that did not, and why.
    pub(crate) failed: Vec<(String, Failure)>,
}

/// An incident that this invocation has claimed.
pub(crate) struct Claimed {
    pub(crate) incident: Incident,
    pub(crate) version: u64,
    pub(crate) due: Vec<Due>,
    /// The destinations that know of no trouble unless this invocation tells them.
    pub(crate) unaware: BTreeSet<String>,
}

/// What came of telling destinations, to be written down.
#[derive(Default)]
struct Answers {
    /// What was taken, and when.
    taken: Vec<(Due, Timestamp)>,
    /// The destinations that certainly know no more than before.
    refused: BTreeSet<String>,
}

impl Router {
    /// Tells what is due, and then what has become due meanwhile: whoever brings news of an incident that is claimed leaves it to us.
    pub(crate) async fn tell(&self, claimed: Claimed) -> Result<Telling, Failure> {
        let mut telling = Telling::default();
        let mut next = Some(claimed);
        while let Some(claimed) = next.take() {
            let key = claimed.incident.alert.key.clone();
            let mut answers = Answers::default();
            // All at once: one that hangs must not use up the time in which the others are written down.
            let each = claimed.due.iter().map(|due| self.tell_one(&claimed.incident.alert, due));
            for (due, told) in claimed.due.iter().zip(join_all(each).await) {
                match told {
                    Ok(at) => answers.taken.push((due.clone(), at)),
                    Err(Undelivered { failure, is_certain }) => {
                        if is_certain && claimed.unaware.contains(&due.to) {
                            answers.refused.insert(due.to.clone());
                        }
                        telling.failed.push((due.to.clone(), failure));
                    }
                }
            }
            telling.delivered += answers.taken.len();
            let whole = answers.taken.len() == claimed.due.len();
            let recorded = self.record(&key, claimed, &answers).await?;
            // What failed is left to the next sweep.
            if whole && let Some((incident, version)) = recorded {
                next = self.claim(incident, Some(version)).await?;
            }
        }
        Ok(telling)
    }

    /// Tells one destination, and returns when.
    async fn tell_one(&self, alert: &Alert, due: &Due) -> Result<Timestamp, Undelivered> {
        let (key, to, now) = (alert.key.as_str(), due.to.as_str(), self.now());
        // What was told there was told before the destination was taken away: nobody is left to be told of the end.
        if due.step == Step::Resolve && !self.deliveries.has(to) {
            tracing::warn!(key, to, "its destination is gone, and so is told of no end");
            return Ok(now);
        }
        let told = self.deliveries.deliver(to, alert, now).await;
        match &told {
            Ok(()) => tracing::info!(key, to, step = ?due.step, "told"),
            Err(Undelivered { failure, .. }) => tracing::error!(key, to, failure = failure.chain(), "could not tell"),
        }
        told.map(|()| now)
    }

    /// Writes down what was taken and what was not, and gives the claim back. Returns the incident as it is now, while it is not over.
    async fn record(&self, key: &Key, claimed: Claimed, answers: &Answers) -> Result<Option<(Incident, u64)>, Failure> {
        let (since, mut found) =
            (claimed.incident.telling, Found { incident: Some(claimed.incident), version: Some(claimed.version) });
        for _ in 0..TRIES {
            let Some(mut incident) = found.incident else { return Ok(None) };
            for (due, at) in &answers.taken {
                incident.take(&due.to, &due.step, *at);
            }
            if incident.telling == since {
                incident.telling = None;
                incident.unsure.retain(|to| !answers.refused.contains(to));
            }
            let over = incident.is_over(&self.config.tree.ways(&incident.alert));
            if self.state.save_incident(&incident, found.version, over, self.now()).await? {
                let version = found.version.unwrap_or_default().saturating_add(1);
                return Ok((!over).then_some((incident, version)));
            }
            found = self.state.read_incident(key).await?;
        }
        Err(busy(key))
    }

    /// Claims an incident of which something is due; nothing where nothing is, or somebody else tells it.
    pub(crate) async fn claim(&self, incident: Incident, version: Option<u64>) -> Result<Option<Claimed>, Failure> {
        let now = self.now();
        let due = self.due(&incident, now).await?;
        if due.is_empty() || incident.is_being_told(now) {
            return Ok(None);
        }
        self.write_claim(incident, version, due, now).await
    }

    /// Writes a claim down. Whoever was quicker has claimed the incident, or has brought news and claims it next.
    pub(crate) async fn write_claim(
        &self,
        mut incident: Incident,
        version: Option<u64>,
        due: Vec<Due>,
        now: Timestamp,
    ) -> Result<Option<Claimed>, Failure> {
        let unaware = incident.claim(&due, now);
        let written = self.state.save_incident(&incident, version, false, now).await?;
        let version = version.unwrap_or_default().saturating_add(1);
        Ok(written.then_some(Claimed { incident, version, due, unaware }))
    }

    /// Returns what the destinations should be told now.
    pub(crate) async fn due(&self, incident: &Incident, now: Timestamp) -> Result<Vec<Due>, Failure> {
        let ways = self.config.tree.ways(&incident.alert);
        let due = incident.due(&ways, None, now);
        if due.is_empty() || !incident.alert.is_caused_by_plans() {
            return Ok(due);
        }
        let planned = self.state.read_lease().await?.holder.as_ref().and_then(Planned::of);
        if let Some(planned) = &planned {
            log_muted(incident, &ways, planned, now);
        }
        Ok(incident.due(&ways, planned.as_ref(), now))
    }
}

fn log_muted(incident: &Incident, ways: &[Way], planned: &Planned, now: Timestamp) {
    let (before, after) = (incident.due(ways, None, now).len(), incident.due(ways, Some(planned), now).len());
    if after < before {
        let (key, until) = (incident.alert.key.as_str(), planned.until);
        tracing::info!(key, planned.what, %until, "muted by planned work");
    }
}

/// Returns the failure of a write that somebody else's was quicker than, again and again.
pub(crate) fn busy(key: &Key) -> Failure {
    Failure::transient(format!("somebody else kept writing the incident {key}"))
}
