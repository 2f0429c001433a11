//! A network of a story's own: nobody else's ports, addresses, mounts and processes are met, and all of it ends with the story.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    narrator::Narrator,
    stage::{Trouble, root},
};

/// Set in the process that plays a story.
const APART: &str = "CLUSTER_STAGE_APART";
/// The file that a story leaves at its end.
const PLAYED: &str = "played";
/// Where the story itself is: clients, DNS.
pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 1);
const LENGTH: u8 = 16;

/// The network of a story.
#[derive(Debug)]
pub struct Network {
    /// What the story writes.
    pub folder: PathBuf,
}

/// Plays a test in namespaces of its own. It is started again there, as the only one, by its name.
///
/// Without root there can be none: the story is left out with a message, and fails where `CI` is set.
///
/// # Panics
/// When the story fails, and when no test has this name; the consoles of its members are shown.
pub fn apart(test: &str, story: impl FnOnce(&Network, &Narrator) -> Result<(), Trouble>) {
    let folder = root().join("target/stage/members").join(test);
    if set(APART) {
        return play(test, folder, story);
    }
    // Everything that a story needs, and that a container without privileges has not.
    let probe = "ip link set lo up && ip link add name probe type bridge && ip link add name probe-1 type veth peer name probe-2";
    if let Some(why) = match in_namespaces().args(["/bin/sh", "-c", probe]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    } {
        let why = format!("{test} needs root, and namespaces with bridges (Debian: util-linux, iproute2): {why}");
        assert!(!set("CI"), "{why}");
        return println!("not tried here: {why}");
    }
    _ = std::fs::remove_dir_all(&folder);
    let mut again = in_namespaces();
    again.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture", "--quiet"]).env(APART, "yes");
    assert!(again.status().unwrap().success(), "{test} failed");
    assert!(folder.join(PLAYED).exists(), "no test has the name {test}: nothing was played");
    // Stores are large. What failed stays.
    _ = std::fs::remove_dir_all(&folder);
}

/// Returns a command that runs another one in namespaces of its own, which end with whoever started it, however that ends.
fn in_namespaces() -> Command {
    // What it makes is read by another user.
    let script =
        "umask 022; exec setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "apart"]);
    command
}

#[expect(clippy::disallowed_methods, reason = "what a test is told, not a function")]
fn set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !value.is_empty())
}

fn play(test: &str, folder: PathBuf, story: impl FnOnce(&Network, &Narrator) -> Result<(), Trouble>) {
    let narrator = Narrator::new();
    narrator.title(test);
    let network = Network::open(folder).unwrap();
    if let Err(trouble) = story(&network, &narrator) {
        panic!("{trouble}");
    }
    std::fs::write(network.folder.join(PLAYED), "").unwrap();
}

/// However a story fails, the consoles say more.
impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_consoles();
        }
    }
}

impl Network {
    fn open(folder: PathBuf) -> Result<Self, Trouble> {
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        // `ip netns` keeps names below /run. A copy of /etc, which no file of this machine's is written through.
        run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]))?;
        run(Command::new("cp").args(["-a", "/etc", "/run/etc"]))?;
        run(Command::new("mount").args(["--bind", "/run/etc", "/etc"]))?;
        ip("link set lo up")?;
        ip("link add members type bridge")?;
        ip(&format!("address add {HERE}/{LENGTH} dev members"))?;
        ip("link set members up")?;
        Ok(Self { folder })
    }

    /// Adds a network with one address, as an instance has.
    ///
    /// # Errors
    /// When there cannot be one.
    pub fn add(&self, name: &str, address: Ipv4Addr) -> Result<(), Trouble> {
        let outside = format!("v-{name}");
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {outside} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {outside} master members up"))?;
        ip(&format!("-n {name} address add {address}/{LENGTH} dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))
    }

    /// Takes a network away, as when an instance goes.
    ///
    /// # Errors
    /// When that fails.
    pub fn remove(&self, name: &str) -> Result<(), Trouble> {
        ip(&format!("link delete v-{name}"))?;
        ip(&format!("netns delete {name}"))
    }

    /// Lets this machine's resolver, as far as this story goes, ask one server for every name.
    ///
    /// # Errors
    /// When that fails.
    pub fn resolve_by(&self, server: Ipv4Addr) -> Result<(), Trouble> {
        etc("resolv.conf", &format!("nameserver {server}\n"))
    }

    /// Lets a name stand for an address, as far as this story goes.
    ///
    /// # Errors
    /// When that fails.
    pub fn name_is(&self, name: &str, address: Ipv4Addr) -> Result<(), Trouble> {
        etc("hosts", &format!("127.0.0.1 localhost\n{address} {name}\n"))
    }

    fn show_consoles(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok) {
            if let Ok(text) = std::fs::read_to_string(entry.path().join("console.log")) {
                eprintln!("--- the console of {}\n{text}", entry.file_name().display());
            }
        }
    }
}

/// Writes a file of the copy of /etc. What is there may be a link that leads nowhere.
fn etc(name: &str, text: &str) -> Result<(), Trouble> {
    let file = Path::new("/etc").join(name);
    _ = std::fs::remove_file(&file);
    std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))
}

/// Says whether a port accepts connections.
#[must_use]
pub fn accepts(address: Ipv4Addr, port: u16) -> bool {
    let socket = SocketAddrV4::new(address, port).into();
    std::net::TcpStream::connect_timeout(&socket, std::time::Duration::from_secs(1)).is_ok()
}

fn ip(words: &str) -> Result<(), Trouble> {
    run(Command::new("ip").args(words.split(' ')))
}

/// Runs a command, and returns what it says when it fails.
pub(super) fn run(command: &mut Command) -> Result<(), Trouble> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
