use super::Going;
use crate::neo4j::monitor::Trouble;

/// Why a core must not be stopped, or is not back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Nobody asked for such a core.
    #[error("there is no core {core}: the cluster has cores 1 to {cores}")]
    UnknownCore {
        /// The number that was asked for.
        core: u8,
        /// How many cores are expected.
        cores: u8,
    },
    /// A core that the others would have to rely on.
    #[error("core {core} cannot be relied on: {why}")]
    Silent {
        /// Its number.
        core: u8,
        /// Why.
        why: Silence,
    },
    /// The monitor lacks rights, so other databases may be there.
    #[error(
        "core {core} shows the user monitor no database but system, so it is not known what else depends on it: the user \
         monitor needs ACCESS ON DATABASE *"
    )]
    OnlySystem {
        /// The core that was asked.
        core: u8,
    },
    /// A core's answer leaves out `system`, which every member has.
    #[error("core {core} does not list the database system, so its answer is not complete")]
    NoSystem {
        /// The core that was asked.
        core: u8,
    },
    /// One core lists it, another does not.
    #[error(
        "core {core} does not list database {database}, of which core {other} knows: it is being created or dropped, or an \
         answer left it out"
    )]
    NotListed {
        /// The database.
        database: String,
        /// The core that does not list it.
        core: u8,
        /// A core that knows of it.
        other: u8,
    },
    /// One name, several databases.
    #[error(
        "database {database} has another id on core {core} than on core {other}: it is being dropped and created again"
    )]
    OtherId {
        /// The database.
        database: String,
        /// The first core.
        other: u8,
        /// The core that says otherwise.
        core: u8,
    },
    /// It is not known how many primaries there should be.
    #[error("core {core} does not say how many primaries are requested of database {database}")]
    NoNumber {
        /// The database.
        database: String,
        /// The core that was asked.
        core: u8,
    },
    /// The voting sets differ.
    #[error(
        "the members of database {database} do not agree who votes: core {other} counts {others} voters, core {core} counts \
         {counts}{}", if .counts == .others { ", but other ones" } else { "" }
    )]
    VotersDisagree {
        /// The database.
        database: String,
        /// The first core.
        other: u8,
        /// How many voters the first core counts.
        others: usize,
        /// The core that says otherwise.
        core: u8,
        /// How many voters it counts.
        counts: usize,
    },
    /// No leader.
    #[error("core {core} knows no leader of database {database}")]
    NoLeader {
        /// The database.
        database: String,
        /// The core that was asked.
        core: u8,
    },
    /// Two leaders.
    #[error("the members of database {database} do not agree who leads: core {core} says otherwise than core {other}")]
    LeadersDisagree {
        /// The database.
        database: String,
        /// The first core.
        other: u8,
        /// The core that says otherwise.
        core: u8,
    },
    /// Two leaders by the status checks.
    #[error("the members of database {database} recognise different leaders by the status checks")]
    OtherLeaders {
        /// The database.
        database: String,
    },
    /// A leader that does not vote.
    #[error("the leader of database {database} is not in its voting set: the voting set changes at this moment")]
    LeaderDoesNotVote {
        /// The database.
        database: String,
    },
    /// A copy leaves its server.
    #[error("database {database} is being dropped or moved: its copy on {on} is {how}")]
    Moving {
        /// The database.
        database: String,
        /// The core, or the server.
        on: String,
        /// What was seen.
        how: String,
    },
    /// The majority would be gone.
    #[error(
        "database {database}: without this core {} of {voters} voters would be healthy{}, and {needed} are needed{}",
        .healthy.len(), cores_of(.healthy), and(.unhealthy)
    )]
    TooFew {
        /// The database.
        database: String,
        /// The cores with healthy voters that would remain.
        healthy: Vec<u8>,
        /// How many are needed.
        needed: usize,
        /// How many vote: those requested, or more if the voting set is larger.
        voters: usize,
        /// Why the others are not healthy.
        unhealthy: Vec<String>,
    },
    /// The core runs the task that it had before.
    #[error("core {core} still runs task {task}, the one that was stopped")]
    SameTask {
        /// The core.
        core: u8,
        /// The task.
        task: String,
    },
    /// No peer vouches for the core.
    #[error("database {database}: no status check of another core calls the copy on core {core} APPLYING{}", and(.seen))]
    NotApplying {
        /// The database.
        database: String,
        /// The core.
        core: u8,
        /// What the others say.
        seen: Vec<String>,
    },
    /// The core's own copy is broken.
    #[error("database {database}: the copy on core {core} is {seen}")]
    Broken {
        /// The database.
        database: String,
        /// The core.
        core: u8,
        /// What was seen.
        seen: String,
    },
    /// Clients do not find it yet.
    #[error("core {core} is not published in DNS yet")]
    NotPublished {
        /// The core.
        core: u8,
    },
}

/// Why nothing that a core says counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Silence {
    /// It has no task.
    #[error("it has no task")]
    NoTask,
    /// The gateway did not say anything about it.
    #[error("the gateway has no answer of its Neo4j (task {0})")]
    NotAsked(String),
    /// A part of its answer is missing.
    #[error("its Neo4j gave no answer to {what}: {fault}")]
    Part {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        fault: String,
    },
    /// It is about to go.
    #[error("it is about to go: {0}")]
    Going(Going),
    /// It does not say which server it is.
    #[error("its Neo4j does not say which server it is")]
    NoServer,
    /// Another Neo4j answers.
    #[error(
        "its Neo4j is server {has}, but this core was server {remembered}: it has lost its data, or its address is somebody \
         else's now"
    )]
    OtherServer {
        /// The server's id.
        has: String,
        /// The id that is remembered.
        remembered: String,
    },
    /// Two cores are one server.
    #[error("its Neo4j is server {server}, and so is that of core {other}: an address is somebody else's now")]
    SameServer {
        /// The server's id.
        server: String,
        /// The other core.
        other: u8,
    },
    /// Two tasks of it answer.
    #[error("several of its tasks answer: {0}")]
    Several(String),
}

/// Something that people should know, though it keeps nothing from being stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Warning {
    /// Nobody can keep it writable.
    #[error(
        "database {database} has {primaries} requested {}: it cannot be written while one of its servers is down, and \
         nothing waits for it", if *.primaries == 1 { "primary" } else { "primaries" }
    )]
    Consent {
        /// The database.
        database: String,
        /// How many primaries are requested.
        primaries: u32,
    },
    /// A wrong seed, for example.
    #[error(
        "database {database} was created {minutes} minutes ago and is online nowhere{}: nothing waits for it; correct its \
         seed, or drop it", and(.seen)
    )]
    NeverOnline {
        /// The database.
        database: String,
        /// How long ago it was created.
        minutes: i64,
        /// What its copies say.
        seen: Vec<String>,
    },
    /// It is down, and remedies must stay possible.
    #[error(
        "database {database} is down: the status check replicated nothing of it in three sweeps; a core whose own copy is \
         broken may be restarted"
    )]
    Down {
        /// The database.
        database: String,
    },
    /// The monitor cannot log in, or may not ask.
    #[error("{trouble} {member}: what it says there does not count")]
    Monitor {
        /// What is wrong.
        trouble: Trouble,
        /// The member.
        member: String,
    },
}

fn cores_of(cores: &[u8]) -> String {
    match cores {
        [] => String::new(),
        [core] => format!(" (core {core})"),
        cores => format!(" (cores {})", cores.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn and(more: &[String]) -> String {
    if more.is_empty() { String::new() } else { format!(": {}", more.join("; ")) }
}
