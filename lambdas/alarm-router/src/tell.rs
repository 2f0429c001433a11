//! Tells an incident: claims it, delivers what is due, and writes down what was taken.

use cluster_core::{
    alert::{Alert, Due, Incident, Key, Planned, Step, Way},
    instance::Holder,
};
use cluster_lambda::Failure;
use cluster_state::Found;
use jiff::{SignedDuration, Timestamp};

use crate::Router;

/// How often a write is tried that somebody else's was quicker than.
pub(crate) const TRIES: u8 = 8;
/// How long a core that is stopped on purpose mutes what it causes. A core that takes longer to come back is a fault.
const PLANNED: SignedDuration = SignedDuration::from_mins(30);
/// The tag of alarms that the drain of one core causes, and its value.
const CAUSED: (&str, &str) = ("planned", "drain");

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
}

impl Router {
    /// Tells what is due, and then what has become due meanwhile: whoever brings news of an incident that is claimed leaves it to us.
    pub(crate) async fn tell(&self, claimed: Claimed) -> Result<Telling, Failure> {
        let mut telling = Telling::default();
        let mut next = Some(claimed);
        while let Some(claimed) = next.take() {
            let key = claimed.incident.alert.key.clone();
            let mut taken = Vec::new();
            for due in &claimed.due {
                let now = self.now();
                // What was told there was told before the destination was taken away: nobody is left to be told of the end.
                if due.step == Step::Resolve && !self.deliveries.has(&due.to) {
                    tracing::warn!(
                        key = key.as_str(),
                        to = due.to,
                        "its destination is gone, and so is told of no end"
                    );
                    taken.push((due.clone(), now));
                    continue;
                }
                match self.deliveries.deliver(&due.to, &claimed.incident.alert, now).await {
                    Ok(()) => {
                        tracing::info!(key = key.as_str(), to = due.to, step = ?due.step, "told");
                        taken.push((due.clone(), now));
                    }
                    Err(failure) => {
                        tracing::error!(key = key.as_str(), to = due.to, failure = failure.chain(), "could not tell");
                        telling.failed.push((due.to.clone(), failure));
                    }
                }
            }
            telling.delivered += taken.len();
            let whole = taken.len() == claimed.due.len();
            let recorded = self.record(&key, claimed, &taken).await?;
            // What failed is left to the next sweep.
            if whole && let Some((incident, version)) = recorded {
                next = self.claim(incident, Some(version)).await?;
            }
        }
        Ok(telling)
    }

    /// Writes down what was taken, and gives the claim back. Returns the incident as it is now, while it is not over.
    async fn record(
        &self,
        key: &Key,
        claimed: Claimed,
        taken: &[(Due, Timestamp)],
    ) -> Result<Option<(Incident, u64)>, Failure> {
        let (since, mut found) =
            (claimed.incident.telling, Found { incident: Some(claimed.incident), version: Some(claimed.version) });
        for _ in 0..TRIES {
            let Some(mut incident) = found.incident else { return Ok(None) };
            for (due, at) in taken {
                incident.take(&due.to, &due.step, *at);
            }
            if incident.telling == since {
                incident.telling = None;
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
    pub(crate) async fn claim(&self, mut incident: Incident, version: Option<u64>) -> Result<Option<Claimed>, Failure> {
        let now = self.now();
        let due = self.due(&incident, now).await?;
        if due.is_empty() || incident.is_being_told(now) {
            return Ok(None);
        }
        incident.telling = Some(now);
        let written = self.state.save_incident(&incident, version, false, now).await?;
        // Whoever was quicker has claimed it, or has brought news and claims it next.
        Ok(written.then(|| Claimed { incident, version: version.unwrap_or_default().saturating_add(1), due }))
    }

    /// Returns what the destinations should be told now.
    pub(crate) async fn due(&self, incident: &Incident, now: Timestamp) -> Result<Vec<Due>, Failure> {
        let ways = self.config.tree.ways(&incident.alert);
        let due = incident.due(&ways, None, now);
        if due.is_empty() || !is_caused_by_plans(&incident.alert) {
            return Ok(due);
        }
        let planned = self.state.read_lease().await?.holder.as_ref().and_then(planned);
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

fn is_caused_by_plans(alert: &Alert) -> bool {
    alert.labels.get(CAUSED.0).map(String::as_str) == Some(CAUSED.1)
}

/// Returns the planned work that a lease is held for; none where nobody can read the lease.
fn planned(holder: &Holder) -> Option<Planned> {
    let until = holder.since.checked_add(PLANNED).ok()?;
    let what = format!("core {} is stopped: {}", holder.core, holder.cause);
    (!holder.is_nobody()).then_some(Planned { what, since: holder.since, until })
}

/// Returns the failure of a write that somebody else's was quicker than, again and again.
pub(crate) fn busy(key: &Key) -> Failure {
    Failure::transient(format!("somebody else kept writing the incident {key}"))
}
