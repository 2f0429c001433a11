//! Logs are read in pages to where the token repeats, and lines come late.

use cluster_world::{Kind, World};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{json_of, target};

const GROUP: &str = "/neo4j/backup";

struct Stream {
    world: World,
}

impl Stream {
    fn new(lines: usize) -> Self {
        let mut world = World::new("2026-11-30T01:00:00Z".parse().unwrap(), 1);
        world.open_stream(GROUP, "one");
        for n in 0..lines {
            world.log(GROUP, "one", &n.to_string());
            world.advance(1);
        }
        Self { world }
    }

    fn ask(&mut self, more: &Value) -> Value {
        let mut body = json!({"logGroupName": GROUP, "logStreamName": "one", "startFromHead": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json_of(&self.world.answer(&target("Logs_20140328.GetLogEvents", &body)))
    }

    /// Reads on until the token repeats, and returns the lines and the size of each page.
    fn whole(&mut self, more: &Value) -> (Vec<String>, Vec<usize>) {
        let (mut lines, mut sizes, mut token) = (vec![], vec![], Value::Null);
        loop {
            let mut body = more.clone();
            if !token.is_null() {
                body["nextToken"] = token.clone();
            }
            let page = self.ask(&body);
            lines.extend(messages(&page));
            sizes.push(messages(&page).len());
            if page["nextForwardToken"] == token {
                return (lines, sizes);
            }
            token = page["nextForwardToken"].clone();
        }
    }
}

fn messages(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
    events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn the_end_is_where_the_token_repeats_and_not_an_empty_page() {
    let mut stream = Stream::new(7);
    assert_eq!(stream.whole(&json!({"limit": 3})), (numbers(0..7), vec![3, 3, 1, 0]));
    stream.world.logs.empty_pages = 2;
    assert_eq!(stream.whole(&json!({"limit": 3})), (numbers(0..7), vec![0, 0, 3, 3, 1, 0]));
    assert_eq!(stream.whole(&json!({})).1, [7, 0]);
    assert_eq!(Stream::new(0).whole(&json!({})), (vec![], vec![0, 0]), "tokens are never null");
    let many = Stream::new(250).whole(&json!({}));
    assert_eq!(many, (numbers(0..250), vec![100, 100, 50, 0]), "a page may be partially full");
}

#[test]
fn the_latest_lines_come_first_unless_the_head_is_asked_for() {
    let mut stream = Stream::new(5);
    let tail = stream.ask(&json!({"startFromHead": false, "limit": 2}));
    assert_eq!(messages(&tail), numbers(3..5));
    let before = stream.ask(&json!({"startFromHead": false, "limit": 2, "nextToken": tail["nextBackwardToken"]}));
    assert_eq!(messages(&before), numbers(1..3));
    let forward = json!({"startFromHead": false, "nextToken": before["nextForwardToken"]});
    assert_eq!(stream.ask(&forward)["__type"], "InvalidParameterException", "a forward token wants startFromHead");
    let began = stream.world.now.as_millisecond() - 5000;
    let between = json!({"startTime": began + 1000, "endTime": began + 3000});
    assert_eq!(messages(&stream.ask(&between)), numbers(1..3), "the start is included, and the end is not");
}

#[test]
fn lines_come_late_and_are_read_on_from_the_same_token() {
    let mut stream = Stream::new(1);
    stream.world.logs.lag = SignedDuration::from_secs(60);
    stream.world.log(GROUP, "one", "late");
    let page = stream.ask(&json!({}));
    assert_eq!(messages(&page), ["0"]);
    let next = json!({"nextToken": page["nextForwardToken"]});
    assert!(messages(&stream.ask(&next)).is_empty());
    stream.world.advance(60);
    let later = stream.ask(&next);
    assert_eq!(messages(&later), ["late"]);
    let event = &later["events"][0];
    assert_eq!(event["ingestionTime"].as_i64().unwrap() - event["timestamp"].as_i64().unwrap(), 60_000);
}

#[test]
fn what_is_not_there_and_what_is_wrong_is_refused_by_name() {
    let mut stream = Stream::new(1);
    for (more, code) in [
        (json!({"logStreamName": "other"}), "ResourceNotFoundException"),
        (json!({"logGroupName": "other"}), "ResourceNotFoundException"),
        (json!({"logGroupName": null}), "InvalidParameterException"),
        (json!({"limit": 0}), "InvalidParameterException"),
        (json!({"limit": 10_001}), "InvalidParameterException"),
        (json!({"nextToken": "x"}), "InvalidParameterException"),
    ] {
        assert_eq!(stream.ask(&more)["__type"], code, "{more}");
    }
    let request = target("Logs_20140328.GetLogEvents", &json!({"logGroupName": GROUP, "logStreamName": "one"}));
    let call = stream.world.call(&request).unwrap();
    let arn = format!("arn:aws:logs:eu-west-1:000000000000:log-group:{GROUP}:log-stream:one");
    assert_eq!((call.action.as_str(), call.resources, call.write), ("logs:GetLogEvents", vec![arn], false));
    assert_eq!(request.kind(), Kind::Read);
}
