use std::{error::Error, iter::successors};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Why a function gave up. Its whole chain of causes becomes the function's error message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: Kind,
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a failure means for whoever decides on another try. Its name is the error type that Lambda reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same event may succeed later: a throttle, a timeout, a broken connection.
    Transient,
    /// The same event fails again until somebody changes something.
    Permanent,
    /// AWS refused a plan twice: somebody else writes the same things, or the plan breaks a rule of AWS.
    Diverged,
}

impl Failure {
    /// A failure that another try will not mend. The message names the thing, its value and what to do.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: Kind::Permanent, message: message.into(), source: None }
    }

    /// A failure that another try may mend.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: Kind::Transient, message: message.into(), source: None }
    }

    /// AWS refused the plan twice, with what it said the second time.
    pub fn diverged(message: impl Into<String>) -> Self {
        Self { kind: Kind::Diverged, message: message.into(), source: None }
    }

    /// Adds the error behind this failure.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// A call to AWS that failed although the SDK retried it; `step` says what was to be done, as in «list instances».
    pub fn call<E>(step: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
        // Rights that were granted seconds ago, as while a stack is created, are not yet known everywhere.
        let passing =
            ["Throttl", "TooManyRequests", "RequestLimit", "PriorRequestNotComplete", "AccessDenied", "NotAuthorized"];
        let passes = error.code().is_some_and(|code| passing.iter().any(|part| code.contains(part)));
        let kind = if refused && !passes { Kind::Permanent } else { Kind::Transient };
        Self { kind, message: format!("could not {step}"), source: Some(error.into()) }
    }

    /// Whether another try may help.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message and all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for error in successors(Some(self as &dyn Error), |&error| error.source()) {
            let text = error.to_string();
            // Some of the SDK's errors print their source themselves.
            if parts.last().is_none_or(|last| !last.ends_with(&text)) {
                parts.push(text);
            }
        }
        parts.join(": ")
    }
}

#[cfg(feature = "function")]
impl From<Failure> for lambda_runtime::Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: format!("{:?}", failure.kind), error_message: failure.chain() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_tells_every_cause_once() {
        let cause = Failure::transient("dispatch failure").caused_by("connection reset by peer");
        let failure = Failure::permanent("could not list instances").caused_by(cause);
        assert_eq!(failure.chain(), "could not list instances: dispatch failure: connection reset by peer");
    }
}
