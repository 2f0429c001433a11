//! Jobs that have not been judged: whether they get on, and what they were worth.

use std::collections::BTreeMap;

use cluster_core::backup::{Ended, Evidence, Manifest, Next, OpenJob, Progress, Verdict, judge, next};
use cluster_lambda::Failure;
use jiff::SignedDuration;

use crate::{Scheduler, batch::Described, function::Run};

/// How long after its claim a job that nobody knows the id of is looked for: longer than an invocation lives.
const LOOKED_FOR: SignedDuration = SignedDuration::from_mins(2);
/// How long it is looked for until it was never submitted. How soon `ListJobs` shows a job stands on no page.
const NOT_SUBMITTED: SignedDuration = SignedDuration::from_mins(6);
/// How long a job may be missing from `DescribeJobs` after it was submitted.
const UNDESCRIBED: SignedDuration = SignedDuration::from_mins(10);
/// How long after its slot a job may still be submitted.
const SUBMITTED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// What follows from one job.
enum Follows {
    /// It stays open, in these words.
    Open(String),
    /// It is submitted again, where it may be.
    Again,
    /// It is over, in these words.
    Over(String),
}

impl Scheduler {
    /// Follows each job, and returns those to submit again. What fails leaves its job open.
    pub(crate) async fn follow_jobs(&self, run: &mut Run) -> Vec<OpenJob> {
        let jobs = run.backups.jobs.clone();
        let ids: Vec<&str> = jobs.iter().map(|job| job.task.job.as_str()).filter(|id| !id.is_empty()).collect();
        let described = match self.batch.describe(&ids).await {
            Ok(described) => described,
            Err(failure) => {
                run.failures.push(failure);
                return Vec::new();
            }
        };
        let mut again = Vec::new();
        let mut open = Vec::new();
        for job in jobs {
            let follows = match self.follow(&job, &described, run).await {
                Ok(follows) => follows,
                Err(failure) => {
                    let words = failure.chain();
                    run.failures.push(failure);
                    Follows::Open(words)
                }
            };
            let words = match follows {
                Follows::Open(words) => {
                    open.push(job.clone());
                    words
                }
                Follows::Again => {
                    open.push(job.clone());
                    again.push(job);
                    continue;
                }
                Follows::Over(words) => words,
            };
            run.outcome.jobs.push((job.name, words));
        }
        run.backups.jobs = open;
        run.ended =
            described.into_iter().filter(|(_, job)| job.progress == Progress::Ended).map(|(id, _)| id).collect();
        again
    }

    async fn follow(
        &self,
        job: &OpenJob,
        described: &BTreeMap<String, Described>,
        run: &mut Run,
    ) -> Result<Follows, Failure> {
        if job.task.job.is_empty() {
            return self.look_for(job, run).await;
        }
        let now = run.now;
        let Some(found) = described.get(&job.task.job) else {
            if now.duration_since(job.claimed) < UNDESCRIBED {
                return Ok(Follows::Open("Batch does not show it yet".to_owned()));
            }
            let reason = "Batch does not know the job any more".to_owned();
            let ended = Ended { at: job.claimed, exit_code: None, reason, sizes: None };
            return self.judge(job, ended, None, run).await;
        };
        match next(&found.job(job.on_spot), &self.config.limits, now) {
            Next::Wait if found.progress == Progress::Runs => Ok(Follows::Open("it runs".to_owned())),
            Next::Wait => Ok(Follows::Open("it waits for capacity".to_owned())),
            Next::Terminate(overdue) => {
                let why = overdue.to_string();
                self.terminate(job, &why, run).await?;
                Ok(Follows::Open(format!("it is terminated: {why}")))
            }
            Next::SubmitOnDemand if self.config.jobs.queue != self.config.jobs.on_demand_queue => Ok(Follows::Again),
            Next::SubmitOnDemand | Next::GiveUp => self.given_up(job, &found.reason, run).await,
            Next::Judge => {
                // A time that does not move: the log is not waited for for ever.
                let at = found.stopped.or(found.started).unwrap_or(found.created);
                let ended = Ended { at, exit_code: found.exit_code, reason: found.reason.clone(), sizes: None };
                self.judge(job, ended, found.log_stream.as_deref(), run).await
            }
        }
    }

    /// Ends a job that does not get on, again in each round until it has ended. It is counted once.
    async fn terminate(&self, job: &OpenJob, why: &str, run: &mut Run) -> Result<(), Failure> {
        tracing::error!(job = %job.name, id = job.task.job, "the job is terminated: {why}");
        if !run.acts() {
            return Ok(());
        }
        self.batch.terminate(&job.task.job, why).await?;
        if job.terminated.is_none() {
            run.outcome.tally.stuck += 1;
            self.state.save_job(&OpenJob { terminated: Some(run.now), ..job.clone() }).await?;
        }
        Ok(())
    }

    /// Looks for a job that may have been submitted, though nobody heard so.
    async fn look_for(&self, job: &OpenJob, run: &mut Run) -> Result<Follows, Failure> {
        let since = run.now.duration_since(job.claimed);
        if since < LOOKED_FOR {
            return Ok(Follows::Open("whether it was submitted is not known yet".to_owned()));
        }
        let queues = &self.config.jobs;
        let queue = if job.on_spot { &queues.queue } else { &queues.on_demand_queue };
        let ids = self.batch.named(&job.name.to_string(), queue).await?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = self.batch.describe(&ids).await?;
        let own = found.into_iter().find(|(_, found)| found.nonce.as_deref() == Some(job.nonce.as_str()));
        if let Some((id, _)) = own {
            let mut known = job.clone();
            known.task.job = id;
            if run.acts() {
                self.state.save_job(&known).await?;
            }
            return Ok(Follows::Open(format!("it was submitted as {}", known.task.job)));
        }
        if since < NOT_SUBMITTED {
            return Ok(Follows::Open("it is looked for".to_owned()));
        }
        if run.now.duration_since(job.task.slot) < SUBMITTED_WITHIN {
            return Ok(Follows::Again);
        }
        self.given_up(job, "it could not be submitted", run).await
    }

    async fn given_up(&self, job: &OpenJob, why: &str, run: &mut Run) -> Result<Follows, Failure> {
        self.give_up(job, why, run).await?;
        Ok(Follows::Over(format!("failed: it never ran: {why}")))
    }

    /// Ends a slot that has no backup. The job has written nothing, so its chain is as it was.
    pub(crate) async fn give_up(&self, job: &OpenJob, why: &str, run: &mut Run) -> Result<(), Failure> {
        if run.acts() {
            self.state.forget_job(job).await?;
            run.outcome.tally.failed += 1;
        }
        tracing::error!(job = %job.name, id = job.task.job, "the backup of {} failed: its job never ran: {why}", job.task.database);
        run.backups.jobs.retain(|known| known.name != job.name);
        Ok(())
    }

    /// Judges a job that has ended, and writes what it was worth into the manifest of its chain.
    async fn judge(
        &self,
        job: &OpenJob,
        ended: Ended,
        stream: Option<&str>,
        run: &mut Run,
    ) -> Result<Follows, Failure> {
        let OpenJob { task, nonce, .. } = job;
        let mut lines = Vec::new();
        if let Some(stream) = stream {
            match self.logs.lines(stream, nonce).await {
                Ok(found) => lines = found.unwrap_or_default(),
                // The judgement waits for it as for a log that is late.
                Err(failure) => run.failures.push(failure),
            }
        }
        let evidence = Evidence::read(nonce, lines.iter().map(String::as_str));
        let sizes = match self.bucket.folder(&task.database, task.chain).await {
            Ok(folder) => Some(folder.objects.into_iter().map(|object| (object.file, object.bytes)).collect()),
            Err(failure) => {
                run.failures.push(failure);
                None
            }
        };
        let (mut manifest, tag) = match self.bucket.tagged_manifest(&task.database, task.chain).await? {
            None => (Manifest::new(&task.database, task.chain), None),
            Some((Ok(manifest), tag)) => (manifest, Some(tag)),
            Some((Err(why), _)) => {
                let key = self.config.place.layout.manifest(&task.database, task.chain);
                let what =
                    format!("{key} cannot be read, so nothing is added to it: bring back an older version of it");
                return Err(Failure::permanent(what).caused_by(why));
            }
        };
        let ended = Ended { sizes, ..ended };
        let Some(backup) = judge(task, &ended, &evidence, &manifest, run.now) else {
            return Ok(Follows::Open("it has ended, and its log is not whole yet".to_owned()));
        };
        let (verdict, reasons) = (backup.verdict, backup.reasons.join("; "));
        let taken = backup.artifact.as_ref().map(|artifact| artifact.taken);
        if run.acts() {
            if manifest.record(backup) && !self.bucket.put_manifest(&manifest, tag.as_deref()).await? {
                let what = format!("somebody else has written the manifest of {}/{}", task.database, task.chain);
                return Err(Failure::transient(what).caused_by("the next sweep reads it again"));
            }
            self.state.forget_job(job).await?;
            run.count(verdict);
        }
        let database = task.database.as_str();
        if let (Verdict::Good, Some(taken)) = (verdict, taken) {
            run.see_good(database, taken);
            tracing::info!(job = %job.name, chain = %task.chain, "the backup of {database} is good");
        } else {
            let (id, chain) = (&task.job, task.chain);
            tracing::error!(job = %job.name, id, %chain, "the backup of {database} is {verdict}: {reasons}");
        }
        Ok(Follows::Over(if reasons.is_empty() { verdict.to_string() } else { format!("{verdict}: {reasons}") }))
    }
}

impl Run {
    fn count(&mut self, verdict: Verdict) {
        let tally = &mut self.outcome.tally;
        *match verdict {
            Verdict::Good => &mut tally.good,
            Verdict::Unverified => &mut tally.unverified,
            Verdict::Failed => &mut tally.failed,
        } += 1;
    }
}
