//! Sorts what goes wrong on the way.

use std::{error::Error, io, iter::successors};

use aws_smithy_runtime_api::client::result::ConnectorError;
use cluster_core::neo4j::{Fault, Kind};

/// The most characters of a message.
const LONGEST: usize = 300;

/// Makes a fault whose message is cut to what [`Fault`] allows, and has no line breaks.
pub(crate) fn fault(kind: Kind, message: &str) -> Fault {
    let mut line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    Fault::new(kind, line)
}

/// Returns why there was no answer.
pub(crate) fn of_connection(error: &ConnectorError) -> Fault {
    let kind = if error.is_timeout() {
        Kind::Silent
    } else if chain(error).any(<dyn Error>::is::<rustls::Error>) {
        Kind::Certificate
    } else if error.is_io() || error.as_other().is_some() {
        // The client calls it transient when a connection is closed before the whole head of an answer came.
        Kind::Unreachable
    } else {
        // It came, but is no HTTP: another protocol on that port, such as TLS.
        Kind::Unreadable
    };
    fault(kind, &texts(error))
}

/// Returns why an answer broke off after so many bytes.
pub(crate) fn of_body(error: &(dyn Error + 'static), bytes: usize) -> Fault {
    fault(Kind::Unreachable, &format!("the answer broke off after {bytes} bytes: {}", texts(error)))
}

/// Returns an error and its causes. After an I/O error comes its payload, which `source` would skip.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// Returns what the causes of an error say. The error itself is the client's, and says only of which kind it is.
fn texts(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = vec![];
    for cause in chain(error).skip(usize::from(error.source().is_some())) {
        let text = cause.to_string();
        if !texts.iter().any(|last| last.ends_with(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_at_most_three_hundred_characters() {
        let long = fault(Kind::Failed, &"ä word\n".repeat(200));
        assert_eq!(long.message.chars().count(), LONGEST);
        assert!(!long.message.contains('\n') && long.message.ends_with('…'), "{long}");
        assert_eq!(fault(Kind::Failed, " a\n  b ").message, "a b");
    }
}
