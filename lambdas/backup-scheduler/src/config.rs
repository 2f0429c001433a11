use cluster_bucket::Place;
use cluster_core::backup::Limits;
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use cluster_members::{Cluster, Tiers};
use jiff::SignedDuration;

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster.
    pub cluster: Cluster,
    /// Its tiers.
    pub tiers: Tiers,
    /// The name of the function neo4j-gateway.
    pub gateway: String,
    /// The ARN of the secret of the user that asks the members.
    pub monitor_secret: String,
    /// Where the backups lie.
    pub place: Place,
    /// What runs.
    pub jobs: Jobs,
    /// How long a job may take.
    pub limits: Limits,
}

/// What Batch runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// The ARN of the job definition.
    pub definition: String,
    /// The ARN of the job queue that is tried first.
    pub queue: String,
    /// The ARN of the job queue for what found no capacity there; it may be the same.
    pub on_demand_queue: String,
    /// The log group of the jobs.
    pub log_group: String,
}

impl Config {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        Ok(Self {
            cluster: Cluster::read(lookup)?,
            tiers: Tiers::read(lookup)?,
            gateway: env::required(lookup, "GATEWAY_FUNCTION")?,
            monitor_secret: env::required(lookup, "MONITOR_SECRET_ARN")?,
            place: Place::read(lookup)?,
            jobs: Jobs {
                definition: env::required(lookup, "JOB_DEFINITION")?,
                queue: env::required(lookup, "JOB_QUEUE")?,
                on_demand_queue: env::required(lookup, "ON_DEMAND_JOB_QUEUE")?,
                log_group: env::required(lookup, "JOB_LOG_GROUP")?,
            },
            limits: Limits {
                start: minutes(lookup, "START_TIMEOUT_MINUTES")?,
                run: minutes(lookup, "RUN_TIMEOUT_MINUTES")?,
            },
        })
    }
}

fn minutes(lookup: &impl Lookup, name: &str) -> Result<SignedDuration, Failure> {
    let minutes = env::within(lookup, name, "a number of minutes", 1..=10_080)?;
    Ok(SignedDuration::from_mins(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 17] = [
        ("CLUSTER_NAME", "graph"),
        ("ECS_CLUSTER", "graph"),
        ("STATE_TABLE", "state"),
        ("CORE_COUNT", "3"),
        ("CORE_ECS_SERVICES", "core-1,core-2,core-3"),
        ("REPLICA_ECS_SERVICES", "replica"),
        ("GATEWAY_FUNCTION", "gateway"),
        ("MONITOR_SECRET_ARN", "arn:secret"),
        ("BACKUP_BUCKET", "backups"),
        ("BACKUP_BUCKET_OWNER", "000000000000"),
        ("BACKUP_PREFIX", "graph/"),
        ("JOB_DEFINITION", "arn:definition"),
        ("JOB_QUEUE", "arn:queue"),
        ("ON_DEMAND_JOB_QUEUE", "arn:other"),
        ("JOB_LOG_GROUP", "jobs"),
        ("START_TIMEOUT_MINUTES", "15"),
        ("RUN_TIMEOUT_MINUTES", "720"),
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
        assert_eq!((config.tiers.cores, config.place.layout.chains().as_str()), (3, "graph/chains/"));
        assert_eq!((config.limits.start.as_mins(), config.limits.run.as_mins()), (15, 720));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, _) in GOOD {
            assert!(read(&[(name, "")]).unwrap_err().to_string().contains(name), "{name}");
        }
        for (name, value) in
            [("CLUSTER_NAME", "graph*"), ("START_TIMEOUT_MINUTES", "0"), ("RUN_TIMEOUT_MINUTES", "ten")]
        {
            let text = read(&[(name, value)]).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(value), "{text}");
        }
    }
}
