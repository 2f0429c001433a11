//! One line that says what is played.

use std::{fmt, str::FromStr};

use super::{FAULTS, SUBJECTS};
use crate::wire::Fault;

/// What is played: a scenario with faults at the numbered calls, or everything drawn from a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// Scenario and (call, fault), calls counted from 1.
    Planned(&'static str, Vec<(usize, Fault)>),
    /// Of a function: random steps, events lost, doubled, late and out of order, faults at random calls.
    Random(&'static str, u64),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(name, faults) => {
                write!(f, "{name}")?;
                faults.iter().try_for_each(|(call, fault)| write!(f, " {call}:{fault:?}"))
            }
            Self::Random(function, seed) => write!(f, "random {function} {seed}"),
        }
    }
}

/// Returns the names of all scenarios.
fn names() -> Vec<&'static str> {
    SUBJECTS.iter().flat_map(|subject| (subject.scenarios)()).collect()
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "random" {
            let function = words.next().and_then(|name| SUBJECTS.iter().find(|subject| subject.function == name));
            let seed = words.next().and_then(|seed| seed.parse().ok());
            let wanted = "random wants the name of a function and a seed: a number";
            let (function, seed) = function.zip(seed).ok_or(wanted)?;
            return Ok(Self::Random(function.function, seed));
        }
        let none = || format!("no scenario {name:?}: there are {} and random", names().join(", "));
        let name = names().into_iter().find(|known| *known == name).ok_or_else(none)?;
        let fault = |word: &str| {
            let (call, name) = word.split_once(':')?;
            let fault = FAULTS.iter().find(|fault| format!("{fault:?}") == name)?;
            Some((call.parse().ok()?, *fault))
        };
        let faults = words.map(|word| fault(word).ok_or_else(|| format!("{word:?} is no fault such as 7:Kill")));
        Ok(Self::Planned(name, faults.collect::<Result<_, _>>()?))
    }
}
