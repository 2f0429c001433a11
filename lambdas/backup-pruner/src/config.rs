use std::str::FromStr;

use cluster_bucket::Place;
use cluster_core::backup::Policy;
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name, the dimension of its metrics.
    pub cluster: String,
    /// Where the backups lie.
    pub place: Place,
    /// What is kept.
    pub policy: Policy,
}

impl Config {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value, and a policy that keeps
    /// nothing.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let policy = Policy {
            hourly_days: number(lookup, "HOURLY_DAYS")?,
            daily_days: number(lookup, "DAILY_DAYS")?,
            weeks: number(lookup, "WEEKS")?,
            months: number(lookup, "MONTHS")?,
            minimum_chains: number(lookup, "MINIMUM_CHAINS")?,
            percent: number(lookup, "PERCENT_PER_RUN")?,
        };
        Ok(Self {
            cluster: env::required(lookup, "CLUSTER_NAME")?,
            place: Place::read(lookup)?,
            policy: policy
                .checked()
                .map_err(|refused| Failure::permanent("the retention policy is refused").caused_by(refused))?,
        })
    }
}

fn number<T: FromStr>(lookup: &impl Lookup, name: &str) -> Result<T, Failure> {
    env::parsed(lookup, name, "a whole number that is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 10] = [
        ("CLUSTER_NAME", "graph"),
        ("BACKUP_BUCKET", "backups"),
        ("BACKUP_BUCKET_OWNER", "000000000000"),
        ("BACKUP_PREFIX", "graph/"),
        ("HOURLY_DAYS", "3"),
        ("DAILY_DAYS", "14"),
        ("WEEKS", "8"),
        ("MONTHS", "12"),
        ("MINIMUM_CHAINS", "2"),
        ("PERCENT_PER_RUN", "10"),
    ];

    fn read(changed: &[(&str, &str)]) -> Result<Config, Failure> {
        Config::read(&|asked: &str| {
            let found = changed.iter().chain(&GOOD).find(|(name, _)| *name == asked)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn a_whole_environment_is_read() {
        let config = read(&[]).unwrap();
        assert_eq!((config.policy.daily_days, config.policy.percent), (14, 10));
        assert_eq!(config.place.layout.chains(), "graph/chains/");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, _) in GOOD {
            assert!(read(&[(name, "")]).unwrap_err().to_string().contains(name), "{name}");
        }
        for name in ["HOURLY_DAYS", "DAILY_DAYS", "WEEKS", "MONTHS", "MINIMUM_CHAINS", "PERCENT_PER_RUN"] {
            for value in ["-1", "ten", "70000"] {
                let text = read(&[(name, value)]).unwrap_err().to_string();
                assert!(text.contains(name) && text.contains(value), "{text}");
            }
        }
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_refused() {
        let nothing = [("HOURLY_DAYS", "0"), ("DAILY_DAYS", "0"), ("WEEKS", "0"), ("MONTHS", "0")];
        let text = read(&nothing).unwrap_err().chain();
        assert!(text.contains("the policy keeps nothing"), "{text}");
        assert!(read(&[("MINIMUM_CHAINS", "0")]).unwrap_err().chain().contains("1 is the least"));
    }
}
