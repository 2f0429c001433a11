//! The part of a function that is its own. [`Frame`](crate::Frame) does everything else.

use aws_lambda_events::{cloudformation::CloudFormationCustomResourceRequest, sqs::SqsMessage};
use jiff::Timestamp;
use serde_json::Value;

use crate::{Aws, Failure, Frame, env::Lookup, queue::Trigger, telemetry::MetricSet};

/// The `(source, detail-type)` of the schedule that wakes every function each minute.
pub const SWEEP: (&str, &str) = ("neo4j.cluster", "Sweep");

/// A function of the cluster: it observes, plans, and applies the plan.
#[expect(async_fn_in_trait, reason = "a function runs on one thread, so its futures need not be `Send`")]
pub trait Function: Sized {
    /// The name of its crate, its binary, its page in `docs/`, and of everything else that belongs to it.
    const NAME: &'static str;
    /// The `(source, detail-type)` pairs of the events that wake it, [`SWEEP`] among them. Its rules match the same ones.
    const WAKES: &'static [(&'static str, &'static str)];
    /// The types of the custom resources that it provides.
    const CUSTOM_RESOURCES: &'static [&'static str] = &[];
    /// The names of all metrics that it may emit.
    const METRICS: &'static [&'static str];
    /// Those among them that are written only when they are not 0, since a metric is charged for by the hour in which it is
    /// written (<https://aws.amazon.com/cloudwatch/pricing/>): counts of what happened in a round, and states whose 0 says nothing
    /// that another metric does not say. To an alarm on one of them missing data are `notBreaching`; one on silence watches another.
    const ABSENT_AT_ZERO: &'static [&'static str] = &[];
    /// How it handles the messages of its queue.
    const MESSAGES: Messages = Messages::Coalesced;
    /// Whether a person's `{}` only plans, and `{"dryRun": false}` acts: of a function whose work nobody wants by mistake.
    const LOOKS_UNLESS_TOLD: bool = false;

    /// The outcome of a round.
    type Outcome;

    /// Reads its configuration and makes its clients. Refuses the first variable that is missing or wrong, by name and
    /// value.
    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure>;

    /// Returns the cluster's name, the dimension of every metric.
    fn cluster(&self) -> &str;

    /// Makes first calls in the init phase, each of them a read: see [`Frame::warm_up`].
    async fn warm_up(&self) -> Vec<Result<(), Failure>>;

    /// Logs one event that woke it.
    fn log(&self, trigger: &Trigger);

    /// Observes, plans, and applies as far as the round's mode allows.
    async fn reconcile(&self, round: &Round) -> Reconciled<Self::Outcome>;

    /// Returns the answer to a person who invoked the function.
    fn answer(&self, outcome: &Self::Outcome) -> Value;

    /// Returns the metrics of a round, with their zeros: those of [`ABSENT_AT_ZERO`](Self::ABSENT_AT_ZERO) are left out later. A
    /// metric with an alarm on its silence must be absent when the round had no outcome.
    fn metrics(&self, round: &Round, reconciled: &Reconciled<Self::Outcome>, now: Timestamp) -> Vec<MetricSet>;

    /// Answers one of its custom resources with the physical id and the attributes.
    async fn custom_resource(
        &self,
        frame: &Frame<Self>,
        request: &CloudFormationCustomResourceRequest,
    ) -> Result<(String, Value), Failure> {
        let _ = frame;
        Err(crate::custom_resource::unknown_type(request))
    }

    /// Returns whether it reads a payload by itself: one that is neither messages of its queue nor a request of CloudFormation.
    #[must_use]
    fn reads(payload: &Value) -> bool {
        let _ = payload;
        false
    }

    /// Handles a payload that it [reads](Self::reads) by itself.
    async fn invoked(&self, frame: &Frame<Self>, payload: Value) -> Result<Value, Failure> {
        let _ = (frame, payload);
        Err(Failure::permanent(format!("{} reads no payload by itself", Self::NAME)))
    }

    /// Handles one message of a function that takes messages [one by one](Messages::Single); sweeps are not among them.
    async fn message(&self, frame: &Frame<Self>, message: &SqsMessage) -> Result<(), Failure> {
        let _ = frame;
        let id = message.message_id.as_deref().unwrap_or("unknown");
        Err(Failure::permanent(format!("{} does not handle single messages, such as message {id}", Self::NAME)))
    }
}

/// How a function handles the messages of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// One round for a whole batch: each message is only a reason to reconcile.
    Coalesced,
    /// Each by itself, with a result of its own (`ReportBatchItemFailures`): its payload must not be lost or merged. Only sweeps
    /// make a round.
    Single,
}

/// How much a round may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It only plans, for a person. Nothing is written anywhere, and no metric is emitted that an alarm could mistake
    /// for a round.
    Look,
    /// It changes nothing in the cluster, but keeps its own records and emits metrics, so that alarms work: a function
    /// deployed with `DRY_RUN=true`.
    Watch,
    /// It applies what it plans.
    Act,
}

/// One round of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// How much it may do.
    pub mode: Mode,
    /// When it began.
    pub began: Timestamp,
    /// The events that woke it; none when a person or CloudFormation did.
    pub triggers: Vec<Trigger>,
}

/// The result of a round, with everything that went wrong in it: one failure must not stop the rest.
#[derive(Debug)]
pub struct Reconciled<T> {
    /// The outcome; nothing when the observation failed.
    pub outcome: Option<T>,
    /// The failures, which explain what was not done.
    pub failures: Vec<Failure>,
}

impl<T> Reconciled<T> {
    /// Returns the outcome of a round without a failure, or all its failures as one.
    pub fn result(self) -> Result<T, Failure> {
        let mut failures = self.failures.into_iter();
        match (failures.next(), self.outcome) {
            (None, Some(outcome)) => Ok(outcome),
            (Some(first), _) => Err(first.combined(failures)),
            (None, None) => Err(Failure::transient("the round had no outcome and no failure")),
        }
    }
}

impl<T> From<Result<T, Failure>> for Reconciled<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(outcome) => Self { outcome: Some(outcome), failures: Vec::new() },
            Err(failure) => Self { outcome: None, failures: vec![failure] },
        }
    }
}

/// A function described for the tests of templates, permissions, alarms and documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// [`Function::NAME`].
    pub name: &'static str,
    /// [`Function::WAKES`].
    pub wakes: &'static [(&'static str, &'static str)],
    /// [`Function::CUSTOM_RESOURCES`].
    pub custom_resources: &'static [&'static str],
    /// [`Function::METRICS`].
    pub metrics: &'static [&'static str],
    /// [`Function::ABSENT_AT_ZERO`].
    pub absent_at_zero: &'static [&'static str],
    /// [`Function::MESSAGES`].
    pub messages: Messages,
}

impl Description {
    /// Returns the description of a function.
    #[must_use]
    pub const fn of<F: Function>() -> Self {
        Self {
            name: F::NAME,
            wakes: F::WAKES,
            custom_resources: F::CUSTOM_RESOURCES,
            metrics: F::METRICS,
            absent_at_zero: F::ABSENT_AT_ZERO,
            messages: F::MESSAGES,
        }
    }
}
