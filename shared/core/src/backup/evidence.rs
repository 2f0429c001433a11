use super::{Artifact, Unreadable, read_inspected};

/// What the job of a backup has written into its log, in lines of `<nonce> <word> <rest>`.
///
/// The nonce is drawn when the job is submitted, so that nothing that Neo4j prints is mistaken for the job's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The artifacts of the chain's folder as `inspect` lists them, or why they cannot be read.
    pub artifacts: Result<Vec<Artifact>, Unreadable>,
    /// Whether the consistency check of the new full backup found nothing; it does not run on a differential.
    pub checked: bool,
    /// Whether the job came to its end. Without it the log may be cut short.
    pub ended: bool,
}

impl Evidence {
    /// Collects it from the lines of a log, in their order. Lines without the nonce are progress for people.
    #[must_use]
    pub fn read<'a>(nonce: &str, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut table, mut checked, mut ended) = (Vec::new(), false, false);
        for line in lines {
            let Some(said) = line.strip_prefix(nonce).and_then(|rest| rest.strip_prefix(' ')) else { continue };
            match said.split_once(' ').unwrap_or((said, "")) {
                ("inspect", row) => table.push(row),
                ("checked", "") => checked = true,
                ("end", "") => ended = true,
                _ => {}
            }
        }
        Self { artifacts: read_inspected(table), checked, ended }
    }
}
