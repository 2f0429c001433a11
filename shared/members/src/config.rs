use cluster_core::{dns::Owner, instance::Policy, names};
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};

/// A cluster, as the functions that look at its members are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name: that of its groups and volumes in their tag `neo4j:cluster`, and the dimension of its metrics.
    pub name: String,
    /// The name or ARN of the ECS cluster.
    pub ecs: String,
    /// The name of the `DynamoDB` table.
    pub state_table: String,
}

impl Cluster {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let name = env::required(lookup, "CLUSTER_NAME")?;
        // The form of all names of a cluster; EC2 filters would treat a `*` or a `?` in it as a wildcard.
        if Owner::new(&name).is_none() {
            return Err(env::wrong("CLUSTER_NAME", &name, Owner::FORM));
        }
        Ok(Self {
            name,
            ecs: env::required(lookup, "ECS_CLUSTER")?,
            state_table: env::required(lookup, "STATE_TABLE")?,
        })
    }
}

/// The tiers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiers {
    /// How many cores there are.
    pub cores: u8,
    /// The ECS services of the cores, core 1 first; there may be more than cores.
    pub core_services: Vec<String>,
    /// The ECS services of the replicas.
    pub replica_services: Vec<String>,
}

impl Tiers {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let cores = env::within(lookup, "CORE_COUNT", "a number of cores", 1..=7)?;
        let services = |name: &str| {
            let value = env::required(lookup, name)?;
            names::services(&value).ok_or_else(|| env::wrong(name, &value, names::SERVICES_FORM))
        };
        let (core_services, replica_services) = (services("CORE_ECS_SERVICES")?, services("REPLICA_ECS_SERVICES")?);
        if core_services.len() < usize::from(cores) {
            let form = format!("the names of at least {cores} ECS services, one for each core");
            return Err(env::wrong("CORE_ECS_SERVICES", &core_services.join(","), form));
        }
        Ok(Self { cores, core_services, replica_services })
    }

    /// Returns a policy that says who the members are, of so many cores, and limits nothing.
    #[must_use]
    pub fn policy(&self, cluster: &str, cores: u8) -> Policy {
        let (core_services, replica_services) = (self.core_services.clone(), self.replica_services.clone());
        Policy::of_members(cluster.to_owned(), cores, core_services, replica_services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("CLUSTER_NAME", "graph"),
        ("ECS_CLUSTER", "arn:aws:ecs:eu-west-1:0:cluster/graph"),
        ("STATE_TABLE", "state"),
        ("CORE_COUNT", "3"),
        ("CORE_ECS_SERVICES", "core-1,core-2,core-3,core-4"),
        ("REPLICA_ECS_SERVICES", "replica"),
    ];

    fn read(name: &str, value: &str) -> Result<(Cluster, Tiers), Failure> {
        let lookup = |asked: &str| {
            let found = [(name, value)].into_iter().chain(GOOD).find(|(name, _)| *name == asked)?;
            Some(found.1.to_owned())
        };
        Ok((Cluster::read(&lookup)?, Tiers::read(&lookup)?))
    }

    #[test]
    fn a_cluster_and_its_tiers_are_read() {
        let (cluster, tiers) = read("", "").unwrap();
        assert_eq!((cluster.name.as_str(), cluster.state_table.as_str()), ("graph", "state"));
        assert_eq!(cluster.ecs, "arn:aws:ecs:eu-west-1:0:cluster/graph");
        // There may be services of cores that are not there.
        assert_eq!((tiers.cores, tiers.core_services.len()), (3, 4));
        let policy = tiers.policy("graph", 1);
        assert_eq!((policy.cluster.as_str(), policy.cores, policy.core_of("core-4")), ("graph", 1, Some(4)));
        assert_eq!(policy.replica_services, ["replica"]);
    }

    #[test]
    fn each_missing_variable_is_named() {
        for (name, _) in GOOD {
            let text = read(name, "").unwrap_err().to_string();
            assert_eq!(text, format!("environment variable {name} is missing or empty: set it"));
        }
    }

    #[test]
    fn each_wrong_value_is_named_with_its_form() {
        for (name, value, form) in [
            ("CLUSTER_NAME", "graph*", "1 to 64 letters"),
            ("CORE_COUNT", "0", "a number of cores from 1 to 7"),
            ("CORE_COUNT", "8", "a number of cores from 1 to 7"),
            ("CORE_COUNT", "three", "a number of cores from 1 to 7"),
            ("CORE_ECS_SERVICES", "core-1,core-2", "the names of at least 3 ECS services"),
            ("CORE_ECS_SERVICES", "core-1,core-1,core-2", "comma-separated names of ECS services"),
            ("REPLICA_ECS_SERVICES", "replica,", "comma-separated names of ECS services"),
        ] {
            let text = read(name, value).unwrap_err().to_string();
            let start = format!("environment variable {name} is {value:?}, but should be {form}");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
