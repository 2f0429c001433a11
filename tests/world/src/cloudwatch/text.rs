//! Words of an expression: of metric math, and of a composite alarm's rule.

use std::{collections::VecDeque, iter::Peekable, str::Chars};

/// Signs of two characters.
const PAIRS: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];

/// The words that are still to be read.
#[derive(Debug)]
pub(super) struct Words {
    left: VecDeque<String>,
    whole: String,
}

impl Words {
    /// Splits a text into names, numbers, signs and quoted texts, which keep their first quote.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        Self::split(text, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    }

    /// The same, where names are those of alarms, or their ARNs.
    pub(super) fn of_rule(text: &str) -> Result<Self, String> {
        Self::split(text, |c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '\'' | ','))
    }

    fn split(text: &str, of_name: impl Fn(char) -> bool) -> Result<Self, String> {
        let (mut left, mut rest) = (VecDeque::new(), text.chars().peekable());
        while let Some(first) = rest.next() {
            match first {
                _ if first.is_whitespace() => {}
                '"' | '\'' => {
                    let mut quoted = String::from('"');
                    loop {
                        match rest.next() {
                            Some(c) if c == first => break,
                            Some(c) => quoted.push(c),
                            None => return Err(format!("a quote stays open in {text}")),
                        }
                    }
                    left.push_back(quoted);
                }
                _ if of_name(first) => left.push_back(name(first, &mut rest, &of_name)),
                _ => left.push_back(sign(first, &mut rest)),
            }
        }
        Ok(Self { left, whole: text.to_owned() })
    }

    /// Takes the next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let is = self.left.front().is_some_and(|next| next == word);
        if is {
            self.left.pop_front();
        }
        is
    }

    /// Takes the next word, which must be this one.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(format!("{word} is missing in {}", self.whole)) }
    }

    /// Takes the next word, whichever it is.
    pub(super) fn next(&mut self) -> Result<String, String> {
        self.left.pop_front().ok_or_else(|| format!("{} ends too early", self.whole))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), String> {
        self.left.front().map_or(Ok(()), |word| Err(format!("{word} is too much in {}", self.whole)))
    }
}

fn name(first: char, rest: &mut Peekable<Chars<'_>>, of_name: &impl Fn(char) -> bool) -> String {
    let mut name = String::from(first);
    while let Some(next) = rest.next_if(|c| of_name(*c)) {
        name.push(next);
    }
    name
}

fn sign(first: char, rest: &mut Peekable<Chars<'_>>) -> String {
    let mut sign = String::from(first);
    if let Some(next) = rest.peek().copied() {
        let pair = format!("{first}{next}");
        if PAIRS.contains(&pair.as_str()) {
            rest.next();
            sign = pair;
        }
    }
    sign
}
