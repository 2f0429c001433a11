//! Every function of the cluster. What belongs to each follows from its name and its stack, and the tests walk this list: a
//! function that is added here without its crate, template, alarms, outputs or page fails by name.

use cluster_lambda::{Aws, Description, Failure, Frame, Function};
use dns_replicator::Replicator;
use instance_drainer::Drainer;

/// One line for each function: its type, and the logical id under which the root template nests its template.
pub const FUNCTIONS: [Registered; 2] =
    [Registered::new::<Replicator>("Discovery"), Registered::new::<Drainer>("Draining")];

/// A function of the cluster, and where its parts are.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// What the function says of itself.
    pub function: Description,
    /// The path of its stack in a deployment of the cluster.
    pub stack: &'static str,
    /// Starts it with an environment, and answers whether it takes that.
    pub start: Start,
}

/// Starts a function with what looks its variables up.
type Start = fn(&dyn Fn(&str) -> Option<String>, &Aws) -> Result<(), Failure>;

fn start<F: Function>(lookup: &dyn Fn(&str) -> Option<String>, aws: &Aws) -> Result<(), Failure> {
    Frame::<F>::new(&lookup, aws).map(drop)
}

impl Registered {
    const fn new<F: Function>(stack: &'static str) -> Self {
        Self { function: Description::of::<F>(), stack, start: start::<F> }
    }

    /// Returns the name of its crate and its binary.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.function.name
    }

    /// Returns the path of its template from the repository's root.
    #[must_use]
    pub fn template(&self) -> String {
        format!("infra/{}.yaml", self.stack.to_ascii_lowercase())
    }

    /// Returns its name as the root's outputs spell it, such as `DnsReplicator`.
    #[must_use]
    pub fn output(&self) -> String {
        let words = self.name().split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
        words.collect()
    }
}
