//! A boot: what cloud-init and systemd make of an instance's user data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use saphyr::{LoadableYamlNode, Yaml};


/// How the device of a volume is called, but for the volume's id without its dash.
const DEVICE: &str = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol";
/// How long systemd waits for a device when nothing else is said (systemd-system.conf(5), `DefaultDeviceTimeoutSec`).
const PATIENCE: i64 = 90;

/// What user data says, and how far the instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// `ECS_CLUSTER`.
    pub cluster: String,
    /// `ECS_INSTANCE_ATTRIBUTES`.
    pub attributes: BTreeMap<String, String>,
    /// Whether the data volume is mounted.
    pub mounted: bool,
    /// How far the agent is.
    pub agent: Agent,
    /// Whether the agent started without the mount.
    pub(crate) root_disk: bool,
    /// When this boot began.
    pub(crate) began: Option<Timestamp>,
    fstab: Option<Mount>,
    /// Whether systemd reads what cloud-init wrote: it does at each boot but the first, where it has to be told.
    loaded: bool,
}

/// How far the agent of an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It waits for cloud-init and for its mount.
    Waiting,
    /// It has started, and registers then.
    Starting(Timestamp),
    /// It is connected.
    Connected,
    /// It is silent.
    Silent,
}

/// A line of `/etc/fstab` for a data volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume's id.
    pub volume: String,
    /// The mount point.
    pub path: String,
    /// Whether a volume without any signature is formatted.
    pub formats: bool,
    /// Whether a drop-in holds the agent back until it is mounted.
    pub holds_agent: bool,
    /// Seconds that systemd waits for the device; none for ever.
    pub patience: Option<i64>,
}

impl Mount {
    /// The last line of a file that mounts XFS from a data volume.
    fn read(fstab: &str) -> Option<Self> {
        fstab.lines().rev().find_map(|line| {
            let mut fields = line.split_whitespace();
            let (device, path, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let volume = format!("vol-{}", device.strip_prefix(DEVICE).filter(|_| kind == "xfs")?);
            let mut options = options.split(',');
            let formats = options.clone().any(|option| option == "x-systemd.makefs");
            let patience = options.find_map(|option| option.strip_prefix("x-systemd.device-timeout="));
            let patience = match patience.map(|value| value.trim_end_matches('s')) {
                Some("0" | "infinity") => None,
                Some(seconds) => Some(seconds.parse().unwrap_or(PATIENCE)),
                None => Some(PATIENCE),
            };
            Some(Self { volume, path: path.to_owned(), formats, holds_agent: false, patience })
        })
    }
}

impl Boot {
    /// What user data asks for; anything but cloud-config asks for nothing.
    pub(super) fn read(user_data: &str) -> Self {
        let config = user_data.starts_with("#cloud-config").then(|| Yaml::load_from_str(user_data).ok()).flatten();
        let config = config.as_ref().and_then(|documents| documents.first());
        let files = config.map(files).unwrap_or_default();
        let file = |path: &str| files.get(path).map_or("", String::as_str);
        let setting = |name: &str| {
            let mut lines = file("/etc/ecs/ecs.config").lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned()))
        };
        let attributes = setting("ECS_INSTANCE_ATTRIBUTES").and_then(|json| serde_json::from_str(&json).ok());
        let mut fstab = Mount::read(file("/etc/fstab"));
        let drop_ins = files.iter().filter(|(path, _)| path.starts_with("/etc/systemd/system/ecs.service.d/"));
        let drop_ins: Vec<_> = drop_ins.flat_map(|(_, content)| content.lines().map(str::trim)).collect();
        if let Some(mount) = &mut fstab {
            mount.holds_agent = ["RequiresMountsFor", "AssertPathIsMountPoint"]
                .iter()
                .all(|what| drop_ins.contains(&format!("{what}={}", mount.path).as_str()));
        }
        Self {
            cluster: setting("ECS_CLUSTER").unwrap_or_else(|| "default".to_owned()),
            attributes: attributes.unwrap_or_default(),
            mounted: false,
            agent: Agent::Waiting,
            root_disk: false,
            began: None,
            fstab,
            loaded: config
                .is_some_and(|config| words(config, "runcmd").iter().any(|word| word.contains("daemon-reload"))),
        }
    }

    /// The mount that systemd knows of.
    #[must_use]
    pub fn mount(&self) -> Option<&Mount> {
        self.fstab.as_ref().filter(|_| self.loaded)
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        self.began = Some(now);
    }

    pub(crate) fn begin_again(&mut self, now: Timestamp) {
        (self.began, self.loaded, self.mounted, self.agent) = (Some(now), true, false, Agent::Waiting);
    }
}

/// The files that `write_files` leaves behind, by path.
fn files(config: &Yaml<'_>) -> BTreeMap<String, String> {
    let mut files = BTreeMap::<String, String>::new();
    let list = config.as_mapping_get("write_files").and_then(Yaml::as_sequence);
    for file in list.into_iter().flatten() {
        let text = |key: &str| file.as_mapping_get(key).and_then(Yaml::as_str).unwrap_or_default();
        let appends = file.as_mapping_get("append").and_then(Yaml::as_bool).unwrap_or(false);
        let content = files.entry(text("path").to_owned()).or_default();
        if !appends {
            content.clear();
        }
        content.push_str(text("content"));
    }
    files
}

/// Every text in a list, or in the lists that it holds.
fn words(config: &Yaml<'_>, key: &str) -> Vec<String> {
    let entries = config.as_mapping_get(key).and_then(Yaml::as_sequence).into_iter().flatten();
    let texts = entries.flat_map(|entry| match entry.as_sequence() {
        Some(words) => words.iter().filter_map(Yaml::as_str).collect(),
        None => entry.as_str().into_iter().collect::<Vec<_>>(),
    });
    texts.map(str::to_owned).collect()
}
