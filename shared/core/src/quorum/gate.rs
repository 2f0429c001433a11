use std::collections::BTreeSet;

use super::{
    Observed, Reason, Silence,
    databases::{Counted, Union, databases},
    voter::{Voter, not_online, voter},
    witness::{Witness, Witnesses},
};

/// The number of cores from which one that is missing does not shut the gate.
const SPARE_FROM: u8 = 5;

/// Returns why a core must not be stopped; nothing when it may.
///
/// Every other core must answer completely and stay: one about to go counts as silent. With five or seven cores one may be
/// missing, and then it counts only in the number of voters. So may one that answers but is at odds with the others: what
/// a core says must never make it worse than silence, or cutting it off would open the gate. For the same reason the
/// answer of the core that is asked about is never held against it.
pub(super) fn unsafe_to_stop(observed: &Observed, witnesses: &Witnesses<'_>, core: u8) -> Vec<Reason> {
    let (mut others, mut missing) = (Vec::new(), Vec::new());
    for (number, heard) in witnesses.iter().filter(|(number, _)| **number != core) {
        let heard = heard.as_ref().map_err(Clone::clone).and_then(|witness| match &witness.member.going {
            Some(going) => Err(Silence::Going(going.clone())),
            None => Ok(*witness),
        });
        match heard {
            Ok(witness) => others.push(witness),
            Err(why) => missing.push(Reason::Silent { core: *number, why }),
        }
    }
    let may_miss_one = observed.cores >= SPARE_FROM;
    match missing.len() {
        0 => {
            let asked = witnesses.get(&core).and_then(|heard| heard.as_ref().ok());
            let reasons =
                Rest { observed, witnesses: &others, excused: Some(Excused::of(observed, asked, &others)) }.reasons();
            let without = |index: usize| {
                let rest = others.iter().enumerate().filter(|(at, _)| *at != index);
                rest.map(|(_, witness)| *witness).collect::<Vec<_>>()
            };
            let enough = |index| Rest { observed, witnesses: &without(index), excused: None }.reasons().is_empty();
            let spare = may_miss_one && !reasons.is_empty() && (0..others.len()).any(enough);
            if spare { Vec::new() } else { reasons }
        }
        1 if may_miss_one => {
            let reasons = Rest { observed, witnesses: &others, excused: None }.reasons();
            if reasons.is_empty() { reasons } else { missing.into_iter().chain(reasons).collect() }
        }
        _ => missing,
    }
}

/// The databases that do not hold a core, because they are down already and its own copy is broken. Known only when every
/// other core answers: a silent one may be what replicates.
struct Excused<'a>(BTreeSet<&'a str>);

impl<'a> Excused<'a> {
    fn of(observed: &'a Observed, asked: Option<&Witness<'_>>, others: &[Witness<'_>]) -> Self {
        let Some(asked) = asked else { return Self(BTreeSet::new()) };
        let all: Vec<_> = others.iter().chain([asked]).copied().collect();
        let [last, before] = &observed.down_before;
        let down = last.intersection(before).map(String::as_str);
        Self(down.filter(|name| own_copy_is_broken(asked, name).is_some() && replicates_nowhere(&all, name)).collect())
    }
}

/// Returns what a core itself says of its broken copy of a database; nothing when it does not call it broken.
///
/// Its own words only: others report «Server is unavailable» of a copy as soon as they cannot reach it (operations manual,
/// «Monitor databases»).
pub(super) fn own_copy_is_broken(witness: &Witness<'_>, database: &str) -> Option<String> {
    let copy = witness.copy(database)?;
    let failed = matches!(copy.status.as_str(), "quarantined" | "dirty" | "offline") || !copy.message.is_empty();
    let critical = witness.raft(database).is_some_and(|raft| raft.healthy == Some(false));
    match (failed, critical) {
        (true, _) => not_online(copy),
        (false, true) => Some(format!("{}, with a critical error by its status page", copy.status)),
        (false, false) => None,
    }
}

/// Returns whether the status check was asked of all these cores and replicated nothing of a database. One that is not
/// running is left out of it.
pub(super) fn replicates_nowhere(asked: &[Witness<'_>], database: &str) -> bool {
    asked
        .iter()
        .all(|witness| witness.check.is_some() && witness.checks(database).all(|row| row.replicated == Some(false)))
}

/// What remains without the core that is asked about, and without one that is missing.
struct Rest<'a> {
    observed: &'a Observed,
    witnesses: &'a [Witness<'a>],
    /// Nothing when not every core answers.
    excused: Option<Excused<'a>>,
}

impl Rest<'_> {
    fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for witness in self.witnesses {
            if witness.database("system").is_none() {
                reasons.push(Reason::NoSystem { core: witness.core });
            } else if witness.sees_only_system() {
                reasons.push(Reason::OnlySystem { core: witness.core });
            }
        }
        let all = databases(self.witnesses);
        for database in &all {
            self.add(database, &all, &mut reasons);
        }
        reasons
    }

    /// Adds what speaks against it in one database.
    fn add(&self, database: &Union<'_>, all: &[Union<'_>], reasons: &mut Vec<Reason>) {
        let name = database.name.to_owned();
        let knows = |witness: &&Witness<'_>| witness.names().contains(database.name);
        let other = database.listed_by().or_else(|| self.witnesses.iter().find(knows).map(|witness| witness.core));
        if let Some(witness) = self.witnesses.iter().find(|witness| witness.database(database.name).is_none()) {
            let other = other.unwrap_or(witness.core);
            // One that shows only `system` is named above.
            if !witness.sees_only_system() || database.name == "system" {
                reasons.push(Reason::NotListed { database: name, core: witness.core, other });
            }
            return;
        }
        if let Some((other, core)) = database.other_id() {
            reasons.push(Reason::OtherId { database: name, other, core });
            return;
        }
        let requested = match database.counted(self.observed.cores, all) {
            Counted::Yes(requested) => requested,
            Counted::Consent(_) | Counted::No => return,
            Counted::Unknown(why) => return reasons.push(why),
        };
        if let Some(Excused(excused)) = &self.excused
            && (excused.contains(database.name) || database.never_online(self.witnesses).is_some())
        {
            return;
        }
        reasons.extend(self.moving(database));
        reasons.extend(self.disagreement(database.name));
        reasons.extend(self.too_few(database.name, requested));
    }

    /// Returns whether a copy is on its way out: dropped, or moved to another server.
    ///
    /// `deallocating`: «still online but will eventually be offline due to a transfer of its role» (operations manual, «Show
    /// databases»); `requestedHosting` has fewer databases than `hosting` while a server «is in the process of safely
    /// stopping one» («Monitor servers»). What a server should start and does not host yet is an unhealthy voter.
    fn moving(&self, database: &Union<'_>) -> Option<Reason> {
        let reason = |on: &str, how: &str| {
            let remembered = self.observed.servers.iter().map(|(core, server)| (*core, server.as_str()));
            let seen = self.witnesses.iter().map(|witness| (witness.core, witness.server));
            let core = seen.chain(remembered).find(|(_, server)| *server == on).map(|(core, _)| core);
            let on = core.map_or_else(|| format!("server {on}"), |core| format!("core {core}"));
            Some(Reason::Moving { database: database.name.to_owned(), on, how: how.to_owned() })
        };
        let leaves = |status: &str| matches!(status, "deallocating" | "dropping" | "dropped");
        let leaving =
            database.copies().filter(|copy| leaves(&copy.status)).min_by_key(|copy| (&copy.server, &copy.status));
        if let Some(copy) = leaving {
            return reason(copy.server.as_deref().unwrap_or("unknown"), &copy.status);
        }
        let servers = self.witnesses.iter().flat_map(|witness| &witness.view.servers);
        let leaving =
            servers.filter(|found| found.hosting.contains(database.name) && !found.requested.contains(database.name));
        let server = leaving.min_by_key(|server| &server.id)?;
        reason(&server.id, "no longer requested there")
    }

    /// Returns where those whose copies are online do not agree who votes and who leads.
    ///
    /// `allVotingSetsAreEqual` and `hasOneLeader` in the operations manual, «Monitor cluster endpoints for status
    /// information»: «if it is null or missing, then the leader is unknown».
    fn disagreement(&self, name: &str) -> Vec<Reason> {
        let database = || name.to_owned();
        let sound = self.witnesses.iter().filter(|witness| {
            witness.copy(name).is_none_or(|copy| not_online(copy).is_none())
                && witness.raft(name).is_none_or(|raft| raft.healthy == Some(true))
        });
        let groups: Vec<_> = sound.filter_map(|witness| Some((witness.core, witness.raft(name)?))).collect();
        let Some((other, first)) = groups.first().copied() else { return Vec::new() };
        let mut reasons = Vec::new();
        if let Some((core, raft)) = groups.iter().find(|(_, raft)| raft.voters != first.voters) {
            let (others, counts) = (first.voters.len(), raft.voters.len());
            reasons.push(Reason::VotersDisagree { database: database(), other, others, core: *core, counts });
        }
        if let Some((core, _)) = groups.iter().find(|(_, raft)| raft.leader.is_none()) {
            reasons.push(Reason::NoLeader { database: database(), core: *core });
        } else if let Some((core, _)) = groups.iter().find(|(_, raft)| raft.leader != first.leader) {
            reasons.push(Reason::LeadersDisagree { database: database(), other, core: *core });
        } else if groups
            .iter()
            .any(|(_, raft)| raft.leader.as_ref().is_some_and(|leader| !raft.voters.contains(leader)))
        {
            reasons.push(Reason::LeaderDoesNotVote { database: database() });
        }
        if reasons.is_empty() {
            reasons.extend(self.recognised(name));
        }
        reasons
    }

    /// Returns where the members that apply recognise different leaders by the status checks.
    fn recognised(&self, name: &str) -> Option<Reason> {
        let rows = self.witnesses.iter().flat_map(|asked| asked.checks(name));
        let remains = |server: &str| self.witnesses.iter().any(|witness| witness.server == server);
        let applying = rows.filter(|row| row.status.as_deref() == Some("APPLYING") && remains(&row.server));
        let leaders: BTreeSet<_> = applying.filter_map(|row| row.leader.as_deref()).collect();
        (leaders.len() > 1).then(|| Reason::OtherLeaders { database: name.to_owned() })
    }

    /// Returns whether too few healthy voters remain of those that are requested, or that vote if those are more.
    fn too_few(&self, name: &str, requested: u32) -> Option<Reason> {
        let (mut healthy, mut votes, mut unhealthy) = (Vec::new(), BTreeSet::new(), Vec::new());
        for witness in self.witnesses {
            match voter(name, witness, self.witnesses) {
                Voter::Healthy(vote) if votes.insert(vote) => healthy.push(witness.core),
                Voter::Healthy(_) => {
                    unhealthy.push(format!("core {} has the vote of another core", witness.core));
                }
                Voter::Unhealthy(why) => unhealthy.push(why),
                Voter::None => {}
            }
        }
        let all = voters(self.witnesses, name, requested);
        let needed = all / 2 + 1;
        let database = name.to_owned();
        (healthy.len() < needed).then_some(Reason::TooFew { database, healthy, needed, voters: all, unhealthy })
    }
}

/// Returns how many voters a database has to be counted with: those requested, or those in the largest voting set that
/// anybody reports, since a majority is one of the voting set, and a stopped server may still stand in it.
pub(super) fn voters(witnesses: &[Witness<'_>], name: &str, requested: u32) -> usize {
    let sets = witnesses.iter().filter_map(|witness| witness.raft(name)).map(|raft| raft.voters.len());
    sets.max().unwrap_or_default().max(usize::try_from(requested).unwrap_or(usize::MAX))
}
