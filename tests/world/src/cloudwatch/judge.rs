//! What data points make of an alarm.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>.

use std::fmt;

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Within the threshold.
    Ok,
    /// Outside of it.
    Alarm,
    /// Not known: the alarm is new, or its data are missing.
    InsufficientData,
}

impl State {
    /// Returns the state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.to_string() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        })
    }
}

/// How an alarm treats missing data (`TreatMissingData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// «If all data points in the alarm evaluation range are missing, the alarm transitions to `INSUFFICIENT_DATA`.»
    Missing,
    /// «The current alarm state is maintained.»
    Ignore,
    /// They are bad.
    Breaching,
    /// They are good.
    NotBreaching,
}

impl Missing {
    /// Returns the treatment of this name, `missing` where none is named.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "missing" => Self::Missing,
            "ignore" => Self::Ignore,
            "breaching" => Self::Breaching,
            "notBreaching" => Self::NotBreaching,
            _ => return None,
        })
    }
}

/// How many data points are retrieved for so many periods. «The exact number […] depends on the length of the alarm period and
/// whether it is based on a metric with standard resolution or high resolution», and no page says how: the page's own example has
/// two more, so this has. An alarm on silence therefore goes off two periods later than its evaluation periods say.
#[must_use]
pub const fn range(periods: usize) -> usize {
    periods + 2
}

/// Returns the state that follows from the data points of the evaluation range, the oldest first: whether each breaches, and
/// nothing where it is missing. Nothing is returned where the state stays as it is.
#[must_use]
pub fn judge(points: &[Option<bool>], periods: usize, to_alarm: usize, missing: Missing) -> Option<State> {
    let real: Vec<bool> = points.iter().rev().filter_map(|point| *point).take(periods).collect();
    let breaching = real.iter().filter(|breaches| **breaches).count();
    let alarm = |breaching: usize| if breaching >= to_alarm { State::Alarm } else { State::Ok };
    // «In this case, the value you set for how to treat missing data is not needed and is ignored.»
    if real.len() >= periods {
        return Some(alarm(breaching));
    }
    let filled = periods - real.len();
    match missing {
        Missing::Breaching => Some(alarm(breaching + filled)),
        Missing::NotBreaching => Some(alarm(breaching)),
        Missing::Missing if real.is_empty() => Some(State::InsufficientData),
        Missing::Ignore if real.is_empty() => None,
        _ if breaching >= to_alarm => Some(State::Alarm),
        // A good data point among them: rows 3 and 4 of the second table.
        _ if breaching < real.len() => Some(State::Ok),
        // «Premature alarm state»: all that there is breaches. The tables let `ignore` retain the state where `missing` alarms.
        Missing::Ignore => None,
        Missing::Missing => is_old_enough(points, to_alarm).then_some(State::Alarm),
    }
}

/// «When the oldest available breaching datapoint […] is at least as old as the value of Datapoints to Alarm, and all other more
/// recent data points are breaching or missing.» Until then «the alarm does not go immediately into ALARM state»; that it stays in
/// the one it has is how this reads it.
fn is_old_enough(points: &[Option<bool>], to_alarm: usize) -> bool {
    let oldest = points.iter().position(|point| *point == Some(true));
    oldest.is_some_and(|at| points.len() - at >= to_alarm)
}
