//! Alarms and mute rules, as CloudFormation makes them.

use serde_json::json;

use super::{
    super::{
        ACCOUNT, REGION, World,
        cloudformation::{Change, Operation, Resource, Wanted, done},
    },
    alarm::{Alarm, Kind},
    composite::Composite,
    mute::MuteRule,
    watch::Watch,
};

const MUTE_RULE: &str = "AWS::CloudWatch::AlarmMuteRule";

/// The ARN of an alarm (service authorization reference of CloudWatch, «Resource types»).
#[must_use]
pub fn alarm_arn(name: &str) -> String {
    format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}")
}

fn mute_rule_arn(name: &str) -> String {
    format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm-mute-rule:{name}")
}

impl World {
    pub(super) fn create_in_cloudwatch(&mut self, wanted: &Wanted<'_>) -> Operation {
        let key = if wanted.r#type == MUTE_RULE { "Name" } else { "AlarmName" };
        // Without a stack the logical id is a name that a story can read.
        let name = if wanted.stack.is_empty() { wanted.name(key) } else { self.generated(wanted, key) };
        self.put_in_cloudwatch(wanted.r#type, &name, wanted.properties)?;
        let arn = if wanted.r#type == MUTE_RULE { mute_rule_arn(&name) } else { alarm_arn(&name) };
        // Template reference: `Ref` is an alarm's name, and a mute rule's ARN.
        done(if wanted.r#type == MUTE_RULE { arn.clone() } else { name }, json!({"Arn": arn}))
    }

    pub(super) fn update_in_cloudwatch(&mut self, change: &Change<'_>) -> Operation {
        let key = if change.r#type == MUTE_RULE { "Name" } else { "AlarmName" };
        if !change.keeps(key) {
            return Ok(None);
        }
        let name = name_of(change.physical_id);
        self.put_in_cloudwatch(change.r#type, name, change.properties)?;
        let arn = if change.r#type == MUTE_RULE { mute_rule_arn(name) } else { alarm_arn(name) };
        Ok(Some(Resource { physical_id: change.physical_id.to_owned(), attributes: json!({"Arn": arn}) }))
    }

    /// Creates an alarm or a mute rule, or changes it: an alarm keeps its state, says the API reference of `PutMetricAlarm`.
    fn put_in_cloudwatch(&mut self, kind: &str, name: &str, properties: &serde_json::Value) -> Result<(), String> {
        if kind == MUTE_RULE {
            let rule = MuteRule::read(mute_rule_arn(name), properties).map_err(|why| format!("{name}: {why}"))?;
            self.cloudwatch.mute_rules.insert(name.to_owned(), rule);
            return Ok(());
        }
        let read = if kind == "AWS::CloudWatch::CompositeAlarm" {
            Composite::read(properties).map(Kind::Composite)
        } else if properties["EvaluationWindow"].is_null() {
            Watch::read(properties).map(Kind::Metric)
        } else {
            Err("the world evaluates sliding windows alone".to_owned())
        };
        let wrong = |why: String| format!("{name}: {why}");
        let read = read.map_err(wrong)?;
        if let Kind::Composite(composite) = &read
            && let Some(unknown) = composite.alarms().into_iter().find(|alarm| self.cloudwatch.named(alarm).is_none())
        {
            return Err(format!("{name}: there is no alarm {unknown}"));
        }
        let mut alarm = Alarm::read(alarm_arn(name), properties, read, self.now).map_err(wrong)?;
        if let Some(known) = self.cloudwatch.alarms.get(name) {
            (alarm.now, alarm.before, alarm.held) = (known.now.clone(), known.before.clone(), known.held);
            alarm.keep_suppression(known);
        }
        self.cloudwatch.alarms.insert(name.to_owned(), alarm);
        self.cloudwatch.evaluated.get_or_insert(self.now.as_second().div_euclid(60));
        Ok(())
    }

    pub(super) fn delete_in_cloudwatch(&mut self, kind: &str, id: &str) -> Result<(), String> {
        let name = name_of(id);
        if kind == MUTE_RULE {
            // What it held back is unmuted at once (API reference of `DeleteAlarmMuteRule`).
            self.cloudwatch.mute_rules.remove(name);
            return Ok(());
        }
        // User guide, «Delete an alarm»: one that a composite alarm names cannot be deleted.
        let names = |alarm: &&Alarm| {
            let Kind::Composite(composite) = &alarm.kind else { return false };
            composite.rule.alarms().iter().any(|named| name_of(named) == name)
        };
        if let Some(parent) = self.cloudwatch.alarms.values().find(names) {
            return Err(format!("{name} is named by the rule of {}", parent.arn));
        }
        self.cloudwatch.alarms.remove(name);
        Ok(())
    }
}

/// The name in an ARN, or the name itself.
pub(super) fn name_of(name_or_arn: &str) -> &str {
    if name_or_arn.starts_with("arn:") { name_or_arn.rsplit(':').next().unwrap_or(name_or_arn) } else { name_or_arn }
}

