//! A small model of Raft groups, independent of the gate: what is true, and how it may look to whoever asks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::cluster::{member, page, raft_id, server};
use crate::{
    neo4j::{Answer, Check, Copy, Database, Fault, Kind, Raft, Server, View},
    quorum::{Going, Observed},
};

/// What is true of a database.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) requested: u32,
    /// The cores with a copy.
    pub(super) hosts: BTreeSet<u8>,
    /// Who votes: cores, and servers that stopped long ago (above 100).
    pub(super) voters: BTreeSet<u8>,
    /// The cores that vote and apply. All others are dead, cut off, broken, starting or copying.
    pub(super) healthy: BTreeSet<u8>,
    pub(super) never_online: bool,
}

impl Group {
    /// Returns whether these cores are a majority of the requested primaries.
    pub(super) fn has_majority(&self, without: impl Fn(u8) -> bool) -> bool {
        self.healthy.iter().filter(|core| !without(**core)).count() > self.requested as usize / 2
    }

    /// Returns whether nobody could keep it writable while one server is down.
    pub(super) fn is_consent(&self) -> bool {
        self.requested < 3
    }
}

/// What is true of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) cores: u8,
    pub(super) groups: Vec<Group>,
    /// Whether the version knows the status check.
    checks: bool,
}

/// How well a cluster is, in percent.
fn health() -> impl Strategy<Value = f64> {
    select(vec![1.0, 0.97, 0.9, 0.6])
}

fn group(cores: u8, name: &'static str) -> impl Strategy<Value = Group> {
    let system = name == "system";
    let requested = if system {
        Just(u32::from(cores)).boxed()
    } else {
        prop_oneof![6 => 1..=u32::from(cores), 1 => 1..=7u32].boxed()
    };
    let size = usize::from(cores);
    (requested, vec(any::<u16>(), size), health(), health(), vec(0.0..1.0f64, size * 2), 0..3u8, 0..20u8).prop_map(
        move |(requested, order, shrinks, breaks, dice, departed, never)| {
            let mut ranked: Vec<u8> = (1..=cores).collect();
            ranked.sort_by_key(|core| order[usize::from(*core) - 1]);
            let hosts: BTreeSet<u8> = ranked.into_iter().take(requested as usize).collect();
            let die = |core: &u8, at: usize| dice[(usize::from(*core) - 1) * 2 + at];
            let mut voters: BTreeSet<u8> = hosts.iter().copied().filter(|core| die(core, 0) < shrinks).collect();
            let mut healthy: BTreeSet<u8> = voters.iter().copied().filter(|core| die(core, 1) < breaks).collect();
            voters.extend((0..departed.saturating_sub(1)).map(|voter| 101 + voter));
            let never_online = never == 0 && !system;
            if never_online {
                healthy.clear();
            }
            Group { name: name.to_owned(), requested, hosts, voters, healthy, never_online }
        },
    )
}

pub(super) fn truth() -> impl Strategy<Value = Truth> {
    select(vec![3u8, 5, 7]).prop_flat_map(|cores| {
        let others = ["neo4j", "shop", "users"].map(|name| option::weighted(0.6, group(cores, name)));
        (group(cores, "system"), others, prop::bool::weighted(0.9)).prop_map(move |(system, others, checks)| Truth {
            cores,
            groups: std::iter::once(system).chain(others.into_iter().flatten()).collect(),
            checks,
        })
    })
}

/// A die that is thrown for each thing that may look otherwise than it is.
pub(super) struct Dice {
    seed: u64,
    /// How often something is distorted, in 1,000.
    often: u64,
}

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64: a case is told by its seed alone.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn distorts(&mut self) -> bool {
        self.next() % 1_000 < self.often
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.next() % of.len() as u64).unwrap()].clone()
    }

    fn some_of(&mut self, of: &BTreeSet<u8>) -> BTreeSet<u8> {
        of.iter().copied().filter(|_| self.coin()).collect()
    }
}

/// How the unhealthy vote of a core shows: at least here. Everywhere else it may look well.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tell {
    OwnCopy,
    Participating,
    Healthy,
    NoPage,
    NotReplicated,
    Peers,
}

fn id(voter: u8) -> String {
    if voter > 100 { format!("raft-old-{voter}") } else { raft_id(voter) }
}

/// Returns what the cluster may look like to whoever asks. Everything may look worse than it is. What is broken may look
/// well in all but one respect; one core may know an older number of primaries, and who votes may be old knowledge
/// everywhere.
pub(super) fn look(truth: &Truth, seed: u64, often: u64) -> Observed {
    let dice = &mut Dice { seed, often };
    let cores = 1..=truth.cores;
    let mut tells: BTreeMap<(u8, &str), Tell> = BTreeMap::new();
    for group in &truth.groups {
        for core in cores.clone().filter(|core| !group.healthy.contains(core)) {
            let mut ways = vec![Tell::OwnCopy, Tell::Participating, Tell::Healthy, Tell::NoPage];
            if truth.checks && group.requested > 1 {
                ways.extend([Tell::NotReplicated, Tell::Peers]);
            }
            tells.insert((core, &group.name), dice.one_of(&ways));
        }
    }
    // Nobody at all when nothing is distorted.
    let strikes = |dice: &mut Dice, one_in: u64| often > 0 && dice.next().is_multiple_of(one_in);
    let behind = strikes(dice, 3).then(|| dice.one_of(&cores.clone().collect::<Vec<_>>()));
    let mut observed = Observed {
        cores: truth.cores,
        servers: cores.clone().filter(|_| !dice.distorts()).map(|core| (core, server(core))).collect(),
        ..Observed::default()
    };
    for sweep in 0..2 {
        // What is down in truth may have been seen so before, and nothing else.
        let down = truth.groups.iter().filter(|group| !group.has_majority(|_| false));
        observed.down_before[sweep] = down.filter(|_| dice.coin()).map(|group| group.name.clone()).collect();
    }
    for core in cores.clone() {
        if dice.distorts() && dice.coin() {
            continue;
        }
        let answer = (!dice.distorts()).then(|| answer(truth, core, Some(core) == behind, &tells, dice));
        let mut found = member(core, answer);
        if strikes(dice, 12) {
            found.going = Some(dice.one_of(&[Going::Spot, Going::NotWanted, Going::Unhealthy, Going::Draining]));
        }
        observed.members.push(found);
    }
    observed
}

fn answer(truth: &Truth, core: u8, behind: bool, tells: &BTreeMap<(u8, &str), Tell>, dice: &mut Dice) -> Answer {
    let fault = |dice: &mut Dice| {
        Fault::new(
            dice.one_of(&[Kind::Silent, Kind::LoginRefused, Kind::Failed, Kind::NotFound, Kind::NotAsked]),
            "a fault",
        )
    };
    let mut raft = Vec::new();
    let mut databases = Vec::new();
    let mut checks = Vec::new();
    for group in &truth.groups {
        let tell = tells.get(&(core, group.name.as_str())).copied();
        let hosts = group.hosts.contains(&core);
        if hosts && tell != Some(Tell::NoPage) && !dice.distorts() {
            raft.push(raft_of(group, core, tell, dice));
        }
        if !dice.distorts() {
            databases.push(row_of(group, core, behind, tell, dice));
        }
        if hosts && group.requested > 1 && !dice.distorts() {
            checks.extend(checks_of(group, core, tell, tells, dice));
        }
    }
    let hosting: BTreeSet<String> =
        truth.groups.iter().filter(|group| group.hosts.contains(&core)).map(|group| group.name.clone()).collect();
    let mut own = Server {
        id: server(core),
        address: None,
        state: "Enabled".into(),
        health: "Available".into(),
        requested: hosting.clone(),
        hosting,
        version: None,
    };
    if dice.distorts() {
        own.requested.pop_first();
    }
    let mut answered = Answer {
        page: Ok(page()),
        raft: Ok(raft),
        view: Ok(View { server: Some(server(core)), servers: vec![own], databases }),
        check: Ok(checks),
        ..member_answer(core)
    };
    if !truth.checks {
        let page = answered.page.as_mut().unwrap();
        page.version = "5.20.0".into();
        answered.check = Err(Fault::new(Kind::NotFound, "Neo.ClientError.Procedure.ProcedureNotFound"));
    }
    if dice.distorts() {
        answered.view.as_mut().unwrap().server = dice.one_of(&[None, Some(format!("server-new-{core}"))]);
    }
    match dice.distorts().then(|| dice.one_of(&[0, 1, 2, 3])) {
        Some(0) => answered.page = Err(fault(dice)),
        Some(1) => answered.raft = Err(fault(dice)),
        Some(2) => answered.view = Err(fault(dice)),
        Some(3) if truth.checks => answered.check = Err(fault(dice)),
        _ => {}
    }
    answered
}

fn member_answer(core: u8) -> Answer {
    let nothing = || Fault::new(Kind::NotAsked, "");
    let (raft, view, check) = (Err(nothing()), Err(nothing()), Err(nothing()));
    let task = format!("{core}a5c0ffee0000000");
    Answer { task, address: [10, 0, core, 10].into(), page: Err(nothing()), raft, view, check, millis: 1 }
}

fn raft_of(group: &Group, core: u8, tell: Option<Tell>, dice: &mut Dice) -> Raft {
    let leader = group.healthy.first().or(group.voters.first()).copied();
    let mut voters = group.voters.clone();
    if dice.distorts() {
        let (some, older) = (dice.some_of(&group.hosts), dice.some_of(&group.voters));
        voters = dice.one_of(&[some, older, (1..=7).collect(), BTreeSet::new()]);
    }
    // A core without a vote may believe that it has one.
    if tell.is_some() && dice.coin() {
        voters.insert(core);
    }
    let lies = dice.distorts();
    let well = |told: Tell, dice: &mut Dice| match tell {
        Some(tell) if tell == told => dice.one_of(&[Some(false), None]),
        _ if dice.distorts() => dice.one_of(&[Some(false), None]),
        _ => Some(true),
    };
    Raft {
        database: group.name.clone(),
        member: if dice.distorts() { dice.one_of(&[None, Some(id(core))]) } else { Some(id(core)) },
        leader: if lies { dice.one_of(&[None, Some(id(core)), Some("raft-old-101".into())]) } else { leader.map(id) },
        voters: voters.into_iter().map(id).collect(),
        applied: if dice.distorts() { dice.one_of(&[None, Some(0), Some(900_000)]) } else { Some(1_000) },
        participating: well(Tell::Participating, dice),
        healthy: well(Tell::Healthy, dice),
    }
}

fn row_of(group: &Group, core: u8, behind: bool, tell: Option<Tell>, dice: &mut Dice) -> Database {
    let copy = |host: u8, dice: &mut Dice| {
        let mut copy = Copy {
            server: Some(server(host)),
            role: Some("primary".into()),
            writer: group.healthy.first() == Some(&host),
            status: "online".into(),
            message: String::new(),
        };
        let own = host == core;
        if group.never_online {
            copy.status = dice.one_of(&["initial", "offline", "dirty"]).into();
            copy.message = "No such seed".into();
        } else if own && tell == Some(Tell::OwnCopy) {
            // Whatever runs and fails, or does not run. What was never online is said of nothing that works.
            copy.status = dice
                .one_of(&["offline", "dirty", "quarantined", "starting", "store copying", "unknown", "online"])
                .into();
            if copy.status == "online" {
                copy.message = "No space left on device".into();
            }
        } else if dice.distorts() {
            copy.status = dice
                .one_of(&[
                    "starting",
                    "store copying",
                    "quarantined",
                    "unknown",
                    "deallocating",
                    "online",
                    "an unheard one",
                ])
                .into();
            copy.message = dice.one_of(&["", "Server is unavailable"]).into();
            copy.role = dice.one_of(&[None, Some("primary".into()), Some("unknown".into())]);
        }
        copy
    };
    let mut copies = Vec::new();
    for host in &group.hosts {
        if !dice.distorts() {
            copies.push(copy(*host, dice));
        }
    }
    let mut row = Database {
        name: group.name.clone(),
        id: Some(format!("id-{}", group.name)),
        kind: "standard".into(),
        requested_status: "online".into(),
        requested_primaries: Some(group.requested),
        requested_secondaries: Some(0),
        current_primaries: None,
        age: Some(if dice.distorts() { -5 } else { 100_000 }),
        copies,
    };
    if dice.distorts() {
        row.requested_primaries = dice.one_of(&[None, Some(group.requested + 2), Some(0)]);
    }
    if behind {
        row.requested_primaries = Some(1);
        row.requested_status = dice.one_of(&["online", "offline"]).into();
    }
    if dice.distorts() {
        row.id = dice.one_of(&[None, Some("another".into())]);
    }
    row
}

fn checks_of(
    group: &Group,
    core: u8,
    tell: Option<Tell>,
    tells: &BTreeMap<(u8, &str), Tell>,
    dice: &mut Dice,
) -> Vec<Check> {
    let fails = tell == Some(Tell::NotReplicated) || dice.distorts();
    let replicated = if fails { dice.one_of(&[Some(false), None]) } else { Some(true) };
    let leader = group.healthy.first().copied().map(server);
    let mut rows = Vec::new();
    for host in &group.hosts {
        if dice.distorts() {
            continue;
        }
        let told = tells.get(&(*host, group.name.as_str())) == Some(&Tell::Peers) && *host != core;
        let status = if told || dice.distorts() {
            dice.one_of(&[Some("UNAVAILABLE".to_owned()), Some("REPLICATING".to_owned()), None])
        } else {
            Some("APPLYING".to_owned())
        };
        let leader = if dice.distorts() { dice.one_of(&[None, Some(server(*host))]) } else { leader.clone() };
        let (database, server, requester) = (group.name.clone(), server(*host), *host == core);
        rows.push(Check { database, server, replicated, status, leader, requester, error: None });
    }
    rows
}
