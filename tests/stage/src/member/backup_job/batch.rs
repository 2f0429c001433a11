//! Stands in for Batch and S3: runs a job's container, with its scratch volume, on folders that stand for a bucket.

use std::{
    collections::BTreeMap,
    fs::File,
    net::Ipv4Addr,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use cluster_facts::template::read;
use serde_json::Value;

use super::{
    super::{
        Series,
        container::{IMAGE, kill, processes, script},
        ensure, java,
        network::{Network, run},
        until,
    },
    MEMORY,
};
use crate::stage::{Trouble, root};

/// The name of the instance.
const INSTANCE: &str = "batch";
/// The entry point of the image, which Batch cannot change.
/// <https://github.com/neo4j/docker-neo4j/blob/master/docker-image-src/calver/coredb/Dockerfile-trixie>
const ENTRY_POINT: [&str; 4] = ["tini", "-g", "--", "/startup/docker-entrypoint.sh"];
/// Where the image has a volume of its own.
const DATA: &str = "/data";

/// What the definition of the job says.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What is run.
    pub command: Vec<String>,
    /// What the definition itself tells it.
    environment: BTreeMap<String, String>,
    /// Where the scratch volume is.
    scratch: String,
}

impl Definition {
    /// Reads the template. What its variables refer to, a region and a memory, is the test's.
    ///
    /// # Errors
    /// When it is not as this stand-in knows it.
    pub fn read() -> Result<Self, Trouble> {
        let template = read("infra/backup-job.yaml");
        let container = &template["Resources"]["JobDefinition"]["Properties"]["ContainerProperties"];
        let list = |key: &str| container[key].as_array().cloned().unwrap_or_default();
        let command: Vec<_> = list("Command").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        ensure(command.len() == 3 && command[..2] == ["bash", "-euc"], || format!("the command is {command:?}"))?;
        let mut environment = BTreeMap::new();
        for variable in list("Environment") {
            let name = variable["Name"].as_str().unwrap_or_default().to_owned();
            // The entry point would write it into the configuration.
            ensure(!name.starts_with("NEO4J_"), || format!("{name} is a setting of Neo4j"))?;
            let value = if name == "BACKUP_MEMORY_MIB" { MEMORY } else { "eu-west-1" };
            environment.insert(name, value.to_owned());
        }
        let volumes = serde_json::json!([{"Name": "scratch", "Host": {}}]);
        ensure(container["Volumes"] == volumes, || {
            format!("the volume is not the job's own: {}", container["Volumes"])
        })?;
        let scratch = container["MountPoints"][0]["ContainerPath"].as_str().unwrap_or_default().to_owned();
        let below = scratch.strip_prefix(DATA).is_some_and(|rest| rest.starts_with('/'));
        ensure(below, || format!("{scratch} is not below {DATA}, which the entry point gives to Neo4j's user"))?;
        Ok(Self { command, environment, scratch })
    }

    /// Returns it with another text in its script.
    ///
    /// # Errors
    /// When the script does not have the old one.
    pub fn altered(&self, old: &str, new: &str) -> Result<Self, Trouble> {
        let mut altered = self.clone();
        let [.., script] = &mut altered.command[..] else { return Err("there is no script".to_owned()) };
        ensure(script.contains(old), || format!("the script does not say {old}"))?;
        *script = script.replacen(old, new, 1);
        Ok(altered)
    }
}

/// What a job leaves.
#[derive(Debug)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it has printed.
    pub console: String,
    /// What lies on its scratch volume.
    pub scratch: Vec<String>,
    /// The files of the bucket, with their sizes.
    pub bucket: Vec<(String, u64)>,
}

/// An instance that runs one job at a time.
#[derive(Debug)]
pub struct Batch<'a> {
    network: &'a Network,
    series: Series,
    bucket: PathBuf,
    member: PathBuf,
}

impl<'a> Batch<'a> {
    /// Makes an instance, an empty bucket, and a member that has nothing to offer yet.
    ///
    /// # Errors
    /// When that fails.
    pub fn new(network: &'a Network, series: Series, address: Ipv4Addr) -> Result<Self, Trouble> {
        network.add(INSTANCE, address)?;
        let (bucket, member) = (network.folder.join("bucket"), network.folder.join("member"));
        for folder in [&bucket, &member] {
            open_to_all(folder)?;
        }
        let batch = Self { network, series, bucket, member };
        batch.lay("series", series.parameter())?;
        Ok(batch)
    }

    /// Lays down a word for the stand-in of neo4j-admin.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lay(&self, name: &str, text: &str) -> Result<(), Trouble> {
        std::fs::write(self.member.join(name), format!("{text}\n")).map_err(|e| format!("{name}: {e}"))
    }

    /// Lets the member have the store of a dump.
    ///
    /// # Errors
    /// When there is no such dump.
    pub fn store(&self, dump: &str) -> Result<(), Trouble> {
        std::fs::copy(self.member.join(dump), self.member.join("store")).map(drop).map_err(|e| format!("{dump}: {e}"))
    }

    /// Returns the calls of the stand-in so far.
    ///
    /// # Errors
    /// When there was none.
    pub fn calls(&self) -> Result<Vec<String>, Trouble> {
        let text = std::fs::read_to_string(self.member.join("calls")).map_err(|e| format!("calls: {e}"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Runs a command in a container of the definition, to its end. If it is to be stopped, it gets SIGTERM once it has said
    /// this, as from Batch, and from ECS when Spot takes the instance.
    ///
    /// # Errors
    /// When it cannot be run, or does not end.
    pub fn run(
        &self,
        name: &str,
        definition: &Definition,
        command: &[String],
        told: BTreeMap<String, String>,
        stop: Option<&str>,
    ) -> Result<Done, Trouble> {
        let folder = self.network.folder.join(name);
        let (container, data, console) = (folder.join("root"), folder.join("data"), folder.join("console.log"));
        // The image's own volume is for everybody. Docker makes an empty one for root.
        open_to_all(&data)?;
        let scratch = data.join(definition.scratch.trim_start_matches(DATA).trim_start_matches('/'));
        for folder in [&container, &scratch] {
            std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let words = [self.series.jars()?, java()?, data.clone(), DATA.into(), "/logs".into()];
        run(Command::new(script()).arg("lay-out").arg(&container).args(words))?;
        for (name, folder) in [("s3", &self.bucket), ("member", &self.member)] {
            let place = container.join(name);
            std::fs::create_dir(&place).map_err(|e| format!("{}: {e}", place.display()))?;
            run(Command::new("mount").arg("--bind").args([folder, &place]))?;
        }
        std::fs::write(container.join("startup/enterprise-settings"), "").map_err(|e| e.to_string())?;
        // Before Community's own on the path.
        if told.contains_key("BACKUP_TO") {
            let place = container.join("var/lib/neo4j/bin/neo4j-admin");
            run(Command::new("cp").arg(root().join("tests/neo4j/enterprise/neo4j-admin")).arg(place))?;
        }
        let output = File::create(&console).map_err(|e| format!("{}: {e}", console.display()))?;
        let errors = output.try_clone().map_err(|e| e.to_string())?;
        let mut process = Command::new(script())
            .arg("run")
            .arg(&container)
            .args([INSTANCE, INSTANCE])
            .args(ENTRY_POINT)
            .args(command)
            .env_clear()
            .envs(IMAGE)
            .envs(&definition.environment)
            .envs(told)
            .env("NOFILE", "60000")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("the container does not start: {e}"))?;
        if let Some(word) = stop {
            until(&format!("{name} says {word:?}"), || Ok(said(&console).contains(word).then_some(())))?;
            kill("TERM", processes(name, process.id())?[0].id)?;
        }
        let status = end(name, &mut process)?;
        let code = status.code().ok_or_else(|| format!("{name} was ended by signal {:?}", status.signal()))?;
        let scratch = files(&scratch)?.into_iter().map(|(file, _)| file).collect();
        Ok(Done { code, console: said(&console), scratch, bucket: files(&self.bucket)? })
    }
}

fn end(name: &str, process: &mut Child) -> Result<ExitStatus, Trouble> {
    until(&format!("{name} ends"), || process.try_wait().map_err(|e| e.to_string()))
}

fn said(console: &Path) -> String {
    std::fs::read(console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn open_to_all(folder: &Path) -> Result<(), Trouble> {
    let all = std::fs::Permissions::from_mode(0o777);
    let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::set_permissions(folder, all));
    made.map_err(|e| format!("{}: {e}", folder.display()))
}

/// Returns everything below a folder but the folders that hold something: its name and size.
fn files(folder: &Path) -> Result<Vec<(String, u64)>, Trouble> {
    let trouble = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let (meta, name) = (entry.metadata().map_err(trouble)?, entry.file_name().to_string_lossy().into_owned());
        let within = if meta.is_dir() { files(&entry.path())? } else { vec![] };
        if within.is_empty() { found.push((name, meta.len())) } else { found.extend(within) }
    }
    Ok(found)
}
