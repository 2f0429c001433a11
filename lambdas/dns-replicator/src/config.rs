use cluster_core::{
    dns::{Name, Owner, Policy},
    names,
};
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};
use serde::Deserialize;

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What is replicated from where to where.
    pub target: Target,
    /// The seconds for which resolvers may cache an answer.
    pub ttl: u32,
    /// Whether a new member must be `HEALTHY` to be published.
    pub require_healthy: bool,
    /// How members are asked whether their Neo4j answers; nothing when discovery is used by itself.
    pub asks: Option<Asks>,
}

/// How members are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The name of the function neo4j-gateway.
    pub gateway: String,
    /// The name of the `DynamoDB` table.
    pub state_table: String,
}

impl Config {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let names = Names {
            cluster_name: env::required(lookup, "CLUSTER_NAME")?,
            domain: env::required(lookup, "DOMAIN")?,
            hosted_zone_id: env::required(lookup, "HOSTED_ZONE_ID")?,
            ecs_cluster: env::required(lookup, "ECS_CLUSTER")?,
            core_ecs_services: env::required(lookup, "CORE_ECS_SERVICES")?,
            core_cloud_map_service: env::required(lookup, "CORE_CLOUD_MAP_SERVICE")?,
            replica_ecs_services: env::required(lookup, "REPLICA_ECS_SERVICES")?,
            replica_cloud_map_service: env::required(lookup, "REPLICA_CLOUD_MAP_SERVICE")?,
        };
        let target = Target::new(names)
            .map_err(|wrong| env::wrong(&wrong.field.to_ascii_uppercase(), &wrong.value, wrong.form))?;
        let ttl = env::within(lookup, "RECORD_TTL", "a number of seconds", 1..=86_400)?;
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let asks = match (set("GATEWAY_FUNCTION"), set("STATE_TABLE")) {
            (Some(gateway), Some(state_table)) => Some(Asks { gateway, state_table }),
            (None, None) => None,
            (gateway, _) => {
                let missing = if gateway.is_some() { "STATE_TABLE" } else { "GATEWAY_FUNCTION" };
                return Err(env::wrong(missing, "", "set: GATEWAY_FUNCTION and STATE_TABLE belong together"));
            }
        };
        Ok(Self { target, ttl, require_healthy: env::parsed(lookup, "REQUIRE_HEALTHY", "true or false")?, asks })
    }

    /// Returns the configuration of the plan.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy { owner: self.target.owner.clone(), ttl: self.ttl, require_healthy: self.require_healthy }
    }
}

/// The names of what is replicated. The template passes them to the function as environment variables, and to its
/// custom resource as properties. From the properties a later deletion knows what an earlier version of the stack had
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Names {
    /// The owner of the record sets.
    pub cluster_name: String,
    /// The domain of the records `core.<domain>` and `replica.<domain>`.
    pub domain: String,
    /// The id of the hosted zone of the records.
    pub hosted_zone_id: String,
    /// The name or ARN of the ECS cluster.
    pub ecs_cluster: String,
    /// The names of the cores' ECS services, separated by commas. Not all of them need exist.
    pub core_ecs_services: String,
    /// The id of the cores' Cloud Map service, `srv-…`.
    pub core_cloud_map_service: String,
    /// The names of the replicas' ECS services, which need not exist.
    pub replica_ecs_services: String,
    /// The id of the replicas' Cloud Map service, `srv-…`.
    pub replica_cloud_map_service: String,
}

/// What is replicated from where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The owner of the record sets.
    pub owner: Owner,
    /// The zone's id, without a path.
    pub hosted_zone: String,
    /// The domain that the records' names end with.
    pub domain: Name,
    /// The name or ARN of the ECS cluster.
    pub ecs_cluster: String,
    /// Core and replica, in the order in which Route 53 lists their names.
    pub tiers: [TierTarget; 2],
}

/// Where the members of a tier are registered, and where they are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierTarget {
    /// `core` or `replica`.
    pub tier: &'static str,
    /// The name of its records.
    pub name: Name,
    /// The names of its ECS services.
    pub ecs_services: Vec<String>,
    /// The id of its Cloud Map service.
    pub cloud_map_service: String,
}

/// A name in the wrong form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value:?}, but should be {form}")]
pub struct WrongName {
    field: &'static str,
    value: String,
    form: &'static str,
}

impl Target {
    /// Checks every name, so that nothing wrong reaches AWS or the plan.
    pub fn new(names: Names) -> Result<Self, WrongName> {
        let owner = Owner::new(&names.cluster_name).ok_or_else(|| WrongName {
            field: "cluster_name",
            value: names.cluster_name.clone(),
            form: Owner::FORM,
        })?;
        let domain = Name::new(checked_domain(&names.domain)?);
        let hosted_zone = checked_zone(&names.hosted_zone_id)?.to_owned();
        check_service("core_cloud_map_service", &names.core_cloud_map_service)?;
        check_service("replica_cloud_map_service", &names.replica_cloud_map_service)?;
        let core_services = checked_services("core_ecs_services", &names.core_ecs_services)?;
        let replica_services = checked_services("replica_ecs_services", &names.replica_ecs_services)?;
        let name = |tier: &str| Name::new(&format!("{tier}.{domain}"));
        Ok(Self {
            owner,
            hosted_zone,
            domain: domain.clone(),
            ecs_cluster: names.ecs_cluster,
            tiers: [
                TierTarget {
                    tier: "core",
                    name: name("core"),
                    ecs_services: core_services,
                    cloud_map_service: names.core_cloud_map_service,
                },
                TierTarget {
                    tier: "replica",
                    name: name("replica"),
                    ecs_services: replica_services,
                    cloud_map_service: names.replica_cloud_map_service,
                },
            ],
        })
    }

    /// Returns an id of what is written where. CloudFormation treats a changed one as a replacement, and has the old
    /// one removed.
    #[must_use]
    pub fn physical_id(&self) -> String {
        let registries = self.tiers.each_ref().map(|tier| tier.cloud_map_service.as_str()).join("/");
        format!("{}@{}/{}/{registries}", self.owner, self.hosted_zone, self.domain)
    }

    /// Returns whether both write the same record sets.
    #[must_use]
    pub fn has_names_of(&self, other: &Self) -> bool {
        (&self.owner, &self.hosted_zone, &self.domain) == (&other.owner, &other.hosted_zone, &other.domain)
    }
}

fn checked_domain(value: &str) -> Result<&str, WrongName> {
    let domain = value.trim_end_matches('.');
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    // The 255 octets of a DNS name, less «replica.» and what the wire format adds.
    let valid = domain.len() <= 240 && domain.split('.').all(label);
    let form = "a domain name such as neo4j.service";
    if valid { Ok(domain) } else { Err(WrongName { field: "domain", value: value.to_owned(), form }) }
}

fn checked_zone(value: &str) -> Result<&str, WrongName> {
    let zone = value.trim_start_matches("/hostedzone/");
    let valid = zone.starts_with('Z') && zone.chars().all(|c| c.is_ascii_alphanumeric());
    let form = "the id of a Route 53 hosted zone such as Z0123456789ABCDEFGHIJ";
    if valid { Ok(zone) } else { Err(WrongName { field: "hosted_zone_id", value: value.to_owned(), form }) }
}

fn checked_services(field: &'static str, value: &str) -> Result<Vec<String>, WrongName> {
    names::services(value).ok_or_else(|| WrongName { field, value: value.to_owned(), form: names::SERVICES_FORM })
}

fn check_service(field: &'static str, value: &str) -> Result<(), WrongName> {
    let form = "the id of a Cloud Map service such as srv-0123456789abcdef";
    if value.starts_with("srv-") { Ok(()) } else { Err(WrongName { field, value: value.to_owned(), form }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 10] = [
        ("CLUSTER_NAME", "neo4j"),
        ("DOMAIN", "Neo4j.Service."),
        ("HOSTED_ZONE_ID", "/hostedzone/Z123"),
        ("ECS_CLUSTER", "neo4j"),
        ("CORE_ECS_SERVICES", "core-1,core-2"),
        ("CORE_CLOUD_MAP_SERVICE", "srv-core"),
        ("REPLICA_ECS_SERVICES", "replica"),
        ("REPLICA_CLOUD_MAP_SERVICE", "srv-replica"),
        ("RECORD_TTL", "10"),
        ("REQUIRE_HEALTHY", "true"),
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
        let config = read("", None).unwrap();
        assert_eq!(config.target.hosted_zone, "Z123");
        assert_eq!(config.target.tiers[0].name, Name::new("core.neo4j.service"));
        assert_eq!(config.target.tiers[0].ecs_services, ["core-1", "core-2"]);
        assert_eq!(config.target.physical_id(), "neo4j@Z123/neo4j.service/srv-core/srv-replica");
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
            ("CLUSTER_NAME", "my/cluster", "1 to 64 letters"),
            ("DOMAIN", "neo4j..service", "a domain name"),
            ("DOMAIN", "neo4j service", "a domain name"),
            ("HOSTED_ZONE_ID", "neo4j.service", "the id of a Route 53 hosted zone"),
            ("CORE_CLOUD_MAP_SERVICE", "core", "the id of a Cloud Map service"),
            ("REPLICA_CLOUD_MAP_SERVICE", "replica", "the id of a Cloud Map service"),
            ("CORE_ECS_SERVICES", "core-1,,core-2", "comma-separated names of ECS services"),
            ("REPLICA_ECS_SERVICES", "replica,replica", "comma-separated names of ECS services"),
            ("RECORD_TTL", "ten", "a number of seconds"),
            ("RECORD_TTL", "0", "a number of seconds"),
            ("REQUIRE_HEALTHY", "yes", "true or false"),
        ] {
            let text = read(name, Some(value)).unwrap_err().to_string();
            let start = format!("environment variable {name} is {value:?}, but should be {form}");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
