//! One container of a member: started, asked for its health, stopped, killed.

use std::{
    collections::BTreeMap,
    fs::File,
    net::Ipv4Addr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use super::{
    definition::Definition,
    ensure, java,
    network::{Network, accepts, run},
    settings, until, until_within,
};
use crate::stage::{Trouble, root};

/// Bolt's port.
pub const BOLT: u16 = 7687;
/// What the image brings into every environment, and the search path of this machine's programs.
pub(super) const IMAGE: [(&str, &str); 5] = [
    ("PATH", "/var/lib/neo4j/bin:/opt/java/openjdk/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("JAVA_HOME", "/opt/java/openjdk"),
    ("NEO4J_HOME", "/var/lib/neo4j"),
    ("NEO4J_EDITION", "enterprise"),
    ("LANG", "C.UTF-8"),
];
/// What is different in a test: it fits on a small machine, and tells nobody that it runs.
const IN_TESTS: [(&str, &str); 4] = [
    ("NEO4J_dbms_usage__report_enabled", "false"),
    ("NEO4J_server_memory_heap_initial__size", "256m"),
    ("NEO4J_server_memory_heap_max__size", "384m"),
    ("NEO4J_server_memory_pagecache_size", "64m"),
];

/// The secrets by the variables that carry them.
pub type Secrets = BTreeMap<String, String>;

/// A container that runs, or has run.
#[derive(Debug)]
pub struct Member {
    /// Its address.
    pub address: Ipv4Addr,
    /// Where its root lies.
    pub root: PathBuf,
    name: String,
    definition: Definition,
    console: PathBuf,
    process: Child,
    ended: Option<ExitStatus>,
}

/// A process of a container.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id, as this story sees it.
    pub id: u32,
    /// Its arguments.
    pub arguments: String,
    /// Its environment.
    pub environment: String,
}

impl Member {
    /// Starts the container of a definition on an instance with this name and address, with a volume of this host, as the
    /// agent and Docker do.
    ///
    /// # Errors
    /// When the container cannot be laid out or run. What becomes of Neo4j is another matter.
    pub fn start(
        network: &Network,
        definition: &Definition,
        name: &str,
        address: Ipv4Addr,
        volume: &Path,
        secrets: &Secrets,
    ) -> Result<Self, Trouble> {
        network.add(name, address)?;
        let folder = network.folder.join(name);
        let (container, console) = (folder.join("root"), folder.join("console.log"));
        for folder in [&container, volume] {
            std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let jars = definition.shape.series.jars()?;
        let (data, logs) = (definition.mount("data")?, definition.mount("logs")?);
        run(Command::new(script()).arg("lay-out").args([&container, &jars, &java()?]).arg(volume).args([data, logs]))?;
        let host = format!("ip-{}", address.to_string().replace('.', "-"));
        let write = |path: &str, text: String| {
            let path = container.join(path);
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
        };
        write("etc/hosts", format!("127.0.0.1 localhost\n{address} {host}\n"))?;
        let enterprise: Vec<_> = settings::ENTERPRISE.iter().map(|setting| setting.name).collect();
        write("startup/enterprise-settings", enterprise.join("\n") + "\n")?;

        let output = File::create(&console).map_err(|e| format!("{}: {e}", console.display()))?;
        let errors = output.try_clone().map_err(|e| e.to_string())?;
        let process = Command::new(script())
            .arg("run")
            .arg(&container)
            .args([name, &host])
            .args(definition.command())
            .env_clear()
            .envs(IMAGE)
            .envs(definition.environment())
            .envs(IN_TESTS)
            .envs(secrets)
            .env("NOFILE", definition.open_files())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("the container does not start: {e}"))?;
        let (definition, name) = (definition.clone(), name.to_owned());
        Ok(Self { address, root: container, name, definition, console, process, ended: None })
    }

    /// Returns what the container printed so far.
    #[must_use]
    pub fn console(&self) -> String {
        std::fs::read_to_string(&self.console).unwrap_or_default()
    }

    /// Returns a file of the container.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, path: &str) -> Result<String, Trouble> {
        let path = self.root.join(path);
        std::fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Returns how the container has ended, if it has.
    ///
    /// # Errors
    /// When nobody can tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Trouble> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().map_err(|e| e.to_string())?;
        }
        Ok(self.ended)
    }

    /// Waits for the container's end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&mut self) -> Result<ExitStatus, Trouble> {
        let what = format!("{} ends", self.name);
        until(&what, || self.ended())
    }

    /// Waits until Bolt's port is open.
    ///
    /// # Errors
    /// When the container ends instead.
    pub fn open(&mut self) -> Result<(), Trouble> {
        let (what, address) = (format!("{} opens Bolt's port", self.name), self.address);
        until(&what, || match self.ended()? {
            Some(status) => Err(format!("{what}, but it has ended: {status}")),
            None => Ok(accepts(address, BOLT).then_some(())),
        })
    }

    /// Runs the health check of the definition in the container, as Docker does.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn is_healthy(&self) -> Result<bool, Trouble> {
        let status = self.run(&self.definition.health_check()?)?;
        Ok(status.success())
    }

    /// Runs a command in the container.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, words: &[String]) -> Result<ExitStatus, Trouble> {
        let mut command = Command::new(script());
        command.arg("exec").arg(&self.root).arg(&self.name).args(words).env_clear().envs(IMAGE);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().map_err(|e| e.to_string())
    }

    /// Returns the processes of the container. The first one is its PID 1.
    ///
    /// # Errors
    /// When it has none.
    pub fn processes(&self) -> Result<Vec<Process>, Trouble> {
        processes(&self.name, self.process.id())
    }

    /// Sends a signal to Neo4j's own process.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal_neo4j(&self, signal: &str) -> Result<(), Trouble> {
        let processes = self.processes()?;
        let neo4j = processes.get(1).filter(|process| process.arguments.starts_with("/opt/java/"));
        kill(signal, neo4j.ok_or("there is no process of Neo4j")?.id)
    }

    /// Tells the container to stop, as ECS does: its first process gets SIGTERM.
    ///
    /// # Errors
    /// When there is none.
    pub fn terminate(&self) -> Result<(), Trouble> {
        kill("TERM", self.processes()?[0].id)
    }

    /// Ends the container at once, as Docker does after `StopTimeout`, and an instance that dies.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> Result<(), Trouble> {
        kill("KILL", self.processes()?[0].id)?;
        self.end().map(drop)
    }

    /// Tells the container to stop and waits for its end, as long as the definition lets it: then ECS kills. Returns its exit
    /// code.
    ///
    /// # Errors
    /// When it does not end in that time.
    pub fn stop(&mut self) -> Result<i32, Trouble> {
        let longest = self.definition.stop_timeout()?;
        self.terminate()?;
        let what = format!("{} stops", self.name);
        let status = until_within(longest, &what, || self.ended())?;
        status.code().ok_or_else(|| format!("{} was ended by signal {:?}", self.name, status.signal()))
    }
}

/// Returns the processes of a container that this process runs. The first one is its PID 1.
pub(super) fn processes(name: &str, runner: u32) -> Result<Vec<Process>, Trouble> {
    let mut parents = BTreeMap::<u32, Vec<u32>>::new();
    for entry in std::fs::read_dir("/proc").map_err(|e| e.to_string())?.filter_map(Result::ok) {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(status) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = status.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        parents.entry(parent.unwrap_or_default()).or_default().push(id);
    }
    let (mut found, mut next) = (vec![], vec![runner]);
    while let Some(id) = next.pop() {
        next.extend(parents.get(&id).into_iter().flatten());
        if id != runner {
            let read = |what: &str| {
                let bytes = std::fs::read(format!("/proc/{id}/{what}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', "\n")
            };
            found.push(Process { id, arguments: read("cmdline"), environment: read("environ") });
        }
    }
    ensure(!found.is_empty(), || format!("{name} has no processes"))?;
    Ok(found)
}

/// Returns what stands in for Docker.
pub(super) fn script() -> PathBuf {
    root().join("tests/neo4j/container.sh")
}

/// Sends a signal to a process.
pub(super) fn kill(signal: &str, id: u32) -> Result<(), Trouble> {
    run(Command::new("kill").args([&format!("-{signal}"), &id.to_string()]))
}
