//! Time without a majority, and whose doing it was.

use std::{fmt, ops::AddAssign};

use jiff::SignedDuration;

/// Who took a member away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// AWS: an instance ended without asking, for Spot or for a fault of its own.
    #[default]
    Aws,
    /// A function of ours, by a call to an API.
    Functions,
    /// People or CloudFormation.
    People,
    /// Nobody: Neo4j hangs, crashes, or has no room.
    Itself,
}

/// How long a database had no majority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Taken by AWS.
    pub aws: SignedDuration,
    /// Taken by functions.
    pub functions: SignedDuration,
    /// Taken by people or CloudFormation.
    pub people: SignedDuration,
    /// Lost by Neo4j itself.
    pub itself: SignedDuration,
}

impl Lost {
    /// What was given up voluntarily.
    #[must_use]
    pub fn voluntary(&self) -> SignedDuration {
        self.functions + self.people
    }

    pub(super) fn add(&mut self, cause: Cause, time: SignedDuration) {
        *match cause {
            Cause::Aws => &mut self.aws,
            Cause::Functions => &mut self.functions,
            Cause::People => &mut self.people,
            Cause::Itself => &mut self.itself,
        } += time;
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.aws += other.aws;
        self.functions += other.functions;
        self.people += other.people;
        self.itself += other.itself;
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aws, functions, people, itself } = self;
        let all = *aws + *functions + *people + *itself;
        write!(f, "{} s (", all.as_secs())?;
        let parts = [("AWS", aws), ("functions", functions), ("people", people), ("Neo4j itself", itself)];
        for (n, (who, time)) in parts.into_iter().filter(|(_, time)| !time.is_zero()).enumerate() {
            write!(f, "{}{who} {} s", if n == 0 { "" } else { ", " }, time.as_secs())?;
        }
        f.write_str(")")
    }
}
