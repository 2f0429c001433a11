use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use cluster_core::{
    instance::{Away, Clocks, Notice, NoticeKind},
    neo4j::{Down, Memory, Silent, monitor::AdminRefused},
};
use jiff::Timestamp;

use super::{Item, readiness::READINESS, text, time};

/// The prefix of the sort keys of disconnected container instances; their ARN follows.
const DISCONNECTED: &str = "disconnected/";
/// The prefix of the sort keys of cores that are not whole; their number follows.
const NOT_WHOLE: &str = "not-whole/";
/// The prefix of the sort keys of instances on their way out; their id follows.
const LEAVING: &str = "leaving/";
const EMPTY: &str = "empty/";
/// The prefix of the sort keys of what EC2 has announced about instances; their id follows.
const NOTICE: &str = "notice/";
/// The prefix of the sort keys of cores whose member was restarted; their number follows.
const RESTART: &str = "restart/";
/// The prefix of the sort keys of members that have answered; their task's id follows.
const ANSWERED: &str = "answered/";
/// The prefix of the sort keys of members that had answered and are silent; their task's id follows.
const SILENT: &str = "silent/";
/// The prefix of the sort keys of members that left a statement unanswered; their task's id follows.
const UNANSWERED: &str = "unanswered/";
/// The prefix of the sort keys of databases that are down; their name follows.
const DOWN: &str = "down/";
/// The prefix of the sort keys of cores whose server is known; their number follows.
const SERVER: &str = "server/";

/// The sort key of the last declaration of the user that asks.
const DECLARED: &str = "monitor-declared";
/// The sort key of the administrator's login that was refused.
const ADMIN_REFUSED: &str = "admin-refused";

/// What one sweep remembers for the next, since neither AWS nor Neo4j reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The clocks of conditions that AWS does not date.
    pub clocks: Clocks,
    /// What is remembered of Neo4j.
    pub neo4j: Memory,
}

impl Remembered {
    /// Returns the items by sort key, without their keys.
    pub(super) fn items(&self) -> BTreeMap<String, Item> {
        let Self { clocks, neo4j } = self;
        let disconnected = clocks.disconnected.iter().map(|(arn, away)| (format!("{DISCONNECTED}{arn}"), clock(*away)));
        // For these it does not matter when they were last seen.
        let not_whole = clocks.not_whole.iter().map(|(core, since)| (format!("{NOT_WHOLE}{core}"), started(*since)));
        let leaving = clocks.leaving.iter().map(|(id, since)| (format!("{LEAVING}{id}"), dated(*since)));
        let empty = clocks.empty.iter().map(|(id, since)| (format!("{EMPTY}{id}"), dated(*since)));
        let notices = clocks.notices.iter().map(|(id, notice)| (format!("{NOTICE}{id}"), announced(*notice)));
        let restarts = clocks.restarts.iter().map(|(core, at)| (format!("{RESTART}{core}"), restarted(at)));
        let answered = neo4j.answered.iter().map(|(task, at)| (format!("{ANSWERED}{task}"), started(*at)));
        let unanswered = neo4j.unanswered.iter().map(|(task, at)| (format!("{UNANSWERED}{task}"), started(*at)));
        let silent = neo4j.silent.iter().map(|(task, silent)| (format!("{SILENT}{task}"), quiet(*silent)));
        let down = neo4j.down.iter().map(|(database, Down { sweeps, seen })| {
            let sweeps = ("sweeps".to_owned(), AttributeValue::N(sweeps.to_string()));
            (format!("{DOWN}{database}"), [sweeps, ("since".to_owned(), time(*seen))].into())
        });
        let servers = neo4j
            .servers
            .iter()
            .map(|(core, id)| (format!("{SERVER}{core}"), [("id".to_owned(), AttributeValue::S(id.clone()))].into()));
        let declared = neo4j.monitor.declared.iter().map(|at| (DECLARED.to_owned(), started(*at)));
        let refused = neo4j.monitor.admin_refused.iter().map(|AdminRefused { version, at }| {
            let version = ("version".to_owned(), AttributeValue::S(version.clone()));
            (ADMIN_REFUSED.to_owned(), [version, ("since".to_owned(), time(*at))].into())
        });
        disconnected
            .chain(not_whole)
            .chain(leaving)
            .chain(empty)
            .chain(notices)
            .chain(restarts)
            .chain(answered)
            .chain(unanswered)
            .chain(silent)
            .chain(down)
            .chain(servers)
            .chain(declared)
            .chain(refused)
            .collect()
    }

    /// Adds what an item holds, unless its key is not one of ours. Returns whether the item is readable.
    pub(super) fn add(&mut self, item: &Item) -> bool {
        let sort = text(item, "sk").unwrap_or_default();
        if let Some(core) = sort.strip_prefix(SERVER).and_then(|core| core.parse().ok()) {
            let id = text(item, "id").filter(|id| !id.is_empty());
            return id.map(|id| self.neo4j.servers.insert(core, id.to_owned())).is_some();
        }
        if let Some(core) = sort.strip_prefix(RESTART).and_then(|core| core.parse().ok()) {
            let (times, readable) = restarts(item);
            if !times.is_empty() {
                self.clocks.restarts.insert(core, times);
            }
            return readable;
        }
        // Another function's.
        if sort == READINESS {
            return true;
        }
        let at = |name: &str| -> Option<Timestamp> { text(item, name)?.parse().ok() };
        let Some(since) = at("since") else { return false };
        if sort == DECLARED {
            self.neo4j.monitor.declared = Some(since);
        } else if sort == ADMIN_REFUSED {
            let version = text(item, "version").unwrap_or_default().to_owned();
            self.neo4j.monitor.admin_refused = Some(AdminRefused { version, at: since });
        } else if let Some(arn) = sort.strip_prefix(DISCONNECTED) {
            self.clocks.disconnected.insert(arn.into(), Away { since, seen: at("seen").unwrap_or(since) });
        } else if let Some(core) = sort.strip_prefix(NOT_WHOLE).and_then(|core| core.parse().ok()) {
            self.clocks.not_whole.insert(core, since);
        } else if let Some(id) = sort.strip_prefix(LEAVING) {
            self.clocks.leaving.insert(id.into(), since);
        } else if let Some(id) = sort.strip_prefix(EMPTY) {
            self.clocks.empty.insert(id.into(), since);
        } else if let Some(id) = sort.strip_prefix(NOTICE) {
            let Some(kind) = text(item, "kind").and_then(kind) else { return false };
            self.clocks.notices.insert(id.into(), Notice { since, kind });
        } else if let Some(task) = sort.strip_prefix(ANSWERED) {
            self.neo4j.answered.insert(task.to_owned(), since);
        } else if let Some(task) = sort.strip_prefix(UNANSWERED) {
            self.neo4j.unanswered.insert(task.to_owned(), since);
        } else if let Some(task) = sort.strip_prefix(SILENT) {
            let silent = Silent { since, seen: at("seen").unwrap_or(since), alone: at("alone") };
            self.neo4j.silent.insert(task.to_owned(), silent);
        } else if let Some(database) = sort.strip_prefix(DOWN) {
            let sweeps = item.get("sweeps").and_then(|value| value.as_n().ok()).and_then(|sweeps| sweeps.parse().ok());
            self.neo4j.down.insert(database.to_owned(), Down { sweeps: sweeps.unwrap_or(1), seen: since });
        }
        true
    }
}

/// The names of the kinds of notices.
const KINDS: [(NoticeKind, &str); 2] = [(NoticeKind::Spot, "spot"), (NoticeKind::Rebalance, "rebalance")];

fn kind(name: &str) -> Option<NoticeKind> {
    KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
}

fn announced(notice: Notice) -> Item {
    let name = KINDS.iter().find(|(kind, _)| *kind == notice.kind).map_or("", |(_, name)| *name);
    let kind = ("kind".to_owned(), AttributeValue::S(name.to_owned()));
    dated(notice.since).into_iter().chain([kind]).collect()
}

fn restarted(at: &[Timestamp]) -> Item {
    [("at".to_owned(), AttributeValue::L(at.iter().map(|at| time(*at)).collect()))].into()
}

/// Reads the times of restarts: those that are readable, and whether all are.
fn restarts(item: &Item) -> (Vec<Timestamp>, bool) {
    let Some(listed) = item.get("at").and_then(|value| value.as_l().ok()) else { return (Vec::new(), false) };
    let mut times: Vec<Timestamp> = listed.iter().filter_map(|at| at.as_s().ok()?.parse().ok()).collect();
    times.sort();
    let readable = times.len() == listed.len();
    (times, readable)
}

fn quiet(Silent { since, seen, alone }: Silent) -> Item {
    let alone = alone.map(|at| ("alone".to_owned(), time(at)));
    clock(Away { since, seen }).into_iter().chain(alone).collect()
}

fn dated(at: Timestamp) -> Item {
    [("since".to_owned(), time(at))].into()
}

fn started(at: Timestamp) -> Item {
    clock(Away { since: at, seen: at })
}

fn clock(Away { since, seen }: Away) -> Item {
    [("since", since), ("seen", seen)].map(|(name, at)| (name.to_owned(), time(at))).into()
}
