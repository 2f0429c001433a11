//! Lambda: functions that can be invoked by name. The world runs none of them; who carries its requests may.

mod later;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    ACCOUNT, Answer, REGION, Refusal, Request, World,
    service::{Asked, Service, Target, Touched},
};

pub use later::Invocation;

/// Where functions are invoked: `<this><name>/invocations`.
pub(super) const PATH: &str = "/2015-03-31/functions/";

/// The functions that can be invoked.
#[derive(Clone, Debug, Default)]
pub struct Lambda {
    /// Their names.
    pub functions: BTreeSet<String>,
    /// Asynchronous invocations that are to be attempted, now or later.
    pub invocations: Vec<Invocation>,
    /// Those that failed each time.
    pub given_up: Vec<Invocation>,
    /// Where their records go, by the function's name: the ARN of a topic, or a queue's URL (`DestinationConfig.OnFailure`).
    pub on_failure: BTreeMap<String, String>,
}

impl Service for Lambda {
    const NAME: &'static str = "lambda";
    const TARGET: Target = Target::RestJson(&[(PATH, "InvokeFunction")]);

    /// Service authorization reference of Lambda: `InvokeFunction` on the function's ARN.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        Touched::resources(vec![arn(&invoked(asked.request).unwrap_or_default())])
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let name = world.known_function(asked.request)?;
        Err(Refusal::new("ServiceException", format!("the world cannot run {name}")))
    }
}

/// The ARN of a function.
#[must_use]
pub fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// Returns the name of the function that a request invokes: it may be given by its ARN, too (API reference of `Invoke`).
#[must_use]
pub fn invoked(request: &Request) -> Option<String> {
    let rest = request.path.strip_prefix(PATH).filter(|_| request.method == "POST" && request.target.is_none())?;
    let name = rest.strip_suffix("/invocations")?.replace("%3A", ":");
    Some(name_of(&name).to_owned())
}

/// The name of a function in its ARN, which may end in an alias, or the name itself.
fn name_of(function: &str) -> &str {
    let name = function.rsplit_once("function:").map_or(function, |(_, name)| name);
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// Whether an invocation only looks: the gateway's `observe` does.
pub(super) fn reads(request: &Request) -> bool {
    serde_json::from_slice::<Value>(&request.body).is_ok_and(|payload| !payload["observe"].is_null())
}

/// A refusal as Lambda words it (API reference of `Invoke`, «Errors»). Its type is a header.
pub(super) fn refused(code: &str, message: &str) -> Answer {
    let (status, code) = match code {
        "AccessDenied" | "AccessDeniedException" => (403, "AccessDeniedException"),
        "ResourceNotFoundException" => (404, code),
        "ThrottlingException" => (429, "TooManyRequestsException"),
        "ServiceException" => (500, code),
        _ => (400, code),
    };
    let body = json!({"Type": if status == 500 { "Service" } else { "User" }, "message": message}).to_string();
    Answer { status, headers: vec![("x-amzn-errortype", code.to_owned())], body }
}

impl World {
    fn known_function(&self, request: &Request) -> Result<String, Refusal> {
        let name = invoked(request).unwrap_or_default();
        if self.lambda.functions.contains(&name) {
            return Ok(name);
        }
        Err(Refusal::new("ResourceNotFoundException", format!("Function not found: {}", arn(&name))))
    }

    /// Takes an invocation on behalf of whoever can run functions: notes the call, and returns the function's name, or what
    /// the caller is answered at once.
    pub fn take_invocation(&mut self, request: &Request) -> Result<String, Answer> {
        self.calls.extend(self.call(request));
        self.known_function(request).map_err(|refusal| refused(refusal.code, &refusal.message))
    }
}

/// Returns the answer of a function that has run (API reference of `Invoke`, «Response Syntax»).
#[must_use]
pub fn ran(result: Result<&Value, &str>) -> Answer {
    match result {
        Ok(value) => Answer { status: 200, headers: vec![], body: value.to_string() },
        Err(why) => Answer {
            status: 200,
            headers: vec![("x-amz-function-error", "Unhandled".to_owned())],
            body: json!({"errorMessage": why, "errorType": "Failure"}).to_string(),
        },
    }
}
