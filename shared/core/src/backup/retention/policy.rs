use jiff::SignedDuration;
use serde::Serialize;

/// How long backups are kept. Whatever it says, the newest good chain of each database stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// For how many days every chain is kept.
    pub hourly_days: u16,
    /// For how many days the last chain of each day is kept.
    pub daily_days: u16,
    /// Of how many weeks that have one the last chain is kept.
    pub weeks: u16,
    /// Of how many months that have one the last chain is kept.
    pub months: u16,
    /// How many good chains of each database are always kept; at least 1.
    pub minimum_chains: u16,
    /// How many of a hundred chains of a database one run may delete.
    pub percent: u8,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has no window at all.
    #[error("the policy keeps nothing: say for how many days, weeks or months backups are kept")]
    KeepsNothing,
    /// It has no floor.
    #[error("the policy keeps 0 good chains at least: 1 is the least")]
    NoMinimum,
    /// It is no part of a hundred.
    #[error("one run would delete {0} of a hundred chains: 1 to 100 can be said")]
    Percent(u8),
}

/// How many chains of a database one run may delete however few there are.
const FEW: usize = 10;
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Policy {
    /// Checks a policy.
    ///
    /// # Errors
    ///
    /// What would delete everything but the floor, or has no floor.
    pub fn checked(self) -> Result<Self, Refused> {
        if self.hourly_days == 0 && self.daily_days == 0 && self.weeks == 0 && self.months == 0 {
            return Err(Refused::KeepsNothing);
        }
        if self.minimum_chains == 0 {
            return Err(Refused::NoMinimum);
        }
        if !(1..=100).contains(&self.percent) {
            return Err(Refused::Percent(self.percent));
        }
        Ok(self)
    }

    pub(super) fn minimum(&self) -> usize {
        usize::from(self.minimum_chains).max(1)
    }

    pub(super) fn hourly(&self) -> SignedDuration {
        DAY * i32::from(self.hourly_days)
    }

    pub(super) fn daily(&self) -> SignedDuration {
        DAY * i32::from(self.daily_days)
    }

    pub(super) fn weekly(&self) -> usize {
        self.weeks.into()
    }

    pub(super) fn monthly(&self) -> usize {
        self.months.into()
    }

    /// Returns how many of a database's chains one run may delete: a wrong policy must not empty a bucket in one night.
    pub(super) fn most_of(&self, chains: usize) -> usize {
        (chains * usize::from(self.percent) / 100).max(FEW)
    }
}
