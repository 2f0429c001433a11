//! The life of a member: the first start, its health, its death, its return on the same volume at another address, its stop.

use std::{net::Ipv4Addr, path::Path, process::Command};

use serde_json::Value;

use super::{
    Series,
    certificates::Authority,
    client::Client,
    container::{BOLT, Member, Secrets},
    definition::{Definition, Shape},
    ensure, gateway,
    network::{Network, accepts},
    until,
};
use crate::{narrator::Narrator, stage::Trouble};

/// Nothing in it is refused, and everything in it is taken for something else by some shell.
pub const PASSWORD: &str = "p@ss-word $x `id` \"'\\ * ; true";
const ROTATED: &str = "another/one, which Neo4j would not take";
/// What is looked for: the passwords, and what is left of them where quotes and strokes are escaped.
const FORBIDDEN: [&str; 4] = [PASSWORD, "p@ss-word", ROTATED, "which Neo4j would not take"];
/// The name that certificates have.
pub const NAME: &str = "core.neo4j.service";
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 11);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 27);

/// What a story of one series, with or without certificates, is told with.
#[derive(Debug)]
pub struct Life {
    /// The core's definition.
    pub definition: Definition,
    /// Who certifies.
    pub authority: Authority,
    /// Who connects.
    pub client: Client,
}

impl Life {
    /// Prepares it.
    ///
    /// # Errors
    /// When the definition cannot be read, or nothing be certified.
    pub fn new(network: &Network, series: Series, tls: bool) -> Result<Self, Trouble> {
        let authority = Authority::new()?;
        let trusted = tls.then(|| authority.write(&network.folder)).transpose()?;
        let client = Client { password: PASSWORD.to_owned(), trusted };
        Ok(Self { definition: Definition::of(Shape::core(series, tls)), authority, client })
    }

    /// Returns what the agent fills the definition's variables with.
    ///
    /// # Errors
    /// When nothing can be certified, or a variable is new here.
    pub fn secrets(&self, password: &str, name: &str, expired: bool) -> Result<Secrets, Trouble> {
        let (clients, members) = (self.authority.certify(name, expired)?, self.authority.certify("members", false)?);
        let value = |variable: &str| {
            Ok(match variable {
                "ADMIN_PASSWORD" => password.to_owned(),
                "TLS_CERTIFICATE" => clients.certificate.clone(),
                "TLS_KEY" => clients.key.clone(),
                "CLUSTER_TLS_CERTIFICATE" => members.certificate.clone(),
                "CLUSTER_TLS_KEY" => members.key.clone(),
                "CLUSTER_TLS_CA" => self.authority.certificate(),
                other => return Err(format!("nobody knows what to put into {other}")),
            })
        };
        self.definition.secrets().into_iter().map(|name| Ok((name.clone(), value(&name)?))).collect()
    }

    fn tls(&self) -> bool {
        self.definition.shape.tls
    }

    /// Returns how a driver reaches one member, by the name of its certificate or by its address.
    fn bolt(&self, address: Ipv4Addr) -> String {
        if self.tls() { format!("bolt+s://{NAME}:{BOLT}") } else { format!("bolt://{address}:{BOLT}") }
    }

    fn page(&self, address: Ipv4Addr) -> String {
        if self.tls() { format!("https://{NAME}:7473/") } else { format!("http://{address}:7474/") }
    }
}

/// Tells the life of a member.
///
/// # Errors
/// The first thing that does not hold.
pub fn tell(network: &Network, narrator: &Narrator, series: Series, tls: bool) -> Result<(), Trouble> {
    let life = Life::new(network, series, tls)?;
    let volume = network.folder.join("volume");
    let before = until_killed(network, narrator, &life, &volume)?;
    network.remove("first")?;
    until_stopped(network, narrator, &life, &volume, &before)
}

/// What must come back with a volume.
#[derive(Debug)]
struct Before {
    server: Value,
    /// The last number that was acknowledged.
    written: u64,
}

fn until_killed(network: &Network, narrator: &Narrator, life: &Life, volume: &Path) -> Result<Before, Trouble> {
    network.name_is(NAME, FIRST)?;
    let secrets = life.secrets(PASSWORD, NAME, false)?;
    let mut member = Member::start(network, &life.definition, "first", FIRST, volume, &secrets)?;
    ensure(member.is_healthy()?, || "a member that is starting is called unhealthy".to_owned())?;
    ensure(!accepts(FIRST, BOLT), || "it was no start any more".to_owned())?;
    member.open()?;
    narrator.note("the first start: Bolt's port is open");
    ensure(member.is_healthy()?, || "a member whose port is open is called unhealthy".to_owned())?;
    not_given_on(&member)?;
    not_written(&member)?;
    as_defined(life, FIRST)?;
    served(life, &member)?;
    let server = server_id(life, FIRST)?;
    at_a_standstill(life, &member)?;
    narrator.note("settings, ports and health are as they should be");
    gateway::ask(life, &member, narrator)?;

    let mut writer = life.client.writer(&life.bolt(FIRST))?;
    while writer.acknowledged()?.ok_or("nothing is written")? < 300 {}
    gateway::asked_while_killed(life, &mut member)?;
    let written = writer.last()?;
    ensure(!member.is_healthy()?, || "a member that was killed is called healthy".to_owned())?;
    narrator.note(&format!("killed after {written} acknowledged writes"));
    Ok(Before { server, written })
}

/// The instance is replaced: another address, the same volume, and meanwhile somebody has rotated the secret. The certificate
/// is also another one, which clients must not accept.
fn until_stopped(
    network: &Network,
    narrator: &Narrator,
    life: &Life,
    volume: &Path,
    before: &Before,
) -> Result<(), Trouble> {
    network.name_is(NAME, SECOND)?;
    let expired = life.definition.shape.series == Series::Lts;
    let secrets = life.secrets(ROTATED, if expired { NAME } else { "replica.neo4j.service" }, expired)?;
    let mut member = Member::start(network, &life.definition, "second", SECOND, volume, &secrets)?;
    member.open()?;
    narrator.note("the second start, on the same volume: Bolt's port is open");
    not_given_on(&member)?;
    not_written(&member)?;
    let console = member.console();
    ensure(!console.contains("assword"), || "the second start has to do with passwords".to_owned())?;
    if life.tls() {
        let why = if expired { "certificate has expired" } else { "Hostname mismatch" };
        let refused = life.client.cypher(&life.bolt(SECOND), &["RETURN 1"]).err().unwrap_or_default();
        ensure(refused.contains(why), || format!("{why}: that is not why the driver refused: {refused:?}"))?;
        until("HTTPS", || Ok(accepts(SECOND, 7473).then_some(())))?;
        let refused = life.client.get(&life.page(SECOND)).err().unwrap_or_default();
        ensure(refused.contains(why), || format!("{why}: that is not why HTTPS was refused: {refused:?}"))?;
        gateway::refuse(life, SECOND, if expired { "expired" } else { "not valid for name" })?;
    }
    let unverified = if life.tls() { format!("bolt+ssc://{SECOND}:{BOLT}") } else { life.bolt(SECOND) };
    let count = "MATCH (n:Written) RETURN count(DISTINCT n.number) AS written, max(n.number) AS last";
    let server = "SHOW DATABASES YIELD name, serverID, address WHERE name = 'neo4j'";
    let rows = life.client.cypher(&unverified, &[count, server])?;
    let (there, last) = (rows[0][0]["written"].as_u64(), rows[0][0]["last"].as_u64());
    // One more may have been on its way.
    ensure(there == last && last.is_some_and(|last| last >= before.written && last <= before.written + 1), || {
        format!("{} writes were acknowledged, and {there:?} are there, up to {last:?}", before.written)
    })?;
    ensure(rows[1][0]["serverID"] == before.server, || format!("{} came back as {}", before.server, rows[1]))?;
    ensure(rows[1][0]["address"] == format!("{SECOND}:{BOLT}"), || format!("its address is {}", rows[1]))?;

    let code = member.stop()?;
    ensure(code == 0, || format!("the stop ended with {code}"))?;
    let log = member.file("logs/debug.log")?;
    for database in ["[system/", "[neo4j/"] {
        // Calendar versions log JSON, in which quotes are escaped.
        let words = [database, "Database shutdown", "checkpoint completed"];
        let checkpoint = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        ensure(checkpoint, || format!("{database}…] had no checkpoint when it was stopped"))?;
    }
    not_written(&member)?;
    narrator.note("stopped, with a checkpoint");
    Ok(())
}

fn has_password(text: &str) -> bool {
    FORBIDDEN.iter().any(|part| text.contains(part))
}

/// The password is in no environment and no argument of a running container but in the environment of its first process, which
/// is not Neo4j's.
fn not_given_on(member: &Member) -> Result<(), Trouble> {
    let processes = member.processes()?;
    ensure(processes.len() >= 2, || format!("a member that runs has only {processes:?}"))?;
    // As docs/security.md has it: the first process keeps what it was given, and only root may look.
    let first = &processes[0];
    ensure(has_password(&first.environment), || "the first process was given no password".to_owned())?;
    let looked = Command::new("setpriv")
        .args(["--reuid", "7474", "--regid", "7474", "--clear-groups", "cat"])
        .arg(format!("/proc/{}/environ", first.id))
        .output()
        .map_err(|e| e.to_string())?;
    ensure(!looked.status.success(), || "Neo4j's user may read the environment of the first process".to_owned())?;
    for process in &processes[1..] {
        let line = process.arguments.replace('\n', " ");
        // Else nothing was read.
        ensure(process.environment.contains("JAVA_HOME="), || format!("nobody can read the environment of {line}"))?;
        ensure(!has_password(&process.arguments), || format!("the password is in the arguments of {line}"))?;
        ensure(!has_password(&process.environment), || format!("the password is in the environment of {line}"))?;
        for variable in ["NEO4J_AUTH=", "ADMIN_PASSWORD=", "TLS_KEY=", "EXTENSION_SCRIPT="] {
            ensure(!process.environment.contains(variable), || format!("{variable} is in the environment of {line}"))?;
        }
    }
    Ok(())
}

/// The password is neither on the console nor in a file of the container.
fn not_written(member: &Member) -> Result<(), Trouble> {
    ensure(!has_password(&member.console()), || "the password is on the console".to_owned())?;
    let files = ["logs", "tmp", "var/lib/neo4j/conf"].map(|folder| found_in(&member.root.join(folder)));
    let read = files.into_iter().sum::<Result<usize, Trouble>>()?;
    ensure(read > 2, || format!("only {read} files were looked at"))
}

/// Looks for the password in the files of a folder. Returns how many there are.
fn found_in(folder: &Path) -> Result<usize, Trouble> {
    let mut read = 0;
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            read += found_in(&path)?;
        } else if let Ok(bytes) = std::fs::read(&path) {
            let has = has_password(&String::from_utf8_lossy(&bytes));
            ensure(!has, || format!("the password is in {}", path.display()))?;
            read += 1;
        }
    }
    Ok(read)
}

/// Neo4j itself says that it runs with what the definition has.
fn as_defined(life: &Life, address: Ipv4Addr) -> Result<(), Trouble> {
    let rows = life.client.cypher(&life.bolt(address), &["SHOW SETTINGS YIELD name, value"])?;
    let rows = rows[0].as_array().into_iter().flatten();
    let has: std::collections::BTreeMap<_, _> =
        rows.map(|row| (row["name"].as_str().unwrap_or_default(), row["value"].as_str().unwrap_or_default())).collect();
    let listed = |name: &str| super::settings::ENTERPRISE.iter().any(|listed| listed.name == name);
    for (name, value) in super::settings::of(life.definition.shape) {
        // Those of memory are smaller in a test, and shown in other units.
        if listed(&name) || name.starts_with("server.memory") {
            continue;
        }
        let value = value.replace("10.0.1.11", &address.to_string());
        let is_so = has.get(name.as_str()).copied().unwrap_or_default();
        let holds = is_so == value || (name == "server.jvm.additional" && is_so.lines().any(|line| line == value));
        ensure(holds, || format!("{name} is {is_so:?} in Neo4j, not {value:?}"))?;
    }
    Ok(())
}

/// Ports and certificates: who is served how.
fn served(life: &Life, member: &Member) -> Result<(), Trouble> {
    let page = life.page(member.address);
    // HTTP opens after Bolt.
    let port = if life.tls() { 7473 } else { 7474 };
    until("HTTP", || Ok(accepts(member.address, port).then_some(())))?;
    let body = life.client.get(&page)?;
    let body: Value = serde_json::from_str(&body).map_err(|e| format!("no JSON: {e}"))?;
    ensure(body["neo4j_version"].is_string(), || format!("that is no Neo4j: {body}"))?;
    let open = [7473, 7474, BOLT].map(|port| accepts(member.address, port));
    if !life.tls() {
        ensure(open == [false, true, true], || format!("7473, 7474 and 7687 are {open:?} without certificates"))?;
        let refused = life.client.cypher(&format!("bolt+ssc://{}:{BOLT}", member.address), &["RETURN 1"]);
        return ensure(refused.is_err(), || "Bolt speaks TLS without a certificate".to_owned());
    }
    ensure(open == [true, false, true], || format!("7473, 7474 and 7687 are {open:?} with certificates"))?;
    let refused = life.client.cypher(&format!("bolt://{}:{BOLT}", member.address), &["RETURN 1"]);
    ensure(refused.is_err(), || "Bolt speaks clear text beside TLS".to_owned())?;
    let by_address = life.client.cypher(&format!("bolt+s://{}:{BOLT}", member.address), &["RETURN 1"]);
    let by_address = by_address.err().unwrap_or_default();
    ensure(by_address.contains("mismatch"), || format!("the certificate names an address: {by_address:?}"))?;
    let inside = ["/bin/bash", "-c", "< /dev/tcp/127.0.0.1/7474"].map(str::to_owned);
    ensure(member.run(&inside)?.success(), || "7474 is not open on loopback".to_owned())?;
    // Only Neo4j may read the keys.
    for scope in ["bolt", "https", "cluster"] {
        let path = member.root.join(format!("ssl/{scope}/private.key"));
        let found = std::fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let (mode, owner) =
            (std::os::unix::fs::MetadataExt::mode(&found) & 0o777, std::os::unix::fs::MetadataExt::uid(&found));
        ensure((mode, owner) == (0o600, 7474), || format!("{}: {mode:o} of {owner}", path.display()))?;
    }
    Ok(())
}

pub(super) fn server_id(life: &Life, address: Ipv4Addr) -> Result<Value, Trouble> {
    let shown = "SHOW DATABASES YIELD name, serverID WHERE name = 'neo4j' RETURN serverID";
    let rows = life.client.cypher(&life.bolt(address), &[shown])?;
    let id = rows[0][0]["serverID"].clone();
    ensure(id.is_string(), || format!("no server id: {rows:?}"))?;
    Ok(id)
}

/// A JVM that stands still answers nothing, and stays: the kernel still accepts connections for it.
fn at_a_standstill(life: &Life, member: &Member) -> Result<(), Trouble> {
    member.signal_neo4j("STOP")?;
    let (health, page) = (member.is_healthy(), life.client.get_within(&life.page(member.address), 2));
    member.signal_neo4j("CONT")?;
    ensure(page.is_err(), || "HTTP answers while Neo4j stands still".to_owned())?;
    ensure(health?, || "a member that stands still is called unhealthy".to_owned())?;
    life.client.get(&life.page(member.address)).map(drop)
}
