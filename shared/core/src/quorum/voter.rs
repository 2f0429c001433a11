use super::witness::Witness;
use crate::neo4j::Copy;

/// How many Raft entries a member may be behind where no status check tells whether it keeps up. The manual leaves the
/// number to whoever asks and has examples from 120 to 6,000 (operations manual, «Monitor cluster endpoints for status
/// information», `noMembersLagging`).
const LAG: i64 = 1_000;

/// What a core is to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Voter<'a> {
    /// It votes and applies: the id of its vote.
    Healthy(&'a str),
    /// It should vote, and this is why it does not count.
    Unhealthy(String),
    /// It has no copy that could vote.
    None,
}

/// Judges the vote of one witness in one database. All `witnesses` must agree that it applies.
///
/// * `participatingInRaftGroup`: «A participating member is able to vote»; `isHealthy`: no «critical error that can block
///   database operation» (operations manual, «Monitor cluster endpoints for status information»).
/// * `memberStatus`: only one that is `APPLYING` «is actively applying transactions»; `replicationSuccessful` is about the
///   member that was asked (operations manual, «Monitor replication status»).
pub(super) fn voter<'a>(database: &str, witness: &Witness<'a>, witnesses: &[Witness<'a>]) -> Voter<'a> {
    let (copy, raft) = (witness.copy(database), witness.raft(database));
    if copy.is_none_or(|copy| copy.role.as_deref() == Some("secondary")) && raft.is_none() {
        return Voter::None;
    }
    match vote(database, witness, witnesses) {
        Ok(member) => Voter::Healthy(member),
        Err(why) => Voter::Unhealthy(format!("core {} {why}", witness.core)),
    }
}

fn vote<'a>(database: &str, witness: &Witness<'a>, witnesses: &[Witness<'a>]) -> Result<&'a str, String> {
    let copy = witness.copy(database).ok_or("does not list its own copy")?;
    if let Some(fault) = not_online(copy) {
        return Err(format!("is {fault}"));
    }
    if copy.role.as_deref() != Some("primary") {
        return Err(format!("has the role {}", copy.role.as_deref().unwrap_or("unknown")));
    }
    let raft = witness.raft(database).ok_or("leaves it out of its status page")?;
    let member = raft.member.as_deref().ok_or("does not say which voter it is")?;
    if raft.healthy != Some(true) {
        return Err("reports a critical error of it".to_owned());
    }
    if raft.participating != Some(true) {
        return Err("does not take part in its votes".to_owned());
    }
    if raft.leader.is_none() {
        return Err("knows no leader of it".to_owned());
    }
    if !raft.voters.contains(member) {
        return Err("is not in its voting set".to_owned());
    }
    for other in witnesses {
        applies(database, witness, other)?;
    }
    if witnesses.iter().any(|other| other.check.is_none()) {
        keeps_up(database, witness, witnesses)?;
    }
    Ok(member)
}

/// Returns why a copy does not serve as it should, by its own server's words. A full disk leaves `online`, and says so only
/// in the message.
pub(super) fn not_online(copy: &Copy) -> Option<String> {
    match (copy.status.as_str(), copy.message.as_str()) {
        ("online", "") => None,
        (status, "") => Some(status.to_owned()),
        (status, message) => Some(format!("{status}, «{message}»")),
    }
}

/// Checks what one witness's status check says of another's copy.
fn applies(database: &str, witness: &Witness<'_>, asked: &Witness<'_>) -> Result<(), String> {
    let (own, by) = (asked.core == witness.core, asked.core);
    // A peer whose own copy is broken or starting has lost its vote, and with it its say.
    if asked.check.is_none() || (!own && asked.copy(database).is_some_and(|copy| not_online(copy).is_some())) {
        return Ok(());
    }
    let rows: Vec<_> = asked.checks(database).collect();
    if rows.is_empty() {
        // It hosts no primary: then it is no voter itself.
        return if own { Err("leaves it out of its status check".to_owned()) } else { Ok(()) };
    }
    if own && let Some(error) = rows.iter().filter_map(|row| row.error.as_deref()).min() {
        return Err(format!("says in its status check: {error}"));
    }
    if own && rows.iter().any(|row| row.replicated != Some(true)) {
        return Err("could not replicate".to_owned());
    }
    let about: Vec<_> =
        rows.iter().filter(|row| row.server == witness.server).map(|row| row.status.as_deref()).collect();
    match about.iter().filter(|status| **status != Some("APPLYING")).min() {
        None if about.is_empty() => Err(format!("is left out of the status check of core {by}")),
        None => Ok(()),
        Some(status) => Err(format!("is {} by the status check of core {by}", status.unwrap_or("nothing"))),
    }
}

/// Checks that a member applies what the others have applied.
fn keeps_up(database: &str, witness: &Witness<'_>, witnesses: &[Witness<'_>]) -> Result<(), String> {
    let applied = |witness: &Witness<'_>| witness.raft(database).and_then(|raft| raft.applied);
    let own = applied(witness).ok_or("does not say how far it has applied")?;
    let most = witnesses.iter().filter_map(applied).max().unwrap_or(own);
    let lag = most.saturating_sub(own);
    if lag > LAG { Err(format!("is {lag} entries behind")) } else { Ok(()) }
}
