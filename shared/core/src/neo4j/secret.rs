use std::fmt;

use serde::{Deserialize, Serialize};

/// A password. It prints nothing, and leaves the process only inside of a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps a password.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Returns the password for a request that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::new("p4ssword".into());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)).matches("p4ss").count(), 0);
        assert_eq!(secret.reveal(), "p4ssword");
    }
}
