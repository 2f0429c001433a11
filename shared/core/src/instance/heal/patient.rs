//! What the Neo4j of one core says about itself, and what its disk and its restarts say about that.

use jiff::{SignedDuration, Timestamp};

use super::{
    super::{ContainerInstance, Heard, Instance, Observed, Phase, Policy, Seen, Task, heard::own_copies},
    A_DAY, Ill, Judged, NotYet, PATIENCE, called_by,
    disk::{self, Room},
};
use crate::{ids::CoreId, neo4j::Kind, quorum::vouched_for};

/// The longest gap between two sweeps, after which a clock proves nothing.
const GAP: SignedDuration = SignedDuration::from_mins(3);
/// The shortest time between two restarts of a core.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long a restart counts.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How long ECS may still want a task that was to be stopped: longer than an invocation can last. After that nobody has stopped
/// it: the function died between its note and its call, for example.
const UNDONE: SignedDuration = SignedDuration::from_mins(2);

/// A core with the one instance that should serve it.
#[derive(Clone, Copy)]
pub(super) struct Patient<'a> {
    pub(super) observed: &'a Observed,
    pub(super) core: u8,
    pub(super) instance: &'a Instance,
    service: &'a str,
    pub(super) now: Timestamp,
}

impl<'a> Patient<'a> {
    /// Returns a core of a complete cluster with one group, and one instance in service there. On an instance that leaves, or
    /// that somebody has set aside, nothing is healed.
    pub(super) fn of(observed: &'a Observed, policy: &'a Policy, core: u8, now: Timestamp) -> Option<Self> {
        let service = policy.service_of(core).filter(|_| observed.phase == Phase::Complete && core <= policy.cores)?;
        let tag = CoreId::from(core);
        let mut groups = observed.groups.iter().filter(|group| group.core.as_ref() == Some(&tag));
        let group = groups.next().filter(|_| groups.next().is_none())?;
        let mut instances = group.instances.iter().filter(|instance| instance.state.is_in_service());
        let instance = instances.next().filter(|_| instances.next().is_none())?;
        Some(Self { observed, core, instance, service, now })
    }

    /// Judges a core whose task ECS can stop.
    pub(super) fn running(&self) -> Judged {
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
    pub(super) fn tasks(&self) -> Vec<(&'a ContainerInstance, &'a Task)> {
        let all = self.observed.container_instances.iter().flat_map(|on| on.tasks.iter().map(move |task| (on, task)));
        let mut tasks: Vec<_> = all.filter(|(_, task)| task.service() == Some(self.service)).collect();
        tasks.sort_by_key(|(on, task)| (&task.id, !on.connected, &on.arn));
        tasks.dedup_by_key(|(_, task)| &task.id);
        tasks
    }

    /// Judges a core whose Neo4j had answered and does not now.
    fn hanging(&self, running: &Task) -> Judged {
        let silent = self.observed.silent.get(&running.id).filter(|silent| self.is_fresh(silent.seen));
        let Some(since) = silent.and_then(|silent| silent.alone) else { return Judged::Well };
        let task = || running.id.clone();
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
        self.limited(A_DAY, Some(running)).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
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
        // Once for each task.
        let asked = self.restarts(Some(task)).filter(|at| *at >= since).max();
        if let Some(at) = asked {
            return Judged::NotYet(NotYet::NotStopped { task: task.id.clone(), at, again: at + UNDONE });
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
        self.limited(usize::MAX, Some(task)).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
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
    ///
    /// `running` is its task where ECS still wants that: what should have stopped it, and is over, came to nothing.
    fn restarts(&self, running: Option<&Task>) -> impl Iterator<Item = Timestamp> {
        let (started, now) = (running.and_then(|task| task.started_at), self.now);
        let undone =
            move |at: Timestamp| started.is_some_and(|started| started <= at) && now.duration_since(at) >= UNDONE;
        let all = self.observed.restarts.get(&self.core).into_iter().flatten().copied();
        all.filter(move |at| now.duration_since(*at) < DAY && !undone(*at))
    }

    /// Returns why a core may not be restarted so soon, or so often.
    pub(super) fn limited(&self, a_day: usize, running: Option<&Task>) -> Option<NotYet> {
        let mut restarts: Vec<_> = self.restarts(running).collect();
        restarts.sort();
        let (at, times) = (*restarts.last()?, restarts.len());
        if self.now.duration_since(at) < HOUR {
            return Some(NotYet::RestartedLately { at, again: at + HOUR });
        }
        // The first one that has to be forgotten before there is one less than are allowed.
        let first = restarts.get(times.checked_sub(a_day)?)?;
        Some(NotYet::RestartedOften { times, again: *first + DAY })
    }

    pub(super) fn is_fresh(&self, seen: Timestamp) -> bool {
        self.now.duration_since(seen).abs() <= GAP
    }
}
