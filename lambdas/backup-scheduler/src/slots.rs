//! Slots that have come: which databases there are, and a job for each.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use cluster_core::{
    backup::{
        Age, Chain, ChainId, Choice, Folder, JobName, Kind, NoSource, OpenJob, Slot, Source, Step, Task, databases,
        decide, source,
    },
    instance::Phase,
    quorum::Observed,
};
use cluster_lambda::{Failure, Mode, signed::Error};
use jiff::Timestamp;

use crate::{Scheduler, function::Run, outcome::SlotLine};

/// The port on which members serve backups (`server.backup.listen_address`).
const PORT: u16 = 6362;

/// Whether anybody wants backups now, and what the members say.
enum Cluster {
    /// It is there.
    Observed(Observed),
    /// Nobody wants backups of it now, and why.
    Skipped(&'static str),
    /// It is asked later, and why.
    Later(String),
}

/// What came of submitting a job.
enum Submitted {
    /// It has this id, or Batch may have it: it is looked for.
    Yes,
    /// Somebody else submits it.
    ByAnother,
    /// Batch refused it.
    Refused(String),
}

impl Scheduler {
    /// Serves the slots that have come, and submits again what found no capacity. To a person who only looks it says what a slot for
    /// a differential would do now, if none is open.
    pub(crate) async fn serve_slots(&self, run: &mut Run, again: Vec<OpenJob>) {
        let mut slots: Vec<Slot> = run.backups.slots.iter().filter(|slot| !slot.done).cloned().collect();
        if slots.is_empty() && run.mode == Mode::Look {
            let now = Timestamp::from_second(run.now.as_second()).unwrap_or(run.now);
            slots.push(Slot::new(Kind::Differential, now, run.now));
        }
        if slots.is_empty() && again.is_empty() {
            return;
        }
        match self.observe(run.now).await {
            Ok(Cluster::Observed(observed)) => {
                self.submit_again(again, &observed, run).await;
                self.serve(slots, &observed, run).await;
            }
            Ok(Cluster::Skipped(why)) => {
                for job in again {
                    self.end_without_backup(&job, why, run).await;
                }
                for mut slot in slots {
                    tracing::info!(kind = %slot.kind, due = %slot.due, "the slot is skipped: {why}");
                    run.outcome.slots.push(SlotLine::new(&slot, None, format!("skipped: {why}")));
                    slot.done = true;
                    self.save(&slot, run).await;
                }
            }
            Ok(Cluster::Later(why)) => {
                for slot in slots {
                    self.postpone(slot, &why, run).await;
                }
            }
            Err(failure) => {
                let why = failure.chain();
                run.failures.push(failure);
                for slot in slots {
                    self.postpone(slot, &why, run).await;
                }
            }
        }
    }

    async fn observe(&self, now: Timestamp) -> Result<Cluster, Failure> {
        let state = self.state.read().await?;
        match state.phase {
            Phase::Complete => {}
            Phase::Creating => return Ok(Cluster::Skipped("the cluster is not complete yet")),
            Phase::Deleting => return Ok(Cluster::Skipped("the cluster is being deleted")),
        }
        if let Some(why) = self.neo4j.rests(now) {
            return Ok(Cluster::Later(why));
        }
        let observed = self.neo4j.observe(&self.config, &state, now).await?;
        Ok(observed.map_or(Cluster::Skipped("no member runs"), Cluster::Observed))
    }

    /// Serves slots from the earliest on.
    async fn serve(&self, slots: Vec<Slot>, observed: &Observed, run: &mut Run) {
        let databases = match databases(observed) {
            Ok(databases) => databases,
            Err(none) => {
                for slot in slots {
                    self.postpone(slot, &none.to_string(), run).await;
                }
                return;
            }
        };
        let wanted = databases.iter().filter(|(_, refused)| refused.is_none()).map(|(name, _)| name.clone());
        run.backups.ages.see(wanted, run.now);
        let mut chains: BTreeMap<String, Option<Folder>> = BTreeMap::new();
        for mut slot in slots {
            let before = slot.clone();
            for (database, refused) in &databases {
                if slot.settled.contains(database) {
                    continue;
                }
                let newest = match chains.entry(database.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => match self.newest(database, refused.as_ref(), run).await {
                        Ok(newest) => unknown.insert(newest),
                        Err(failure) => {
                            run.failures.push(failure);
                            continue;
                        }
                    },
                };
                self.serve_one(&mut slot, database, refused.as_ref(), newest.as_ref(), observed, run).await;
            }
            slot.done = databases.keys().all(|database| slot.settled.contains(database));
            if slot != before {
                self.save(&slot, run).await;
            }
        }
    }

    /// Returns the newest chain of a database, and takes over how old its backups are.
    async fn newest(
        &self,
        database: &str,
        refused: Option<&NoSource>,
        run: &mut Run,
    ) -> Result<Option<Folder>, Failure> {
        if refused.is_some() {
            return Ok(None);
        }
        let newest = self.bucket.newest(database).await?;
        if let Some(ends) = newest.as_ref().and_then(|folder| Chain::of(folder).ends()) {
            run.see_good(database, ends);
        }
        Ok(newest)
    }

    async fn serve_one(
        &self,
        slot: &mut Slot,
        database: &str,
        refused: Option<&NoSource>,
        newest: Option<&Folder>,
        observed: &Observed,
        run: &mut Run,
    ) {
        let open: Vec<&OpenJob> = run.backups.jobs.iter().filter(|job| job.task.database == database).collect();
        let ended: BTreeSet<&str> = run.ended.iter().map(String::as_str).collect();
        let step = decide(slot, refused, source(observed, database), newest, &open, &ended, run.now);
        let (settled, words) = match step {
            Step::Submit(choice, source) => {
                let words = format!(
                    "{} backup from {} ({}), since {}",
                    choice.kind, source.member, source.role, choice.because
                );
                match self.submit_new(slot, database, &choice, &source, run).await {
                    Ok(Submitted::Yes) => (true, words),
                    Ok(Submitted::ByAnother) => (true, format!("{words}: submitted by another invocation")),
                    Ok(Submitted::Refused(why)) if slot.is_over(run.now) => {
                        self.refuse(slot, Some(database), &why, run);
                        (true, format!("refused: {why}"))
                    }
                    Ok(Submitted::Refused(why)) => (false, format!("waits: {why}")),
                    Err(failure) => {
                        let why = failure.chain();
                        run.failures.push(failure);
                        (false, format!("waits: {why}"))
                    }
                }
            }
            Step::Settled(why) => (true, why),
            Step::Wait(why) => (false, format!("waits: {why}")),
            Step::Refuse(why) => {
                self.refuse(slot, Some(database), &why, run);
                (true, format!("refused: {why}"))
            }
        };
        run.outcome.slots.push(SlotLine::new(slot, Some(database), words));
        if settled {
            slot.settled.insert(database.to_owned());
        }
    }

    /// Claims a job and submits it.
    async fn submit_new(
        &self,
        slot: &Slot,
        database: &str,
        choice: &Choice,
        source: &Source,
        run: &mut Run,
    ) -> Result<Submitted, Failure> {
        let name = JobName { database: database.to_owned(), slot: slot.kind, attempt: ChainId::new(slot.due, 1) };
        let task = Task {
            job: String::new(),
            database: database.to_owned(),
            chain: choice.chain,
            kind: choice.kind,
            slot: slot.due,
            source: source.member.clone(),
        };
        let on_spot = self.config.jobs.queue != self.config.jobs.on_demand_queue;
        let job = OpenJob { name, task, nonce: nonce(), on_spot, claimed: run.now, terminated: None };
        self.submit(job, None, source, run).await
    }

    /// Submits again those that found no capacity, or were never submitted, each under a new claim.
    async fn submit_again(&self, again: Vec<OpenJob>, observed: &Observed, run: &mut Run) {
        for before in again {
            let source = match source(observed, &before.task.database) {
                Ok(source) => source,
                Err(none) => {
                    self.end_without_backup(&before, &none.to_string(), run).await;
                    continue;
                }
            };
            let mut job = OpenJob { nonce: nonce(), claimed: run.now, terminated: None, ..before.clone() };
            // One that has an id found no capacity where it was.
            job.on_spot &= before.task.job.is_empty();
            job.task.job.clear();
            job.task.source.clone_from(&source.member);
            let words = match self.submit(job, Some(&before), &source, run).await {
                Ok(Submitted::Yes) => format!("it is submitted again, from {}", source.member),
                Ok(Submitted::ByAnother) => "another invocation submits it again".to_owned(),
                Ok(Submitted::Refused(why)) => why,
                Err(failure) => {
                    let words = failure.chain();
                    run.failures.push(failure);
                    words
                }
            };
            run.outcome.jobs.push((before.name, words));
        }
    }

    /// Submits a job once it is claimed. Whether it was submitted may stay unknown: then it is looked for.
    async fn submit(
        &self,
        mut job: OpenJob,
        before: Option<&OpenJob>,
        source: &Source,
        run: &mut Run,
    ) -> Result<Submitted, Failure> {
        if !run.acts() {
            return Ok(Submitted::Yes);
        }
        if !self.state.claim_job(&job, before.map(|before| before.claimed)).await? {
            return Ok(Submitted::ByAnother);
        }
        let folder = self.config.place.layout.folder(&job.task.database, job.task.chain);
        let variables = [
            ("BACKUP_DATABASE", job.task.database.clone()),
            ("BACKUP_TYPE", job.task.kind.flag().to_owned()),
            ("BACKUP_FROM", format!("{}:{PORT}", source.address)),
            ("BACKUP_TO", format!("s3://{}/{folder}", self.config.place.bucket)),
            ("BACKUP_NONCE", job.nonce.clone()),
        ];
        let jobs = &self.config.jobs;
        let queue = if job.on_spot { &jobs.queue } else { &jobs.on_demand_queue };
        match self.batch.submit(&job.name.to_string(), queue, &jobs.definition, &variables).await {
            Ok(id) => {
                tracing::info!(job = %job.name, id, chain = %job.task.chain, source = source.member, "a backup is taken");
                job.task.job = id;
                run.outcome.tally.submitted += 1;
                self.state.save_job(&job).await?;
                run.take(job);
                Ok(Submitted::Yes)
            }
            Err(error @ Error::Refused { status: 400..500, .. }) if !error.is_transient() => {
                let why = error.failure(&format!("submit the job {}", job.name)).chain();
                tracing::error!("{why}");
                if before.is_none() {
                    self.state.forget_job(&job).await?;
                }
                Ok(Submitted::Refused(why))
            }
            Err(error) => {
                tracing::warn!(job = %job.name, "{}", error.failure("hear whether a job was submitted").chain());
                run.take(job);
                Ok(Submitted::Yes)
            }
        }
    }

    /// Keeps a whole slot for a later sweep, or refuses it.
    async fn postpone(&self, mut slot: Slot, why: &str, run: &mut Run) {
        let over = slot.is_over(run.now);
        let words = if over { format!("refused: {why}") } else { format!("waits: {why}") };
        run.outcome.slots.push(SlotLine::new(&slot, None, words));
        if over {
            self.refuse(&slot, None, why, run);
            slot.done = true;
            self.save(&slot, run).await;
        }
    }

    #[expect(clippy::unused_self, reason = "what a scheduler does")]
    fn refuse(&self, slot: &Slot, database: Option<&str>, why: &str, run: &mut Run) {
        let database = database.unwrap_or("every database");
        tracing::error!("no {} backup of {database} is taken for the slot of {}: {why}", slot.kind, slot.due);
        run.outcome.tally.refused += usize::from(run.acts());
    }

    async fn end_without_backup(&self, job: &OpenJob, why: &str, run: &mut Run) {
        let words = match self.give_up(job, why, run).await {
            Ok(()) => format!("failed: it never ran: {why}"),
            Err(failure) => {
                let words = failure.chain();
                run.failures.push(failure);
                words
            }
        };
        run.outcome.jobs.push((job.name.clone(), words));
    }

    async fn save(&self, slot: &Slot, run: &mut Run) {
        if run.acts()
            && let Err(failure) = self.state.save_slot(slot).await
        {
            run.failures.push(failure);
        }
    }
}

impl Run {
    /// Takes over when the newest good backup of a database was taken.
    pub(crate) fn see_good(&mut self, database: &str, taken: Timestamp) {
        let now = self.now;
        let known = self.backups.ages.databases.entry(database.to_owned());
        known.or_insert(Age { since: now, good: None }).good = Some(taken);
    }

    /// Takes over a job that is open now.
    fn take(&mut self, job: OpenJob) {
        self.backups.jobs.retain(|known| known.name != job.name);
        self.backups.jobs.push(job);
    }
}

/// Draws what the lines of a job's log that count begin with.
fn nonce() -> String {
    format!("b{:016x}", fastrand::u64(..))
}
