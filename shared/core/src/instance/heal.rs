//! What is wrong with a core that the function heals by itself, and why it does not yet.
//!
//! Healing stops a Neo4j, so nothing is ill but by proof: what is not known is as good as well.

mod disk;
mod not_yet;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{
    ContainerInstance, Heard, Instance, InstanceStatus, Observed, Phase, Policy, Seen, Task, heard::own_copies,
};
use crate::{
    ids::{CoreId, InstanceId},
    neo4j::Kind,
    quorum::{called_unavailable, vouched_for},
};

use disk::Room;
pub use not_yet::NotYet;

/// How long a Neo4j that had answered must be silent, and how long one must have tried to start.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// The longest gap between two sweeps, after which a clock proves nothing.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// The shortest time between two restarts of a core.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long a restart counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How often a core is restarted within a day.
const A_DAY: usize = 3;

/// What is wrong with a core that the function heals by itself, with what proves it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ill {
    /// Its Neo4j stands still: its task is to be stopped through the gate.
    Hanging {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// Since when it has said nothing while ECS was connected to the agent beside it.
        since: Timestamp,
        /// The cores that call it unavailable.
        by: Vec<u8>,
    },
    /// Its Neo4j hung in its start on a full disk, which has room now: its task is to be stopped, without the gate, since it has
    /// no port and no vote.
    DiskStart {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// When the task started.
        since: Timestamp,
        /// How much of the disk was free then, in per cent.
        was: f64,
        /// How much is free now, in per cent.
        free: f64,
    },
    /// Its Neo4j runs and met a full disk, which has room now: its task is to be stopped through the gate.
    DiskRunning {
        /// Its instance.
        instance: InstanceId,
        /// The task.
        task: String,
        /// A database that it does not serve.
        database: String,
        /// What its own copy says.
        message: String,
        /// How much of the disk is free now, in per cent.
        free: f64,
    },
    /// Neither its agent nor its Neo4j can be reached: its instance is to be marked unhealthy, through the gate.
    Wedged {
        /// Its instance.
        instance: InstanceId,
        /// The task, which nobody can stop there; nothing when there is none.
        task: Option<String>,
        /// Since when its agent has been seen disconnected.
        agent: Timestamp,
        /// The second witness.
        witness: Witness,
    },
}

/// The second witness against an instance whose agent is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Its Neo4j is silent as well, since then.
    Silent(Timestamp),
    /// These cores call its Neo4j unavailable.
    Peers(Vec<u8>),
}

impl Ill {
    /// Returns the core's instance.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        match self {
            Self::Hanging { instance, .. }
            | Self::DiskStart { instance, .. }
            | Self::DiskRunning { instance, .. }
            | Self::Wedged { instance, .. } => instance,
        }
    }

    /// Returns the task that serves the core, if it has one.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Hanging { task, .. } | Self::DiskStart { task, .. } | Self::DiskRunning { task, .. } => Some(task),
            Self::Wedged { task, .. } => task.as_deref(),
        }
    }
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hanging { task, since, by, .. } => {
                write!(f, "its Neo4j (task {task}) has not answered since {since:.0}, and {} it unavailable", call(by))
            }
            Self::DiskStart { task, since, was, free, .. } => write!(
                f,
                "its Neo4j (task {task}) hung in its start at {since:.0}, when {was:.2} % of its disk was free; {free:.0} % is \
                 free now"
            ),
            Self::DiskRunning { task, database, message, free, .. } => write!(
                f,
                "its Neo4j (task {task}) refuses database {database} since its disk was full («{message}»); {free:.0} % is \
                 free now"
            ),
            Self::Wedged { agent, witness, .. } => {
                write!(f, "ECS has had no connection to its agent since {agent:.0}, and ")?;
                match witness {
                    Witness::Silent(since) => write!(f, "its Neo4j has not answered since {since:.0}"),
                    Witness::Peers(by) => write!(f, "{} its Neo4j unavailable", call(by)),
                }
            }
        }
    }
}

/// Returns who calls something so, as in «cores 1, 3 call».
fn call(by: &[u8]) -> String {
    format!("cores {} call", by.iter().map(u8::to_string).collect::<Vec<_>>().join(", "))
}

/// What was made of a core.
#[derive(Clone, Debug, PartialEq)]
enum Judged {
    /// Nothing here is the function's to heal.
    Well,
    /// It may be ill, and this is what is missing.
    NotYet(NotYet),
    /// It is ill.
    Ill(Ill),
}

/// Judges a core; nothing when it is not ill, or when something is missing from the proof.
#[must_use]
pub fn ill(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Option<Ill> {
    match judge(observed, policy, core, now) {
        Judged::Ill(ill) => Some(ill),
        Judged::Well | Judged::NotYet(_) => None,
    }
}

/// Returns why a core that may be ill is not healed yet; nothing when it is well, or healed now.
#[must_use]
pub fn not_yet(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Option<NotYet> {
    match judge(observed, policy, core, now) {
        Judged::NotYet(why) => Some(why),
        Judged::Well | Judged::Ill(_) => None,
    }
}

/// Returns whether an instance in service may be wedged, so that EC2 is worth asking: all its registrations have been silent
/// for long.
#[must_use]
pub fn may_be_wedged(observed: &Observed, instance: &Instance, now: Timestamp) -> bool {
    let registrations = observed.of(&instance.id);
    let silent = !registrations.is_empty() && registrations.iter().all(|found| found.is_silent(now));
    observed.phase == Phase::Complete && instance.state.is_in_service() && silent
}

/// A core with the one instance that should serve it.
#[derive(Clone, Copy)]
struct Patient<'a> {
    observed: &'a Observed,
    core: u8,
    instance: &'a Instance,
    service: &'a str,
    now: Timestamp,
}

fn judge(observed: &Observed, policy: &Policy, core: u8, now: Timestamp) -> Judged {
    let Some(patient) = Patient::of(observed, policy, core, now) else { return Judged::Well };
    let registrations = observed.of(&patient.instance.id);
    if registrations.iter().all(|found| !found.connected) { patient.cut_off(&registrations) } else { patient.running() }
}

impl<'a> Patient<'a> {
    /// Returns a core of a complete cluster with one group, and one instance in service there. On an instance that leaves, or
    /// that somebody has set aside, nothing is healed.
    fn of(observed: &'a Observed, policy: &'a Policy, core: u8, now: Timestamp) -> Option<Self> {
        let service = policy.service_of(core).filter(|_| observed.phase == Phase::Complete && core <= policy.cores)?;
        let tag = CoreId::from(core);
        let mut groups = observed.groups.iter().filter(|group| group.core.as_ref() == Some(&tag));
        let group = groups.next().filter(|_| groups.next().is_none())?;
        let mut instances = group.instances.iter().filter(|instance| instance.state.is_in_service());
        let instance = instances.next().filter(|_| instances.next().is_none())?;
        Some(Self { observed, core, instance, service, now })
    }

    /// Judges a core whose task ECS can stop.
    fn running(&self) -> Judged {
        let Some((task, heard)) = self.task() else { return Judged::Well };
        match &heard.answer.page {
            Ok(_) => self.met_full_disk(task, heard),
            Err(fault) if !matches!(fault.kind, Kind::Silent | Kind::Unreachable) => Judged::Well,
            Err(_) if heard.answered_before => self.hanging(task),
            Err(fault) => self.never_answered(task, fault.kind),
        }
    }

    /// Returns the one task that serves the core, with what its Neo4j answered; nothing where ECS is about to replace it, or
    /// could not stop it.
    fn task(&self) -> Option<(&'a Task, &'a Heard)> {
        let Seen::Answers(heard) = &self.observed.neo4j else { return None };
        let [(on, task)] = self.tasks()[..] else { return None };
        let stays = task.status == "RUNNING" && task.wanted && !task.unhealthy;
        let stoppable = on.instance == self.instance.id && on.connected && on.is_active();
        let heard = heard.get(&self.core).filter(|heard| heard.answer.task == task.id)?;
        (stays && stoppable).then_some((task, heard))
    }

    /// Returns the tasks of the core that have not stopped, wherever they are, by id. One that two registrations have is one.
    fn tasks(&self) -> Vec<(&'a ContainerInstance, &'a Task)> {
        let all = self.observed.container_instances.iter().flat_map(|on| on.tasks.iter().map(move |task| (on, task)));
        let mut tasks: Vec<_> = all.filter(|(_, task)| task.service() == Some(self.service)).collect();
        tasks.sort_by_key(|(on, task)| (&task.id, !on.connected, &on.arn));
        tasks.dedup_by_key(|(_, task)| &task.id);
        tasks
    }

    /// Judges a core whose Neo4j had answered and does not now.
    fn hanging(&self, task: &Task) -> Judged {
        let silent = self.observed.silent.get(&task.id).filter(|silent| self.is_fresh(silent.seen));
        let Some(since) = silent.and_then(|silent| silent.alone) else { return Judged::Well };
        let task = || task.id.clone();
        if self.now.duration_since(since) < PATIENCE {
            return Judged::NotYet(NotYet::SilentNotLong { task: task(), since });
        }
        let by = match called_by(self.observed, self.core) {
            Ok(by) => by,
            Err(why) => return Judged::NotYet(NotYet::OnlySilent { task: task(), since, why }),
        };
        let disk = self.disk();
        if let Some(free) = disk::last(disk).filter(|free| *free < disk::FULL) {
            return Judged::NotYet(NotYet::StillFull { free });
        }
        let ill = || Ill::Hanging { instance: self.instance.id.clone(), task: task(), since, by };
        self.limited(A_DAY).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
    }

    /// Judges a core whose Neo4j has not answered since its task started. It may be recovering, which takes as long as it
    /// takes, and must not be interrupted: only a full disk explains that it never ends.
    fn never_answered(&self, task: &Task, kind: Kind) -> Judged {
        let Some(since) = task.started_at.filter(|since| self.now.duration_since(*since) >= PATIENCE) else {
            return Judged::Well;
        };
        let recovering = || Judged::NotYet(NotYet::Recovering { task: task.id.clone(), since });
        let disk = self.disk();
        let Some(was) = disk::full_at(disk, since) else { return recovering() };
        // What accepts a connection has a port, and one that has a vote is up.
        if kind != Kind::Unreachable || self.observed.quorum_observed.is_none() {
            return recovering();
        }
        if let Some(why) = self.observed.quorum_observed.as_ref().and_then(|asked| vouched_for(asked, self.core)) {
            return Judged::NotYet(NotYet::Vouched { task: task.id.clone(), why });
        }
        let free = match self.room() {
            Ok(free) => free,
            Err(why) => return Judged::NotYet(why),
        };
        // Once for each task: one that ECS still wants to run an hour later was not stopped after all.
        let asked = self.restarts().filter(|at| *at >= since).max();
        if let Some(at) = asked.filter(|at| self.now.duration_since(*at) < HOUR) {
            return Judged::NotYet(NotYet::NotStopped { task: task.id.clone(), at, again: at + HOUR });
        }
        Judged::Ill(Ill::DiskStart { instance: self.instance.id.clone(), task: task.id.clone(), since, was, free })
    }

    /// Judges a core whose Neo4j answers, and may have met a full disk. It never recovers from that by itself: «The database has
    /// encountered a critical error, and needs to be restarted».
    fn met_full_disk(&self, task: &Task, heard: &Heard) -> Judged {
        let Ok(view) = &heard.answer.view else { return Judged::Well };
        let full = own_copies(view).filter(|(_, copy)| disk::is_meant(&copy.message));
        let full = full.min_by_key(|(database, copy)| (*database, &copy.message));
        let Some((database, copy)) = full else { return Judged::Well };
        let free = match self.room() {
            Ok(free) => free,
            Err(why) => return Judged::NotYet(why),
        };
        let ill = || Ill::DiskRunning {
            instance: self.instance.id.clone(),
            task: task.id.clone(),
            database: database.to_owned(),
            message: copy.message.clone(),
            free,
        };
        self.limited(usize::MAX).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
    }

    /// Judges a core whose agent ECS has lost. An agent that crashed leaves its Neo4j serving, so it takes a second witness.
    fn cut_off(&self, registrations: &[&ContainerInstance]) -> Judged {
        if !may_be_wedged(self.observed, self.instance, self.now) {
            return Judged::Well;
        }
        let Some(agent) = registrations.iter().filter_map(|found| found.disconnected_since).max() else {
            return Judged::Well;
        };
        match self.instance.status {
            Some(InstanceStatus::NotImpaired) => {}
            None => return Judged::NotYet(NotYet::StatusUnknown { instance: self.instance.id.clone(), agent }),
            // Auto Scaling replaces what EC2 calls impaired.
            Some(InstanceStatus::Impaired | InstanceStatus::Gone) => return Judged::Well,
        }
        let witness = match self.second_witness(registrations, agent) {
            Ok(witness) => witness,
            Err(why) => return Judged::NotYet(why),
        };
        let task = self.tasks().first().map(|(_, task)| task.id.clone());
        let ill = || Ill::Wedged { instance: self.instance.id.clone(), task, agent, witness };
        self.limited(A_DAY).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
    }

    /// Returns who else says that nothing works on an instance whose agent is silent.
    fn second_witness(&self, registrations: &[&ContainerInstance], agent: Timestamp) -> Result<Witness, NotYet> {
        let instance = || self.instance.id.clone();
        let one = |why| NotYet::OneWitness { instance: instance(), agent, why };
        let unlisted: usize = registrations.iter().map(|found| found.unlisted_tasks()).sum();
        let tasks = self.tasks();
        let elsewhere = tasks.iter().any(|(on, _)| on.instance != self.instance.id);
        if unlisted > 0 || elsewhere || tasks.len() > 1 {
            return Err(NotYet::TasksUnclear { instance: instance(), agent });
        }
        if let Some(why) = self.observed.quorum_observed.as_ref().and_then(|asked| vouched_for(asked, self.core)) {
            return Err(one(why.to_string()));
        }
        if let Some((_, task)) = tasks.first() {
            let heard = match &self.observed.neo4j {
                Seen::Answers(heard) => heard.get(&self.core).filter(|heard| heard.answer.task == task.id),
                Seen::NotAsked | Seen::GatewayFailed(_) => None,
            };
            let Some(heard) = heard else { return Err(one("nobody asked its Neo4j".to_owned())) };
            match &heard.answer.page {
                Ok(_) => return Err(one("its Neo4j answers".to_owned())),
                Err(fault) if !matches!(fault.kind, Kind::Silent | Kind::Unreachable) => {
                    return Err(one(format!("its Neo4j is not silent: {fault}")));
                }
                Err(_) if !heard.answered_before => {
                    return Err(one("its Neo4j has not answered since its start, and may be recovering".to_owned()));
                }
                Err(_) => {}
            }
            let silent = self.observed.silent.get(&task.id).filter(|silent| self.is_fresh(silent.seen));
            let long = silent.filter(|silent| self.now.duration_since(silent.since) >= PATIENCE);
            if let Some(silent) = long {
                return Ok(Witness::Silent(silent.since));
            }
        }
        called_by(self.observed, self.core).map(Witness::Peers).map_err(one)
    }

    /// Returns how much of the core's disk is free, if there has been room for long enough.
    fn room(&self) -> Result<f64, NotYet> {
        let core = self.core;
        match disk::room(self.disk(), self.now) {
            Room::Free(free) => Ok(free),
            Room::Full(free) => Err(NotYet::StillFull { free }),
            Room::Since(since, free) => Err(NotYet::RoomNotLong { since, free }),
            Room::Unknown(last) => Err(NotYet::RoomUnknown { core, last }),
        }
    }

    fn disk(&self) -> &'a [(Timestamp, f64)] {
        self.observed.disks.get(&self.core).map_or(&[], Vec::as_slice)
    }

    /// Returns when the core was restarted within the last day. A time that is yet to come is of a clock that runs ahead.
    fn restarts(&self) -> impl Iterator<Item = Timestamp> {
        let all = self.observed.restarts.get(&self.core).into_iter().flatten().copied();
        all.filter(|at| self.now.duration_since(*at) < DAY)
    }

    /// Returns why a core may not be restarted so soon, or so often.
    fn limited(&self, a_day: usize) -> Option<NotYet> {
        let mut restarts: Vec<_> = self.restarts().collect();
        restarts.sort();
        let (at, times) = (*restarts.last()?, restarts.len());
        if self.now.duration_since(at) < HOUR {
            return Some(NotYet::RestartedLately { at, again: at + HOUR });
        }
        // The first one that has to be forgotten before there is one less than are allowed.
        let first = restarts.get(times.checked_sub(a_day)?)?;
        Some(NotYet::RestartedOften { times, again: *first + DAY })
    }

    fn is_fresh(&self, seen: Timestamp) -> bool {
        self.now.duration_since(seen).abs() <= GAP
    }
}

/// Returns the cores that call a core unavailable, or why they do not.
fn called_by(observed: &Observed, core: u8) -> Result<Vec<u8>, String> {
    let asked = observed.quorum_observed.as_ref().ok_or_else(|| "nobody asked the other cores".to_owned())?;
    called_unavailable(asked, core).map_err(|doubt| doubt.to_string())
}
