//! What all destinations have in common: what fits, what is shown of a text, and in which words.

use jiff::Timestamp;

use super::super::{Alert, Severity, Status};

/// How many links a message has. An alert brings three or four.
const LINKS: usize = 10;
/// The longest URL that is shown: longer ones do not survive mail clients and address bars.
const URL: usize = 2_048;
/// How many labels a message has.
const LABELS: usize = 50;
/// What an alert without data means: its title alone reads as if it were so.
const NO_DATA: &str =
    "Nothing was measured, so nobody knows whether this is so. It counts as neither fired nor resolved.";
/// Where a number is no longer written out: it would have more digits than anybody reads.
const LARGE: f64 = 1e15;

/// How long a text may be, and in which unit that is counted.
#[derive(Clone, Copy)]
pub(super) struct Room {
    limit: usize,
    weight: fn(char) -> usize,
    marker: &'static str,
}

impl Room {
    /// Counts characters.
    pub(super) fn chars(limit: usize) -> Self {
        Self { limit, weight: |_| 1, marker: " […]" }
    }

    /// Counts bytes of UTF-8.
    pub(super) fn bytes(limit: usize) -> Self {
        Self { limit, weight: char::len_utf8, marker: " […]" }
    }

    /// Counts characters of a text in ASCII.
    pub(super) fn ascii(limit: usize) -> Self {
        Self { limit, weight: |_| 1, marker: "..." }
    }

    /// Counts what `weight` says of each character.
    pub(super) fn weighed(limit: usize, weight: fn(char) -> usize) -> Self {
        Self { limit, weight, marker: " […]" }
    }

    /// Returns the text if it fits, or else its beginning and a marker. No character is split.
    pub(super) fn fit(self, text: &str) -> String {
        let marker: usize = self.marker.chars().map(self.weight).sum();
        let (mut used, mut kept) = (0, 0);
        for (at, character) in text.char_indices() {
            used += (self.weight)(character);
            if used > self.limit {
                return text.get(..kept).unwrap_or_default().to_owned() + self.marker;
            }
            if used + marker <= self.limit {
                kept = at + character.len_utf8();
            }
        }
        text.to_owned()
    }
}

/// Returns a text on one line. A line break would let a name pass for a part of the message, and a control character would
/// be refused.
pub(super) fn line(text: &str) -> String {
    let seen: String = text.chars().filter(|character| !hidden(*character)).collect();
    let words = seen.split(|character: char| character.is_whitespace() || character.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns a text with its line breaks, and without what does not show.
pub(super) fn lines(text: &str) -> String {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let shown = |line: &str| -> String {
        let spaced = line.chars().map(|character| if character == '\t' { ' ' } else { character });
        spaced.filter(|character| !character.is_control() && !hidden(*character)).collect()
    };
    let all: Vec<_> = text.replace("\r\n", "\n").split(breaks).map(|line| shown(line).trim_end().to_owned()).collect();
    all.join("\n").trim().to_owned()
}

/// Returns whether a character changes how others are shown, or shows nothing itself: with such a one, what is read is not
/// what is pasted.
fn hidden(character: char) -> bool {
    matches!(character,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Returns a time as people read it.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns the title on one line, or what else names the alert where there is none.
pub(super) fn title(alert: &Alert) -> String {
    let texts = [Some(alert.title.as_str()), alert.labels.get("alarm").map(String::as_str), Some(alert.key.as_str())];
    let named = texts.into_iter().flatten().map(line).find(|text| !text.is_empty());
    named.unwrap_or_else(|| "an alert without a name".to_owned())
}

/// Returns in a word how things stand.
pub(super) fn state(alert: &Alert) -> &'static str {
    match (alert.status, alert.severity) {
        (Status::Resolved, _) => "Resolved",
        (Status::Unknown, _) => "No data on",
        (Status::Firing, Severity::Critical) => "Critical",
        (Status::Firing, Severity::Error) => "Error",
        (Status::Firing, Severity::Warning) => "Warning",
        (Status::Firing, Severity::Info) => "Info",
    }
}

/// Returns what it means, and says so where nobody knows whether it is.
pub(super) fn meaning(alert: &Alert) -> String {
    let meaning = lines(&alert.meaning);
    match (alert.status, meaning.is_empty()) {
        (Status::Unknown, true) => NO_DATA.to_owned(),
        (Status::Unknown, false) => format!("{NO_DATA} If it is:\n{meaning}"),
        (Status::Firing | Status::Resolved, _) => meaning,
    }
}

/// Returns how bad it is, since when, and what was measured: names and values, each on one line.
pub(super) fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Severity", alert.severity.to_string())];
    if let Some(since) = alert.since {
        let name = match alert.status {
            Status::Firing => "Since",
            Status::Resolved => "Resolved since",
            Status::Unknown => "No data since",
        };
        facts.push((name, time(since)));
    }
    if let Some(reading) = &alert.reading {
        let metric = line(&reading.metric);
        facts.push(("Measured", reading.value.map_or(metric.clone(), |value| format!("{metric}: {}", number(value)))));
        facts.extend(reading.threshold.as_deref().map(|threshold| ("Alarms when", line(threshold))));
    }
    facts
}

fn number(value: f64) -> String {
    if value.abs() < LARGE { value.to_string() } else { format!("{value:e}") }
}

/// Returns the labels, names and values on one line each.
pub(super) fn labels(alert: &Alert) -> Vec<(String, String)> {
    let (name, value) = (Room::bytes(100), Room::bytes(400));
    alert.labels.iter().take(LABELS).map(|(k, v)| (name.fit(&line(k)), value.fit(&line(v)))).collect()
}

/// Returns the links that are safe to show: titles and URLs. One that was cut would lead elsewhere, so it is left out whole.
pub(super) fn links(alert: &Alert) -> Vec<(String, &str)> {
    let safe = alert.links.iter().filter(|link| {
        let url = link.url.as_str();
        let plain = url.chars().all(|c| c.is_ascii_graphic() && !"<>|\"`\\^{}".contains(c));
        url.starts_with("https://") && url.len() <= URL && plain
    });
    let titled = safe.map(|link| {
        let title = Room::bytes(200).fit(&line(&link.title));
        (if title.is_empty() { "Link".to_owned() } else { title }, link.url.as_str())
    });
    titled.take(LINKS).collect()
}

/// Returns the command to paste, or why it is left out; nothing where there is nothing to do.
///
/// A command is never cut nor cleaned: what is left of it could do something else.
pub(super) fn next_step(alert: &Alert, limit: usize) -> Option<Result<&str, String>> {
    let command = alert.next_step.as_deref().filter(|_| alert.status != Status::Resolved)?.trim();
    let stranger = command.chars().find(|c| c.is_control() || hidden(*c) || (c.is_whitespace() && *c != ' '));
    match (stranger, command.len()) {
        (_, 0) => None,
        (Some(stranger), _) => Some(Err(format!(
            "Left out: the command holds U+{:04X}, with which what is pasted is not what is read. Remove it from the name \
             that the command quotes.",
            u32::from(stranger)
        ))),
        (None, length) if length > limit => Some(Err(format!(
            "Left out: the command has {length} bytes, and {limit} fit here. Shorten the names that the command quotes."
        ))),
        (None, _) => Some(Ok(command)),
    }
}
