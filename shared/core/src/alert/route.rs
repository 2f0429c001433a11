//! Whom an alert goes to: a tree of routes, of which the root matches everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Alert, Severity};

/// How often an alert that stays is told again, unless a route says otherwise.
const REPEAT_MINUTES: u32 = 240;
/// The shortest time between two times an alert is told, in minutes.
const SHORTEST: u32 = 5;
/// The longest, in minutes: a week.
const LONGEST: u32 = 10_080;
/// How deep routes may be nested.
const DEEPEST: usize = 8;

/// The destinations whose secrets may hold several addresses.
const ENTRIES: [&str; 3] = ["pagerduty", "slack", "webhook"];
/// After how many minutes what is critical is told again, where nobody has written a tree.
const CRITICAL_REPEAT: u32 = 60;
/// The same of everything else.
const OTHER_REPEAT: u32 = 720;

/// A tree of routes, which has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: Route,
}

/// A route as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Route {
    /// What an alert must be for this route; all of it. The root has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    r#match: BTreeMap<String, Matcher>,
    /// Where it goes; nothing where the parent's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Vec<String>>,
    /// After how many minutes it is told again; nothing where the parent's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat_minutes: Option<u32>,
    /// How many minutes it must have lasted until it is told; nothing where the parent's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_minutes: Option<u32>,
    /// Whether the routes after this one are tried as well.
    #[serde(default)]
    r#continue: bool,
    /// The routes below. The first that matches is taken, and those after it as far as each says `continue`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
}

/// What a label must be: one value, or one of several. A `*` at the end stands for any rest. Of `severity`, `>=error` means that one
/// or worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Matcher {
    One(String),
    Any(Vec<String>),
}

/// A way that an alert takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The destination.
    pub to: String,
    /// After how long it is told again.
    pub repeat: SignedDuration,
    /// How long it must have lasted until it is told.
    pub hold: SignedDuration,
    /// The places of the routes that were taken, counted from 1, such as `2.1`; `root` for the root.
    pub route: String,
}

/// Why a tree is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not JSON of this form.
    #[error("line {line}, column {column}: {what}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// The root does not match everything, or goes nowhere.
    #[error("the root {0}")]
    Root(&'static str),
    /// A route is wrong.
    #[error("route {at}: {what}")]
    Route {
        /// Its place, such as `2.1`.
        at: String,
        /// What is wrong.
        what: String,
    },
}

impl Tree {
    /// Reads a tree, whose destinations have these names.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn read(text: &str, destinations: &BTreeSet<String>) -> Result<Self, Refused> {
        let root: Route = serde_json::from_str(text).map_err(|error| Refused::Form {
            line: error.line(),
            column: error.column(),
            what: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        if !root.r#match.is_empty() {
            return Err(Refused::Root("has a match: it has to match everything, or alerts get lost"));
        }
        if root.to.as_ref().is_none_or(Vec::is_empty) {
            return Err(Refused::Root("says no destination in its field to: alerts that no route matches get lost"));
        }
        check(&root, &Place::default(), destinations)?;
        Ok(Self { root })
    }

    /// Returns the tree for those who have written none. What is critical goes to whoever is woken, `pagerduty` or else the topic
    /// `page`; everything else to the topic `notify`; and all of it to `slack` and `webhook`. What would go nowhere goes to `page`.
    #[must_use]
    pub fn standard(destinations: &BTreeSet<String>) -> Self {
        let known = |names: &[&str]| -> Vec<String> {
            names.iter().filter(|name| destinations.contains(**name)).map(|name| (*name).to_owned()).collect()
        };
        let or_page = |names: Vec<String>| if names.is_empty() { vec!["page".to_owned()] } else { names };
        let woken = or_page(known(&["pagerduty"]));
        let critical = Route {
            r#match: [("severity".to_owned(), Matcher::One("critical".to_owned()))].into(),
            to: Some(woken.into_iter().chain(known(&["slack", "webhook"])).collect()),
            repeat_minutes: Some(CRITICAL_REPEAT),
            ..Route::default()
        };
        let to = Some(or_page(known(&["notify", "slack", "webhook"])));
        Self { root: Route { to, repeat_minutes: Some(OTHER_REPEAT), routes: vec![critical], ..Route::default() } }
    }

    /// Returns the names of the destinations that routes name.
    #[must_use]
    pub fn destinations(&self) -> BTreeSet<String> {
        fn add(route: &Route, all: &mut BTreeSet<String>) {
            all.extend(route.to.iter().flatten().cloned());
            route.routes.iter().for_each(|below| add(below, all));
        }
        let mut all = BTreeSet::new();
        add(&self.root, &mut all);
        all
    }

    /// Returns the ways that an alert takes: at least one. Of several to one destination it takes the first.
    #[must_use]
    pub fn ways(&self, alert: &Alert) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        take(&self.root, &Inherited::default(), &Place::default(), alert, &mut ways);
        let mut seen = BTreeSet::new();
        ways.retain(|way| seen.insert(way.to.clone()));
        ways
    }
}

/// Splits the name of a destination into its own and that of the entry of its secret, such as `slack:databases`.
#[must_use]
pub fn named(to: &str) -> (&str, Option<&str>) {
    to.split_once(':').map_or((to, None), |(name, entry)| (name, Some(entry)))
}

/// Returns whether a secret may have an entry of this name.
#[must_use]
pub fn is_entry(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(letter)
}

/// The place of a route in the tree.
#[derive(Clone, Debug, Default)]
struct Place(Vec<usize>);

impl Place {
    fn below(&self, nth: usize) -> Self {
        Self(self.0.iter().copied().chain([nth + 1]).collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("root");
        }
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
    }
}

/// What a route has from those above it.
#[derive(Clone, Debug, Default)]
struct Inherited {
    to: Vec<String>,
    repeat: Option<u32>,
    hold: Option<u32>,
}

fn check(route: &Route, place: &Place, destinations: &BTreeSet<String>) -> Result<(), Refused> {
    let wrong = |what: String| Err(Refused::Route { at: place.to_string(), what });
    if place.0.len() > DEEPEST {
        return wrong(format!("routes are nested in more than {DEEPEST} levels"));
    }
    for to in route.to.iter().flatten() {
        let (name, entry) = named(to);
        if !destinations.contains(name) {
            let known: Vec<_> = destinations.iter().map(String::as_str).collect();
            return wrong(format!("there is no destination {to:?}: there are {}", known.join(", ")));
        }
        if entry.is_some_and(|entry| !ENTRIES.contains(&name) || !is_entry(entry)) {
            let form =
                "slack, pagerduty and webhook may have a name behind a colon, of 1 to 64 letters, digits, '-' and '_'";
            return wrong(format!("there is no destination {to:?}: {form}"));
        }
    }
    if let Some(minutes) = route.repeat_minutes.filter(|minutes| !(SHORTEST..=LONGEST).contains(minutes)) {
        return wrong(format!("repeatMinutes is {minutes}, but should be from {SHORTEST} to {LONGEST}"));
    }
    if let Some(minutes) = route.hold_minutes.filter(|minutes| *minutes > LONGEST) {
        return wrong(format!("holdMinutes is {minutes}, but should be at most {LONGEST}"));
    }
    for (label, matcher) in &route.r#match {
        if let Err(what) = matcher.check(label) {
            return wrong(what);
        }
    }
    for (nth, below) in route.routes.iter().enumerate() {
        if below.r#match.is_empty() && !below.r#continue && nth + 1 < route.routes.len() {
            let what = "it matches everything, so the routes after it are never tried: let it continue, or put it last";
            return Err(Refused::Route { at: place.below(nth).to_string(), what: what.to_owned() });
        }
        check(below, &place.below(nth), destinations)?;
    }
    Ok(())
}

fn take(route: &Route, above: &Inherited, place: &Place, alert: &Alert, ways: &mut Vec<Way>) {
    let own = Inherited {
        to: route.to.clone().unwrap_or_else(|| above.to.clone()),
        repeat: route.repeat_minutes.or(above.repeat),
        hold: route.hold_minutes.or(above.hold),
    };
    let mut taken = false;
    for (nth, below) in route.routes.iter().enumerate() {
        if !below.r#match.iter().all(|(label, matcher)| matcher.holds(label, alert)) {
            continue;
        }
        taken = true;
        take(below, &own, &place.below(nth), alert, ways);
        if !below.r#continue {
            break;
        }
    }
    if !taken {
        let minutes = |minutes: u32| SignedDuration::from_mins(minutes.into());
        ways.extend(own.to.iter().map(|to| Way {
            to: to.clone(),
            repeat: minutes(own.repeat.unwrap_or(REPEAT_MINUTES)),
            hold: minutes(own.hold.unwrap_or_default()),
            route: place.to_string(),
        }));
    }
}

impl Matcher {
    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Any(values) => values,
        }
    }

    fn check(&self, label: &str) -> Result<(), String> {
        if self.values().is_empty() {
            return Err(format!("{label} has no value, so nothing ever matches"));
        }
        for value in self.values() {
            let severity = value.strip_prefix(">=").unwrap_or(value);
            if label == "severity" && severity.parse::<Severity>().is_err() {
                let known = "info, warning, error or critical, or one of these after >=";
                return Err(format!("severity is {value:?}, but should be {known}"));
            }
            if value.trim_end_matches('*').contains('*') || value.ends_with("**") {
                return Err(format!("{label} is {value:?}: a * stands only at the end"));
            }
        }
        Ok(())
    }

    fn holds(&self, label: &str, alert: &Alert) -> bool {
        if label == "severity" {
            return self.values().iter().any(|value| match value.strip_prefix(">=") {
                Some(least) => least.parse().is_ok_and(|least: Severity| alert.severity >= least),
                None => value.parse() == Ok(alert.severity),
            });
        }
        let Some(found) = alert.labels.get(label) else { return false };
        self.values().iter().any(|value| match value.strip_suffix('*') {
            Some(prefix) => found.starts_with(prefix),
            None => found == value,
        })
    }
}
