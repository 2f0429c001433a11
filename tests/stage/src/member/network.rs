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
/// When the story fails; the consoles of its members are shown.
pub fn apart(test: &str, story: impl FnOnce(&Network, &Narrator) -> Result<(), Trouble>) {
    if set(APART) {
        return play(test, story);
    }
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let tried = Command::new("unshare").args(namespaces).args(["ip", "link", "set", "lo", "up"]).output();
    if let Some(why) = match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    } {
        let why = format!("{test} needs root, unshare and ip (Debian: util-linux, iproute2): {why}");
        assert!(!set("CI"), "{why}");
        return println!("not tried here: {why}");
    }
    let program = std::env::current_exe().unwrap();
    let again = Command::new("unshare")
        .args(namespaces)
        .arg(program)
        .args([test, "--exact", "--nocapture", "--quiet"])
        .env(APART, "yes")
        .status();
    assert!(again.unwrap().success(), "{test} failed");
}

#[expect(clippy::disallowed_methods, reason = "what a test is told, not a function")]
fn set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !value.is_empty())
}

fn play(test: &str, story: impl FnOnce(&Network, &Narrator) -> Result<(), Trouble>) {
    let narrator = Narrator::new();
    narrator.title(test);
    let network = Network::open(test).unwrap();
    if let Err(trouble) = story(&network, &narrator) {
        network.show_consoles();
        panic!("{trouble}");
    }
}

impl Network {
    fn open(test: &str) -> Result<Self, Trouble> {
        let folder = root().join("target/stage/members").join(test);
        _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        // `ip netns` keeps names below /run.
        run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]))?;
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
        let file = self.folder.join("resolv.conf");
        std::fs::write(&file, format!("nameserver {server}\n")).map_err(|e| format!("{}: {e}", file.display()))?;
        // Where it is a link, what it points to was below /run.
        let place = Path::new("/etc/resolv.conf");
        let place = std::fs::read_link(place).map_or(place.to_owned(), |target| Path::new("/etc").join(target));
        if let Some(parent) = place.parent() {
            _ = std::fs::create_dir_all(parent);
        }
        if !place.exists() {
            std::fs::write(&place, "").map_err(|e| format!("{}: {e}", place.display()))?;
        }
        run(Command::new("mount").arg("--bind").arg(file).arg(place))
    }

    fn show_consoles(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok) {
            if let Ok(text) = std::fs::read_to_string(entry.path().join("console.log")) {
                eprintln!("--- the console of {}\n{text}", entry.file_name().display());
            }
        }
    }
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
