//! AWS Batch: job queues, job definitions, and jobs that live through their states as time passes.

mod api;
mod backup;
mod detail;
mod life;
mod list;
mod resources;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use backup::{Outcome, Store};

use super::{
    ACCOUNT, Answer, REGION, Refusal, Request, World,
    cloudformation::{Change, Operation, Wanted},
    service::{Asked, Service, Target, Touched},
};

/// The operations, by the paths of the API reference.
const OPERATIONS: [(&str, &str); 4] = [
    ("/v1/submitjob", "SubmitJob"),
    ("/v1/listjobs", "ListJobs"),
    ("/v1/describejobs", "DescribeJobs"),
    ("/v1/terminatejob", "TerminateJob"),
];

/// How long a job can be described after its end: «at least 7 days».
/// Source: <https://docs.aws.amazon.com/batch/latest/userguide/job_states.html>, `SUCCEEDED` and `FAILED`.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Queues, definitions, jobs, and what the world decides about them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Job queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// Job definitions by name: the last revision is the latest.
    pub definitions: BTreeMap<String, Vec<Definition>>,
    /// Jobs by id, ended ones too, however long ago.
    pub jobs: BTreeMap<String, Job>,
    /// How long jobs stay in their states from now on.
    pub pace: Pace,
    /// What the next jobs of a database do, the first one first; all others succeed.
    pub outcomes: Vec<(String, Outcome)>,
    /// The databases that jobs have backed up, by name.
    pub stores: BTreeMap<String, Store>,
}

/// A job queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many jobs its compute environments hold at a time; nothing when as many as there are. With 0, jobs stay
    /// `RUNNABLE`, «indefinitely» (user guide, «Job states»).
    pub capacity: Option<usize>,
}

/// A revision of a job definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The environment of the container.
    pub environment: BTreeMap<String, String>,
    /// `attemptDurationSeconds`.
    pub timeout: Option<i64>,
    /// `awslogs-group`; without one, it is Batch's own.
    pub log_group: Option<String>,
    /// `awslogs-stream-prefix`; without one, it is the definition's name.
    pub stream_prefix: Option<String>,
}

/// How long a job stays in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// `SUBMITTED`.
    pub submitted: SignedDuration,
    /// `RUNNABLE`, where there is capacity.
    pub runnable: SignedDuration,
    /// `STARTING`.
    pub starting: SignedDuration,
    /// `RUNNING`: the artifact is uploaded in the middle, and whatever follows comes in the end.
    pub running: SignedDuration,
    /// How long a container takes to end when it is told to: 30 seconds at most, then it is killed.
    /// Source: <https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html>.
    pub stopping: SignedDuration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = SignedDuration::from_secs;
        Self {
            submitted: seconds(1),
            runnable: seconds(90),
            starting: seconds(30),
            running: seconds(120),
            stopping: seconds(30),
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `jobName`.
    pub name: String,
    /// The name of its queue.
    pub queue: String,
    /// The name and the revision of its definition.
    pub definition: (String, usize),
    /// `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// What its container's environment is.
    pub environment: BTreeMap<String, String>,
    /// `SUBMITTED`, `RUNNABLE`, `STARTING`, `RUNNING`, `SUCCEEDED`, `FAILED`.
    pub status: &'static str,
    /// `statusReason`.
    pub status_reason: Option<String>,
    /// When it was submitted.
    pub created: Timestamp,
    /// When it became `RUNNING`.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub stopped: Option<Timestamp>,
    /// The exit code of its container.
    pub exit_code: Option<i32>,
    /// `reason` of its container.
    pub reason: Option<String>,
    /// The id of its task, once it is `STARTING`.
    pub task: Option<String>,
    /// Where it logs, once it is `RUNNING`.
    pub log_stream: Option<String>,
    /// When it is over for a job that runs.
    pub timeout: Option<SignedDuration>,
    /// A request to terminate it that was accepted: the reason.
    pub terminated: Option<String>,
    /// A request to terminate it was accepted before it had a host.
    pub cancelled: bool,
    /// What it does.
    pub outcome: Outcome,
    /// When something happens to it next by itself.
    due: Option<Timestamp>,
    /// Whether the middle of its run is over.
    halfway: bool,
    /// Until when its container has time to end.
    killed: Option<Timestamp>,
    /// How many jobs were submitted before it.
    number: usize,
}

impl Job {
    /// Returns whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stopped.is_some()
    }
}

impl Service for Batch {
    const NAME: &'static str = "batch";
    const TARGET: Target = Target::RestJson(&OPERATIONS);
    const RESOURCES: &'static [&'static str] = &["AWS::Batch::JobQueue", "AWS::Batch::JobDefinition"];

    /// Service authorization reference of AWS Batch: a job is submitted to a queue, of a definition; lists and descriptions
    /// know no resources.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let text = |key: &str| asked.body[key].as_str().unwrap_or_default();
        let resources = match asked.operation.as_str() {
            "SubmitJob" => {
                vec![named("job-definition", text("jobDefinition")), named("job-queue", text("jobQueue"))]
            }
            "TerminateJob" => vec![named("job", text("jobId"))],
            _ => vec!["*".to_owned()],
        };
        Touched::resources(resources)
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        match asked.operation.as_str() {
            "SubmitJob" => world.submit_job(&asked.body),
            "ListJobs" => world.list_jobs(&asked.body),
            "DescribeJobs" => world.describe_jobs(&asked.body),
            "TerminateJob" => world.terminate_job(&asked.body),
            other => Err(client(format!("the world has no batch:{other}"))),
        }
    }

    fn next_due(world: &World) -> Option<Timestamp> {
        world.next_of_jobs()
    }

    fn settle(world: &mut World) -> bool {
        world.settle_jobs()
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        world.create_for_jobs(wanted)
    }

    fn update(world: &mut World, change: &Change<'_>) -> Operation {
        world.update_for_jobs(change)
    }

    fn delete(world: &mut World, r#type: &str, id: &str, _: &Value) -> Result<(), String> {
        world.delete_for_jobs(r#type, id);
        Ok(())
    }
}

/// Returns which operation a request to Batch is.
pub(crate) fn operation(request: &Request) -> Option<&'static str> {
    let asked = OPERATIONS.iter().find(|(path, _)| request.target.is_none() && request.path == *path);
    asked.map(|(_, operation)| *operation)
}

/// Whether an operation only reads.
pub(crate) fn reads(operation: &str) -> bool {
    matches!(operation, "ListJobs" | "DescribeJobs")
}

/// A refusal as Batch words it: its type is a header. Too many calls are refused with a type and a status of its own.
/// Source: <https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html>, «Errors», and
/// <https://repost.aws/knowledge-center/aws-batch-requests-error>.
pub(crate) fn refused(code: &str, message: &str) -> Answer {
    let (status, code) = match code {
        "ThrottlingException" => (429, "TooManyRequestsException"),
        "AccessDeniedException" => (403, code),
        "ServerException" => (500, code),
        _ => (400, code),
    };
    let body = json!({"message": message}).to_string();
    Answer { status, headers: vec![("x-amzn-errortype", code.to_owned())], body }
}

/// The ARN of something of Batch's.
#[must_use]
pub fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:batch:{REGION}:{ACCOUNT}:{kind}/{name}")
}

/// The ARN of what is named by its name or by its ARN.
fn named(kind: &str, id: &str) -> String {
    if id.starts_with("arn:") { id.to_owned() } else { arn(kind, id) }
}

/// The name of what is named by its name or by its ARN.
fn short<'a>(kind: &str, id: &'a str) -> &'a str {
    id.split_once(&format!(":{kind}/")).map_or(id, |(_, name)| name)
}

fn client(message: impl Into<String>) -> Refusal {
    Refusal::new("ClientException", message)
}
