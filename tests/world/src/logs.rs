//! CloudWatch Logs: groups, their streams, and lines that can be read once they are ingested.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    ACCOUNT, REGION, Refusal, World,
    service::{Asked, Service, Target, Touched},
};

/// The most lines of a page (API reference of `GetLogEvents`, `limit`).
const MOST: usize = 10_000;

/// Groups by name.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// What there is: streams by name.
    pub groups: BTreeMap<String, BTreeMap<String, Vec<Line>>>,
    /// How long a line takes from now on until it can be read.
    pub lag: SignedDuration,
    /// How many of the next pages are empty although more lines follow.
    pub empty_pages: usize,
}

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// When it is ingested.
    pub ingested: Timestamp,
    /// What it says.
    pub message: String,
}

/// Which way a token leads, and from which line on.
#[derive(Clone, Copy)]
enum Place {
    Forward(usize),
    Backward(usize),
}

/// The ARN of a stream.
#[must_use]
pub fn arn(group: &str, stream: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:{stream}")
}

impl Service for Logs {
    const NAME: &'static str = "logs";
    const TARGET: Target = Target::Json("Logs_20140328");

    /// Service authorization reference of CloudWatch Logs: `GetLogEvents` is of a stream.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let text = |key: &str| asked.body[key].as_str().unwrap_or_default();
        Touched::resources(vec![arn(text("logGroupName"), text("logStreamName"))])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        if asked.operation != "GetLogEvents" {
            let message = format!("the world has no logs:{}", asked.operation);
            return Err(Refusal::new("UnrecognizedClientException", message));
        }
        world.log_events(&asked.body)
    }
}

impl World {
    /// Makes a stream, and its group if that is new.
    pub fn open_stream(&mut self, group: &str, stream: &str) {
        self.logs.groups.entry(group.to_owned()).or_default().entry(stream.to_owned()).or_default();
    }

    /// Writes a line into a stream, which is made if it is new.
    pub fn log(&mut self, group: &str, stream: &str, message: &str) {
        self.open_stream(group, stream);
        let line = Line { at: self.now, ingested: self.now + self.logs.lag, message: message.to_owned() };
        let streams = self.logs.groups.get_mut(group);
        if let Some(lines) = streams.and_then(|streams| streams.get_mut(stream)) {
            lines.push(line);
        }
    }

    /// API reference of `GetLogEvents`.
    fn log_events(&mut self, body: &Value) -> Result<Value, Refusal> {
        let wrong = |why: &str| Refusal::new("InvalidParameterException", why);
        let absent = |what: &str| {
            Refusal::new("ResourceNotFoundException", format!("The specified log {what} does not exist."))
        };
        let (group, stream) = (&body["logGroupName"], &body["logStreamName"]);
        let (Some(group), Some(stream)) = (group.as_str(), stream.as_str()) else {
            return Err(wrong("logGroupName and logStreamName are needed: the world reads no logGroupIdentifier"));
        };
        let limit = match body["limit"].as_u64() {
            None if body["limit"].is_null() => MOST,
            Some(limit) if (1..=MOST as u64).contains(&limit) => usize::try_from(limit).unwrap_or(MOST),
            _ => return Err(wrong("limit is at least 1, and at most 10000")),
        };
        let from_head = body["startFromHead"] == true;
        let place = body["nextToken"].as_str().map(place).transpose()?;
        // «If you are using a previous nextForwardToken value as the nextToken in this operation, you must specify true».
        if matches!(place, Some(Place::Forward(_))) && !from_head {
            return Err(wrong("with a nextForwardToken, startFromHead must be true"));
        }
        let streams = self.logs.groups.get(group).ok_or_else(|| absent("group"))?;
        let lines = streams.get(stream).ok_or_else(|| absent("stream"))?;
        let time = |key: &str| body[key].as_i64();
        let within = |line: &&Line| {
            let at = line.at.as_millisecond();
            line.ingested <= self.now
                && time("startTime").is_none_or(|start| at >= start)
                && time("endTime").is_none_or(|end| at < end)
        };
        let seen: Vec<_> = lines.iter().filter(within).collect();
        let empty = self.logs.empty_pages > 0 && !seen.is_empty();
        // A page may have fewer lines than fit, and an empty one need not be the last.
        let size = if empty { 0 } else { limit.min(self.page) };
        let (from, to) = match place.unwrap_or(if from_head { Place::Forward(0) } else { Place::Backward(seen.len()) }) {
            Place::Forward(from) => (from, (from + size).min(seen.len()).max(from)),
            Place::Backward(to) => (to.saturating_sub(size), to),
        };
        let page = seen.get(from..to).unwrap_or_default();
        let events = page.iter().map(|line| {
            let (at, ingested) = (line.at.as_millisecond(), line.ingested.as_millisecond());
            json!({"timestamp": at, "ingestionTime": ingested, "message": line.message})
        });
        // The end is where the token that was passed in comes back: an empty page before it has one of its own.
        let before = body["nextToken"].as_str().map_or(0, |token| token.matches('-').count());
        let again = if page.is_empty() { "-".repeat(before + usize::from(empty)) } else { String::new() };
        let answer = json!({
            "events": events.collect::<Vec<_>>(),
            "nextForwardToken": format!("f/{to}{again}"), "nextBackwardToken": format!("b/{from}{again}"),
        });
        if empty {
            self.logs.empty_pages -= 1;
        }
        Ok(answer)
    }
}

/// Reads a token that an earlier page gave.
fn place(token: &str) -> Result<Place, Refusal> {
    let number = |text: &str| text.trim_end_matches('-').parse().ok();
    let forward = token.strip_prefix("f/").and_then(number).map(Place::Forward);
    let place = forward.or_else(|| token.strip_prefix("b/").and_then(number).map(Place::Backward));
    place.ok_or_else(|| Refusal::new("InvalidParameterException", "The specified nextToken is invalid."))
}
