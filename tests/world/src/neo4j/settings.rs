//! What a task definition says to Neo4j: the variables of its environment, as the image turns them into settings.

use serde_json::Value;

use super::super::cloudformation::text;

/// The two kinds of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// `server.cluster.system_database_mode=PRIMARY`.
    Core,
    /// `SECONDARY`.
    Replica,
}

/// The settings that decide how a member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its kind.
    pub tier: Tier,
    /// `dbms.cluster.minimum_initial_system_primaries_count`.
    pub minimum: usize,
    /// `initial.dbms.default_primaries_count`.
    pub primaries: u32,
    /// `initial.dbms.automatically_enable_free_servers`.
    pub enables: bool,
    /// The SRV name by which members find one another.
    pub discovery: String,
    /// The ARN of the secret whose password the first formation takes.
    pub admin: String,
    /// The version of the image.
    pub version: String,
    /// Seconds from the signal to stop until Docker kills it.
    pub stop_timeout: i64,
    /// The cluster and the tier under which a container beside it reports how much of its disk is free, if one does.
    pub reports: Option<(String, String)>,
}

impl Settings {
    /// Reads the container that runs Neo4j in a cluster, if there is one.
    #[must_use]
    pub fn read(definition: &Value) -> Option<Self> {
        let containers = definition["ContainerDefinitions"].as_array()?;
        let settings = containers.iter().find_map(Self::of_container)?;
        Some(Self { reports: containers.iter().find_map(reports), ..settings })
    }

    fn of_container(container: &Value) -> Option<Self> {
        let environment = container["Environment"].as_array()?;
        let variable = |name: &str| {
            let name = format!("NEO4J_{name}");
            environment.iter().find(|variable| variable["Name"] == name).map(|variable| text(variable, "Value"))
        };
        let tier = match variable("server_cluster_system__database__mode")?.as_str() {
            "SECONDARY" => Tier::Replica,
            _ => Tier::Core,
        };
        let number = |name: &str| variable(name).and_then(|value| value.parse().ok());
        let endpoints = variable("dbms_cluster_endpoints").or_else(|| variable("dbms_cluster_discovery_v2_endpoints"));
        let mut secrets = container["Secrets"].as_array().into_iter().flatten();
        let admin = secrets.find(|secret| secret["Name"] == "ADMIN_PASSWORD").map(|secret| text(secret, "ValueFrom"));
        let image = text(container, "Image");
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        // Defaults of the operations manual, «Configuration settings».
        Some(Self {
            tier,
            minimum: number("dbms_cluster_minimum__initial__system__primaries__count").unwrap_or(3),
            primaries: number("initial_dbms_default__primaries__count")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(1),
            enables: variable("initial_dbms_automatically__enable__free__servers").as_deref() == Some("true"),
            discovery: endpoints.unwrap_or_default().trim_end_matches(":0").to_owned(),
            admin: admin.unwrap_or_default().trim_end_matches(":password::").to_owned(),
            version: tag.split('-').next().filter(|version| !version.is_empty()).unwrap_or("5.26.0").to_owned(),
            stop_timeout: text(container, "StopTimeout").parse().unwrap_or(30),
            reports: None,
        })
    }

    /// Whether it is of the series 5.26.
    #[must_use]
    pub fn is_5(&self) -> bool {
        self.version.starts_with("5.")
    }
}

/// What a container that reports on the disk is told: its script names the metric, and takes the cluster and the tier.
fn reports(container: &Value) -> Option<(String, String)> {
    let command = container["Command"].as_array()?;
    let word = |n: usize| command.get(n).and_then(Value::as_str).map(str::to_owned);
    word(0).filter(|script| script.contains("DataDiskFreePercent"))?;
    Some((word(2)?, word(3)?))
}
