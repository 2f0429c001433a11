//! The sweep of each minute: tells what is held, what stays, and what could not be told before.

use std::{cell::RefCell, collections::BTreeMap};

use cluster_core::alert::{Alert, Due, Incident, Status};
use cluster_lambda::{Failure, Kind, Mode, Reconciled, Round};
use cluster_state::Stored;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use crate::{Outcome, Router, alarms::State, outcome::Open};

/// How many incidents are told at once.
const AT_ONCE: usize = 8;
/// After how many failures that may pass a destination is left alone until the next sweep. One that refuses an alert for good may
/// take the next.
const FAILURES: usize = 3;

impl Router {
    pub(crate) async fn sweep(&self, round: &Round) -> Reconciled<Outcome> {
        let incidents = match self.state.read_incidents().await {
            Ok(incidents) => incidents,
            Err(failure) => return Err(failure).into(),
        };
        let mut failures: Vec<_> = incidents.unreadable.iter().map(|key| self.unreadable(key)).collect();
        let mut open = incidents.open;
        // Whoever comes first when a destination is away comes later in the next sweep.
        let minute = usize::try_from(round.began.as_second() / 60).unwrap_or_default();
        let first = minute.checked_rem(open.len()).unwrap_or_default();
        open.rotate_left(first);
        if let Err(failure) = self.look(&mut open, round.began).await {
            failures.push(failure);
        }
        let known: Vec<_> = open.iter().map(|stored| stored.incident.clone()).collect();
        let run = Run { outcome: RefCell::new(Outcome::at(round.began)), away: RefCell::default() };
        let each = stream::iter(open).map(|stored| self.sweep_one(stored, round, &run));
        let results: Vec<_> = each.buffer_unordered(AT_ONCE).collect().await;
        failures.extend(results.into_iter().filter_map(Result::err));
        let mut outcome = run.outcome.into_inner();
        if let Err(failure) = self.tell_unheard(&known, round, &mut outcome).await {
            failures.push(failure);
        }
        Reconciled { outcome: Some(outcome), failures }
    }

    /// Looks whether alarms that were told are still in alarm: an event that says so may be lost, and an alarm may be deleted. What
    /// has changed is told, and written down, with the rest.
    async fn look(&self, open: &mut [Stored], now: Timestamp) -> Result<(), Failure> {
        let names: Vec<&str> = open.iter().filter_map(|stored| self.own_alarm(&stored.incident)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let states = self.alarms.states(&names).await?;
        for stored in open {
            let Some(name) = self.own_alarm(&stored.incident) else { continue };
            if let Some(over) = over(&stored.incident.alert, states.get(name), now) {
                stored.incident.hear(over, now);
            }
        }
        Ok(())
    }

    /// Returns the name of an incident's alarm, if it is in alarm, of this account and region, and whole: not of one contributor.
    fn own_alarm<'a>(&self, incident: &'a Incident) -> Option<&'a str> {
        let alert = &incident.alert;
        let label = |name: &str| alert.labels.get(name).map(String::as_str);
        let own = self.is_own(alert.key.as_str()) && label("contributor").is_none();
        let firing = alert.status == Status::Firing && label("source") == Some("alarm");
        label("alarm").filter(|_| own && firing)
    }

    async fn sweep_one(&self, stored: Stored, round: &Round, run: &Run) -> Result<(), Failure> {
        let now = self.now();
        let Stored { mut incident, mut version } = stored;
        if round.mode != Mode::Look && self.add_tags(&mut incident.alert).await {
            if !self.state.save_incident(&incident, Some(version), false, now).await? {
                return Ok(());
            }
            version = version.saturating_add(1);
        }
        let due = self.due(&incident, now).await?;
        let mut shown = Open::new(&incident, &due, now);
        if round.mode != Mode::Look && !due.is_empty() && !incident.is_being_told(now) {
            let left = self.tell_as_far_as(incident, version, due, run).await?;
            shown.waits_for(&left, now);
        }
        run.outcome.borrow_mut().open.push(shown);
        Ok(())
    }

    /// Tells an incident, but to destinations that are away in this round. Returns what is still due.
    async fn tell_as_far_as(
        &self,
        incident: Incident,
        version: u64,
        due: Vec<Due>,
        run: &Run,
    ) -> Result<Vec<Due>, Failure> {
        let is_away = |due: &Due| run.away.borrow().get(&due.to).is_some_and(|failed| *failed >= FAILURES);
        let (mut left, due): (Vec<_>, Vec<_>) = due.into_iter().partition(is_away);
        if due.is_empty() {
            return Ok(left);
        }
        let Some(claimed) = self.write_claim(incident, Some(version), due, self.now()).await? else {
            return Ok(left);
        };
        let told = claimed.due.clone();
        let telling = self.tell(claimed).await?;
        left.extend(told.into_iter().filter(|due| telling.failed.iter().any(|(to, _)| *to == due.to)));
        for (to, _) in telling.failed.iter().filter(|(_, failure)| failure.kind() == Kind::Transient) {
            *run.away.borrow_mut().entry(to.clone()).or_default() += 1;
        }
        run.outcome.borrow_mut().told(telling);
        Ok(left)
    }

    fn unreadable(&self, key: &str) -> Failure {
        let table = &self.config.state_table;
        Failure::permanent(format!(
            "the item incident/{key} of table {table} is unreadable: look at that alarm, then delete the item"
        ))
    }
}

/// A sweep on its way.
struct Run {
    outcome: RefCell<Outcome>,
    /// How often each destination has failed in a way that may pass.
    away: RefCell<BTreeMap<String, usize>>,
}

/// Returns what says that an alarm is over, if it is by what CloudWatch says of it, or does not know it any more.
fn over(alert: &Alert, state: Option<&State>, now: Timestamp) -> Option<Alert> {
    match state {
        Some(state) if state.value == "OK" => Some(alert.ended(state.at.unwrap_or(now), state.reason.clone())),
        Some(_) => None,
        None => Some(alert.ended(now, "CloudWatch has no such alarm any more.".to_owned())),
    }
}
