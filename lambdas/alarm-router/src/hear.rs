//! Hears alerts: each is written down before it is told.

use aws_lambda_events::sqs::SqsMessage;
use cluster_core::alert::{Alert, Incident, Status, read};
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Router,
    tell::{TRIES, Telling, busy},
};

impl Router {
    /// Hears a message of the queue.
    pub(crate) async fn hear_message(&self, message: &SqsMessage) -> Result<(), Failure> {
        let record = serde_json::to_value(message);
        let record = record.map_err(|error| Failure::permanent("the message is unreadable").caused_by(error))?;
        self.hear(&record).await.map(drop)
    }

    /// Hears whatever a function is invoked with. Fails while an alert could not be written down; what could not be told is told by
    /// the next sweep.
    pub(crate) async fn hear(&self, payload: &Value) -> Result<Telling, Failure> {
        let (mut all, mut failures) = (Telling::default(), Vec::new());
        for alert in read(payload) {
            match Box::pin(self.hear_one(alert, Incident::hear)).await {
                Ok(telling) => {
                    all.delivered += telling.delivered;
                    all.failed.extend(telling.failed);
                }
                Err(failure) => failures.push(failure),
            }
        }
        self.emit(&all);
        let mut failures = failures.into_iter();
        match failures.next() {
            Some(first) => Err(first.combined(failures)),
            None => Ok(all),
        }
    }

    /// Writes an alert down as it is taken over into what is known of it, and tells it.
    pub(crate) async fn hear_one(
        &self,
        mut alert: Alert,
        take: fn(&mut Incident, Alert, Timestamp) -> bool,
    ) -> Result<Telling, Failure> {
        let key = alert.key.clone();
        tracing::info!(key = key.as_str(), status = ?alert.status, severity = %alert.severity, title = alert.title, "heard");
        self.add_tags(&mut alert).await;
        for _ in 0..TRIES {
            let (now, found) = (self.now(), self.state.read_incident(&key).await?);
            let known = found.incident.is_some();
            // Each task that runs and each instance that launches says so.
            if !known && alert.status == Status::Resolved && !alert.lasting {
                return Ok(Telling::default());
            }
            let mut incident = found.incident.unwrap_or_else(|| Incident::new(alert.clone(), now));
            let news = take(&mut incident, alert.clone(), now) || !known;
            let due = self.due(&incident, now).await?;
            let tells = !due.is_empty() && !incident.is_being_told(now);
            if !news && !tells {
                return Ok(Telling::default());
            }
            if tells {
                if let Some(claimed) = self.claim(incident, found.version).await? {
                    return self.tell(claimed).await;
                }
                continue;
            }
            let over = incident.is_over(&self.config.tree.ways(&incident.alert));
            if self.state.save_incident(&incident, found.version, over, now).await? {
                return Ok(Telling::default());
            }
        }
        Err(busy(&key))
    }

    /// Asks for the tags of an alarm that did not bring them, and returns whether they are known now that were not. Without them its
    /// severity and its routes may be others: it is told all the same, and the next sweep asks again.
    pub(crate) async fn add_tags(&self, alert: &mut Alert) -> bool {
        let Some(arn) = alert.untagged_alarm().filter(|arn| self.is_own(arn)).map(str::to_owned) else {
            return false;
        };
        if alert.status != Status::Firing {
            return false;
        }
        match self.alarms.tags(&arn).await {
            Ok(tags) => {
                alert.tag(&tags);
                true
            }
            Err(failure) => {
                tracing::warn!(alarm = arn, why = failure.chain(), "the tags of an alarm are unknown");
                false
            }
        }
    }
}
