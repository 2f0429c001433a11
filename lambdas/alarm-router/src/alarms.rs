//! What CloudWatch says of alarms: their tags, and whether they are still in alarm.

use std::collections::BTreeMap;

use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    query::{CLOUDWATCH, Query},
};
use jiff::Timestamp;
use serde::Deserialize;

/// How many alarms one call takes (API reference of `DescribeAlarms`, `AlarmNames` and `MaxRecords`).
const PER_CALL: usize = 100;

/// A client of CloudWatch.
#[derive(Clone, Debug)]
pub(crate) struct Alarms(Query);

/// The state of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(crate) value: String,
    /// «An explanation for the alarm state, in text format» (`MetricAlarm`, `StateReason`).
    pub(crate) reason: String,
    /// «The time stamp of the last update to the value of either the `StateValue` or `EvaluationState` parameters».
    pub(crate) at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    list_tags_for_resource_result: TagsResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagsResult {
    #[serde(default)]
    tags: Members<Tag>,
}

#[derive(Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { member: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    describe_alarms_result: DescribedResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedResult {
    #[serde(default)]
    metric_alarms: Members<Alarm>,
    #[serde(default)]
    composite_alarms: Members<Alarm>,
    #[serde(default)]
    next_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    #[serde(rename = "AlarmName")]
    name: String,
    state_value: String,
    #[serde(default)]
    state_reason: String,
    #[serde(default)]
    state_updated_timestamp: String,
}

impl Alarms {
    /// Makes a client. Refuses where no endpoint is known.
    pub(crate) fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self(Query::new(CLOUDWATCH, lookup, aws)?))
    }

    /// Returns the tags of an alarm.
    pub(crate) async fn tags(&self, arn: &str) -> Result<Vec<(String, String)>, Failure> {
        let step = format!("list the tags of the alarm {arn}");
        let answer = self.0.call("ListTagsForResource", &[("ResourceARN", arn)]).await;
        let tags: Tags = self.0.read(&answer.map_err(|error| error.failure(&step))?, &step)?;
        Ok(tags.list_tags_for_resource_result.tags.member.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Returns the states of these alarms of this account and region, by name. One that does not exist is not among them.
    ///
    /// A list may be cut short, and one that is missing from it would pass for deleted: such a one is asked for by itself.
    pub(crate) async fn states(&self, names: &[&str]) -> Result<BTreeMap<String, State>, Failure> {
        let mut states = BTreeMap::new();
        for names in names.chunks(PER_CALL) {
            self.describe(names, &mut states).await?;
            if names.len() > 1 {
                let missing: Vec<_> = names.iter().filter(|name| !states.contains_key(**name)).collect();
                for name in missing {
                    self.describe(&[name], &mut states).await?;
                }
            }
        }
        Ok(states)
    }

    async fn describe(&self, names: &[&str], states: &mut BTreeMap<String, State>) -> Result<(), Failure> {
        let step = "describe the alarms that were told";
        let mut token = String::new();
        loop {
            let wanted = names.iter().zip(1..).map(|(name, nth)| (format!("AlarmNames.member.{nth}"), *name));
            // «If you omit this parameter, only metric alarms are returned» (API reference, `AlarmTypes`).
            let fixed = [("AlarmTypes.member.1", "MetricAlarm"), ("AlarmTypes.member.2", "CompositeAlarm")];
            let fixed = fixed.into_iter().chain([("MaxRecords", "100")]);
            let mut parameters: Vec<_> = wanted.chain(fixed.map(|(name, value)| (name.to_owned(), value))).collect();
            if !token.is_empty() {
                parameters.push(("NextToken".to_owned(), &token));
            }
            let answer = self.0.call("DescribeAlarms", &parameters).await.map_err(|error| error.failure(step))?;
            let Described { describe_alarms_result: found } = self.0.read(&answer, step)?;
            for alarm in found.metric_alarms.member.into_iter().chain(found.composite_alarms.member) {
                let at = alarm.state_updated_timestamp.parse().ok();
                states.insert(alarm.name, State { value: alarm.state_value, reason: alarm.state_reason, at });
            }
            token = found.next_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_lambda::stub::Answers;

    use super::*;

    #[tokio::test]
    async fn tags_and_states_are_read_as_cloudwatch_documents_them() {
        let tags = r#"<ListTagsForResourceResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">
            <ListTagsForResourceResult><Tags><member><Key>severity</Key><Value>critical</Value></member>
            <member><Key>empty</Key><Value/></member></Tags></ListTagsForResourceResult></ListTagsForResourceResponse>"#;
        let alarms = Alarms(Answers::new(&[(200, tags)]).client(CLOUDWATCH));
        let found = alarms.tags("arn").await.unwrap();
        assert_eq!(found, [("severity".to_owned(), "critical".to_owned()), ("empty".to_owned(), String::new())]);

        let none = "<ListTagsForResourceResponse><ListTagsForResourceResult><Tags/></ListTagsForResourceResult></ListTagsForResourceResponse>";
        assert!(Alarms(Answers::new(&[(200, none)]).client(CLOUDWATCH)).tags("arn").await.unwrap().is_empty());

        let described = r"<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms><member><AlarmName>a</AlarmName>
            <StateValue>OK</StateValue><StateReason>fine</StateReason>
            <StateUpdatedTimestamp>2026-11-30T01:00:00.5Z</StateUpdatedTimestamp></member></MetricAlarms>
            <CompositeAlarms><member><AlarmName>b</AlarmName><StateValue>ALARM</StateValue></member></CompositeAlarms>
            </DescribeAlarmsResult></DescribeAlarmsResponse>";
        let part = r"<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms/><CompositeAlarms/><NextToken>more</NextToken>
            </DescribeAlarmsResult></DescribeAlarmsResponse>";
        let answers = Answers::new(&[(200, part), (200, described)]);
        let found = Alarms(answers.client(CLOUDWATCH)).states(&["a", "b", "c"]).await.unwrap();
        let at = Some("2026-11-30T01:00:00.5Z".parse().unwrap());
        assert_eq!(found["a"], State { value: "OK".into(), reason: "fine".into(), at });
        assert_eq!((found["b"].value.as_str(), found.len()), ("ALARM", 2));
        let bodies: Vec<_> =
            answers.requests.lock().unwrap().iter().map(|sent| sent.body().bytes().map(<[u8]>::to_vec)).collect();
        let bodies: Vec<_> = bodies.into_iter().map(|body| String::from_utf8(body.unwrap()).unwrap()).collect();
        assert_eq!(bodies.len(), 3, "a page, the next, and the one that was missing by itself");
        assert!(bodies[1].contains("NextToken=more") && bodies[2].contains("AlarmNames.member.1=c&"), "{bodies:?}");
    }
}
