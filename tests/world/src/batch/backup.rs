//! What the container of a backup does: as the script of the project's job definition, but for what a story decides.

use std::net::Ipv4Addr;

use cluster_core::backup::Artifact;
use jiff::Timestamp;

use super::super::{
    World,
    neo4j::{Member, Phase},
};

/// The log group of a job whose definition names none (API reference of `ContainerDetail`, `logStreamName`).
const LOG_GROUP: &str = "/aws/batch/job";
/// The exit code of a consistency check that found something.
const INCONSISTENT: i32 = 70;
/// The exit code of a backup that could not be taken.
const FAILED: i32 = 1;
/// What each artifact weighs.
const BYTES: u64 = 1_000_000;

/// What a job of a backup does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It takes the backup that was asked for, and says so.
    #[default]
    Good,
    /// The consistency check of a full backup finds something: the artifact is there. A differential is not checked.
    BrokenCheck,
    /// It ends with this code, and has written nothing.
    Fails(i32),
    /// Its host is taken away, before or after the artifact was uploaded.
    Reclaimed {
        /// Whether the artifact is there.
        uploaded: bool,
    },
    /// It runs until somebody ends it, and has written nothing.
    Hangs,
    /// The database was dropped and created again: the artifact has another id.
    OtherDatabase,
    /// A differential leaves transactions out.
    Gap,
    /// A full backup comes of a job that was to take a differential.
    Full,
    /// Its log has a stream, in which nothing ever arrives.
    Silent,
    /// Its log does not exist.
    NoLog,
    /// Its log ends before the end of the job.
    CutLog,
}

/// A database as jobs find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its id.
    pub id: String,
    /// Its last transaction.
    pub last: u64,
    /// How many transactions come between two backups. With none, differentials are empty.
    pub growth: u64,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begins,
    Uploads,
    Ends,
}

/// What the job was told.
struct Wish {
    database: String,
    full: bool,
    from: String,
    bucket: String,
    folder: String,
    nonce: String,
    outcome: Outcome,
    started: Timestamp,
    group: String,
    stream: String,
}

impl World {
    /// Lets the next job of a database that begins to run do this, after those that were planned before.
    pub fn plan_job(&mut self, database: &str, outcome: Outcome) {
        self.batch.outcomes.push((database.to_owned(), outcome));
    }

    /// What a job that begins to run does.
    pub(super) fn next_outcome(&mut self, id: &str) -> Outcome {
        let database = self.batch.jobs.get(id).and_then(|job| job.environment.get("BACKUP_DATABASE"));
        let planned = self.batch.outcomes.iter().position(|(of, _)| Some(of) == database);
        planned.map_or(Outcome::Good, |at| self.batch.outcomes.remove(at).1)
    }

    /// Does a part of a job's work, and returns the exit code; 0 says that it goes on, or that all is well.
    pub(super) fn step_of_backup(&mut self, id: &str, step: Step) -> i32 {
        let Some(environment) = self.batch.jobs.get(id).map(|job| &job.environment) else { return 0 };
        if !environment.keys().any(|name| name.starts_with("BACKUP_") && name != "BACKUP_MEMORY_MIB") {
            return 0;
        }
        // `bash -u` ends a script that names a variable that is not there.
        let Some(wish) = self.wish(id) else { return FAILED };
        match step {
            Step::Begins => self.begin_backup(&wish),
            Step::Uploads => {
                if wish.outcome == (Outcome::Reclaimed { uploaded: false }) {
                    self.reclaim_host(id);
                    return 0;
                }
                if let Outcome::Fails(code) = wish.outcome {
                    self.say(&wish, "The backup failed");
                    return code;
                }
                match self.upload(&wish) {
                    Ok(()) => 0,
                    Err(why) => {
                        self.say(&wish, &why);
                        FAILED
                    }
                }
            }
            Step::Ends => {
                if wish.outcome == (Outcome::Reclaimed { uploaded: true }) {
                    self.reclaim_host(id);
                    return 0;
                }
                self.end_backup(&wish)
            }
        }
    }

    fn wish(&self, id: &str) -> Option<Wish> {
        let job = self.batch.jobs.get(id)?;
        let text = |name: &str| job.environment.get(name).filter(|text| !text.is_empty()).cloned();
        let to = text("BACKUP_TO")?;
        let (bucket, folder) = to.strip_prefix("s3://")?.split_once('/')?;
        let (name, revision) = &job.definition;
        let definition = self.batch.definitions.get(name).and_then(|all| all.get(revision.checked_sub(1)?));
        let group = definition.and_then(|definition| definition.log_group.clone());
        Some(Wish {
            database: text("BACKUP_DATABASE")?,
            full: match text("BACKUP_TYPE")?.as_str() {
                "FULL" => true,
                "DIFF" => false,
                _ => return None,
            },
            from: text("BACKUP_FROM")?,
            bucket: bucket.to_owned(),
            folder: folder.to_owned(),
            nonce: text("BACKUP_NONCE")?,
            outcome: job.outcome,
            started: job.started?,
            group: group.unwrap_or_else(|| LOG_GROUP.to_owned()),
            stream: job.log_stream.clone()?,
        })
    }

    /// Writes a line of a job, unless its log is to lack it.
    fn say(&mut self, wish: &Wish, line: &str) {
        if !matches!(wish.outcome, Outcome::Silent | Outcome::NoLog) {
            self.log(&wish.group, &wish.stream, line);
        }
    }

    fn begin_backup(&mut self, wish: &Wish) -> i32 {
        if wish.outcome != Outcome::NoLog {
            self.open_stream(&wish.group, &wish.stream);
        }
        let kind = if wish.full { "full" } else { "differential" };
        self.say(wish, &format!("{kind} backup of {} from {}", wish.database, wish.from));
        0
    }

    /// Uploads the artifact, or says why there is none.
    fn upload(&mut self, wish: &Wish) -> Result<(), String> {
        if self.is_gone(&wish.from) {
            return Err(format!("{} cannot be reached", wish.from));
        }
        let base = self.artifacts(wish).into_iter().max_by_key(|artifact| artifact.highest);
        let id = base.as_ref().map_or_else(|| self.uuid(), |base| base.database_id.clone());
        let other = self.uuid();
        let blank = Store { id, last: 1000, growth: 100 };
        let store = self.batch.stores.entry(wish.database.clone()).or_insert(blank);
        if wish.outcome == Outcome::OtherDatabase {
            store.id = other;
        }
        let (id, highest) = (store.id.clone(), base.as_ref().map_or(0, |base| base.highest));
        store.last = store.last.max(highest) + store.growth;
        let last = store.last;
        let full = wish.full || wish.outcome == Outcome::Full;
        let known = wish.outcome == Outcome::OtherDatabase || base.is_some_and(|base| base.database_id == id);
        let skipped = u64::from(wish.outcome == Outcome::Gap);
        let (lowest, highest) = match (full, last - highest) {
            (true, _) => (1, last),
            (false, _) if !known => return Err("there is no backup that a differential could follow".to_owned()),
            (false, 0) => (0, 0),
            (false, _) => (highest + 1 + skipped, last.max(highest + 1 + skipped)),
        };
        // Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/inspect/>, the names in the examples.
        let file = format!("{}-{}.backup", wish.database, wish.started.strftime("%Y-%m-%dT%H-%M-%S"));
        let taken = Timestamp::from_second(wish.started.as_second()).unwrap_or(wish.started);
        let (database, database_id) = (wish.database.clone(), id);
        let key = format!("{}{file}", wish.folder);
        let artifact = Artifact { file, database, database_id, taken, full, lowest, highest, recovered: None };
        let body = serde_json::to_string(&artifact).map_err(|error| error.to_string())?;
        let now = self.now;
        let bucket = self.s3.buckets.get_mut(&wish.bucket).ok_or_else(|| format!("there is no {}", wish.bucket))?;
        bucket.put(&key, &body, BYTES, now);
        self.say(wish, &format!("uploaded {key}"));
        Ok(())
    }

    /// Inspects the folder, checks a full backup, and comes to its end.
    fn end_backup(&mut self, wish: &Wish) -> i32 {
        let nonce = &wish.nonce;
        for row in self.inspected(wish) {
            self.say(wish, &format!("{nonce} inspect {row}"));
        }
        if wish.full && wish.outcome == Outcome::BrokenCheck {
            self.say(wish, "Inconsistencies found");
            return INCONSISTENT;
        }
        if wish.outcome == Outcome::CutLog {
            return 0;
        }
        if wish.full {
            self.say(wish, &format!("{nonce} checked"));
        }
        self.say(wish, &format!("{nonce} end"));
        0
    }

    /// Whether no member serves at the address of a source. A world without members has them elsewhere.
    fn is_gone(&self, from: &str) -> bool {
        let address = from.rsplit_once(':').map_or(from, |(host, _)| host).parse::<Ipv4Addr>();
        let serves = |member: &Member| {
            Ok(member.address) == address && member.phase == Phase::Serving && !member.hangs
        };
        !self.neo4j.members.is_empty() && !self.neo4j.members.values().any(serves)
    }

    /// The artifacts in the folder. What jobs of the world upload says what it is, and so does what stories put there.
    fn artifacts(&self, wish: &Wish) -> Vec<Artifact> {
        let objects = self.s3.buckets.get(&wish.bucket).into_iter().flat_map(|bucket| &bucket.objects);
        let inside = objects.filter(|(key, _)| key.starts_with(&wish.folder));
        inside.filter_map(|(_, object)| serde_json::from_str(&object.body).ok()).collect()
    }

    /// The table of `neo4j-admin backup inspect`, the newest artifact first.
    /// Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/inspect/>.
    fn inspected(&self, wish: &Wish) -> Vec<String> {
        let mut artifacts = self.artifacts(wish);
        artifacts.sort_by_key(|artifact| std::cmp::Reverse(artifact.taken));
        let head = "| FILE | DATABASE | DATABASE ID | TIME (UTC) | FULL | COMPRESSED | LOWEST TX | HIGHEST TX |";
        let rows = artifacts.iter().map(|artifact| {
            let Artifact { file, database, database_id, full, lowest, highest, .. } = artifact;
            let (path, taken) = (format!("s3://{}/{}{file}", wish.bucket, wish.folder), artifact.taken);
            let taken = taken.strftime("%Y-%m-%dT%H:%M:%S");
            format!("| {path} | {database} | {database_id} | {taken} | {full} | true | {lowest} | {highest} |")
        });
        [head.to_owned()].into_iter().chain(rows).collect()
    }
}
