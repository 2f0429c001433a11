//! Schedules of EventBridge Scheduler: when they fire, and what they send then.
//!
//! Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.

use std::collections::BTreeSet;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};
use serde_json::Value;

/// How far a cron expression is followed: past this, it is taken for one that never fires again.
const HORIZON: i64 = 4 * 366;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The zones that stories use, with their present rules: nobody here reads a data base of time zones.
const ZONES: [(&str, &str); 3] =
    [("UTC", "UTC0"), ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"), ("America/New_York", "EST5EDT,M3.2.0,M11.1.0")];

/// A schedule whose target is the queue of a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schedule {
    /// The function that the queue wakes.
    pub function: String,
    /// `Target.Input`.
    pub input: String,
    /// `ScheduleExpression`.
    pub expression: String,
    /// `ScheduleExpressionTimezone`.
    pub zone: String,
}

impl Schedule {
    /// Reads the properties of an `AWS::Scheduler::Schedule`; nothing where it is disabled.
    #[must_use]
    pub fn read(function: &str, properties: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let zone = properties["ScheduleExpressionTimezone"].as_str().unwrap_or("UTC");
        let schedule = Self {
            function: function.to_owned(),
            input: text(&properties["Target"]["Input"]),
            expression: text(&properties["ScheduleExpression"]),
            zone: zone.to_owned(),
        };
        (properties["State"] != "DISABLED").then_some(schedule)
    }

    /// Returns whether it is the one that has a function look again.
    #[must_use]
    pub fn sweeps(&self) -> bool {
        let input: Value = serde_json::from_str(&self.input).unwrap_or_default();
        input["detail-type"] == "Sweep"
    }

    /// Returns what it sends when it is due at this time: the context attributes stand in for themselves.
    /// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>.
    #[must_use]
    pub fn message(&self, due: Timestamp) -> String {
        let time = due.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // Each execution has an id of its own. Sweeps are told apart by their times.
        let execution =
            if self.sweeps() { "execution".to_owned() } else { format!("execution-{}", time.replace([':', '-'], "")) };
        let input = self.input.replace("<aws.scheduler.scheduled-time>", &time);
        let input = input.replace("<aws.scheduler.execution-id>", &execution);
        input.replace("<aws.scheduler.attempt-number>", "1")
    }

    /// Returns when it fires next after a time. A rate counts from there: one without a start date begins at once, and whoever
    /// asks has taken that for granted.
    ///
    /// # Panics
    /// When the expression is none that the page knows, or never fires again.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Timestamp {
        let next = match inner(&self.expression, "rate") {
            Some(rate) => Ok(after + every(rate).unwrap_or_else(|why| panic!("{}: {why}", self.expression))),
            None => self.next_of_cron(after),
        };
        next.unwrap_or_else(|why| panic!("{} in {}: {why}", self.expression, self.zone))
    }

    fn next_of_cron(&self, after: Timestamp) -> Result<Timestamp, String> {
        let fields = inner(&self.expression, "cron").ok_or("neither rate(…) nor cron(…)")?;
        let cron = Cron::read(fields)?;
        let zone = ZONES.iter().find(|(name, _)| *name == self.zone).ok_or("no story knows this time zone")?;
        let zone = TimeZone::posix(zone.1).map_err(|error| error.to_string())?;
        let mut date = zone.to_datetime(after).date();
        for _ in 0..HORIZON {
            if cron.names(date)
                && let Some(due) = cron.times(date, &zone).find(|due| *due > after)
            {
                return Ok(due);
            }
            date = date.tomorrow().map_err(|error| error.to_string())?;
        }
        Err("it never fires".to_owned())
    }
}

/// What stands in the parentheses of `rate(…)` or `cron(…)`.
fn inner<'a>(expression: &'a str, kind: &str) -> Option<&'a str> {
    expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')
}

/// «rate(value unit)»: a positive number of minutes, hours or days. A day is one of 24 hours, whatever the clocks do.
fn every(rate: &str) -> Result<SignedDuration, String> {
    let (value, unit) = rate.split_once(' ').ok_or("a rate has a value and a unit")?;
    let value: i64 = value.parse().ok().filter(|value| *value > 0).ok_or("the value is a positive number")?;
    match unit.trim_end_matches('s') {
        "minute" => Ok(SignedDuration::from_mins(value)),
        "hour" => Ok(SignedDuration::from_hours(value)),
        "day" => Ok(SignedDuration::from_hours(24 * value)),
        _ => Err(format!("{unit} is none of minutes, hours and days")),
    }
}

/// «cron(minutes hours day-of-month month day-of-week year)», without the wildcards `L`, `W` and `#`.
struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    /// Nothing for `?`.
    days: Option<BTreeSet<i16>>,
    months: BTreeSet<i16>,
    /// 1 is Sunday. Nothing for `?`.
    weekdays: Option<BTreeSet<i16>>,
    years: BTreeSet<i16>,
}

impl Cron {
    fn read(fields: &str) -> Result<Self, String> {
        let fields: Vec<_> = fields.split_whitespace().collect();
        let [minutes, hours, day, month, weekday, year] = fields[..] else {
            return Err(format!("six fields are required, and there are {}", fields.len()));
        };
        // «You can't use * in both the day-of-month and day-of-week fields. If you use it in one, you must use ? in the other.»
        if (day == "?") == (weekday == "?") {
            return Err("one of day-of-month and day-of-week is ?".to_owned());
        }
        let open = |field: &str, first, last, names: &[&str]| {
            (field != "?").then(|| values(field, first, last, names)).transpose()
        };
        Ok(Self {
            minutes: values(minutes, 0, 59, &[])?,
            hours: values(hours, 0, 23, &[])?,
            days: open(day, 1, 31, &[])?,
            months: values(month, 1, 12, &MONTHS)?,
            weekdays: open(weekday, 1, 7, &DAYS)?,
            years: values(year, 1970, 2199, &[])?,
        })
    }

    fn names(&self, date: Date) -> bool {
        let weekday = i16::from(date.weekday().to_sunday_one_offset());
        self.years.contains(&date.year())
            && self.months.contains(&i16::from(date.month()))
            && self.days.as_ref().is_none_or(|days| days.contains(&i16::from(date.day())))
            && self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday))
    }

    /// The times of a day. One that the clocks leave out is skipped, and one that they have twice fires once, the first time.
    /// Source: the same page, «Daylight savings time on EventBridge Scheduler».
    fn times(&self, date: Date, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        let all = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
        let (all, zone) = (all.collect::<Vec<_>>(), zone.clone());
        all.into_iter().filter_map(move |(hour, minute)| {
            let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
            let found = zone.to_ambiguous_timestamp(date.to_datetime(time));
            if matches!(found.offset(), AmbiguousOffset::Gap { .. }) { None } else { found.earlier().ok() }
        })
    }
}

/// The values of a field: `*`, single ones, ranges with `-`, increments with `/`, and lists of these.
fn values(field: &str, first: i16, last: i16, names: &[&str]) -> Result<BTreeSet<i16>, String> {
    let wrong = || format!("{field} is no field from {first} to {last} that the simulation reads");
    let value = |text: &str| {
        let named = (1..).zip(names).find(|(_, name)| **name == text).map(|(n, _)| n);
        let value = named.or_else(|| text.parse().ok());
        value.filter(|value| (first..=last).contains(value)).ok_or_else(wrong)
    };
    let mut all = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (value(from)?, value(to)?),
            None if step.is_some() => (value(range)?, last),
            None => (value(range)?, value(range)?),
        };
        let step: usize = step.map_or(Ok(1), |step| step.parse().map_err(|_| wrong()))?;
        if step == 0 || from > to {
            return Err(wrong());
        }
        all.extend((from..=to).step_by(step));
    }
    Ok(all)
}
