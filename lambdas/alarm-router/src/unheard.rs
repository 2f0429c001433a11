//! Alarms that are in ALARM though nobody was told: their calls were lost, or something said too early that they are over.

use cluster_core::alert::Incident;
use cluster_lambda::{Failure, Mode, Round};

use crate::{
    Router,
    outcome::{Open, Outcome},
};

/// Every how many minutes a sweep looks. A person's dry run always does.
const EVERY: i64 = 5;

impl Router {
    /// Looks for such alarms, as far as it is time to, and tells them as their calls would have.
    pub(crate) async fn tell_unheard(
        &self,
        known: &[Incident],
        round: &Round,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let looks = round.mode == Mode::Look;
        if !looks && round.began.as_second().div_euclid(60) % EVERY != 0 {
            return Ok(());
        }
        for found in self.alarms.in_alarm(&self.own_arn).await? {
            let expected = found.should_have_called(&self.own_arn, round.began);
            if !expected || found.is_known(known.iter()) || self.is_muted(&found.name).await {
                continue;
            }
            let Some(alert) = found.alert() else { continue };
            if looks {
                let incident = Incident::new(alert, round.began);
                let due = self.due(&incident, round.began).await?;
                outcome.open.push(Open::new(&incident, &due, round.began));
                continue;
            }
            tracing::warn!(alarm = found.arn, since = ?found.since, "the call of an alarm was lost");
            outcome.told(self.hear_one(alert, Incident::correct).await?);
        }
        Ok(())
    }

    /// Returns whether a mute rule holds an alarm back. Where nobody knows, it is told.
    async fn is_muted(&self, name: &str) -> bool {
        let muted = self.alarms.is_muted(name).await;
        if let Err(failure) = &muted {
            tracing::warn!(alarm = name, why = failure.chain(), "whether an alarm is muted is unknown");
        }
        muted.unwrap_or_default()
    }
}
