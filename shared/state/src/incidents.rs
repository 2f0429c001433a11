//! What alarm-router remembers: one item an incident, by its key.

use aws_sdk_dynamodb::types::AttributeValue;
use cluster_core::alert::{Incident, Key};
use cluster_core::instance::Lease;
use cluster_lambda::{Failure, is_refusal};
use jiff::{SignedDuration, Timestamp};

use super::{Item, StateTable, key, lease, text};

/// The partition of everything here. Only alarm-router may write there. The sort key is the incident's, of 255 characters at most,
/// so of fewer than the 1,024 bytes that one may have.
const INCIDENT: &str = "incident";
/// How long what is over is remembered, so that a late event is known to be late. DynamoDB deletes it within days of that.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// An incident as the table holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The incident.
    pub incident: Incident,
    /// The number of the write, which the next write must find.
    pub version: u64,
}

/// What the table holds under a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The incident; nothing when there is none, or none that can be read.
    pub incident: Option<Incident>,
    /// The number of the write, which the next write must find; nothing when there is no item with one.
    pub version: Option<u64>,
}

/// All incidents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// Those of which something may have to be told.
    pub open: Vec<Stored>,
    /// The sort keys of items that cannot be read.
    pub unreadable: Vec<String>,
}

impl StateTable {
    /// Reads all incidents that are not over, with consistent reads.
    pub async fn read_incidents(&self) -> Result<Incidents, Failure> {
        let asked = self.client.query().table_name(&self.table).key_condition_expression("pk = :pk");
        let asked = asked.expression_attribute_values(":pk", AttributeValue::S(INCIDENT.to_owned()));
        let mut items = asked.consistent_read(true).into_paginator().items().send();
        let mut incidents = Incidents::default();
        while let Some(item) = items.next().await {
            let item =
                item.map_err(|error| Failure::call(&format!("read incidents in table {}", self.table), error))?;
            if item.get("over").is_some_and(|over| over.as_bool() == Ok(&true)) {
                continue;
            }
            match found(&item) {
                Found { incident: Some(incident), version: Some(version) } => {
                    incidents.open.push(Stored { incident, version });
                }
                _ => incidents.unreadable.push(text(&item, "sk").unwrap_or_default().to_owned()),
            }
        }
        Ok(incidents)
    }

    /// Reads one incident, with a consistent read. The next write replaces what cannot be read.
    pub async fn read_incident(&self, of: &Key) -> Result<Found, Failure> {
        Ok(self.item((INCIDENT, of.as_str()), "incident").await?.as_ref().map(found).unwrap_or_default())
    }

    /// Writes an incident if it is still as it was read: of this version, or unknown. Returns whether it was written.
    pub async fn save_incident(
        &self,
        incident: &Incident,
        before: Option<u64>,
        over: bool,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let step = || format!("write an incident into table {}", self.table);
        let unwritable =
            |error: serde_json::Error| Failure::permanent(format!("could not {}", step())).caused_by(error);
        let item =
            item(incident, before.map_or(1, |version| version.saturating_add(1)), over, now).map_err(unwritable)?;
        let asked = self.client.put_item().table_name(&self.table).set_item(Some(item));
        // An item without a version is one that nobody can read.
        let asked = match before {
            None => asked.condition_expression("attribute_not_exists(version)"),
            Some(version) => asked
                .condition_expression("version = :read")
                .expression_attribute_values(":read", AttributeValue::S(version.to_string())),
        };
        match asked.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error, &["ConditionalCheckFailedException"]) => Ok(false),
            Err(error) => Err(Failure::call(&step(), error)),
        }
    }

    /// Reads the lease of voluntary disruptions.
    pub async fn read_lease(&self) -> Result<Lease, Failure> {
        let item = self.item(lease::LEASE, "lease").await?;
        Ok(item.map(|item| lease::read(&item, &self.table)).unwrap_or_default())
    }
}

/// Of what is over only that is kept which tells late events from new ones: its texts may be long.
fn item(incident: &Incident, version: u64, over: bool, now: Timestamp) -> Result<Item, serde_json::Error> {
    let mut kept = incident.clone();
    let mut item = key(INCIDENT, incident.alert.key.as_str());
    if over {
        let alert = &mut kept.alert;
        (alert.meaning, alert.next_step, alert.reading) = (String::new(), None, None);
        alert.links.clear();
        let expires = now.checked_add(REMEMBERED).unwrap_or(Timestamp::MAX).as_second();
        item.insert("expires".to_owned(), AttributeValue::N(expires.to_string()));
    }
    item.insert("incident".to_owned(), AttributeValue::S(serde_json::to_string(&kept)?));
    item.insert("version".to_owned(), AttributeValue::S(version.to_string()));
    item.insert("over".to_owned(), AttributeValue::Bool(over));
    Ok(item)
}

fn found(item: &Item) -> Found {
    Found {
        incident: text(item, "incident").and_then(|text| serde_json::from_str(text).ok()),
        version: text(item, "version").and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::alert::read;
    use serde_json::json;

    use super::*;

    fn incident() -> (Incident, Timestamp) {
        let now = "2026-11-30T01:00:00Z".parse().unwrap();
        let alert = read(&json!({"AlarmName": "a", "AlarmArn": "arn:aws:cloudwatch:eu-west-1:1:alarm:a",
            "NewStateValue": "ALARM", "NewStateReason": "because"}));
        (Incident::new(alert.into_iter().next().unwrap(), now), now)
    }

    #[test]
    fn an_incident_is_read_back_as_it_was_written() {
        let (incident, now) = incident();
        let read = found(&item(&incident, 7, false, now).unwrap());
        assert_eq!(read, Found { incident: Some(incident), version: Some(7) });
    }

    #[test]
    fn what_is_over_keeps_its_time_and_expires() {
        let (incident, now) = incident();
        let item = item(&incident, 8, true, now).unwrap();
        assert_eq!(item["expires"].as_n().unwrap(), &(now.as_second() + 24 * 3600).to_string());
        let kept = found(&item).incident.unwrap();
        assert!(kept.alert.meaning.is_empty());
        assert_eq!(kept.alert.since, incident.alert.since);
    }

    #[test]
    fn an_unreadable_item_is_none_and_has_its_version() {
        let (incident, now) = incident();
        let mut item = item(&incident, 7, false, now).unwrap();
        item.insert("incident".to_owned(), AttributeValue::S("{}".to_owned()));
        assert_eq!(found(&item), Found { incident: None, version: Some(7) });
        item.remove("version");
        assert_eq!(found(&item), Found::default());
    }
}
