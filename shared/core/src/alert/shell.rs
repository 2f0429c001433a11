//! Commands to paste, made of texts that somebody else wrote.

use std::fmt::Write as _;

/// What makes the AWS CLI read a file or a page instead of the value (AWS CLI user guide, "Loading a parameter from a file").
/// Version 1 also reads pages. No quoting prevents that.
const LOADED: [&str; 4] = ["file://", "fileb://", "http://", "https://"];

/// Quotes a text so that bash and zsh take it as one word, and as nothing else.
///
/// Single quotes keep everything but what a terminal does with a paste before the shell sees it: a control character can end
/// the line, or the quoting of the paste itself. Such a text is written as `$'…'`, each of these characters by its bytes, and so
/// are those that turn the direction of writing, behind which a command can look like another.
#[must_use]
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '%' | '+' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.chars().any(unseen) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in text.chars() {
        match c {
            // No argument of a process can hold it: bash would end the text there.
            '\0' => quoted.push(char::REPLACEMENT_CHARACTER),
            '\'' | '\\' => quoted.extend(['\\', c]),
            // `!` starts an expansion of the history in some versions even here.
            c if unseen(c) || c == '!' => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Octal and of three digits always, so that a digit after it is not taken for a part of it.
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Whether a character does something in a terminal other than to be seen in its place.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Writes a command of the AWS CLI with its options quoted, unless a value would make the CLI load a file or a page.
///
/// Each value stands behind a `=`, so that one which begins with `-` is no option.
#[must_use]
pub fn aws(command: &str, options: &[(&str, &str)]) -> Option<String> {
    let mut line = format!("aws {command}");
    for (name, value) in options {
        let start = value.to_ascii_lowercase();
        if LOADED.iter().any(|scheme| start.starts_with(scheme)) {
            return None;
        }
        let _ = write!(line, " --{name}={}", quote(value));
    }
    Some(line)
}
