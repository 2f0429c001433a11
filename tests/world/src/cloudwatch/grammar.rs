//! Reads expressions of metric math.

use super::text::Words;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    Name(String),
    Array(Vec<Self>),
    Negative(Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
    Call(String, Vec<Self>),
}

/// What stands between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Less,
    Greater,
    And,
    Or,
}

/// Operators by how tightly they bind, the loosest first. The page names none of this: it is what every language does.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("OR", Operator::Or), ("||", Operator::Or)],
    &[("AND", Operator::And), ("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
];

impl Expression {
    /// Reads an expression.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut words = Words::of(text)?;
        let read = Self::level(&mut words, &LEVELS)?;
        words.end()?;
        Ok(read)
    }

    /// The names in it, whether of metrics, other expressions or words such as `REPEAT`.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Number(_) => vec![],
            Self::Name(name) => vec![name],
            Self::Array(all) | Self::Call(_, all) => all.iter().flat_map(Self::names).collect(),
            Self::Negative(inner) => inner.names(),
            Self::Binary(_, left, right) => [left.names(), right.names()].concat(),
        }
    }

    fn level(words: &mut Words, levels: &[&[(&str, Operator)]]) -> Result<Self, String> {
        let Some((operators, tighter)) = levels.split_first() else { return Self::power(words) };
        let mut left = Self::level(words, tighter)?;
        while let Some((_, operator)) = operators.iter().find(|(word, _)| words.takes(word)) {
            left = Self::Binary(*operator, Box::new(left), Box::new(Self::level(words, tighter)?));
        }
        Ok(left)
    }

    fn power(words: &mut Words) -> Result<Self, String> {
        if words.takes("-") {
            return Ok(Self::Negative(Box::new(Self::power(words)?)));
        }
        let base = Self::single(words)?;
        if words.takes("^") {
            return Ok(Self::Binary(Operator::Power, Box::new(base), Box::new(Self::power(words)?)));
        }
        Ok(base)
    }

    fn single(words: &mut Words) -> Result<Self, String> {
        if words.takes("(") {
            let inner = Self::level(words, &LEVELS)?;
            words.expect(")")?;
            return Ok(inner);
        }
        if words.takes("[") {
            return Ok(Self::Array(Self::list(words, "]")?));
        }
        let word = words.next()?;
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return word.parse().map(Self::Number).map_err(|_| format!("{word} is no number"));
        }
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(format!("{word} stands where a value should"));
        }
        if words.takes("(") { Ok(Self::Call(word, Self::list(words, ")")?)) } else { Ok(Self::Name(word)) }
    }

    /// What stands between brackets, up to the closing one.
    fn list(words: &mut Words, end: &str) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        if words.takes(end) {
            return Ok(all);
        }
        loop {
            all.push(Self::level(words, &LEVELS)?);
            if words.takes(end) {
                return Ok(all);
            }
            words.expect(",")?;
        }
    }
}
