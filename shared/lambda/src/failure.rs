use std::{error::Error, iter::successors};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The failure of a function. Its whole chain of causes becomes the function's error message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: Kind,
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kind of a failure, which decides whether to try again. Its name is the error type that Lambda reports.
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
    /// Makes a failure that another attempt cannot fix. The message names the thing, its value and what to do.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: Kind::Permanent, message: message.into(), source: None }
    }

    /// Makes a failure that another attempt may fix.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: Kind::Transient, message: message.into(), source: None }
    }

    /// Makes the failure of a plan that AWS refused twice, with the reasons of the second refusal.
    pub fn diverged(message: impl Into<String>) -> Self {
        Self { kind: Kind::Diverged, message: message.into(), source: None }
    }

    /// Combines failures into one that names the causes of all, of the kind that needs people most.
    #[must_use]
    pub fn combined(self, others: impl IntoIterator<Item = Self>) -> Self {
        let mut failures: Vec<_> = others.into_iter().collect();
        if failures.is_empty() {
            return self;
        }
        failures.insert(0, self);
        let any = |kind| failures.iter().any(|failure| failure.kind == kind);
        let kind = [Kind::Diverged, Kind::Permanent].into_iter().find(|kind| any(*kind)).unwrap_or(Kind::Transient);
        let mut causes: Vec<String> = failures.iter().map(Self::chain).collect();
        // Several failures may have the same cause.
        causes.dedup();
        Self::of_kind(kind, causes.join("; and "))
    }

    /// Makes a failure of this kind.
    #[must_use]
    pub fn of_kind(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the error behind this failure.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Makes the failure of a call to AWS that the SDK has retried; `step` names what failed, as in «list instances».
    pub fn call<E>(step: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
        let kind = if refused && !error.code().is_some_and(is_temporary) { Kind::Permanent } else { Kind::Transient };
        Self { kind, message: format!("could not {step}"), source: Some(error.into()) }
    }

    /// Returns its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the message and all its causes in one line.
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

/// Parts of the codes for too many requests, or for one that has to wait for another (`PriorRequestNotComplete` of
/// Route 53).
const THROTTLES: [&str; 4] = ["Throttl", "TooManyRequests", "RequestLimit", "PriorRequestNotComplete"];
/// Parts of the codes for a caller without permission. A permission granted seconds ago, as while a stack is created,
/// is not yet known everywhere (IAM user guide, «Changes that I make are not always immediately visible»).
const DENIALS: [&str; 3] = ["AccessDenied", "NotAuthorized", "UnauthorizedOperation"];

/// Returns whether an error code of AWS means too many requests.
#[must_use]
pub fn is_throttle(code: &str) -> bool {
    THROTTLES.iter().any(|part| code.contains(part))
}

/// Returns whether a refusal with this code may become a success by itself.
#[must_use]
pub fn is_temporary(code: &str) -> bool {
    is_throttle(code) || DENIALS.iter().any(|part| code.contains(part))
}

/// Returns whether AWS refused a call with one of these codes.
#[must_use]
pub fn is_refusal(error: &impl ProvideErrorMetadata, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

impl From<Failure> for lambda_runtime::Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: format!("{:?}", failure.kind), error_message: failure.chain() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let cause = Failure::transient("dispatch failure").caused_by("connection reset by peer");
        let failure = Failure::permanent("could not list instances").caused_by(cause);
        assert_eq!(failure.chain(), "could not list instances: dispatch failure: connection reset by peer");
    }

    #[test]
    fn several_failures_become_one_that_names_all_and_is_of_the_worst_kind() {
        let combined = |first: Failure, others: Vec<Failure>| {
            let failure = first.combined(others);
            (failure.kind(), failure.chain())
        };
        let one = Failure::transient("a").caused_by("b");
        assert_eq!(combined(one, vec![]), (Kind::Transient, "a: b".to_owned()));
        let others = vec![Failure::transient("a"), Failure::permanent("c")];
        assert_eq!(combined(Failure::transient("a"), others), (Kind::Permanent, "a; and c".to_owned()));
        let others = vec![Failure::diverged("d")];
        assert_eq!(combined(Failure::permanent("c"), others), (Kind::Diverged, "c; and d".to_owned()));
    }

    #[test]
    fn a_temporary_failure_is_recognized_by_its_code() {
        for code in
            ["ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "PriorRequestNotComplete"]
        {
            assert!(is_throttle(code) && is_temporary(code), "{code}");
        }
        for code in ["AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"] {
            assert!(!is_throttle(code) && is_temporary(code), "{code}");
        }
        assert!(!is_temporary("ClusterNotFoundException"));
    }
}
