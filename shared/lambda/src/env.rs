//! Configuration from environment variables. A function with a wrong one refuses to start, and names it with its value.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use crate::Failure;

/// Where variables are looked up: [`process`] in a function, a table in a test.
pub trait Lookup: Fn(&str) -> Option<String> {}
impl<F: Fn(&str) -> Option<String>> Lookup for F {}

/// Reads a variable of this process.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the value of a variable that must be set and not blank.
pub fn required(lookup: &impl Lookup, name: &str) -> Result<String, Failure> {
    let value = lookup(name).unwrap_or_default();
    if value.trim().is_empty() {
        return Err(Failure::permanent(format!("environment variable {name} is missing or empty: set it")));
    }
    Ok(value)
}

/// Parses a required variable; `form` describes what it should look like.
pub fn parsed<T: FromStr>(lookup: &impl Lookup, name: &str, form: &str) -> Result<T, Failure> {
    let value = required(lookup, name)?;
    value.parse().map_err(|_| wrong(name, &value, form))
}

/// Parses a required number that has bounds; `what` describes it, as in «a number of seconds».
pub fn within<T: FromStr + PartialOrd + Display>(
    lookup: &impl Lookup,
    name: &str,
    what: &str,
    bounds: RangeInclusive<T>,
) -> Result<T, Failure> {
    let value = required(lookup, name)?;
    let number = value.trim().parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| wrong(name, &value, format_args!("{what} from {} to {}", bounds.start(), bounds.end())))
}

/// Returns the refusal of a variable with a wrong value.
pub fn wrong(name: &str, value: &str, form: impl Display) -> Failure {
    Failure::permanent(format!("environment variable {name} is {value:?}, but should be {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        [("TTL", "10"), ("BLANK", " "), ("WORD", "ten")].into_iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())
    }

    #[test]
    fn a_refusal_names_the_variable_the_value_and_the_form() {
        assert_eq!(parsed::<u32>(&lookup, "TTL", "seconds").unwrap(), 10);
        let text = |result: Result<u32, Failure>| result.unwrap_err().to_string();
        let word = text(parsed(&lookup, "WORD", "a number of seconds"));
        assert_eq!(word, "environment variable WORD is \"ten\", but should be a number of seconds");
        for name in ["BLANK", "ABSENT"] {
            let missing = text(parsed(&lookup, name, ""));
            assert_eq!(missing, format!("environment variable {name} is missing or empty: set it"));
        }
    }

    #[test]
    fn a_number_outside_of_its_bounds_is_refused_with_them() {
        for (least, most) in [(10, 10), (1, 10), (10, 11)] {
            assert_eq!(within(&lookup, "TTL", "seconds", least..=most).unwrap(), 10);
        }
        for (name, value, bounds) in [("TTL", "10", 1..=9), ("TTL", "10", 11..=12), ("WORD", "ten", 1..=9_u8)] {
            let form = format!("seconds from {} to {}", bounds.start(), bounds.end());
            let text = within(&lookup, name, "seconds", bounds).unwrap_err().to_string();
            assert_eq!(text, format!("environment variable {name} is {value:?}, but should be {form}"));
        }
        assert!(within(&lookup, "ABSENT", "seconds", 1..=9_u8).unwrap_err().to_string().contains("set it"));
    }
}
