//! What the rendered templates say of a member: its task definition, wherever in the stacks it is.

use std::{collections::BTreeMap, time::Duration};

use cluster_facts::template::{container, rendered};
use serde_json::Value;

use super::Series;
use crate::stage::Trouble;

/// What decides how a member starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The series of its image.
    pub series: Series,
    /// `core` or `replica`.
    pub tier: &'static str,
    /// Whether clients are served with certificates.
    pub tls: bool,
    /// Whether members have certificates for each other.
    pub cluster_tls: bool,
}

impl Shape {
    /// Returns every one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![];
        for series in Series::ALL {
            for tier in ["core", "replica"] {
                for (tls, cluster_tls) in [(false, false), (false, true), (true, false), (true, true)] {
                    all.push(Self { series, tier, tls, cluster_tls });
                }
            }
        }
        all
    }

    /// Returns a core of this series, with all certificates or none.
    #[must_use]
    pub fn core(series: Series, tls: bool) -> Self {
        Self { series, tier: "core", tls, cluster_tls: tls }
    }
}

/// A member's container, as its task definition has it, and what an administrator is told about the cluster.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What it was rendered for.
    pub shape: Shape,
    /// The container `neo4j`.
    pub container: Value,
    /// The outputs of the root.
    pub outputs: Value,
}

impl Definition {
    /// Reads the rendered task definition of a tier.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        let mut name = format!("members-{}", shape.series.parameter());
        for (is_so, suffix) in [(shape.tls, "-tls"), (shape.cluster_tls, "-cluster-tls")] {
            name.push_str(if is_so { suffix } else { "" });
        }
        let deployment = rendered(&name);
        let container = container(&deployment, shape.tier, "neo4j");
        Self { shape, container, outputs: deployment["stacks"]["root"]["live"]["Outputs"].clone() }
    }

    fn words(&self, key: &str) -> Vec<String> {
        let words = self.container[key].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    /// Returns what the container runs.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        [self.words("EntryPoint"), self.words("Command")].concat()
    }

    /// Returns what Docker runs in it to learn its health.
    ///
    /// # Errors
    /// When it is not run without a shell.
    pub fn health_check(&self) -> Result<Vec<String>, Trouble> {
        let words = self.container["HealthCheck"]["Command"].as_array().into_iter().flatten();
        let mut words = words.filter_map(Value::as_str).map(str::to_owned);
        match words.next().as_deref() {
            Some("CMD") => Ok(words.collect()),
            kind => Err(format!("the health check is {kind:?}, not CMD")),
        }
    }

    /// Returns the variables that the definition sets.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = self.container["Environment"].as_array().into_iter().flatten();
        variables
            .map(|each| (each["Name"].as_str().unwrap().to_owned(), each["Value"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// Returns the names of the variables that the agent fills from secrets.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let secrets = self.container["Secrets"].as_array().into_iter().flatten();
        secrets.map(|each| each["Name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns where a volume is mounted.
    ///
    /// # Errors
    /// When it is not.
    pub fn mount(&self, volume: &str) -> Result<&str, Trouble> {
        let mounts = self.container["MountPoints"].as_array().into_iter().flatten();
        let mut mounts = mounts.filter(|mount| mount["SourceVolume"] == volume);
        let path = mounts.next().and_then(|mount| mount["ContainerPath"].as_str());
        path.ok_or_else(|| format!("the volume {volume} is not mounted"))
    }

    /// Returns the limit of open files.
    #[must_use]
    pub fn open_files(&self) -> String {
        let limits = self.container["Ulimits"].as_array().into_iter().flatten();
        let mut limits = limits.filter(|limit| limit["Name"] == "nofile");
        limits.next().map_or("1024".to_owned(), |limit| limit["SoftLimit"].to_string().replace('"', ""))
    }

    /// Returns how long the container may take to stop.
    ///
    /// # Errors
    /// When the definition does not say.
    pub fn stop_timeout(&self) -> Result<Duration, Trouble> {
        let seconds = self.container["StopTimeout"].to_string().replace('"', "");
        seconds.parse().map(Duration::from_secs).map_err(|e| format!("StopTimeout is {seconds}: {e}"))
    }

    /// Returns an output of the root.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn output(&self, name: &str) -> Result<&str, Trouble> {
        self.outputs[name]["Value"].as_str().ok_or_else(|| format!("the root has no output {name}"))
    }

    /// Returns the settings of the definition by their names in Neo4j.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        let variables = self.environment().into_iter();
        variables.filter_map(|(name, value)| Some((setting(&name)?, value))).collect()
    }
}

/// Returns the setting that a variable stands for, by the rule of the image's manual.
/// <https://neo4j.com/docs/operations-manual/current/docker/configuration/#docker-environment-variables>
#[must_use]
pub fn setting(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("NEO4J_").filter(|name| *name != "ACCEPT_LICENSE_AGREEMENT")?;
    Some(name.replace("__", "\0").replace('_', ".").replace('\0', "_"))
}
