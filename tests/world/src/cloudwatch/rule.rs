//! The rule of a composite alarm.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html>, `AlarmRule`.

use super::{judge::State, text::Words};

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Constant(bool),
    /// Whether an alarm is in a state. It is named by its name or ARN.
    Is(State, String),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Rule {
    /// Reads a rule. `NOT` binds most tightly, then `AND`; the page does not say so, and a rule with parentheses does not ask.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut words = Words::of_rule(text)?;
        let rule = Self::any(&mut words)?;
        words.end()?;
        Ok(rule)
    }

    fn any(words: &mut Words) -> Result<Self, String> {
        let mut left = Self::all(words)?;
        while words.takes("OR") {
            left = Self::Or(Box::new(left), Box::new(Self::all(words)?));
        }
        Ok(left)
    }

    fn all(words: &mut Words) -> Result<Self, String> {
        let mut left = Self::single(words)?;
        while words.takes("AND") {
            left = Self::And(Box::new(left), Box::new(Self::single(words)?));
        }
        Ok(left)
    }

    fn single(words: &mut Words) -> Result<Self, String> {
        let word = words.next()?;
        match word.as_str() {
            "NOT" => Ok(Self::Not(Box::new(Self::single(words)?))),
            "(" => {
                let inner = Self::any(words)?;
                words.expect(")")?;
                Ok(inner)
            }
            "TRUE" => Ok(Self::Constant(true)),
            "FALSE" => Ok(Self::Constant(false)),
            other => {
                let unknown = || format!("the world knows no {other} in the rule of a composite alarm");
                let state = State::named(other).ok_or_else(unknown)?;
                words.expect("(")?;
                let name = words.next()?;
                words.expect(")")?;
                Ok(Self::Is(state, name.trim_start_matches('"').to_owned()))
            }
        }
    }

    /// Whether it is so, given the states of alarms.
    pub(super) fn holds(&self, is: &impl Fn(&str) -> Option<State>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Is(state, alarm) => is(alarm) == Some(*state),
            Self::Not(inner) => !inner.holds(is),
            Self::And(left, right) => left.holds(is) && right.holds(is),
            Self::Or(left, right) => left.holds(is) || right.holds(is),
        }
    }

    /// The alarms that it names, each with the state that it asks for.
    pub(super) fn alarms(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) => vec![],
            Self::Is(_, alarm) => vec![alarm],
            Self::Not(inner) => inner.alarms(),
            Self::And(left, right) | Self::Or(left, right) => [left.alarms(), right.alarms()].concat(),
        }
    }
}
