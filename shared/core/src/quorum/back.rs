use super::{
    Observed, Reason, Silence,
    databases::{Counted, Union, databases},
    gate::own_copy_is_broken,
    voter::{Voter, voter},
    witness::{Witness, witnesses},
};

/// Returns why a core that was stopped is not back yet; nothing when it is.
///
/// `left` is the task that was stopped. `published` says whether DNS leads to the core, where that is needed, as after a
/// roll.
///
/// A peer must call it `APPLYING` in every database that replicates: a stopped server may keep its vote, so the voting set
/// alone proves nothing.
#[must_use]
pub fn not_back(observed: &Observed, core: u8, left: &str, published: Option<bool>) -> Vec<Reason> {
    let heard = witnesses(observed);
    let own = match heard.get(&core) {
        None => return vec![Reason::UnknownCore { core, cores: observed.cores }],
        Some(Err(why)) => return vec![Reason::Silent { core, why: why.clone() }],
        Some(Ok(own)) => *own,
    };
    if own.member.task == left {
        return vec![Reason::SameTask { core, task: left.to_owned() }];
    }
    let mut reasons = Vec::new();
    if let Some(going) = &own.member.going {
        reasons.push(Reason::Silent { core, why: Silence::Going(going.clone()) });
    }
    let peers: Vec<_> = heard.values().flatten().filter(|witness| witness.core != core).copied().collect();
    if peers.is_empty() {
        let silent = heard.iter().filter_map(|(core, heard)| Some((*core, heard.as_ref().err()?.clone())));
        reasons.extend(silent.map(|(core, why)| Reason::Silent { core, why }));
    }
    let all: Vec<_> = heard.values().flatten().copied().collect();
    let unions = databases(&all);
    for database in &unions {
        reasons.extend(missing_in(database, &unions, observed.cores, &own, &peers, &all));
    }
    if published == Some(false) {
        reasons.push(Reason::NotPublished { core });
    }
    reasons
}

/// Returns why a core is not back in one database.
fn missing_in(
    database: &Union<'_>,
    unions: &[Union<'_>],
    cores: u8,
    own: &Witness<'_>,
    peers: &[Witness<'_>],
    all: &[Witness<'_>],
) -> Option<Reason> {
    let (name, core) = (database.name, own.core);
    match database.counted(cores, unions) {
        Counted::No => return None,
        Counted::Unknown(why) => return Some(why),
        Counted::Yes(_) | Counted::Consent(_) if database.never_online(all).is_some() => return None,
        Counted::Yes(_) | Counted::Consent(_) => {}
    }
    let broken = own_copy_is_broken(own, name);
    if let Some(seen) = broken {
        return Some(Reason::Broken { database: name.to_owned(), core, seen });
    }
    if !hosts(database, own, peers) {
        return None;
    }
    // Where no peer has a status check, the core's own page and the bounded lag decide.
    if peers.iter().all(|peer| peer.check.is_none()) {
        let Voter::Unhealthy(seen) = voter(name, own, all) else { return None };
        return Some(Reason::Broken { database: name.to_owned(), core, seen });
    }
    let replicating = |peer: &&Witness<'_>| peer.checks(name).any(|row| row.replicated == Some(true));
    let replicating: Vec<_> = peers.iter().filter(replicating).collect();
    if replicating.is_empty() {
        return None;
    }
    let about = |peer: &Witness<'_>| {
        let row = peer.checks(name).find(|row| row.server == own.server);
        (peer.core, row.and_then(|row| row.status.clone()).unwrap_or_else(|| "nothing".to_owned()))
    };
    let seen: Vec<_> = replicating.into_iter().map(about).collect();
    let applies = seen.iter().any(|(_, status)| status == "APPLYING");
    let seen = seen.into_iter().map(|(peer, status)| format!("core {peer} calls it {status}")).collect();
    (!applies).then(|| Reason::NotApplying { database: name.to_owned(), core, seen })
}

/// Returns whether a core has, or should have, a copy with a vote, by anybody's word.
fn hosts(database: &Union<'_>, own: &Witness<'_>, peers: &[Witness<'_>]) -> bool {
    let mut copies = database.copies().filter(|copy| copy.server.as_deref() == Some(own.server)).peekable();
    let listed = copies.peek().is_some();
    let votes = copies.any(|copy| copy.role.as_deref() != Some("secondary"));
    let checked = peers.iter().any(|peer| peer.checks(database.name).any(|row| row.server == own.server));
    let mut servers = peers.iter().flat_map(|peer| &peer.view.servers).filter(|server| server.id == own.server);
    let requested = servers.any(|server| server.requested.contains(database.name));
    database.name == "system" || checked || votes || (requested && !listed)
}
