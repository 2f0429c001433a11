use cluster_core::instance::Policy;
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use cluster_members::{Cluster, Tiers};
use jiff::SignedDuration;

use crate::groups::Scope;

/// The longest drain in minutes: 46 hours. A hook ends after 48 hours, or 100 times its timeout if that is less, whatever
/// heartbeats it gets (Auto Scaling user guide, «Considerations and limitations for lifecycle hooks»).
const LONGEST: i64 = 2_760;

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster.
    pub cluster: Cluster,
    /// Its tiers, of which there is nothing without a Neo4j.
    pub tiers: Tiers,
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
        let cluster = Cluster::read(lookup)?;
        let grace = minutes_of(lookup, "STANDALONE_TASK_GRACE_MINUTES", 0, 1_440, 10)?;
        let stand_alone = lookup("STAND_ALONE").is_some() && env::parsed(lookup, "STAND_ALONE", "true or false")?;
        if stand_alone {
            let timeout = minutes_of(lookup, "DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 60)?;
            return Ok(Self::stand_alone(cluster, timeout, grace));
        }
        let tiers = Tiers::read(lookup)?;
        let timeout: u32 = env::within(lookup, "REGISTER_TIMEOUT_SECONDS", "a number of seconds", 60..=7_200)?;
        Ok(Self {
            cluster,
            tiers,
            register_timeout: SignedDuration::from_secs(timeout.into()),
            core_drain_timeout: minutes_of(lookup, "CORE_DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 240)?,
            replica_drain_timeout: minutes_of(lookup, "REPLICA_DRAIN_TIMEOUT_MINUTES", 1, LONGEST, 60)?,
            standalone_grace: grace,
            stand_alone: false,
            asks: Self::asks(lookup)?,
        })
    }

    /// Returns the configuration where there is no Neo4j: the drains of an ECS cluster.
    fn stand_alone(cluster: Cluster, timeout: SignedDuration, grace: SignedDuration) -> Self {
        Self {
            cluster,
            tiers: Tiers::default(),
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
            let name = self.cluster.ecs.rsplit('/').next().unwrap_or_default();
            Scope::EcsCluster(name.to_owned())
        } else {
            Scope::Cluster(self.cluster.name.clone())
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
            register_timeout: self.register_timeout,
            core_drain_timeout: self.core_drain_timeout,
            replica_drain_timeout: self.replica_drain_timeout,
            standalone_grace: self.standalone_grace,
            stand_alone: self.stand_alone,
            ..self.tiers.policy(&self.cluster.name, self.tiers.cores)
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
    if lookup(name).is_none() {
        return Ok(SignedDuration::from_mins(default));
    }
    let minutes = env::within(lookup, name, "a number of minutes", least..=most)?;
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
            ("REGISTER_TIMEOUT_SECONDS", "ten", "a number of seconds from 60 to 7200"),
            ("REGISTER_TIMEOUT_SECONDS", "59", "a number of seconds from 60 to 7200"),
            ("REGISTER_TIMEOUT_SECONDS", "7201", "a number of seconds from 60 to 7200"),
            ("CORE_DRAIN_TIMEOUT_MINUTES", "2761", "a number of minutes from 1 to 2760"),
            ("REPLICA_DRAIN_TIMEOUT_MINUTES", "ten", "a number of minutes from 1 to 2760"),
            ("STANDALONE_TASK_GRACE_MINUTES", "-1", "a number of minutes from 0 to 1440"),
        ] {
            let text = read(name, Some(value)).unwrap_err().to_string();
            let start = format!("environment variable {name} is {value:?}, but should be {form}");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
