use cluster_core::{dns::Owner, instance::Policy, names};
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use jiff::SignedDuration;

use crate::groups::Scope;

/// The longest drain in minutes: 46 hours. A hook ends after 48 hours, or 100 times its timeout if that is less, whatever
/// heartbeats it gets (Auto Scaling user guide, «Considerations and limitations for lifecycle hooks»).
const LONGEST: i64 = 2_760;

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
    /// The ECS services of the cores, core 1 first; there may be more than cores.
    pub core_services: Vec<String>,
    /// The ECS services of the replicas.
    pub replica_services: Vec<String>,
    /// How long after the attachment of its volume an instance may take to register with ECS.
    pub register_timeout: SignedDuration,
    /// How long a core's instance may take to leave.
    pub core_drain_timeout: SignedDuration,
    /// How long any other instance may take to leave.
    pub replica_drain_timeout: SignedDuration,
    /// How long tasks of no service may go on on an instance that leaves.
    pub standalone_grace: SignedDuration,
    /// Whether there is no Neo4j: the groups are found by a tag of the ECS cluster.
    pub stand_alone: bool,
    /// How Neo4j is asked; nothing where nobody asks it.
    pub asks: Option<Asks>,
}

/// How Neo4j is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The name of the function neo4j-gateway.
    pub gateway: String,
    /// The ARN of the secret of the administrator.
    pub admin_secret: String,
    /// The ARN of the secret of the user that asks the members.
    pub monitor_secret: String,
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
        let grace = minutes_of(lookup, "STANDALONE_TASK_GRACE_MINUTES", 0, 1_440, 10)?;
        let stand_alone = lookup("STAND_ALONE").is_some() && env::parsed(lookup, "STAND_ALONE", "true or false")?;
        if stand_alone {
            let timeout = minutes_of(lookup, "DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 60)?;
            return Ok(Self::stand_alone(cluster, ecs_cluster, state_table, timeout, grace));
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
        let (core_services, replica_services) = (services("CORE_ECS_SERVICES")?, services("REPLICA_ECS_SERVICES")?);
        if core_services.len() < usize::from(cores) {
            let form = format!("the names of at least {cores} ECS services, one for each core");
            return Err(env::wrong("CORE_ECS_SERVICES", &core_services.join(","), form));
        }
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
            core_services,
            replica_services,
            register_timeout: SignedDuration::from_secs(timeout.into()),
            core_drain_timeout: minutes_of(lookup, "CORE_DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 240)?,
            replica_drain_timeout: minutes_of(lookup, "REPLICA_DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 60)?,
            standalone_grace: grace,
            stand_alone: false,
            asks: Self::asks(lookup)?,
        })
    }

    /// Returns the configuration where there is no Neo4j: the drains of an ECS cluster.
    fn stand_alone(
        cluster: String,
        ecs_cluster: String,
        state_table: String,
        timeout: SignedDuration,
        grace: SignedDuration,
    ) -> Self {
        Self {
            cluster,
            ecs_cluster,
            state_table,
            cores: 0,
            core_services: Vec::new(),
            replica_services: Vec::new(),
            register_timeout: timeout,
            core_drain_timeout: timeout,
            replica_drain_timeout: timeout,
            standalone_grace: grace,
            stand_alone: true,
            asks: None,
        }
    }

    /// Returns which groups are looked after.
    pub(crate) fn scope(&self) -> Scope {
        if self.stand_alone {
            // The tag holds a name, and the variable may hold an ARN.
            let name = self.ecs_cluster.rsplit('/').next().unwrap_or_default();
            Scope::EcsCluster(name.to_owned())
        } else {
            Scope::Cluster(self.cluster.clone())
        }
    }

    /// Reads how Neo4j is asked. No page promises that an update changes a function's code and its variables at the same
    /// moment, so without the first of them the function works as before there were any.
    fn asks(lookup: &impl Lookup) -> Result<Option<Asks>, Failure> {
        if lookup("GATEWAY_FUNCTION").is_none() {
            return Ok(None);
        }
        Ok(Some(Asks {
            gateway: env::required(lookup, "GATEWAY_FUNCTION")?,
            admin_secret: env::required(lookup, "ADMIN_SECRET_ARN")?,
            monitor_secret: env::required(lookup, "MONITOR_SECRET_ARN")?,
        }))
    }

    /// Returns the configuration of the plan.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            cluster: self.cluster.clone(),
            cores: self.cores,
            core_services: self.core_services.clone(),
            replica_services: self.replica_services.clone(),
            register_timeout: self.register_timeout,
            core_drain_timeout: self.core_drain_timeout,
            replica_drain_timeout: self.replica_drain_timeout,
            standalone_grace: self.standalone_grace,
            stand_alone: self.stand_alone,
        }
    }
}

/// Reads a number of minutes, as the parameters have it: CloudFormation cannot multiply. No page promises that an update
/// changes a function's code and its variables at the same moment, so what is not there yet has a default.
fn minutes_of(
    lookup: &impl Lookup,
    name: &str,
    least: i64,
    most: i64,
    default: i64,
) -> Result<SignedDuration, Failure> {
    let Some(given) = lookup(name) else { return Ok(SignedDuration::from_mins(default)) };
    let minutes = given.trim().parse().ok().filter(|minutes| (least..=most).contains(minutes));
    let minutes =
        minutes.ok_or_else(|| env::wrong(name, &given, format!("a number of minutes from {least} to {most}")))?;
    Ok(SignedDuration::from_mins(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 10] = [
        ("CLUSTER_NAME", "neo4j"),
        ("ECS_CLUSTER", "neo4j"),
        ("STATE_TABLE", "neo4j-state"),
        ("CORE_COUNT", "3"),
        ("CORE_ECS_SERVICES", "core-1,core-2,core-3"),
        ("REPLICA_ECS_SERVICES", "replica"),
        ("REGISTER_TIMEOUT_SECONDS", "600"),
        ("GATEWAY_FUNCTION", "neo4j-gateway-1"),
        ("ADMIN_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:0:secret:admin"),
        ("MONITOR_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:0:secret:monitor"),
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
        let core_services = ["core-1", "core-2", "core-3"].map(str::to_owned).into();
        let (replica_services, register_timeout) = (vec!["replica".into()], SignedDuration::from_mins(10));
        let expected = Policy {
            cluster: "neo4j".into(),
            cores: 3,
            core_services,
            replica_services,
            register_timeout,
            core_drain_timeout: SignedDuration::from_hours(4),
            replica_drain_timeout: SignedDuration::from_hours(1),
            standalone_grace: SignedDuration::from_mins(10),
            stand_alone: false,
        };
        assert_eq!(policy, expected);
        let core = read("CORE_DRAIN_TIMEOUT_MINUTES", Some("120")).unwrap();
        assert_eq!(core.core_drain_timeout, SignedDuration::from_hours(2));
    }

    #[test]
    fn without_a_neo4j_the_ecs_cluster_alone_says_which_groups_are_meant() {
        let alone = |name: &str, value: &str| {
            Config::read(&|asked: &str| {
                let given = [("CLUSTER_NAME", "shop-drain"), ("STATE_TABLE", "t"), ("STAND_ALONE", "true")];
                let given = given.into_iter().chain([("ECS_CLUSTER", "arn:aws:ecs:eu-west-1:0:cluster/shop")]);
                let set = (asked == name).then(|| value.to_owned());
                set.or_else(|| given.into_iter().find(|(n, _)| *n == asked).map(|(_, v)| v.to_owned()))
            })
        };
        let config = alone("DRAIN_TIMEOUT_MINUTES", "15").unwrap();
        assert_eq!(config.scope(), Scope::EcsCluster("shop".into()));
        assert_eq!(config.policy().replica_drain_timeout, SignedDuration::from_mins(15));
        assert!(config.stand_alone && config.asks.is_none());
        let refused = alone("STAND_ALONE", "yes").unwrap_err().to_string();
        assert!(refused.contains("STAND_ALONE"), "{refused}");
    }

    #[test]
    fn each_missing_variable_is_named() {
        assert_eq!(read("GATEWAY_FUNCTION", None).unwrap().asks, None);
        for (name, _) in GOOD.into_iter().filter(|(name, _)| *name != "GATEWAY_FUNCTION") {
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
            ("CORE_ECS_SERVICES", "core-1,core-2", "the names of at least 3 ECS services"),
            ("CORE_ECS_SERVICES", "core-1,core-1,core-2", "comma-separated names of ECS services"),
            ("REPLICA_ECS_SERVICES", "replica,", "comma-separated names of ECS services"),
            ("CORE_DRAIN_TIMEOUT_MINUTES", "2761", "a number of minutes from 1 to 2760"),
            ("REPLICA_DRAIN_TIMEOUT_MINUTES", "ten", "a number of minutes from 1 to 2760"),
            ("STANDALONE_TASK_GRACE_MINUTES", "-1", "a number of minutes from 0 to 1440"),
            ("CORE_COUNT", "0", "a number of cores from 1 to 7"),
            ("CORE_COUNT", "8", "a number of cores from 1 to 7"),
        ] {
            let text = read(name, Some(value)).unwrap_err().to_string();
            let start = format!("environment variable {name} is {value:?}, but should be {form}");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
