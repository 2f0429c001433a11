use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{
        Alert, Link, Reading, Severity, Status,
        render::{ShortSecret, pagerduty, sign, slack, sns, webhook},
    },
    examples,
};
use crate::neo4j::Secret;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_topic_gets_text_for_people() {
    for (name, alert) in examples::all() {
        let sent = sns(&alert);
        insta::assert_snapshot!(format!("sns_{name}"), format!("Subject: {}\n\n{}", sent.subject, sent.text));
    }
}

#[test]
fn slack_gets_blocks() {
    for (name, alert) in examples::all() {
        insta::assert_snapshot!(format!("slack_{name}"), format!("{:#}", slack(&alert)));
    }
}

#[test]
fn pagerduty_gets_events() {
    for (name, alert) in examples::all() {
        let event = Value::Object(pagerduty(&alert).event().clone());
        insta::assert_snapshot!(format!("pagerduty_{name}"), format!("{event:#}"));
    }
}

#[test]
fn a_webhook_gets_a_body() {
    for (name, alert) in examples::all() {
        let body: Value = serde_json::from_str(&webhook(&alert)).unwrap();
        insta::assert_snapshot!(format!("webhook_{name}"), format!("{body:#}"));
    }
}

#[test]
fn ok_resolves_what_the_alarm_opened() {
    let key = |alert: &Alert| pagerduty(alert).event()["dedup_key"].clone();
    assert_eq!(key(&examples::backup_old()), key(&examples::backup_resolved()));
    let action = |alert: &Alert| pagerduty(alert).event()["event_action"].clone();
    assert_eq!(action(&examples::backup_old()), "trigger");
    assert_eq!(action(&examples::backup_unknown()), "trigger", "no data resolves nothing");
    assert_eq!(action(&examples::backup_resolved()), "resolve");
}

#[test]
fn each_severity_looks_different_and_so_does_resolved() {
    let mut alert = examples::core_down();
    let mut seen = Vec::new();
    for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
        alert.severity = severity;
        seen.push((slack(&alert)["text"].to_string(), sns(&alert).subject));
        assert_eq!(pagerduty(&alert).event()["payload"]["severity"], severity.to_string());
    }
    for status in [Status::Unknown, Status::Resolved] {
        alert.status = status;
        seen.push((slack(&alert)["text"].to_string(), sns(&alert).subject));
    }
    let lines: Vec<_> = seen.into_iter().map(|(text, subject)| format!("{text} / {subject}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_routing_key_is_in_the_body_alone() {
    let key = Secret::new("e93facc04764012d7bfb002500d5d1a6".into());
    let event = pagerduty(&examples::core_down());
    let body = event.body(&key);
    let sent: Value = serde_json::from_str(body.reveal()).unwrap();
    assert_eq!(sent["routing_key"], "e93facc04764012d7bfb002500d5d1a6");
    assert_eq!(sent["event_action"], "trigger");
    assert!(!format!("{event:?} {body:?} {key:?}").contains("e93f"));
}

#[test]
fn a_signature_covers_the_time_and_the_body() {
    let at = Timestamp::from_second(1_796_004_000).unwrap();
    let secret = Secret::new(SECRET.into());
    // printf '%s' '1796004000.{"version":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    let headers = sign(&secret, at, "{\"version\":1}").unwrap();
    assert_eq!(headers[0], ("content-type", "application/json".into()));
    assert_eq!(headers[1], ("alert-timestamp", "1796004000".into()));
    assert_eq!(headers[2].0, "alert-signature");
    assert_eq!(headers[2].1, "v1=1d7258fb76ceacb4053601b1309b46c9497572c6953d0cef493ea141101440d0");
    let signature = |at: Timestamp, body: &str| sign(&secret, at, body).unwrap()[2].1.clone();
    assert_ne!(signature(at, "{}"), signature(at, "{} "));
    assert_ne!(signature(at, "{}"), signature(Timestamp::UNIX_EPOCH, "{}"));
    // A fraction of a second is in neither the header nor the signature.
    assert_eq!(signature(at, "{}"), signature(Timestamp::new(1_796_004_000, 5).unwrap(), "{}"));
}

#[test]
fn a_short_secret_is_refused() {
    let refusal = sign(&Secret::new(SECRET[1..].into()), Timestamp::UNIX_EPOCH, "{}").unwrap_err();
    assert_eq!(refusal, sign(&Secret::new("x".repeat(31)), Timestamp::UNIX_EPOCH, "").unwrap_err());
    let said: String = ShortSecret::to_string(&refusal);
    insta::assert_snapshot!(said, @"the secret that signs webhooks has 31 bytes: give it 32 or more, such as what `openssl rand -hex 32` prints");
    assert!(!said.contains(&SECRET[1..]));
}

#[test]
fn a_command_is_whole_or_left_out() {
    let mut alert = examples::core_down();
    let mut said = Vec::new();
    for command in
        ["x".repeat(8_193), "echo 'a\nrm -rf ~'".into(), "echo \u{202e}harmless".into(), "echo a\u{a0}b".into()]
    {
        alert.next_step = Some(command.clone());
        assert!(!slack(&alert).to_string().contains("rich_text"));
        let body: Value = serde_json::from_str(&webhook(&alert)).unwrap();
        assert_eq!(body["next_step"], Value::Null);
        assert_eq!(pagerduty(&alert).event()["payload"]["custom_details"]["next step"], body["next_step_left_out"]);
        let why = body["next_step_left_out"].as_str().unwrap().to_owned();
        assert!(sns(&alert).text.contains(&format!("\nNext step\n  {why}\n")), "{why}");
        said.push(why);
    }
    insta::assert_snapshot!(said.join("\n"));
    alert.next_step = Some("x".repeat(1_501));
    assert!(slack(&alert).to_string().contains("has 1501 bytes, and 1500 fit here"));
    alert.next_step = Some("x".repeat(1_500));
    assert!(slack(&alert).to_string().contains(&"x".repeat(1_500)));
    alert.next_step = Some("  ".into());
    assert!(!sns(&alert).text.contains("Next step"));
}

#[test]
fn backticks_of_a_command_close_nothing() {
    let mut alert = examples::core_down();
    let command = "echo '```' \"`id`\" && cat <in >out";
    alert.next_step = Some(command.into());
    let sent = slack(&alert);
    let code = sent["blocks"].as_array().unwrap().iter().find(|block| block["type"] == "rich_text").unwrap();
    assert_eq!(code["elements"][0]["elements"][0]["text"], command);
}

#[test]
fn links_are_whole_and_https() {
    let mut alert = examples::core_down();
    let long = format!("https://example.com/{}", "x".repeat(2_028));
    let refused = [
        "http://example.com",
        "javascript:alert(1)",
        "https://a|b",
        "https://a>b",
        "https://a b",
        &(long.clone() + "x"),
    ];
    alert.links = refused.iter().map(|url| Link { title: "Logs".into(), url: (*url).to_owned() }).collect();
    let sent = [
        sns(&alert).text,
        slack(&alert).to_string(),
        pagerduty(&alert).event()["payload"].to_string(),
        webhook(&alert),
    ];
    assert!(sent.iter().all(|text| !text.contains("Logs") && !text.contains("example.com")), "{sent:?}");
    assert!(!pagerduty(&alert).event().contains_key("links"));
    alert.links = vec![Link { title: " \n".into(), url: long.clone() }; 11];
    assert_eq!(sns(&alert).text.matches(&format!("  Link: {long}\n")).count(), 10);
    assert!(!slack(&alert).to_string().contains("xxxx"), "it does not fit, so it is left out");
    alert.links = vec![Link { title: "a|b>c".into(), url: "https://example.com/?a=1&b=2".into() }; 2];
    assert!(
        slack(&alert)
            .to_string()
            .contains("<https://example.com/?a=1&amp;b=2|a/b&gt;c> · <https://example.com/?a=1&amp;b=2|a/b&gt;c>")
    );
}

#[test]
fn a_subject_says_what_it_can_in_ascii() {
    let mut alert = examples::core_down();
    let mut said = Vec::new();
    for title in [
        "«Кластер» – 3 ≥ 2…",
        "日本語",
        "",
        "two\r\nlines\tand\u{7}",
        &"word ".repeat(40),
        &"x".repeat(88),
        &"x".repeat(89),
    ] {
        alert.title = title.into();
        said.push(sns(&alert).subject);
    }
    alert.labels.clear();
    alert.title = "\u{200b}".into();
    said.push(sns(&alert).subject);
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn numbers_and_measurements_are_readable() {
    let mut alert = examples::core_down();
    let mut said = Vec::new();
    for value in [Some(0.1), Some(-3.0), Some(1e15), Some(f64::MAX), Some(f64::NAN), Some(f64::INFINITY), None] {
        alert.reading = Some(Reading { metric: "m1 / m2".into(), value, threshold: None });
        let text = sns(&alert).text;
        said.push(text.lines().find(|line| line.starts_with("Measured")).unwrap().to_owned());
        serde_json::from_str::<Value>(&webhook(&alert)).unwrap();
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_long_meaning_keeps_its_beginning_and_is_marked() {
    let mut alert = examples::core_down();
    alert.meaning = "é".repeat(300_000);
    let cut = |text: &str| text.contains("éé") && text.contains("é […]");
    let event = pagerduty(&alert).event()["payload"]["custom_details"]["what it means"].clone();
    assert!(
        cut(&sns(&alert).text)
            && cut(&slack(&alert).to_string())
            && cut(&webhook(&alert))
            && cut(event.as_str().unwrap())
    );
    alert.title = "t".repeat(1_025);
    let summary = pagerduty(&alert).event()["payload"]["summary"].as_str().unwrap().to_owned();
    assert_eq!((summary.chars().count(), summary.ends_with("t […]")), (1_024, true));
    alert.title = "t".repeat(1_024);
    assert_eq!(pagerduty(&alert).event()["payload"]["summary"], "t".repeat(1_024));
}
