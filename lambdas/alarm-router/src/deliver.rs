//! Delivers an alert to a destination.

mod addresses;
mod http;
mod pagerduty;
mod slack;
mod topic;
mod webhook;

use cluster_core::alert::{Alert, named};
use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    query::{Query, SNS},
};
use jiff::Timestamp;

use self::{addresses::Addresses, http::Http};
use crate::Destinations;

/// What delivers.
#[derive(Debug)]
pub(crate) struct Deliveries {
    destinations: Destinations,
    sns: Query,
    addresses: Addresses,
    http: Http,
}

/// Why a destination has not taken an alert.
#[derive(Debug)]
pub(crate) struct Undelivered {
    pub(crate) failure: Failure,
    /// Whether it certainly has not: nothing was sent, or each attempt was answered so. What was sent without an answer it may have
    /// taken.
    pub(crate) is_certain: bool,
}

impl From<Failure> for Undelivered {
    fn from(failure: Failure) -> Self {
        Self { failure, is_certain: true }
    }
}

impl Deliveries {
    /// Makes the clients. Refuses where no endpoint is known.
    pub(crate) fn new(destinations: Destinations, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self {
            destinations,
            sns: Query::new(SNS, lookup, aws)?,
            addresses: Addresses::new(lookup, aws)?,
            http: Http::new(aws.connector.clone()),
        })
    }

    /// Returns whether there is still such a destination.
    pub(crate) fn has(&self, to: &str) -> bool {
        self.destinations.names().contains(named(to).0)
    }

    /// Delivers an alert. A failure is transient where the same alert may be taken later.
    pub(crate) async fn deliver(&self, to: &str, alert: &Alert, now: Timestamp) -> Result<(), Undelivered> {
        let (name, entry) = named(to);
        let known = &self.destinations;
        let (arn, destination): (&Option<String>, &dyn http::Destination) = match name {
            "page" => return topic::publish(&self.sns, &known.page, alert).await,
            "notify" => {
                let topic = known.notify.as_ref().ok_or_else(|| gone(to))?;
                return topic::publish(&self.sns, topic, alert).await;
            }
            "slack" => (&known.slack, &slack::Slack),
            "pagerduty" => (&known.pagerduty, &pagerduty::PagerDuty { url: &known.pagerduty_url }),
            "webhook" => (&known.webhook, &webhook::Webhook),
            _ => return Err(gone(to).into()),
        };
        let arn = arn.as_ref().ok_or_else(|| gone(to))?;
        let address = self.addresses.of(arn, entry, now).await?;
        match self.http.send(destination.request(&address.value, alert, now)?, to).await {
            // An address that was refused may have been replaced since it was read.
            Err(refused) if refused.failure.kind() == cluster_lambda::Kind::Permanent && address.is_old => {
                let fresh = self.addresses.fresh(arn, entry, now).await?;
                if fresh.value == address.value {
                    return Err(refused);
                }
                self.http.send(destination.request(&fresh.value, alert, now)?, to).await
            }
            result => result,
        }
    }

    /// Looks whether a destination could be reached, as far as that can be known without sending.
    pub(crate) async fn check(&self, to: &str, now: Timestamp) -> Result<(), Failure> {
        let (name, entry) = named(to);
        let known = &self.destinations;
        let (arn, destination): (&Option<String>, &dyn http::Destination) = match name {
            "page" => return Ok(()),
            "notify" => return known.notify.as_ref().map(|_| ()).ok_or_else(|| gone(to)),
            "slack" => (&known.slack, &slack::Slack),
            "pagerduty" => (&known.pagerduty, &pagerduty::PagerDuty { url: &known.pagerduty_url }),
            "webhook" => (&known.webhook, &webhook::Webhook),
            _ => return Err(gone(to)),
        };
        let address = self.addresses.fresh(arn.as_ref().ok_or_else(|| gone(to))?, entry, now).await?;
        destination.check(&address.value).map_err(|why| wrong(to, &why))
    }
}

fn gone(to: &str) -> Failure {
    Failure::permanent(format!("there is no destination {to}: it was taken out of the stack's parameters"))
}

/// Returns the refusal of what a secret holds, which `why` does not show.
fn wrong(to: &str, why: &str) -> Failure {
    Failure::permanent(format!("the secret of the destination {to} is wrong: {why}"))
}
