use std::collections::BTreeSet;

use super::{
    Member, Observed, Warning,
    databases::{Counted, Union, databases},
    gate::{replicates_nowhere, voters},
    voter::{Voter, not_online, voter},
    witness::{Witness, Witnesses, sees_only_system},
};
use crate::neo4j::{Answer, Kind};

/// What the cores say together, whoever of them is about to go.
pub(super) struct Heard<'a> {
    observed: &'a Observed,
    witnesses: Vec<Witness<'a>>,
    all: Vec<Union<'a>>,
}

impl<'a> Heard<'a> {
    pub(super) fn of(observed: &'a Observed, witnesses: &Witnesses<'a>) -> Self {
        let witnesses: Vec<_> = witnesses.values().filter_map(|heard| heard.as_ref().ok().copied()).collect();
        let all = databases(&witnesses);
        Self { observed, witnesses, all }
    }

    /// Returns the counted databases with the primaries requested of each.
    fn counted(&self) -> impl Iterator<Item = (&Union<'a>, u32)> {
        let counted = self.all.iter().filter_map(|database| match database.counted(self.observed.cores, &self.all) {
            Counted::Yes(requested) => Some((database, requested)),
            Counted::Consent(_) | Counted::No | Counted::Unknown(_) => None,
        });
        counted.filter(|(database, _)| database.never_online(&self.witnesses).is_none())
    }

    /// Returns the margin. A core that refuses the monitor says nothing about its health: then it is not known.
    pub(super) fn margin(&self) -> Option<i64> {
        let cores = self.observed.members.iter().filter(|member| member.core.is_some());
        if cores.filter_map(|member| member.answer.as_ref()).any(|answer| refusal(answer).is_some()) {
            return None;
        }
        let margins = self.counted().map(|(database, requested)| {
            let votes: BTreeSet<_> = self
                .witnesses
                .iter()
                .filter_map(|witness| match voter(database.name, witness, &self.witnesses) {
                    Voter::Healthy(vote) => Some(vote),
                    Voter::Unhealthy(_) | Voter::None => None,
                })
                .collect();
            let needed = voters(&self.witnesses, database.name, requested) / 2 + 1;
            signed(votes.len()) - signed(needed)
        });
        margins.min()
    }

    /// Returns the counted databases that replicate nowhere, although every core that answers was asked.
    pub(super) fn down(&self) -> BTreeSet<String> {
        let answering = self.observed.members.iter().filter(|member| member.core.is_some() && member.answers()).count();
        if self.witnesses.is_empty() || answering != self.witnesses.len() {
            return BTreeSet::new();
        }
        let down = self.counted().filter(|(database, _)| replicates_nowhere(&self.witnesses, database.name));
        down.map(|(database, _)| database.name.to_owned()).collect()
    }

    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let down = self.down();
        for database in &self.all {
            let name = || database.name.to_owned();
            match database.counted(self.observed.cores, &self.all) {
                Counted::Consent(primaries) if database.name != "system" => {
                    warnings.push(Warning::Consent { database: name(), primaries });
                }
                Counted::Yes(_) => {
                    if let Some(minutes) = database.never_online(&self.witnesses) {
                        let seen: BTreeSet<_> = database.copies().filter_map(not_online).collect();
                        warnings.push(Warning::NeverOnline {
                            database: name(),
                            minutes,
                            seen: seen.into_iter().collect(),
                        });
                    }
                    if down.contains(database.name)
                        && self.observed.down_before.iter().all(|before| before.contains(database.name))
                    {
                        warnings.push(Warning::Down { database: name() });
                    }
                }
                Counted::Consent(_) | Counted::No | Counted::Unknown(_) => {}
            }
        }
        for member in &self.observed.members {
            let Some(answer) = &member.answer else { continue };
            let fault = refusal(answer);
            if let Some((what, fault)) = fault {
                warnings.push(Warning::Login { member: member.name(), what, fault });
            } else if answer.view.as_ref().is_ok_and(sees_only_system) {
                warnings.push(Warning::OnlySystem { member: member.name() });
            }
        }
        warnings.sort();
        warnings
    }
}

/// Returns the expected members whose Neo4j does not answer, each with what was seen instead.
pub(super) fn missing(observed: &Observed) -> Vec<String> {
    let mut missing = Vec::new();
    for core in 1..=observed.cores {
        let mut members = observed.members.iter().filter(|member| member.core == Some(core)).peekable();
        match members.peek() {
            None => missing.push(format!("core {core} has no task")),
            Some(first) => {
                let first = *first;
                if !members.any(Member::answers) {
                    missing.push(silent(first));
                }
            }
        }
    }
    let mut replicas: Vec<_> =
        observed.members.iter().filter(|found| found.core.is_none() && !found.answers()).collect();
    replicas.sort_by_key(|member| &member.task);
    missing.extend(replicas.into_iter().map(silent));
    missing
}

fn silent(member: &Member) -> String {
    let name = member.name();
    match member.answer.as_ref().map(|answer| &answer.page) {
        Some(Err(fault)) => format!("{name} does not answer: {fault}"),
        _ => format!("{name} does not answer: the gateway has no answer of its Neo4j (task {})", member.task),
    }
}

/// Returns how a member refuses the monitor, if it does. That is a fault of logins and rights, not of health.
fn refusal(answer: &Answer) -> Option<(&'static str, String)> {
    let fault = answer.view.as_ref().err().or(answer.check.as_ref().err())?;
    let what = match fault.kind {
        Kind::LoginRefused => "its Neo4j refuses the login of the user monitor",
        Kind::Locked => "its Neo4j has locked the user monitor for some seconds",
        Kind::PasswordExpired => "its Neo4j wants the password of the user monitor changed",
        Kind::Forbidden => "its Neo4j forbids the user monitor to ask",
        _ => return None,
    };
    Some((what, fault.to_string()))
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
