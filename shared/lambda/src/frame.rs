//! The frame around every [`Function`]: what all of them do alike.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use aws_lambda_events::{
    cloudformation::CloudFormationCustomResourceRequest as CustomResource,
    sqs::{SqsBatchResponse, SqsMessage},
};
use jiff::Timestamp;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Aws, Event, Failure, Function, Kind, Messages, Mode, Reconciled, Round, SWEEP, client, custom_resource,
    env::{self, Lookup},
    queue::{DeadLetters, Trigger, trigger},
    telemetry,
};

#[cfg(test)]
mod tests;

/// The part of its time that an invocation reserves to report that the rest was not enough.
const RESERVE: Duration = Duration::from_secs(2);
/// The part of the rest that is left when the last of several messages has had its share of the time.
const TO_ANSWER: Duration = Duration::from_secs(1);
/// The longest time that [`Frame::warm_up`] may take in the init phase.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// A function with everything that all functions share: a dead-letter queue, a dry run, metrics, answers to
/// CloudFormation.
#[derive(Debug)]
pub struct Frame<F> {
    function: F,
    aws: Aws,
    dry_run: bool,
    dead_letters: DeadLetters,
}

/// Runs a function until Lambda ends the process. This is all that its `main` does.
pub async fn run<F: Function>() -> Result<(), Error> {
    telemetry::init();
    let started = Aws::from_environment(env::process).and_then(|aws| Frame::<F>::new(&env::process, &aws));
    let frame = started.inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    Box::pin(frame.warm_up()).await;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        // Lambda would end the process silently; this way the log and the answer show what happened.
        let left = left_of(&event.context).saturating_sub(RESERVE);
        // Boxed, since a future as deep as a whole round overflows the compiler's limit on the depth of types.
        let answer = tokio::time::timeout(left, Box::pin(frame.handle_within(event.payload, left))).await;
        let answer = answer
            .unwrap_or_else(|_| Err(Failure::transient("AWS answered too slowly: the invocation ran out of time")));
        match &answer {
            Ok(answer) => tracing::info!(%answer, "done"),
            Err(failure) => tracing::error!(kind = ?failure.kind(), "{}", failure.chain()),
        }
        answer as Result<Value, Failure>
    }))
    .await
}

fn is_sweep(message: &SqsMessage) -> bool {
    trigger(message).is_ok_and(|trigger| trigger.kind() == SWEEP)
}

#[expect(clippy::disallowed_methods, reason = "the deadline is on the host's clock")]
fn left_of(context: &Context) -> Duration {
    context.deadline().duration_since(SystemTime::now()).unwrap_or_default()
}

impl<F: Function> Frame<F> {
    /// Makes the function. Refuses the first variable that is missing or wrong, by name and value.
    pub fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self {
            function: F::new(lookup, aws)?,
            dry_run: env::parsed(lookup, "DRY_RUN", "true or false")?,
            dead_letters: DeadLetters::new(client!(aws_sdk_sqs, aws), env::required(lookup, "DEAD_LETTER_QUEUE_URL")?),
            aws: aws.clone(),
        })
    }

    /// Returns the function inside.
    pub fn function(&self) -> &F {
        &self.function
    }

    /// Makes first calls in the init phase, which Lambda runs at full speed whatever the function's memory:
    /// connections, TLS sessions and pages of the binary are ready when the first event comes.
    ///
    /// Nothing follows from their answers: a failure recurs in the first event, which can report it to its sender.
    pub async fn warm_up(&self) {
        let Ok(results) = tokio::time::timeout(WARM_UP, self.function.warm_up()).await else {
            tracing::debug!("the warm-up calls took too long");
            return;
        };
        for failure in results.into_iter().filter_map(Result::err) {
            tracing::debug!(failure = failure.chain(), "a warm-up call failed");
        }
    }

    /// Handles one invocation and returns what it did.
    pub async fn handle(&self, payload: Value) -> Result<Value, Failure> {
        self.handle_within(payload, Duration::MAX).await
    }

    async fn handle_within(&self, payload: Value, left: Duration) -> Result<Value, Failure> {
        if F::reads(&payload) {
            return Box::pin(self.function.invoked(self, payload)).await;
        }
        match Event::read(payload)? {
            Event::Messages(messages) => match F::MESSAGES {
                Messages::Coalesced => self.coalesced(&messages).await,
                Messages::Single => self.single(&messages, left.saturating_sub(TO_ANSWER)).await,
            },
            Event::CustomResource(request) => self.custom_resource(&request).await,
            Event::Operator(request) => {
                let looks = request.dry_run.unwrap_or(F::LOOKS_UNLESS_TOLD);
                let mode = if looks || self.dry_run { Mode::Look } else { Mode::Act };
                let outcome = self.reconcile(mode, Vec::new()).await?;
                Ok(self.function.answer(&outcome))
            }
        }
    }

    /// Makes a round for CloudFormation, which acts unless the function is deployed as a dry run.
    pub async fn unattended(&self) -> Result<F::Outcome, Failure> {
        self.reconcile(self.unattended_mode(), Vec::new()).await
    }

    /// Returns the mode of rounds that no person requested.
    #[must_use]
    pub fn unattended_mode(&self) -> Mode {
        if self.dry_run { Mode::Watch } else { Mode::Act }
    }

    /// Returns a round that begins now.
    #[must_use]
    pub fn round(&self, mode: Mode, triggers: Vec<Trigger>) -> Round {
        Round { mode, began: self.now(), triggers }
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.aws.now()
    }

    async fn reconcile(&self, mode: Mode, triggers: Vec<Trigger>) -> Result<F::Outcome, Failure> {
        let round = self.round(mode, triggers);
        let reconciled = self.function.reconcile(&round).await;
        self.finish(&round, reconciled)
    }

    /// Emits the metrics of a round that the function made by itself, and returns its outcome.
    pub fn finish(&self, round: &Round, reconciled: Reconciled<F::Outcome>) -> Result<F::Outcome, Failure> {
        if round.mode != Mode::Look {
            let now = self.now();
            let sets = self.function.metrics(round, &reconciled, now).into_iter();
            for set in sets.filter_map(|set| set.without_zeros_of(F::ABSENT_AT_ZERO)) {
                self.aws.metrics.emit(&set.line(now, self.function.cluster()));
            }
        }
        reconciled.result()
    }

    /// Makes one round for all messages together.
    async fn coalesced(&self, messages: &[SqsMessage]) -> Result<Value, Failure> {
        let (mut triggers, mut dead_lettered) = (Vec::new(), 0);
        for message in messages {
            match trigger(message) {
                Ok(trigger) if F::WAKES.contains(&trigger.kind()) => {
                    self.function.log(&trigger);
                    triggers.push(trigger);
                }
                Ok(trigger) => {
                    tracing::warn!(source = trigger.source, detail_type = trigger.detail_type, "unknown event ignored");
                }
                // Left in the queue, it would block its message group until it had failed often enough.
                Err(why) => {
                    self.dead_letters.dead_letter(message, &why).await?;
                    dead_lettered += 1;
                }
            }
        }
        let reconciled = if triggers.is_empty() {
            Value::Null
        } else {
            let outcome = self.reconcile(self.unattended_mode(), triggers).await?;
            self.function.answer(&outcome)
        };
        Ok(json!({"reconciled": reconciled, "deadLettered": dead_lettered}))
    }

    /// Handles each message by itself, and names those that must be delivered again.
    ///
    /// A message that failed but may succeed later holds up the rest of its message group, which is ordered; one that
    /// never will succeed is dead-lettered (Lambda developer guide, «Implementing partial batch responses»).
    ///
    /// Each has its share of the time: one that hangs must not bring back those that have been handled. Sweeps make one round
    /// together, after the others.
    async fn single(&self, messages: &[SqsMessage], left: Duration) -> Result<Value, Failure> {
        let mut failed = SqsBatchResponse::default();
        let mut held_up = HashSet::new();
        let began = Instant::now();
        let (sweeps, messages): (Vec<_>, Vec<_>) = messages.iter().partition(|message| is_sweep(message));
        let shares = messages.len() + usize::from(!sweeps.is_empty());
        for (done, message) in messages.into_iter().enumerate() {
            let group = message.attributes.get("MessageGroupId");
            let mut again = group.is_some_and(|group| held_up.contains(group));
            let waiting = u32::try_from(shares.saturating_sub(done)).unwrap_or(u32::MAX);
            let share = left.saturating_sub(began.elapsed()) / waiting.max(1);
            if !again && let Err(failure) = self.message_within(message, share).await {
                tracing::error!(message = message.message_id, kind = ?failure.kind(), "{}", failure.chain());
                again = failure.kind() == Kind::Transient;
                if !again && let Err(failure) = self.dead_letters.dead_letter(message, &failure.chain()).await {
                    tracing::error!(message = message.message_id, "{}", failure.chain());
                    again = true;
                }
            }
            if again {
                held_up.extend(group);
                // Without an id, Lambda considers the whole batch failed, which loses nothing.
                failed.add_failure(message.message_id.clone().unwrap_or_default());
            }
        }
        let triggers: Vec<_> = sweeps.iter().filter_map(|message| trigger(message).ok()).collect();
        if !triggers.is_empty() {
            let round = self.reconcile(self.unattended_mode(), triggers);
            let swept = tokio::time::timeout(left.saturating_sub(began.elapsed()), round).await;
            if let Err(failure) = swept.unwrap_or_else(|_| Err(Failure::transient("the round ran out of time"))) {
                tracing::error!(kind = ?failure.kind(), "{}", failure.chain());
                for sweep in sweeps {
                    failed.add_failure(sweep.message_id.clone().unwrap_or_default());
                }
            }
        }
        serde_json::to_value(&failed)
            .map_err(|error| Failure::permanent("could not name the messages that failed").caused_by(error))
    }

    async fn message_within(&self, message: &SqsMessage, share: Duration) -> Result<(), Failure> {
        let handled = tokio::time::timeout(share, self.function.message(self, message)).await;
        handled.unwrap_or_else(|_| Err(Failure::transient("the message took longer than its share of the time")))
    }

    async fn custom_resource(&self, request: &CustomResource) -> Result<Value, Failure> {
        let known = custom_resource::resource_type(request).is_some_and(|name| F::CUSTOM_RESOURCES.contains(&name));
        let result = if known {
            Box::pin(self.function.custom_resource(self, request)).await
        } else {
            Err(custom_resource::unknown_type(request))
        };
        custom_resource::respond(&self.aws.connector, request, self.now(), result).await
    }
}
