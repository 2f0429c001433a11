use cluster_core::{
    backup::{Layout, Limits},
    dns::Owner,
    names,
};
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use jiff::SignedDuration;

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name, the dimension of its metrics.
    pub cluster: String,
    /// The name or ARN of the ECS cluster.
    pub ecs_cluster: String,
    /// The name of the `DynamoDB` table.
    pub state_table: String,
    /// How many cores the cluster has.
    pub cores: u8,
    /// The ECS services of the cores, core 1 first.
    pub core_services: Vec<String>,
    /// The ECS services of the replicas.
    pub replica_services: Vec<String>,
    /// The name of the function neo4j-gateway.
    pub gateway: String,
    /// The ARN of the secret of the user that asks the members.
    pub monitor_secret: String,
    /// The bucket of the backups.
    pub bucket: String,
    /// The account that the bucket must belong to.
    pub owner: String,
    /// Where the cluster's backups lie in it.
    pub layout: Layout,
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
        let cluster = env::required(lookup, "CLUSTER_NAME")?;
        if Owner::new(&cluster).is_none() {
            return Err(env::wrong("CLUSTER_NAME", &cluster, "1 to 64 letters, digits, '-', '_' or '.'"));
        }
        let count = "a number of cores from 1 to 7";
        let cores: u8 = env::parsed(lookup, "CORE_COUNT", count)?;
        if !(1..=7).contains(&cores) {
            return Err(env::wrong("CORE_COUNT", &cores.to_string(), count));
        }
        let services = |name: &str| {
            let value = env::required(lookup, name)?;
            names::services(&value).ok_or_else(|| env::wrong(name, &value, names::SERVICES_FORM))
        };
        Ok(Self {
            cluster,
            ecs_cluster: env::required(lookup, "ECS_CLUSTER")?,
            state_table: env::required(lookup, "STATE_TABLE")?,
            cores,
            core_services: services("CORE_ECS_SERVICES")?,
            replica_services: services("REPLICA_ECS_SERVICES")?,
            gateway: env::required(lookup, "GATEWAY_FUNCTION")?,
            monitor_secret: env::required(lookup, "MONITOR_SECRET_ARN")?,
            bucket: env::required(lookup, "BACKUP_BUCKET")?,
            owner: env::required(lookup, "BACKUP_BUCKET_OWNER")?,
            layout: Layout::new(&env::required(lookup, "BACKUP_PREFIX")?),
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
    let form = "a number of minutes from 1 to 10080";
    let minutes: i64 = env::parsed(lookup, name, form)?;
    if !(1..=10_080).contains(&minutes) {
        return Err(env::wrong(name, &minutes.to_string(), form));
    }
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
        assert_eq!((config.cores, config.core_services.len()), (3, 3));
        assert_eq!((config.limits.start.as_mins(), config.limits.run.as_mins()), (15, 720));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, _) in GOOD {
            assert!(read(&[(name, "")]).unwrap_err().to_string().contains(name), "{name}");
        }
        for (name, value) in [
            ("CLUSTER_NAME", "graph*"),
            ("CORE_COUNT", "8"),
            ("CORE_ECS_SERVICES", "core 1"),
            ("START_TIMEOUT_MINUTES", "0"),
            ("RUN_TIMEOUT_MINUTES", "ten"),
        ] {
            let text = read(&[(name, value)]).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(value), "{text}");
        }
    }
}
