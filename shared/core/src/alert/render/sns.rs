use super::{
    super::{Alert, Status},
    text::{Room, facts, labels, line, links, meaning, next_step, state, title},
};

/// The longest subject: "less than 100 characters long" (Amazon SNS API Reference, `Publish`, `Subject`).
const SUBJECT: usize = 99;
/// The longest message: 262,144 bytes (the same page, `Message`), less what is left for message attributes, which count too
/// (the same reference, `MessageAttributeValue`).
const TEXT: usize = 262_144 - 8_192;
/// Keeps a meaning within the message: indenting may double it.
const MEANING: usize = 98_304;
const COMMAND: usize = 8_192;

/// What is published to a topic: for people, by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// One line of ASCII.
    pub subject: String,
    /// The message.
    pub text: String,
}

/// Renders an alert for a topic.
///
/// Headings stand at the beginning of their lines and whatever comes from the alert does not, so no text can pass for a part
/// of the message.
#[must_use]
pub fn sns(alert: &Alert) -> Sns {
    Sns { subject: subject(alert), text: text(alert) }
}

fn subject(alert: &Alert) -> String {
    // Once the reference asked for ASCII and now it asks for UTF-8 (AWS SDK for Kotlin, `PublishRequest.subject`). ASCII is
    // right by both, and reaches every mail client.
    let state = if alert.status == Status::Unknown { "NO DATA".to_owned() } else { state(alert).to_uppercase() };
    let alarm = alert.labels.get("alarm").map_or("", String::as_str);
    let names = [title(alert), line(alarm), line(alert.key.as_str())];
    let shown = names.iter().map(|name| ascii(name)).find(|name| readable(name));
    Room::ascii(SUBJECT).fit(&format!("[{state}] {}", shown.unwrap_or_else(|| "an alert".to_owned())))
}

/// Returns whether more of a text survived than was lost.
fn readable(ascii: &str) -> bool {
    let count = |wanted: fn(char) -> bool| ascii.chars().filter(|character| wanted(*character)).count();
    count(|character| character.is_ascii_alphanumeric()) > count(|character| character == '?')
}

fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '–' | '—' | '−' => plain.push('-'),
            '‘' | '’' => plain.push('\''),
            '«' | '»' | '“' | '”' => plain.push('"'),
            '…' => plain.push_str("..."),
            '≥' => plain.push_str(">="),
            '≤' => plain.push_str("<="),
            ' '..='~' => plain.push(character),
            _ => plain.push('?'),
        }
    }
    plain
}

fn text(alert: &Alert) -> String {
    let short = Room::bytes(1_024);
    let mut text = vec![format!("{}: {}", state(alert), short.fit(&title(alert)))];
    let heading = if alert.status == Status::Resolved { "What it meant" } else { "What it means" };
    let meaning = Room::bytes(MEANING).fit(&meaning(alert));
    section(&mut text, heading, meaning.lines().map(str::to_owned).collect());
    text.push(String::new());
    text.extend(
        facts(alert).into_iter().map(|(name, value)| format!("{:<16}{}", format!("{name}:"), short.fit(&value))),
    );
    let step = next_step(alert, COMMAND).map(|step| step.map_or_else(|why| why, str::to_owned));
    section(&mut text, "Next step", step.into_iter().collect());
    let shown = links(alert).into_iter().map(|(title, url)| format!("{title}: {url}"));
    section(&mut text, "Links", shown.collect());
    let shown = labels(alert).into_iter().map(|(name, value)| format!("{name}: {value}"));
    section(&mut text, "Labels", shown.collect());
    let ids = [("Key", alert.key.as_str()), ("Event", alert.event.as_str())];
    section(&mut text, "Ids", ids.map(|(name, id)| format!("{name}: {}", short.fit(&line(id)))).into());
    text.push(String::new());
    Room::bytes(TEXT).fit(&text.join("\n"))
}

fn section(text: &mut Vec<String>, heading: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    text.extend([String::new(), heading.to_owned()]);
    text.extend(lines.into_iter().map(|line| if line.is_empty() { line } else { format!("  {line}") }));
}
