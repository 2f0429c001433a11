//! Cron expressions: when they name a time next. EventBridge Scheduler and CloudWatch's mute rules each have a dialect.

use std::collections::BTreeSet;

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};

/// How far a cron expression is followed: past this, it is taken for one that never fires again.
const HORIZON: i64 = 4 * 366;
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The zones that stories use, with their present rules: nobody here reads a data base of time zones.
const ZONES: [(&str, &str); 3] =
    [("UTC", "UTC0"), ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"), ("America/New_York", "EST5EDT,M3.2.0,M11.1.0")];

/// The times that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    /// Nothing for any.
    days: Option<BTreeSet<i16>>,
    months: BTreeSet<i16>,
    /// 1 is Sunday. Nothing for any.
    weekdays: Option<BTreeSet<i16>>,
    years: BTreeSet<i16>,
}

/// Returns a time zone by its name.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let zone = ZONES.iter().find(|(known, _)| *known == name).ok_or("no story knows this time zone")?;
    TimeZone::posix(zone.1).map_err(|error| error.to_string())
}

impl Cron {
    /// Reads «minutes hours day-of-month month day-of-week year», without the wildcards `L`, `W` and `#`.
    /// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.
    pub fn of_scheduler(fields: &str) -> Result<Self, String> {
        let fields: Vec<_> = fields.split_whitespace().collect();
        let [minutes, hours, day, month, weekday, year] = fields[..] else {
            return Err(format!("six fields are required, and there are {}", fields.len()));
        };
        // «You can't use * in both the day-of-month and day-of-week fields. If you use it in one, you must use ? in the other.»
        if (day == "?") == (weekday == "?") {
            return Err("one of day-of-month and day-of-week is ?".to_owned());
        }
        Self::of([minutes, hours, day, month, weekday, year], "?")
    }

    /// Reads «Minutes Hours Day-of-month Month Day-of-week», in which `*`, `-` and `,` are all there is. What a day of the week
    /// is as a number, and what holds where both days are given, the page does not say, so neither is read.
    /// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Schedule.html>.
    pub fn of_mute_rule(fields: &str) -> Result<Self, String> {
        let fields: Vec<_> = fields.split_whitespace().collect();
        let [minutes, hours, day, month, weekday] = fields[..] else {
            return Err(format!("five fields are required, and there are {}", fields.len()));
        };
        if fields.iter().any(|field| field.contains(['/', '?'])) {
            return Err("a mute rule knows *, - and , and no other character".to_owned());
        }
        if weekday.contains(|c: char| c.is_ascii_digit()) {
            return Err("no page says which day of the week a number is: name it".to_owned());
        }
        if day != "*" && weekday != "*" {
            return Err("no page says what holds where both days are given".to_owned());
        }
        Self::of([minutes, hours, day, month, weekday, "*"], "*")
    }

    /// Reads the fields, of which one of the days' that is `open` says nothing.
    fn of([minutes, hours, day, month, weekday, year]: [&str; 6], open: &str) -> Result<Self, String> {
        let days = |field: &str, first, last, names: &[&str]| {
            (field != open).then(|| values(field, first, last, names)).transpose()
        };
        Ok(Self {
            minutes: values(minutes, 0, 59, &[])?,
            hours: values(hours, 0, 23, &[])?,
            days: days(day, 1, 31, &[])?,
            months: values(month, 1, 12, &MONTHS)?,
            weekdays: days(weekday, 1, 7, &DAYS)?,
            years: values(year, 1970, 2199, &[])?,
        })
    }

    /// Returns the first of its times after this one.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
        let mut date = zone.to_datetime(after).date();
        for _ in 0..HORIZON {
            if self.names(date)
                && let Some(due) = self.times(date, zone).find(|due| *due > after)
            {
                return Ok(due);
            }
            date = date.tomorrow().map_err(|error| error.to_string())?;
        }
        Err("it never fires".to_owned())
    }

    fn names(&self, date: Date) -> bool {
        let weekday = i16::from(date.weekday().to_sunday_one_offset());
        self.years.contains(&date.year())
            && self.months.contains(&i16::from(date.month()))
            && self.days.as_ref().is_none_or(|days| days.contains(&i16::from(date.day())))
            && self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday))
    }

    /// The times of a day. One that the clocks leave out is skipped, and one that they have twice fires once, the first time.
    /// Source: the Scheduler's page, «Daylight savings time on EventBridge Scheduler».
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
        let word = (1..).zip(names).find(|(_, name)| **name == text).map(|(n, _)| n);
        let value = word.or_else(|| text.parse().ok());
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
