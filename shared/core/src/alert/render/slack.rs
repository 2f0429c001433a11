use serde_json::{Value, json};

use super::{
    super::{Alert, Severity, Status},
    text::{Room, facts, labels, line, links, meaning, next_step, state, title},
};

// A message has at most 50 blocks (docs.slack.dev, reference/block-kit/blocks); this one has seven.

/// The longest header (docs.slack.dev, reference/block-kit/blocks/header-block, `text`).
const HEADER: usize = 150;
/// A section takes 3,000 characters (docs.slack.dev, reference/block-kit/composition-objects/text-object, `text`). All
/// blocks together are refused from somewhere above 11,000 (`msg_blocks_too_long`; no page says where, slackapi/bolt-js
/// issues 2509 and 2867), so that these limits together stay below 8,000.
const MEANING: usize = 2_500;
/// A field takes 2,000, and there may be ten (docs.slack.dev, reference/block-kit/blocks/section-block, `fields`); here are
/// at most four.
const FIELD: usize = 300;
const LINKS: usize = 1_500;
/// No limit of preformatted text is documented: that of a section holds here too.
const COMMAND: usize = 1_500;
const CONTEXT: usize = 700;
/// Slack cuts it above 40,000, of incoming webhooks too (api.slack.com, changelog/2018-04-truncating-really-long-messages).
/// It is what a notification on a phone shows.
const FALLBACK: usize = 500;

/// Renders an alert for an incoming webhook, in Block Kit.
///
/// `&`, `<` and `>` are escaped in all texts, without which nothing is a mention or a link (docs.slack.dev,
/// messaging/formatting-message-text). Names that Slack links by itself stay text: `verbatim`. What an alert says at length
/// is plain text and the command is preformatted rich text, in which there is no markup to close.
#[must_use]
pub fn slack(alert: &Alert) -> Value {
    let headline = format!("{} {}: {}", emoji(alert), state(alert), title(alert));
    let mut blocks = vec![json!({"type": "header", "text": plain(&headline, HEADER)})];
    let meaning = meaning(alert);
    if !meaning.is_empty() {
        blocks.push(json!({"type": "section", "text": plain(&meaning, MEANING)}));
    }
    let fields: Vec<_> = facts(alert).iter().map(|(name, value)| mrkdwn(&field(name, value))).collect();
    blocks.push(json!({"type": "section", "fields": fields}));
    match next_step(alert, COMMAND) {
        Some(Ok(command)) => {
            let code = json!({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": command}]});
            blocks.push(json!({"type": "section", "text": mrkdwn("*Next step*")}));
            blocks.push(json!({"type": "rich_text", "elements": [code]}));
        }
        Some(Err(why)) => blocks.push(json!({"type": "section", "text": mrkdwn(&field("Next step", &why))})),
        None => {}
    }
    if let Some(links) = linked(alert) {
        blocks.push(json!({"type": "section", "text": mrkdwn(&links)}));
    }
    blocks.push(json!({"type": "context", "elements": [plain(&context(alert), CONTEXT)]}));
    json!({"text": escaped(&headline, FALLBACK), "blocks": blocks})
}

fn emoji(alert: &Alert) -> char {
    match (alert.status, alert.severity) {
        (Status::Resolved, _) => '✅',
        (Status::Unknown, _) => '⚪',
        (Status::Firing, Severity::Critical) => '🔴',
        (Status::Firing, Severity::Error) => '🟠',
        (Status::Firing, Severity::Warning) => '🟡',
        (Status::Firing, Severity::Info) => '🔵',
    }
}

/// A value stands on the line of its name: `> 7200` at the beginning of a line would be a quotation, escaped or not.
fn field(name: &str, value: &str) -> String {
    format!("*{name}:* {}", escaped(value, FIELD - name.len() - 4))
}

/// As many links as fit: each is whole or left out.
fn linked(alert: &Alert) -> Option<String> {
    let mut all = String::new();
    for (title, url) in links(alert) {
        let link = format!("<{}|{}>", url.replace('&', "&amp;"), escaped(&title.replace('|', "/"), 100));
        if weight(&all) + weight(&link) + 3 <= LINKS {
            all += if all.is_empty() { "" } else { " · " };
            all += &link;
        }
    }
    Some(all).filter(|links| !links.is_empty())
}

fn weight(text: &str) -> usize {
    text.encode_utf16().count()
}

fn context(alert: &Alert) -> String {
    let labels = labels(alert).into_iter().map(|(name, value)| format!("{name}={value}"));
    let ids = [format!("key={}", line(alert.key.as_str())), format!("event={}", line(&alert.event))];
    labels.chain(ids).collect::<Vec<_>>().join(" · ")
}

fn plain(text: &str, limit: usize) -> Value {
    json!({"type": "plain_text", "text": escaped(text, limit), "emoji": false})
}

/// Takes what is escaped and marked up already.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// Cuts a text to what it may have once it is escaped, and escapes it, so no entity is cut. Whether Slack counts code points
/// or code units of UTF-16 no page says: units are the more.
fn escaped(text: &str, limit: usize) -> String {
    let room = Room::weighed(limit, |character| match character {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    });
    room.fit(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
