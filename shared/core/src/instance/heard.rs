//! What a core's Neo4j says that keeps the core from being whole.

use jiff::{SignedDuration, Timestamp};

use super::{Fault, Heard, Observed, Seen, Task};
use crate::neo4j::{self, Answer, Copy, Kind, View};

/// How long a Neo4j may take from the start of its task to its first answer, before it is said that it may be recovering.
const STARTING: SignedDuration = SignedDuration::from_mins(10);

/// Returns why a core whose task runs is not whole by its Neo4j's own words; nothing when they say nothing against it, or
/// nobody asked it. A refused login and missing rights have alarms of their own: they are no fault of the core.
pub(super) fn neo4j_fault(observed: &Observed, number: u8, task: &Task, now: Timestamp) -> Option<Fault> {
    let Seen::Answers(cores) = &observed.neo4j else { return None };
    let heard = cores.get(&number).filter(|heard| heard.answer.task == task.id)?;
    match &heard.answer.page {
        Err(fault) if fault.kind == Kind::NotAsked => None,
        Err(fault) => Some(unheard(heard, task, fault, now)),
        Ok(_) => unanswered(heard).or_else(|| database_fault(&heard.answer)),
    }
}

/// Returns the fault of a core whose Neo4j does not answer at all.
fn unheard(heard: &Heard, task: &Task, fault: &neo4j::Fault, now: Timestamp) -> Fault {
    let (id, fault) = (task.id.clone(), fault.to_string());
    let Some(since) = task.started_at.filter(|_| !heard.answered_before) else {
        return Fault::Neo4jSilent { task: id, fault };
    };
    if now.duration_since(since) > STARTING {
        Fault::Neo4jNeverAnswered { task: id, since, fault }
    } else {
        Fault::Neo4jStarting { task: id, since, fault }
    }
}

/// Returns the fault of a core whose Neo4j answers, but not to statements.
fn unanswered(heard: &Heard) -> Option<Fault> {
    let view = heard.answer.view.as_ref().err();
    let refused = |kind| {
        matches!(kind, Kind::LoginRefused | Kind::Locked | Kind::PasswordExpired | Kind::Forbidden | Kind::NotAsked)
    };
    let fault = view.filter(|fault| !refused(fault.kind)).map(ToString::to_string);
    let fault = fault.or_else(|| heard.pages_only.then(|| "it left a statement unanswered not long ago".to_owned()))?;
    Some(Fault::Neo4jStuck { fault })
}

/// Returns the fault of a core with a database that it does not serve as it should, by its own words.
///
/// One that is `deallocating` is being moved, «which can take anything from a second to a day or more» (operations manual,
/// «Show databases»).
fn database_fault(answer: &Answer) -> Option<Fault> {
    let fault = |database: &str, seen: String| Some(Fault::Database { database: database.to_owned(), seen });
    if let Ok(view) = &answer.view {
        for (database, copy) in own_copies(view) {
            let status = copy.status.as_str();
            match (status, copy.message.as_str()) {
                ("online" | "deallocating", "") => {}
                (status, "") => return fault(database, status.to_owned()),
                (status, message) => return fault(database, format!("{status}, «{message}»")),
            }
        }
    }
    let broken = answer.raft.iter().flatten().find(|raft| raft.healthy == Some(false))?;
    fault(&broken.database, "unhealthy by its status page: a critical error blocks it".to_owned())
}

/// Returns a member's own copies of the databases that should be online. Composite ones have none.
pub(super) fn own_copies(view: &View) -> impl Iterator<Item = (&str, &Copy)> {
    let wanted = view.databases.iter().filter(|row| row.kind != "composite" && row.requested_status != "offline");
    wanted.flat_map(|row| {
        let own = row.copies.iter().filter(|copy| view.server.is_some() && copy.server == view.server);
        own.map(|copy| (row.name.as_str(), copy))
    })
}
