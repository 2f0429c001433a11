use std::collections::BTreeMap;

use cluster_core::{ids::InstanceId, instance::InstanceStatus};
use cluster_lambda::Failure;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use cluster_lambda::query::Query;

/// The results of EC2's status checks.
#[derive(Clone, Debug)]
pub(crate) struct Statuses {
    ec2: Query,
}

impl Statuses {
    /// Reads through this client.
    #[must_use]
    pub(crate) fn new(ec2: Query) -> Self {
        Self { ec2 }
    }

    /// Returns the status of one instance, requested by id and whatever its state: a list may leave it out. Returns
    /// nothing when EC2 has no answer about it, which proves nothing.
    pub(crate) async fn of(&self, instance: &InstanceId) -> Result<Option<InstanceStatus>, Failure> {
        let step = format!("describe the status of instance {instance}");
        let parameters = [("InstanceId.1", instance.as_str()), ("IncludeAllInstances", "true")];
        let answer = match self.ec2.call("DescribeInstanceStatus", &parameters).await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("InvalidInstanceID.NotFound") => return Ok(Some(InstanceStatus::Gone)),
            Err(error) => return Err(error.failure(&step)),
        };
        let answer: Answer = self.ec2.read(&answer, &step)?;
        let found = answer.instance_status_set.item.into_iter().find(|found| *instance == found.instance_id.as_str());
        Ok(found.map(|found| found.meaning()))
    }
}

/// The number of instances in one call (API reference of `DescribeInstanceStatus`: 100 at most).
const PER_CALL: usize = 100;
/// How long before it begins an event counts: within this time a core that was stopped may not be back.
const DUE: SignedDuration = SignedDuration::from_hours(1);

impl Statuses {
    /// Returns the code of the event that EC2 is about to begin, such as `instance-retirement`, of each instance that has one.
    pub(crate) async fn events(
        &self,
        instances: &[&InstanceId],
        now: Timestamp,
    ) -> Result<BTreeMap<InstanceId, String>, Failure> {
        let step = "describe the events of the instances";
        let mut due = BTreeMap::new();
        for instances in instances.chunks(PER_CALL) {
            let names: Vec<_> = (1..=instances.len()).map(|n| format!("InstanceId.{n}")).collect();
            let mut parameters = vec![("IncludeAllInstances", "true")];
            parameters.extend(names.iter().map(String::as_str).zip(instances.iter().map(|id| id.as_str())));
            let answer = self.ec2.call("DescribeInstanceStatus", &parameters).await;
            let answer = answer.map_err(|error| error.failure(step))?;
            let answer: Answer = self.ec2.read(&answer, step)?;
            due.extend(answer.instance_status_set.item.into_iter().filter_map(|found| {
                let code = found.events_set.item.iter().find(|event| event.is_due(now))?.code.clone();
                Some((InstanceId::from(found.instance_id.as_str()), code))
            }));
        }
        Ok(due)
    }
}

/// An answer of `DescribeInstanceStatus`. One without a set is invalid.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    instance_status_set: Set,
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    item: Vec<Item>,
}

#[derive(Default, Deserialize)]
struct Events {
    #[serde(default)]
    item: Vec<Event>,
}

/// A scheduled event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    code: String,
    #[serde(default)]
    description: String,
    not_before: Option<Timestamp>,
}

impl Event {
    /// Returns whether it begins soon, or has begun. «After a scheduled event is completed, it can still be described for up
    /// to a week. If the event has been completed, this description starts with [Completed]»; a canceled one with [Canceled]
    /// (API reference of `InstanceStatusEvent`, `description`).
    fn is_due(&self, now: Timestamp) -> bool {
        let over = ["[Completed]", "[Canceled]"].iter().any(|mark| self.description.starts_with(mark));
        !over && self.not_before.is_none_or(|begins| begins.duration_since(now) <= DUE)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    instance_id: String,
    instance_state: State,
    system_status: Option<Summary>,
    instance_status: Option<Summary>,
    #[serde(default)]
    events_set: Events,
}

#[derive(Deserialize)]
struct State {
    name: String,
}

#[derive(Deserialize)]
struct Summary {
    status: String,
}

impl Item {
    fn meaning(&self) -> InstanceStatus {
        let status = |summary: &Option<Summary>| summary.as_ref().map(|summary| summary.status.clone());
        let checks = [status(&self.system_status), status(&self.instance_status)];
        InstanceStatus::of(&self.instance_state.name, checks.iter().flatten().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_lambda::stub::Answers;

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_ec2_does_not_know_is_gone_and_any_other_refusal_proves_nothing() {
        let asked = async |code: &str| {
            let body = format!("<R><Errors><Error><Code>{code}</Code></Error></Errors></R>");
            Statuses::new(Answers::new(&[(400, &body)]).ec2()).of(&"i-1".into()).await
        };
        assert_eq!(asked("InvalidInstanceID.NotFound").await.unwrap(), Some(InstanceStatus::Gone));
        for code in ["InvalidInstanceID.Malformed", "UnauthorizedOperation", "RequestLimitExceeded"] {
            assert!(asked(code).await.is_err(), "{code}");
        }
    }

    fn meaning(state: &str, system: &str, instance: &str) -> InstanceStatus {
        let answer = format!(
            r#"<DescribeInstanceStatusResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
              <requestId>3be1508e-c444-4fef-89cc-0b1223c4f02fEXAMPLE</requestId>
              <instanceStatusSet><item>
                <instanceId>i-1</instanceId><availabilityZone>us-east-1d</availabilityZone>
                <instanceState><code>16</code><name>{state}</name></instanceState>
                <systemStatus><status>{system}</status><details><item><name>reachability</name><status>passed</status></item></details></systemStatus>
                <instanceStatus><status>{instance}</status><details><item><name>reachability</name><status>failed</status><impairedSince>2026-11-23T10:00:00.000Z</impairedSince></item></details></instanceStatus>
              </item></instanceStatusSet>
            </DescribeInstanceStatusResponse>"#
        );
        let answer: Answer = quick_xml::de::from_str(&answer).unwrap();
        answer.instance_status_set.item[0].meaning()
    }

    #[test]
    fn an_answer_is_read_as_ec2_documents_it() {
        assert_eq!(meaning("running", "ok", "impaired"), InstanceStatus::Impaired);
        assert_eq!(meaning("running", "impaired", "ok"), InstanceStatus::Impaired);
        assert_eq!(meaning("running", "ok", "ok"), InstanceStatus::NotImpaired);
        assert_eq!(meaning("terminated", "not-applicable", "not-applicable"), InstanceStatus::Gone);
    }

    #[test]
    fn an_answer_without_a_set_is_none() {
        let read = |body: &str| quick_xml::de::from_str::<Answer>(&format!("<R>{body}</R>"));
        assert!(read("<instanceStatusSet/>").unwrap().instance_status_set.item.is_empty());
        assert!(read("<requestId>r</requestId>").is_err());
    }
}
