use std::collections::BTreeSet;

use super::{
    Member, Observed, Warning,
    databases::{Counted, Union, databases},
    gate::{replicates_nowhere, voters},
    voter::{Voter, not_online, voter},
    witness::{Witness, Witnesses},
};
use crate::neo4j::monitor::trouble;

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

    /// Returns the margin. A core that refuses the monitor, or hides databases from it, says nothing
    /// about its health: then it is not known.
    pub(super) fn margin(&self) -> Option<i64> {
        let cores = self.observed.members.iter().filter(|member| member.core.is_some());
        if cores.filter_map(|member| member.answer.as_ref()).any(|answer| trouble(answer).is_some()) {
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
            if let Some(trouble) = trouble(answer) {
                warnings.push(Warning::Monitor { trouble, member: member.name() });
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

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
