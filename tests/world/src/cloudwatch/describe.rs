//! What the API says of alarms.

use serde_json::{Value, json};

use super::{
    super::{Refusal, World, page, query::Form},
    MuteRule,
    alarm::{Alarm, Kind},
    alarm_arn,
    judge::State,
};

/// How many alarms one call may name, or ask for (API reference of `DescribeAlarms`, `AlarmNames` and `MaxRecords`).
const MOST: usize = 100;
const METRIC: &str = "MetricAlarm";
const COMPOSITE: &str = "CompositeAlarm";
/// What a request may say. What else there is would be left unread.
const KNOWN: [&str; 6] = ["AlarmNames.", "AlarmTypes.", "ActionPrefix", "StateValue", "MaxRecords", "NextToken"];

/// What IAM is asked about `DescribeAlarms`: «You can't return information about composite alarms if your
/// `cloudwatch:DescribeAlarms` permission has a narrower scope» than `*`, says the API reference.
pub(super) fn described(form: &Form) -> String {
    let composite = form.list("AlarmTypes.member").contains(&COMPOSITE);
    if composite { "*".to_owned() } else { alarm_arn("*") }
}

impl Alarm {
    /// What it watches, as far as functions read that (API reference, `MetricAlarm` and `CompositeAlarm`).
    fn watched(&self) -> Value {
        match &self.kind {
            Kind::Composite(composite) => json!({"AlarmRule": composite.text}),
            Kind::Metric(watch) => {
                let name = if let [metric] = &self.metrics()[..] { Some(metric.name.clone()) } else { None };
                let comparison = format!("{:?}Threshold", watch.comparison);
                json!({"MetricName": name, "Threshold": watch.threshold, "ComparisonOperator": comparison})
            }
        }
    }

    /// What sort of alarm it is.
    fn sort(&self) -> &'static str {
        match self.kind {
            Kind::Metric(_) => METRIC,
            Kind::Composite(_) => COMPOSITE,
        }
    }
}

impl World {
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>. What is not there is not named.
    pub(super) fn describe_alarms(&self, form: &Form) -> Result<Value, Refusal> {
        let invalid = |why: String| Err(Refusal::new("InvalidParameterValue", why));
        let fields = form.fields();
        let mut keys = fields.as_object().into_iter().flat_map(|fields| fields.keys());
        if let Some(unknown) = keys.find(|key| !KNOWN.iter().any(|known| key.starts_with(known))) {
            return invalid(format!("the world reads no {unknown} of DescribeAlarms"));
        }
        let (names, sorts, size) = (form.list("AlarmNames.member"), form.list("AlarmTypes.member"), form.number("MaxRecords"));
        if names.len() > MOST || !(1..=MOST).contains(&size.unwrap_or(MOST)) {
            return invalid(format!("AlarmNames and MaxRecords are {MOST} at most"));
        }
        let state = match form.text("StateValue") {
            "" => None,
            value => match State::named(value) {
                Some(state) => Some(state),
                None => return invalid(format!("there is no StateValue {value}")),
            },
        };
        // «If you omit this parameter, only metric alarms are returned».
        let sorts = if sorts.is_empty() { vec![METRIC] } else { sorts };
        // «Use this parameter to filter the results of the operation to only those alarms that use a certain alarm action», whichever
        // state it is for.
        let action = form.text("ActionPrefix");
        let acts = |alarm: &Alarm| action.is_empty() || alarm.actions.values().flatten().any(|arn| arn.starts_with(action));
        let is = |(name, alarm): &(&String, &Alarm)| {
            (names.is_empty() || names.contains(&name.as_str()))
                && acts(alarm)
                && sorts.contains(&alarm.sort())
                && state.is_none_or(|state| alarm.now.state == state)
        };
        let all: Vec<_> = self.cloudwatch.alarms.iter().filter(is).collect();
        let size = size.unwrap_or(50).min(self.page);
        let (shown, next) = page(&all, Some(form.text("NextToken")), size);
        let of = |sort: &str| {
            let shown = shown.iter().filter(|(_, alarm)| alarm.sort() == sort);
            shown.map(|(name, alarm)| describe(name, alarm)).collect::<Vec<_>>()
        };
        Ok(json!({"MetricAlarms": of(METRIC), "CompositeAlarms": of(COMPOSITE), "NextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListAlarmMuteRules.html>. That a rule of the world has
    /// expired it does not say.
    pub(super) fn list_mute_rules(&self, form: &Form) -> Result<Value, Refusal> {
        let (alarm, statuses) = (form.text("AlarmName"), form.list("Statuses.member"));
        if let Some(unknown) = statuses.iter().find(|status| !["SCHEDULED", "ACTIVE", "EXPIRED"].contains(status)) {
            return Err(Refusal::new("InvalidParameterValue", format!("there is no status {unknown}")));
        }
        let status = |rule: &MuteRule| if rule.window(self.now).is_some() { "ACTIVE" } else { "SCHEDULED" };
        let rules = self.cloudwatch.mute_rules.values().filter(|rule| {
            (alarm.is_empty() || rule.targets.contains(alarm)) && (statuses.is_empty() || statuses.contains(&status(rule)))
        });
        let rules: Vec<_> = rules.map(|rule| json!({"AlarmMuteRuleArn": rule.arn, "Status": status(rule)})).collect();
        let (shown, next) = page(&rules, Some(form.text("NextToken")), self.page.min(50));
        Ok(json!({"AlarmMuteRuleSummaries": shown, "NextToken": next}))
    }

    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListTagsForResource.html>, of alarms alone.
    pub(super) fn list_tags(&self, form: &Form) -> Result<Value, Refusal> {
        let arn = form.required("ResourceARN")?;
        if !arn.starts_with("arn:") {
            return Err(Refusal::new("InvalidParameterValue", format!("ResourceARN {arn} is no ARN")));
        }
        let alarm = self.cloudwatch.alarms.values().find(|alarm| alarm.arn == arn);
        let absent = || Refusal::new("ResourceNotFoundException", format!("The resource {arn} does not exist"));
        let tags = &alarm.ok_or_else(absent)?.tags;
        let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        Ok(json!({"Tags": tags}))
    }
}

fn describe(name: &str, alarm: &Alarm) -> Value {
    let actions = |state: State| json!(alarm.actions.get(&state));
    let since = alarm.now.since.to_string();
    let mut described = json!({
        "AlarmName": name, "AlarmArn": alarm.arn, "AlarmDescription": alarm.description, "ActionsEnabled": alarm.enabled,
        "OKActions": actions(State::Ok), "AlarmActions": actions(State::Alarm),
        "InsufficientDataActions": actions(State::InsufficientData), "StateValue": alarm.now.state.to_string(),
        "StateReason": alarm.now.reason, "StateReasonData": alarm.now.data.as_ref().map(Value::to_string),
        "StateUpdatedTimestamp": since, "StateTransitionedTimestamp": since, "ActionsSuppressedBy": alarm.now.suppressed,
    });
    if let (Value::Object(described), Value::Object(watched)) = (&mut described, alarm.watched()) {
        described.extend(watched);
    }
    described
}
