//! How bad an alarm is.

use super::super::super::Severity;

/// Judges by the alarm's tag `severity`; else by a severity at the start of its description, such as `[critical]` or
/// `critical:`; else by one at the start of its name, such as `critical-`. The tag comes first since it alone is meant for this;
/// the description before the name, since CloudFormation begins names with that of the stack. Where none says it, an alarm is an
/// error. The state does not matter: what resolves an incident takes the way of what opened it.
///
/// Returns the description without the severity, too.
pub(super) fn judge<'a>(
    tags: &[(String, String)],
    name: &str,
    description: Option<&'a str>,
) -> (Severity, Option<&'a str>) {
    let tagged = tags.iter().find(|(name, _)| is_name(name)).and_then(|(_, value)| value.trim().parse().ok());
    let marked = description.and_then(mark);
    let rest = marked.map(|(_, rest)| rest).or(description).filter(|text| !text.is_empty());
    let severity = tagged.or(marked.map(|(severity, _)| severity)).or_else(|| prefix(name)).unwrap_or(Severity::Error);
    (severity, rest)
}

/// Whether a tag has this name is not a matter of its case.
pub(super) fn is_name(tag: &str) -> bool {
    tag.eq_ignore_ascii_case("severity")
}

/// Reads `[critical] …` and `critical: …`.
fn mark(description: &str) -> Option<(Severity, &str)> {
    let bracketed = description.strip_prefix('[').and_then(|text| text.split_once(']'));
    let (word, rest) = bracketed.or_else(|| description.split_once(':'))?;
    Some((word.trim().parse().ok()?, rest.trim_start()))
}

/// Reads `critical-…`, and the same with any other mark of punctuation or with a blank.
fn prefix(name: &str) -> Option<Severity> {
    let name = name.trim_start_matches('[');
    let end = name.find(|c: char| !c.is_ascii_alphabetic())?;
    name.get(..end)?.parse().ok()
}
