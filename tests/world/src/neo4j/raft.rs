//! Majorities and leaders.

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Database, Dbms, Kind, Lost, dbms::Unable, spread};

/// How long it takes until a leader that went without a word is given up, in seconds (operations manual, «Configuration
/// settings», `dbms.cluster.raft.leader_failure_detection_window`).
pub(super) const DETECTION: (i64, i64) = (20, 23);
/// How long an election takes, in seconds (the same page, `dbms.cluster.raft.election_failure_detection_window`).
const ELECTION: (i64, i64) = (3, 6);
/// How long it takes after a leader that stopped cleanly.
pub(super) const HANDOVER: SignedDuration = SignedDuration::from_secs(2);

impl Database {
    /// How many votes are a majority: of the requested primaries, or of the voters where these are more.
    #[must_use]
    pub fn majority(&self) -> usize {
        let requested = self.primaries.map_or(0, |primaries| primaries as usize);
        self.voters().count().max(requested) / 2 + 1
    }

    /// Whether so many of its voters can take part now that they are a majority.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        self.voters().filter(|(_, copy)| copy.unable.is_none()).count() >= self.majority()
    }

    /// Whether it counts: somebody wants it, and it has been there.
    fn counts(&self) -> bool {
        self.wanted && self.led && self.kind != Kind::Composite && self.dropped.is_none()
    }

    fn is_able(&self, server: &str) -> bool {
        self.copies.get(server).is_some_and(|copy| copy.primary && copy.unable.is_none())
    }

    /// Whose doing it is that there is no majority: of those that went, in the order in which that was decided, the one that was too
    /// many.
    fn culprit(&self) -> Cause {
        let mut gone: Vec<_> = self.voters().filter_map(|(_, copy)| copy.unable).collect();
        // A function takes time to look: what happens in the moment in which it asks comes after that.
        gone.sort_by_key(|unable| (unable.asked_at, unable.cause != Cause::Functions));
        let spare = self.voters().count().checked_sub(self.majority());
        spare.and_then(|spare| gone.get(spare)).map_or(Cause::Itself, |unable| unable.cause)
    }

    /// How long it had no majority until a time.
    #[must_use]
    pub fn lost_until(&self, now: Timestamp) -> Lost {
        let mut lost = self.lost;
        if let Some((since, cause)) = self.without {
            lost.add(cause, now.duration_since(since));
        }
        lost
    }
}

impl Dbms {
    /// Looks at every database anew after something has changed.
    pub(super) fn reassess(&mut self, now: Timestamp) {
        let Self { servers, databases, .. } = self;
        for (name, database) in databases {
            for (id, copy) in &mut database.copies {
                let server = servers.get(id);
                let down = server.and_then(|server| server.down);
                let full = server.is_some_and(|server| server.full && name != "system");
                if down.is_none() && !full && copy.status == "online" && copy.lag == 0 && server.is_some() {
                    copy.unable = None;
                } else {
                    let cause = down.map_or(Cause::Itself, |down| down.cause);
                    let asked_at = down.map_or(now, |down| down.asked_at);
                    copy.unable.get_or_insert(Unable { since: now, asked_at, cause });
                }
            }
            let has_majority = database.has_majority();
            let without = (database.counts() && !has_majority).then(|| database.culprit());
            match (database.without, without) {
                (Some((_, before)), Some(cause)) if before == cause => {}
                (_, after) => {
                    database.lost = database.lost_until(now);
                    database.without = after.map(|cause| (now, cause));
                }
            }
            if database.kind == Kind::Composite || !database.wanted {
                (database.leader, database.election) = (None, None);
                continue;
            }
            if database.primaries == Some(1) {
                let only = database.voters().find(|(_, copy)| copy.unable.is_none()).map(|(id, _)| id.clone());
                database.led |= only.is_some();
                database.leader = only;
                continue;
            }
            let leads = database.leader.as_ref().is_some_and(|leader| database.is_able(leader));
            let rests = if database.leader.is_some() { leads && has_majority } else { !has_majority };
            if rests {
                database.election = None;
            } else {
                let (low, high) = if database.leader.is_some() { DETECTION } else { ELECTION };
                let seed = format!("{name}{}", database.term);
                database.election.get_or_insert_with(|| now + spread(&seed, low, high));
            }
        }
    }

    /// An election ends: of those that can lead the one leads that leads the fewest (operations manual, «Leadership, routing, and
    /// load balancing», `EQUAL_BALANCING`), or nobody.
    pub(super) fn elect(&mut self, name: &str, now: Timestamp) {
        let leads = |id: &String| self.databases.values().filter(|all| all.leader.as_ref() == Some(id)).count();
        let able = self
            .databases
            .get(name)
            .filter(|database| database.has_majority())
            .into_iter()
            .flat_map(|database| database.voters().filter(|(_, copy)| copy.unable.is_none()).map(|(id, _)| id));
        let next = able.min_by_key(|id| (leads(id), (*id).clone())).cloned();
        if let Some(database) = self.databases.get_mut(name) {
            database.election = None;
            database.term += u32::from(next.is_some());
            database.led |= next.is_some();
            database.leader = next;
        }
        self.reassess(now);
    }
}
