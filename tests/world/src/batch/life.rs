//! The life of a job: from state to state as time passes, with an event at each change.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{super::World, Job, arn, backup::Step, detail};

/// What a container's task is stopped with when its own process has ended.
const EXITED: &str = "Essential container in task exited";
/// `statusReason` of a job whose time is over. No page has the words; what reads them must not decide anything.
const TIMEOUT: &str = "Job attempt duration exceeded timeout";
/// The exit code of a container that was killed.
const KILLED: i32 = 137;

impl World {
    /// When something happens to a job next by itself.
    pub(super) fn next_of_jobs(&self) -> Option<Timestamp> {
        self.earliest(self.batch.jobs.values().flat_map(|job| [job.due, job.killed, job.over()]).flatten())
    }

    /// Does one thing that is due now, and returns whether there was one.
    pub(super) fn settle_jobs(&mut self) -> bool {
        let now = self.now;
        let due = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
        let mut jobs: Vec<_> = self.batch.jobs.iter().filter(|(_, job)| !job.has_ended()).collect();
        // First come, first served.
        jobs.sort_by_key(|(_, job)| job.number);
        for (id, job) in jobs {
            let id = id.clone();
            match job.status {
                _ if due(job.killed) => {
                    let why = job.terminated.clone().unwrap_or_else(|| TIMEOUT.to_owned());
                    self.end_job(&id, "FAILED", &why, Some(KILLED));
                }
                "RUNNING" if job.killed.is_none() && due(job.over()) => {
                    let killed = now + self.batch.pace.stopping;
                    self.change_job(&id, |job| (job.killed, job.due) = (Some(killed), None));
                }
                "SUBMITTED" if due(job.due) => {
                    let next = now + self.batch.pace.runnable;
                    self.move_job(&id, "RUNNABLE", Some(next));
                }
                "RUNNABLE" if due(job.due) && self.has_room(&job.queue) => self.start_job(&id),
                "STARTING" if due(job.due) => self.run_job(&id),
                "RUNNING" if due(job.due) => self.go_on(&id),
                _ => continue,
            }
            return true;
        }
        false
    }

    fn has_room(&self, queue: &str) -> bool {
        let busy = |job: &&Job| job.queue == queue && matches!(job.status, "STARTING" | "RUNNING");
        let busy = self.batch.jobs.values().filter(busy).count();
        self.batch.queues.get(queue).is_some_and(|queue| queue.capacity.is_none_or(|capacity| busy < capacity))
    }

    fn start_job(&mut self, id: &str) {
        let (task, next) = (self.id(32), self.now + self.batch.pace.starting);
        self.change_job(id, |job| job.task = Some(task));
        self.move_job(id, "STARTING", Some(next));
    }

    /// A container's stream is named «`first200CharsOfJobDefinitionName/default/ecs_task_id`» (user guide, «Job states»), with
    /// a prefix of its own in place of the name (user guide, «Using the awslogs log driver»).
    fn run_job(&mut self, id: &str) {
        let (now, half) = (self.now, self.batch.pace.running / 2);
        let (prefix, outcome) = (self.stream_prefix(id), self.next_outcome(id));
        let next = (outcome != super::Outcome::Hangs).then_some(now + half);
        self.change_job(id, |job| {
            let task = job.task.as_deref().unwrap_or_default();
            job.log_stream = Some(format!("{prefix}/default/{task}"));
            (job.started, job.outcome) = (Some(now), outcome);
        });
        self.move_job(id, "RUNNING", next);
        self.step_of_backup(id, Step::Begins);
    }

    /// The middle of a run, or its end.
    fn go_on(&mut self, id: &str) {
        let half = self.batch.jobs.get(id).is_some_and(|job| job.halfway);
        if half {
            let code = self.step_of_backup(id, Step::Ends);
            self.exited(id, code);
            return;
        }
        let next = self.now + self.batch.pace.running / 2;
        self.change_job(id, |job| (job.halfway, job.due) = (true, Some(next)));
        match self.step_of_backup(id, Step::Uploads) {
            0 => {}
            code => self.exited(id, code),
        }
    }

    fn exited(&mut self, id: &str, code: i32) {
        let status = if code == 0 { "SUCCEEDED" } else { "FAILED" };
        // A reclaimed host says nothing about its container.
        if !self.batch.jobs.get(id).is_some_and(Job::has_ended) {
            self.end_job(id, status, EXITED, Some(code));
        }
    }

    /// Takes the host away from under a job, as an interruption of Spot does: it ends without an exit code.
    /// Source: <https://docs.aws.amazon.com/batch/latest/userguide/spot-interruptions.html> and the example of
    /// `evaluateOnExit` with `Host EC2*` in «Automated job retries».
    pub fn reclaim_host(&mut self, id: &str) {
        let runs = |job: &Job| matches!(job.status, "STARTING" | "RUNNING");
        if self.batch.jobs.get(id).is_some_and(runs) {
            let why = format!("Host EC2 (instance i-{}) terminated.", self.id(17));
            self.end_job(id, "FAILED", &why, None);
        }
    }

    /// API reference of `TerminateJob` and `CancelJob`: a job without a host is cancelled, one with a host is terminated, and
    /// one that has ended is left as it is.
    pub(super) fn end_by_request(&mut self, id: &str, reason: &str) {
        let Some(job) = self.batch.jobs.get(id).filter(|job| !job.has_ended()) else { return };
        let status = job.status;
        let killed = self.now + self.batch.pace.stopping;
        let has_host = matches!(status, "STARTING" | "RUNNING");
        self.change_job(id, |job| {
            job.terminated.get_or_insert(reason.to_owned());
            job.cancelled = !has_host;
        });
        match status {
            "RUNNING" => self.change_job(id, |job| {
                job.killed.get_or_insert(killed);
                job.due = None;
            }),
            _ => self.end_job(id, "FAILED", reason, None),
        }
    }

    fn end_job(&mut self, id: &str, status: &'static str, why: &str, code: Option<i32>) {
        let now = self.now;
        self.change_job(id, |job| {
            (job.stopped, job.exit_code, job.status_reason) = (Some(now), code, Some(why.to_owned()));
            job.killed = None;
        });
        self.move_job(id, status, None);
    }

    /// Puts a job into a state, and says so. «Events aren't created for the initial job submission.»
    /// Source: <https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html>.
    fn move_job(&mut self, id: &str, status: &'static str, due: Option<Timestamp>) {
        self.change_job(id, |job| (job.status, job.due) = (status, due));
        if let Some(job) = self.batch.jobs.get(id) {
            let detail = detail::job(id, job);
            self.emit("aws.batch", "Batch Job State Change", &[arn("job", id)], &detail);
        }
    }

    fn change_job(&mut self, id: &str, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.batch.jobs.get_mut(id) {
            change(job);
        }
    }

    fn stream_prefix(&self, id: &str) -> String {
        let Some((name, revision)) = self.batch.jobs.get(id).map(|job| &job.definition) else { return String::new() };
        let definition = self.batch.definitions.get(name).and_then(|all| all.get(revision.checked_sub(1)?));
        let own = definition.and_then(|definition| definition.stream_prefix.clone());
        own.unwrap_or_else(|| name.chars().take(200).collect())
    }

    /// The ids of the jobs that have not ended, the oldest first.
    #[must_use]
    pub fn open_jobs(&self) -> Vec<String> {
        let mut open: Vec<_> = self.batch.jobs.iter().filter(|(_, job)| !job.has_ended()).collect();
        open.sort_by_key(|(_, job)| job.number);
        open.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The job that was submitted last under this name, with its id.
    #[must_use]
    pub fn job_named(&self, name: &str) -> Option<(&String, &Job)> {
        let jobs = self.batch.jobs.iter().filter(|(_, job)| job.name == name);
        jobs.min_by_key(|(_, job)| Reverse(job.number))
    }
}

impl Job {
    /// When its timeout is over, «measured from the job attempt's startedAt» (API reference of `JobTimeout`).
    fn over(&self) -> Option<Timestamp> {
        let started = self.started.filter(|_| self.status == "RUNNING" && self.killed.is_none())?;
        Some(started + self.timeout?)
    }
}
