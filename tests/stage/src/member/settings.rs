//! Every setting of a member's container: known to Neo4j by name and value, or on the list of what only Enterprise knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Series,
    definition::{Definition, Shape, setting},
    ensure, java,
};
use crate::stage::Trouble;

/// What the manual says that a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// `true` or `false`.
    Boolean,
    /// An integer between these.
    Integer(u32, u32),
    /// One of these.
    One(&'static [&'static str]),
    /// A list of these, with commas.
    Several(&'static [&'static str]),
    /// `host:port`.
    Socket,
}

/// A setting that Community does not know.
#[derive(Clone, Copy, Debug)]
pub struct Enterprise {
    /// Its name. Its page is `operations-manual/<5 or current>/configuration/configuration-settings/#config_<name>`.
    pub name: &'static str,
    /// The series that have it.
    pub series: &'static [Series],
    /// What the page allows.
    pub values: Values,
}

const BOTH: &[Series] = &Series::ALL;
const fn of_both(name: &'static str, values: Values) -> Enterprise {
    Enterprise { name, series: BOTH, values }
}

/// Every setting of ours that Community does not know, as the manual of 5 and the one of 2026.08 have it:
/// <https://neo4j.com/docs/operations-manual/current/configuration/configuration-settings/>.
pub const ENTERPRISE: [Enterprise; 17] = [
    of_both("dbms.cluster.discovery.resolver_type", Values::One(&["LIST", "SRV", "DNS", "K8S"])),
    Enterprise { name: "dbms.cluster.discovery.v2.endpoints", series: &[Series::Lts], values: Values::Socket },
    Enterprise {
        name: "dbms.cluster.discovery.version",
        series: &[Series::Lts],
        values: Values::One(&["V1_ONLY", "V1_OVER_V2", "V2_OVER_V1", "V2_ONLY"]),
    },
    Enterprise { name: "dbms.cluster.endpoints", series: &[Series::Calendar], values: Values::Socket },
    of_both("dbms.cluster.minimum_initial_system_primaries_count", Values::Integer(1, u32::MAX)),
    of_both("dbms.cluster.raft.async_channel_acquisition_enabled", Values::Boolean),
    // Its values are in the description: the type is any text.
    of_both(
        "dbms.databases.seed_from_uri_providers",
        Values::Several(&["CloudSeedProvider", "FileSeedProvider", "S3SeedProvider", "URLConnectionSeedProvider"]),
    ),
    of_both("dbms.security.cluster_status_auth_enabled", Values::Boolean),
    of_both("initial.dbms.automatically_enable_free_servers", Values::Boolean),
    of_both("initial.dbms.default_primaries_count", Values::Integer(1, 11)),
    of_both("initial.server.mode_constraint", Values::One(&["PRIMARY", "SECONDARY", "NONE"])),
    of_both("server.backup.listen_address", Values::Socket),
    of_both("server.cluster.advertised_address", Values::Socket),
    of_both("server.cluster.raft.advertised_address", Values::Socket),
    of_both("server.cluster.system_database_mode", Values::One(&["PRIMARY", "SECONDARY"])),
    of_both("server.panic.shutdown_on_panic", Values::Boolean),
    of_both("server.routing.advertised_address", Values::Socket),
];

impl Values {
    /// Says whether the manual allows a value.
    #[must_use]
    pub fn allow(self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Integer(least, most) => value.parse().is_ok_and(|number| (least..=most).contains(&number)),
            Self::One(of) => of.contains(&value),
            Self::Several(of) => value.split(',').all(|each| of.contains(&each)),
            Self::Socket => value.rsplit_once(':').is_some_and(|(host, port)| {
                let named = host
                    .split('.')
                    .all(|label| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
                named && port.parse::<u16>().is_ok()
            }),
        }
    }
}

/// Returns all settings of a member: those of its definition, and those that its start lines export.
#[must_use]
pub fn of(shape: Shape) -> BTreeMap<String, String> {
    let definition = Definition::of(shape);
    let mut settings = definition.settings();
    for line in definition.command().iter().flat_map(|word| word.lines()) {
        let exported = line.trim().strip_prefix("export ").and_then(|rest| rest.split_once('='));
        if let Some((name, value)) = exported.and_then(|(variable, value)| Some((setting(variable)?, value)))
            && name != "AUTH"
        {
            settings.insert(name, value.replace("$address", "10.0.1.11").replace('"', ""));
        }
    }
    settings
}

/// What Neo4j does not accept of some settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Names that it does not know.
    pub unknown: BTreeSet<String>,
    /// What else it says.
    pub errors: Vec<String>,
}

/// Runs `neo4j-admin` on a home of its own, with this configuration.
///
/// # Errors
/// When it cannot be run.
pub fn admin(series: Series, configuration: &str, home: &Path, words: &[&str]) -> Result<Output, Trouble> {
    let trouble = |e: std::io::Error| format!("{}: {e}", home.display());
    _ = std::fs::remove_dir_all(home);
    for folder in ["conf", "data", "logs", "run", "import", "plugins", "licenses"] {
        std::fs::create_dir_all(home.join(folder)).map_err(trouble)?;
    }
    std::fs::write(home.join("conf/neo4j.conf"), configuration).map_err(trouble)?;
    let java = java()?;
    Command::new(java.join("bin/java"))
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(series.jars()?.join("*"))
        .args([format!("-Dapp.home={}", home.display()), format!("-Dbasedir={}", home.display())])
        .args(["-Dapp.name=neo4j", "org.neo4j.server.startup.Neo4jAdminCommand"])
        .args(words)
        .current_dir(home.parent().unwrap_or(home))
        .env("JAVA_HOME", &java)
        .output()
        .map_err(trouble)
}

/// Has Neo4j read settings. It names every setting that it does not know when it is told not to be strict.
///
/// # Errors
/// When it cannot be run.
pub fn validate(series: Series, settings: &BTreeMap<String, String>, home: &Path) -> Result<Findings, Trouble> {
    let lines = settings.iter().map(|(name, value)| format!("{name}={value}"));
    let lines: Vec<_> = lines.chain(["server.config.strict_validation.enabled=false\n".to_owned()]).collect();
    let output = admin(series, &lines.join("\n"), home, &["server", "validate-config"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut findings = Findings::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("Warning: Unrecognized setting. No declared setting with name: ") {
            findings.unknown.insert(name.trim_end_matches('.').to_owned());
        } else if line.starts_with("Error: ") || line.starts_with("Warning: ") {
            findings.errors.push(line.to_owned());
        }
    }
    ensure(output.status.success() || !findings.errors.is_empty(), || format!("validate-config failed:\n{text}"))?;
    ensure(text.contains("validation successful") || !output.status.success(), || format!("unknown answer:\n{text}"))?;
    Ok(findings)
}

/// Returns what is wrong with the settings of a shape: known neither to Neo4j nor to the list, or with another value than the
/// page allows.
#[must_use]
pub fn wrong(shape: Shape, settings: &BTreeMap<String, String>, findings: &Findings) -> Vec<String> {
    let listed =
        |name: &str| ENTERPRISE.iter().find(|listed| listed.name == name && listed.series.contains(&shape.series));
    let mut wrong: Vec<_> = findings.errors.clone();
    // Beside an error it names nothing that it does not know.
    for (name, value) in settings.iter().filter(|_| findings.errors.is_empty()) {
        match (findings.unknown.contains(name), listed(name)) {
            (true, None) => wrong.push(format!("{name}: Neo4j does not know it, and it is on no list")),
            (false, Some(_)) => wrong.push(format!("{name}: Community knows it, so it is on the list for nothing")),
            (true, Some(listed)) if !listed.values.allow(value) => {
                wrong.push(format!("{name}={value}: the manual allows {:?}", listed.values));
            }
            _ => {}
        }
    }
    wrong.iter().map(|what| format!("{shape:?}: {what}")).collect()
}

/// Has the real Neo4j of each series read all settings of every shape. Returns what is wrong.
///
/// # Errors
/// When it cannot be run.
pub fn check(folder: &Path) -> Result<Vec<String>, Trouble> {
    let (mut cases, mut used) = (vec![], BTreeSet::new());
    for shape in Shape::all() {
        let settings = of(shape);
        used.extend(settings.keys().cloned());
        cases.push((shape, settings));
    }
    // What only the list knows makes no difference to Neo4j.
    let told = |settings: &BTreeMap<String, String>| {
        let value = |(name, value): (&String, &String)| {
            let known = ENTERPRISE.iter().all(|listed| listed.name != name);
            (name.clone(), if known { value.clone() } else { String::new() })
        };
        settings.iter().map(value).collect::<BTreeMap<_, _>>()
    };
    let mut distinct: Vec<_> = cases.iter().map(|(shape, settings)| (shape.series, told(settings))).collect();
    distinct.sort();
    distinct.dedup();
    let inputs: Vec<_> = distinct
        .iter()
        .map(|(series, told_of)| {
            cases.iter().find(|(shape, s)| shape.series == *series && told(s) == *told_of).unwrap()
        })
        .collect();
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((shape, settings)) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let home = folder.join(format!("{shape:?}").replace(|c: char| !c.is_alphanumeric(), "-"));
                    let found = validate(shape.series, settings, &home);
                    let key = (shape.series, told(settings));
                    answers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found);
                }
            });
        }
    });
    let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut found = vec![];
    for (shape, settings) in &cases {
        let findings = answers.get(&(shape.series, told(settings))).ok_or("not asked")?.as_ref()?;
        found.extend(wrong(*shape, settings, findings));
    }
    let idle = ENTERPRISE.iter().filter(|listed| !used.contains(listed.name));
    found.extend(idle.map(|listed| format!("{}: it is on the list, but no member has it", listed.name)));
    Ok(found)
}
