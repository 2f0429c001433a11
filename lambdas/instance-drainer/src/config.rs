use cluster_core::{dns::Owner, instance::Policy};
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use jiff::SignedDuration;

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name that the groups and volumes of the cluster carry as their tag `neo4j:cluster`.
    pub cluster: String,
    /// The name or ARN of the ECS cluster.
    pub ecs_cluster: String,
    /// The name of the `DynamoDB` table.
    pub state_table: String,
    /// How many cores the cluster has.
    pub cores: u8,
    /// The ECS services of both tiers, whose tasks are members of the cluster.
    pub services: Vec<String>,
    /// How long after the attachment of its volume an instance may take to register with ECS.
    pub register_timeout: SignedDuration,
}

impl Config {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let cluster = env::required(lookup, "CLUSTER_NAME")?;
        // The form of all names of a cluster; EC2 filters would treat a `*` or a `?` in it as a wildcard.
        if Owner::new(&cluster).is_none() {
            return Err(env::wrong("CLUSTER_NAME", &cluster, "1 to 64 letters, digits, '-', '_' or '.'"));
        }
        let ecs_cluster = env::required(lookup, "ECS_CLUSTER")?;
        let state_table = env::required(lookup, "STATE_TABLE")?;
        let count = "a number of cores from 1 to 7";
        let cores: u8 = env::parsed(lookup, "CORE_COUNT", count)?;
        if !(1..=7).contains(&cores) {
            return Err(env::wrong("CORE_COUNT", &cores.to_string(), count));
        }
        let services = [env::required(lookup, "CORE_SERVICE")?, env::required(lookup, "REPLICA_SERVICE")?].into();
        let seconds = "a number of seconds from 60 to 7200";
        let timeout: u32 = env::parsed(lookup, "REGISTER_TIMEOUT_SECONDS", seconds)?;
        if !(60..=7_200).contains(&timeout) {
            return Err(env::wrong("REGISTER_TIMEOUT_SECONDS", &timeout.to_string(), seconds));
        }
        Ok(Self {
            cluster,
            ecs_cluster,
            state_table,
            cores,
            services,
            register_timeout: SignedDuration::from_secs(timeout.into()),
        })
    }

    /// Returns the configuration of the plan.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            cluster: self.cluster.clone(),
            cores: self.cores,
            services: self.services.clone(),
            register_timeout: self.register_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 7] = [
        ("CLUSTER_NAME", "neo4j"),
        ("ECS_CLUSTER", "neo4j"),
        ("STATE_TABLE", "neo4j-state"),
        ("CORE_COUNT", "3"),
        ("CORE_SERVICE", "core"),
        ("REPLICA_SERVICE", "replica"),
        ("REGISTER_TIMEOUT_SECONDS", "600"),
    ];

    fn read(name: &str, value: Option<&str>) -> Result<Config, Failure> {
        Config::read(&|asked: &str| {
            if asked == name {
                return value.map(str::to_owned);
            }
            GOOD.iter().find(|(n, _)| *n == asked).map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn a_whole_environment_is_read() {
        let policy = read("", None).unwrap().policy();
        let services = vec!["core".into(), "replica".into()];
        let register_timeout = SignedDuration::from_mins(10);
        assert_eq!(policy, Policy { cluster: "neo4j".into(), cores: 3, services, register_timeout });
    }

    #[test]
    fn each_missing_variable_is_named() {
        for (name, _) in GOOD {
            let text = read(name, None).unwrap_err().to_string();
            assert_eq!(text, format!("environment variable {name} is missing or empty: set it"));
        }
    }

    #[test]
    fn each_wrong_value_is_named_with_its_form() {
        for (name, value, form) in [
            ("CLUSTER_NAME", "neo4j*", "1 to 64 letters"),
            ("REGISTER_TIMEOUT_SECONDS", "ten", "a number of seconds from 60 to 7200"),
            ("REGISTER_TIMEOUT_SECONDS", "59", "a number of seconds from 60 to 7200"),
            ("REGISTER_TIMEOUT_SECONDS", "7201", "a number of seconds from 60 to 7200"),
            ("CORE_COUNT", "0", "a number of cores from 1 to 7"),
            ("CORE_COUNT", "8", "a number of cores from 1 to 7"),
        ] {
            let text = read(name, Some(value)).unwrap_err().to_string();
            let start = format!("environment variable {name} is {value:?}, but should be {form}");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
