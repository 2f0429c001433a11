use std::sync::atomic::Ordering::Relaxed;

use cluster_core::neo4j::{Answers, Declared, Request};
use cluster_lambda::{
    Error, Failure,
    env::{self, Lookup},
    telemetry::{self, LevelFilter},
};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Config, Connect, INVOCATION,
    ask::{Asking, Traffic},
    declare_users::declare,
    observe::observe,
    request,
};

/// The function.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    connect: Connect,
}

/// Runs the function until Lambda ends the process.
pub async fn run() -> Result<(), Error> {
    // Below, the runtime and the HTTP client would log what they are given: passwords.
    telemetry::init_up_to(LevelFilter::INFO);
    let started = Config::read(&env::process).and_then(|config| Connect::from_environment(&config));
    let gateway = started.and_then(|connect| Gateway::new(&env::process, connect));
    let gateway = gateway.inspect_err(|failure| tracing::error!("{}", failure.chain()))?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let answer = gateway.handle(event.payload).await;
        answer.inspect_err(|failure| tracing::error!(kind = ?failure.kind(), "{}", failure.chain()))
    }))
    .await
}

impl Gateway {
    /// Makes the function. Refuses the first variable that is wrong, by name and value.
    pub fn new(lookup: &impl Lookup, connect: Connect) -> Result<Self, Failure> {
        Ok(Self { config: Config::read(lookup)?, connect })
    }

    /// Answers a request. Whatever a member does is part of the answer; only a wrong request fails.
    pub async fn handle(&self, payload: Value) -> Result<Value, Failure> {
        let began = Instant::now();
        let request = request::read(payload)?;
        let (config, connect, ends) = (&self.config, &self.connect, began + INVOCATION);
        let asking = Asking { config, connect, ends, traffic: Traffic::default() };
        let answer = match &request {
            Request::Observe(request) => {
                let (answers, ended) = observe(&asking, request).await;
                log_observed(&answers, ended, &asking.traffic, began);
                serde_json::to_value(answers)
            }
            Request::DeclareUsers(request) => {
                let declared = declare(&asking, request).await;
                log_declared(&declared, &asking.traffic, began);
                serde_json::to_value(declared)
            }
        };
        answer.map_err(|e| Failure::permanent("the answer cannot be written").caused_by(e))
    }
}

fn log_observed(answers: &Answers, left_overs_ended: usize, traffic: &Traffic, began: Instant) {
    let members = &answers.members;
    let pages = members.iter().filter(|member| member.page.is_ok()).count();
    let views = members.iter().filter(|member| member.view.is_ok()).count();
    let (calls, bytes, millis) = counted(traffic, began);
    tracing::info!(members = members.len(), pages, views, left_overs_ended, calls, bytes, millis, "observed");
}

fn log_declared(declared: &Declared, traffic: &Traffic, began: Instant) {
    let (calls, bytes, millis) = counted(traffic, began);
    match &declared.monitor {
        Ok(became) => tracing::info!(?became, calls, bytes, millis, "declared"),
        Err(failed) => tracing::warn!(kind = ?failed.kind, %failed, calls, bytes, millis, "not declared"),
    }
}

fn counted(traffic: &Traffic, began: Instant) -> (usize, usize, u64) {
    let millis = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    (traffic.calls.load(Relaxed), traffic.bytes.load(Relaxed), millis)
}
