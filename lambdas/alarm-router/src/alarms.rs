//! What CloudWatch says of alarms: their tags, whether they are still in alarm, and which are.

use std::collections::BTreeMap;

use cluster_core::alert::Described;
use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    query::{CLOUDWATCH, Query},
};
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

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
struct Page {
    describe_alarms_result: PageResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PageResult {
    #[serde(default)]
    metric_alarms: Members<Alarm>,
    #[serde(default)]
    composite_alarms: Members<Alarm>,
    #[serde(default)]
    next_token: String,
}

/// A metric alarm or a composite one (API reference, `MetricAlarm` and `CompositeAlarm`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    #[serde(rename = "AlarmName")]
    name: String,
    #[serde(default, rename = "AlarmArn")]
    arn: String,
    #[serde(rename = "AlarmDescription")]
    description: Option<String>,
    state_value: String,
    #[serde(default)]
    state_reason: String,
    #[serde(default)]
    state_updated_timestamp: String,
    /// «The date and time that the alarm's `StateValue` most recently changed».
    #[serde(default)]
    state_transitioned_timestamp: String,
    #[serde(default)]
    actions_enabled: bool,
    #[serde(default, rename = "AlarmActions")]
    actions: Members<String>,
    /// Of composite alarms: `WaitPeriod`, `ExtensionPeriod` or `Alarm` while their actions are suppressed.
    actions_suppressed_by: Option<String>,
    #[serde(rename = "AlarmRule")]
    rule: Option<String>,
    metric_name: Option<String>,
    threshold: Option<f64>,
    comparison_operator: Option<String>,
}

impl From<Alarm> for Described {
    fn from(alarm: Alarm) -> Self {
        Self {
            name: alarm.name,
            arn: alarm.arn,
            description: alarm.description,
            reason: alarm.state_reason,
            since: alarm.state_transitioned_timestamp.parse().ok(),
            metric: alarm.metric_name,
            threshold: alarm.threshold,
            comparison: alarm.comparison_operator,
            rule: alarm.rule,
            acts: alarm.actions_enabled,
            actions: alarm.actions.member,
            suppressed_by: alarm.actions_suppressed_by.filter(|by| !by.is_empty()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MuteRules {
    list_alarm_mute_rules_result: MuteRulesResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MuteRulesResult {
    #[serde(default)]
    alarm_mute_rule_summaries: Members<IgnoredAny>,
    #[serde(default)]
    next_token: String,
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
            self.add_states(names, &mut states).await?;
            if names.len() > 1 {
                let missing: Vec<_> = names.iter().filter(|name| !states.contains_key(**name)).collect();
                for name in missing {
                    self.add_states(&[name], &mut states).await?;
                }
            }
        }
        Ok(states)
    }

    async fn add_states(&self, names: &[&str], states: &mut BTreeMap<String, State>) -> Result<(), Failure> {
        let wanted = names.iter().zip(1..).map(|(name, nth)| (format!("AlarmNames.member.{nth}"), *name));
        for alarm in self.describe(wanted.collect(), "describe the alarms that were told").await? {
            let at = alarm.state_updated_timestamp.parse().ok();
            states.insert(alarm.name, State { value: alarm.state_value, reason: alarm.state_reason, at });
        }
        Ok(())
    }

    /// Returns the alarms of this account and region that are in ALARM and have an action whose ARN begins so, for whichever state
    /// (API reference of `DescribeAlarms`, `StateValue` and `ActionPrefix`).
    pub(crate) async fn in_alarm(&self, action: &str) -> Result<Vec<Described>, Failure> {
        let asked = [("StateValue", "ALARM"), ("ActionPrefix", action)].map(|(name, value)| (name.to_owned(), value));
        let found = self.describe(asked.to_vec(), "describe the alarms that are in ALARM").await?;
        Ok(found.into_iter().filter(|alarm| alarm.state_value == "ALARM").map(Described::from).collect())
    }

    /// Returns whether a mute rule holds the actions of this alarm back now: «`ACTIVE`: The mute rule is currently muting alarm
    /// actions» (API reference of `GetAlarmMuteRule`).
    pub(crate) async fn is_muted(&self, name: &str) -> Result<bool, Failure> {
        let step = format!("list the rules that mute the alarm {name}");
        let mut token = String::new();
        loop {
            let mut asked = vec![("AlarmName", name), ("Statuses.member.1", "ACTIVE")];
            if !token.is_empty() {
                asked.push(("NextToken", &token));
            }
            let answer = self.0.call("ListAlarmMuteRules", &asked).await.map_err(|error| error.failure(&step))?;
            let MuteRules { list_alarm_mute_rules_result: found } = self.0.read(&answer, &step)?;
            if !found.alarm_mute_rule_summaries.member.is_empty() {
                return Ok(true);
            }
            token = found.next_token;
            if token.is_empty() {
                return Ok(false);
            }
        }
    }

    /// Returns every page of what is asked for, of metric alarms and of composite ones.
    async fn describe(&self, asked: Vec<(String, &str)>, step: &str) -> Result<Vec<Alarm>, Failure> {
        // «If you omit this parameter, only metric alarms are returned» (API reference, `AlarmTypes`).
        let fixed =
            [("AlarmTypes.member.1", "MetricAlarm"), ("AlarmTypes.member.2", "CompositeAlarm"), ("MaxRecords", "100")];
        let (mut alarms, mut token) = (Vec::new(), String::new());
        loop {
            let mut parameters = asked.clone();
            parameters.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
            if !token.is_empty() {
                parameters.push(("NextToken".to_owned(), &token));
            }
            let answer = self.0.call("DescribeAlarms", &parameters).await.map_err(|error| error.failure(step))?;
            let Page { describe_alarms_result: found } = self.0.read(&answer, step)?;
            alarms.extend(found.metric_alarms.member.into_iter().chain(found.composite_alarms.member));
            token = found.next_token;
            if token.is_empty() {
                return Ok(alarms);
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

    #[tokio::test]
    async fn what_is_in_alarm_and_what_mutes_it_are_read_as_cloudwatch_documents_them() {
        let page = r"<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms><member><AlarmName>a</AlarmName>
            <AlarmArn>arn:a</AlarmArn><ActionsEnabled>true</ActionsEnabled>
            <AlarmActions><member>arn:one</member><member>arn:two</member></AlarmActions><OKActions/>
            <StateValue>ALARM</StateValue><StateReason>high</StateReason><MetricName>m</MetricName><Threshold>1.5</Threshold>
            <ComparisonOperator>GreaterThanThreshold</ComparisonOperator><Dimensions/>
            <StateTransitionedTimestamp>2026-11-30T01:00:00.5Z</StateTransitionedTimestamp></member></MetricAlarms>
            <CompositeAlarms><member><AlarmName>b</AlarmName><AlarmRule>ALARM(a)</AlarmRule><StateValue>ALARM</StateValue>
            <ActionsSuppressedBy>Alarm</ActionsSuppressedBy></member></CompositeAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>";
        let answers = Answers::new(&[(200, page)]);
        let found = Alarms(answers.client(CLOUDWATCH)).in_alarm("arn:one").await.unwrap();
        let metric = Described {
            name: "a".into(),
            arn: "arn:a".into(),
            reason: "high".into(),
            since: Some("2026-11-30T01:00:00.5Z".parse().unwrap()),
            metric: Some("m".into()),
            threshold: Some(1.5),
            comparison: Some("GreaterThanThreshold".into()),
            acts: true,
            actions: vec!["arn:one".into(), "arn:two".into()],
            ..Described::default()
        };
        let (rule, suppressed_by) = (Some("ALARM(a)".into()), Some("Alarm".into()));
        let composite = Described { name: "b".into(), rule, suppressed_by, ..Described::default() };
        assert_eq!(found, [metric, composite]);
        let body = answers.requests.lock().unwrap()[0].body().bytes().unwrap().to_vec();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("StateValue=ALARM&ActionPrefix=arn%3Aone"), "{body}");

        let rules = |members: &str, next: &str| {
            format!(
                "<ListAlarmMuteRulesResponse><ListAlarmMuteRulesResult>\
                 <AlarmMuteRuleSummaries>{members}</AlarmMuteRuleSummaries>{next}\
                 </ListAlarmMuteRulesResult></ListAlarmMuteRulesResponse>"
            )
        };
        let one = rules("<member><AlarmMuteRuleArn>r</AlarmMuteRuleArn><Status>ACTIVE</Status></member>", "").leak();
        let (none, part) = (rules("", "").leak(), rules("", "<NextToken>more</NextToken>").leak());
        for (pages, muted) in
            [(vec![(200, &*one)], true), (vec![(200, &*none)], false), (vec![(200, &*part), (200, &*one)], true)]
        {
            assert_eq!(Alarms(Answers::new(&pages).client(CLOUDWATCH)).is_muted("a").await.unwrap(), muted);
        }
    }
}
