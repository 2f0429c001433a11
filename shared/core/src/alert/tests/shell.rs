use proptest::prelude::*;

use super::super::{aws, quote};

/// Reads one word as bash does, of what [`quote`] may write.
fn word(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut chars = text.chars().peekable();
    let (mut single, mut escapes) = (false, false);
    let push = |bytes: &mut Vec<u8>, c: char| bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(c) = chars.next() {
        match c {
            '\'' => (single, escapes) = (!single, false),
            '$' if !single && chars.peek() == Some(&'\'') => {
                chars.next();
                (single, escapes) = (true, true);
            }
            '\\' if single && escapes => match chars.next().unwrap() {
                c @ ('\'' | '\\') => push(&mut bytes, c),
                first => {
                    let digits: String = [first, chars.next().unwrap(), chars.next().unwrap()].iter().collect();
                    bytes.push(u8::from_str_radix(&digits, 8).unwrap());
                }
            },
            '\\' if !single => push(&mut bytes, chars.next().unwrap()),
            c => {
                let safe = c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
                assert!(single || safe, "{c:?} stands unquoted in {text}");
                push(&mut bytes, c);
            }
        }
    }
    assert!(!single, "the quotes of {text} are open");
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn a_quoted_text_is_one_word_and_shows_all_that_it_does(text in "(\\PC|[\\x01-\\x1f'\"\\\\$`!;&|<>(){}*?~# ]|\u{202e}){0,40}") {
        let quoted = quote(&text);
        prop_assert_eq!(word(&quoted), text);
        let unseen = quoted.chars().any(|c| c.is_control() || c == '\u{202e}');
        prop_assert!(!unseen);
    }
}

#[test]
fn texts_are_quoted_as_far_as_they_need_it() {
    for (text, quoted) in [
        ("", "''"),
        ("core-1", "core-1"),
        ("RDS Prod", "'RDS Prod'"),
        ("it's", r"'it'\''s'"),
        ("$(reboot)", "'$(reboot)'"),
        ("a;b", "'a;b'"),
        ("*", "'*'"),
        ("~", "'~'"),
        ("a=b", "'a=b'"),
        // What ends the line of a terminal, and what ends the quoting of a paste.
        ("a\u{3}reboot\n", r"$'a\003reboot\012'"),
        ("\u{1b}[201~'!1", r"$'\033[201~\'\0411'"),
        ("a\0b", "$'a\u{fffd}b'"),
        ("a\u{202e}b", r"$'a\342\200\256b'"),
    ] {
        assert_eq!(quote(text), quoted, "{text:?}");
    }
}

#[test]
fn a_value_is_never_an_option_and_never_loads_a_file() {
    assert_eq!(aws("x y", &[("name", "--debug")]).as_deref(), Some("aws x y --name=--debug"));
    assert_eq!(
        aws("x y", &[("name", "a b"), ("region", "eu-west-1")]).as_deref(),
        Some("aws x y --name='a b' --region=eu-west-1")
    );
    for loaded in ["file:///etc/passwd", "FILEB://x", "http://169.254.169.254/", "https://example.com"] {
        assert_eq!(aws("x y", &[("name", loaded)]), None, "{loaded}");
    }
}
