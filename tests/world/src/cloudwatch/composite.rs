//! Composite alarms: their rules, and what suppresses their actions.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html>.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    super::{World, cloudformation::text},
    alarm::{Alarm, Kind},
    judge::State,
    message,
    rule::Rule,
};

/// A composite alarm's own part.
#[derive(Clone, Debug)]
pub(super) struct Composite {
    pub(super) rule: Rule,
    /// The rule as it was given.
    pub(super) text: String,
    pub(super) suppressor: Option<Suppressor>,
    pub(super) suppressed: Suppressed,
}

/// The alarm that suppresses another one's actions (`ActionsSuppressor`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suppressor {
    pub(super) alarm: String,
    pub(super) wait: i64,
    pub(super) extension: i64,
}

/// What keeps a composite alarm from taking the actions of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suppressed {
    No,
    /// It waits for the suppressor to go into ALARM.
    WaitPeriod(Timestamp),
    /// The suppressor is in ALARM.
    Alarm,
    /// It waits after the suppressor went out of ALARM.
    ExtensionPeriod(Timestamp),
}

impl Suppressed {
    /// As payloads and the API reference of `CompositeAlarm` name it (`ActionsSuppressedBy`).
    fn by(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::WaitPeriod(_) => Some("WaitPeriod"),
            Self::Alarm => Some("Alarm"),
            Self::ExtensionPeriod(_) => Some("ExtensionPeriod"),
        }
    }

    /// When it ends by itself.
    fn until(self) -> Option<Timestamp> {
        match self {
            Self::WaitPeriod(until) | Self::ExtensionPeriod(until) => Some(until),
            Self::No | Self::Alarm => None,
        }
    }
}

impl Composite {
    /// Reads the properties of an `AWS::CloudWatch::CompositeAlarm`.
    pub(super) fn read(properties: &Value) -> Result<Self, String> {
        let rule = text(properties, "AlarmRule");
        let period = |key: &str| {
            let given = text(properties, key);
            given.parse::<i64>().map_err(|_| format!("{key} {given:?} is required with ActionsSuppressor, in seconds"))
        };
        let suppressor = match text(properties, "ActionsSuppressor") {
            alarm if alarm.is_empty() => None,
            alarm => {
                let (wait, extension) =
                    (period("ActionsSuppressorWaitPeriod")?, period("ActionsSuppressorExtensionPeriod")?);
                Some(Suppressor { alarm, wait, extension })
            }
        };
        Ok(Self { rule: Rule::read(&rule)?, text: rule, suppressor, suppressed: Suppressed::No })
    }

    /// The alarms that it looks at.
    pub(super) fn alarms(&self) -> Vec<&str> {
        let suppressor = self.suppressor.iter().map(|suppressor| suppressor.alarm.as_str());
        self.rule.alarms().into_iter().chain(suppressor).collect()
    }
}

impl Alarm {
    /// Goes on with what suppresses an alarm that is changed. «If you replace the action suppressor alarm, any active `WaitPeriod`
    /// or `ExtensionPeriod` is discarded.»
    pub(super) fn keep_suppression(&mut self, old: &Self) {
        let Kind::Composite(new) = &mut self.kind else { return };
        let old = composite(old).filter(|old| {
            let named = |of: &Composite| of.suppressor.as_ref().map(|suppressor| suppressor.alarm.clone());
            named(old) == named(new)
        });
        new.suppressed = old.map_or(Suppressed::No, |old| old.suppressed);
        self.now.suppressed = new.suppressed.by();
    }
}

fn composite(alarm: &Alarm) -> Option<&Composite> {
    if let Kind::Composite(composite) = &alarm.kind { Some(composite) } else { None }
}

impl World {
    /// Brings one composite alarm up to date with the alarms that it names, and returns whether one was not.
    pub(super) fn settle_composites(&mut self) -> bool {
        let cloudwatch = &self.cloudwatch;
        let mut all = cloudwatch.alarms.iter().filter_map(|(name, alarm)| Some((name, alarm, composite(alarm)?)));
        let stale = all.find_map(|(name, alarm, composite)| {
            let holds = composite.rule.holds(&|named| Some(cloudwatch.named(named)?.1.now.state));
            let state = if holds { State::Alarm } else { State::Ok };
            (alarm.now.state != state).then(|| (name.clone(), state))
        });
        if let Some((name, state)) = stale {
            let (reason, data) = self.why(&name);
            self.go_to(&name, state, reason, Some(data));
            return true;
        }
        self.settle_suppression()
    }

    /// Which of the alarms that a composite alarm names changed last, as its reason says it.
    fn why(&self, name: &str) -> (String, Value) {
        let named = self.cloudwatch.alarms.get(name).and_then(composite);
        let named = named.into_iter().flat_map(|composite| composite.rule.alarms());
        let children: Vec<_> = named.filter_map(|child| Some(self.cloudwatch.named(child)?.1)).collect();
        let last = children.iter().max_by_key(|child| child.now.since);
        let reason = last.map_or_else(
            || "its rule names no alarm".to_owned(),
            |child| {
                let at = child.now.since.strftime("%A %d %B, %Y %H:%M:%S UTC");
                format!("{} transitioned to {} at {at}", child.arn, child.now.state)
            },
        );
        let triggering = children.iter().filter(|child| child.now.state == State::Alarm).map(|child| {
            let at = message::time(child.now.since);
            json!({"arn": child.arn, "state": {"value": child.now.state.to_string(), "timestamp": at}})
        });
        (reason, json!({"triggeringAlarms": triggering.collect::<Vec<_>>()}))
    }

    /// Says what keeps a composite alarm that has just changed its state from taking actions: its suppressor, or a wait for it.
    /// A period that was running is discarded (examples 3 and 6 of the page).
    pub(super) fn suppress(&mut self, name: &str) -> Suppressed {
        let Some(suppressor) = self.suppressor(name) else { return Suppressed::No };
        let suppressed = if self.alarm_state(&suppressor.alarm) == Some(State::Alarm) {
            Suppressed::Alarm
        } else if suppressor.wait > 0 {
            Suppressed::WaitPeriod(self.now + SignedDuration::from_secs(suppressor.wait))
        } else {
            Suppressed::No
        };
        self.set_suppressed(name, suppressed);
        suppressed
    }

    fn suppressor(&self, name: &str) -> Option<Suppressor> {
        composite(self.cloudwatch.alarms.get(name)?)?.suppressor.clone()
    }

    fn set_suppressed(&mut self, name: &str, to: Suppressed) {
        let Some(alarm) = self.cloudwatch.alarms.get_mut(name) else { return };
        alarm.now.suppressed = to.by();
        if let Kind::Composite(composite) = &mut alarm.kind {
            composite.suppressed = to;
        }
    }

    /// Follows the suppressor of one composite alarm, or ends a period that is over: «Composite alarms take actions that are based
    /// on their currents states when `ExtensionPeriod` and `WaitPeriod` become inactive». An alarm with no actions to take, since
    /// it has not changed meanwhile, takes none.
    fn settle_suppression(&mut self) -> bool {
        let all = self.cloudwatch.alarms.iter().filter_map(|(name, alarm)| Some((name, composite(alarm)?)));
        let next = all.filter_map(|(name, composite)| {
            let suppressor = composite.suppressor.as_ref()?;
            let suppresses = self.alarm_state(&suppressor.alarm) == Some(State::Alarm);
            let next = match composite.suppressed {
                Suppressed::No => return None,
                Suppressed::Alarm if suppresses => return None,
                Suppressed::Alarm if suppressor.extension > 0 => {
                    Suppressed::ExtensionPeriod(self.now + SignedDuration::from_secs(suppressor.extension))
                }
                Suppressed::Alarm => Suppressed::No,
                Suppressed::WaitPeriod(_) | Suppressed::ExtensionPeriod(_) if suppresses => Suppressed::Alarm,
                Suppressed::WaitPeriod(until) | Suppressed::ExtensionPeriod(until) => {
                    if until > self.now {
                        return None;
                    }
                    Suppressed::No
                }
            };
            Some((name.clone(), next))
        });
        let Some((name, next)) = { next }.next() else { return false };
        if next == Suppressed::No {
            self.release(&name);
        } else {
            self.set_suppressed(&name, next);
        }
        true
    }

    /// Lets a composite alarm take the actions that were suppressed. It says so: its state before is the same one, suppressed.
    fn release(&mut self, name: &str) {
        let now = self.now;
        if let Some(alarm) = self.cloudwatch.alarms.get_mut(name) {
            alarm.before = Some(alarm.now.clone());
            alarm.now.since = now;
        }
        self.set_suppressed(name, Suppressed::No);
        self.act(name);
    }

    /// When a period of suppression ends, the earliest.
    pub(super) fn next_release(&self) -> Option<Timestamp> {
        let all = self.cloudwatch.alarms.values().filter_map(composite);
        all.filter_map(|composite| composite.suppressed.until()).min()
    }
}
