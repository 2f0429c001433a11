//! ARNs, and pages of the AWS console about what they name.

use std::fmt::Write as _;

use super::super::Link;

/// An ARN in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) partition: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    /// What is behind the account, with its own colons.
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads an ARN.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let (partition, _service, region) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { partition, region, account: parts.next()?, resource: parts.next()? })
    }
}

/// Returns the partition that a region belongs to.
pub(super) fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Whether this can be the name of a region. It becomes a part of the host of a link, so nothing else may.
pub(super) fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.contains('-')
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Links to a page of the console: the path, and what is behind it, are taken as they are. Of a partition whose console is not
/// known there is no link.
pub(super) fn link(title: &str, region: &str, partition: &str, page: &str) -> Option<Link> {
    let domain = match partition {
        "aws" => "aws.amazon.com",
        "aws-cn" => "amazonaws.cn",
        "aws-us-gov" => "amazonaws-us-gov.com",
        _ => return None,
    };
    is_region(region)
        .then(|| Link { title: title.to_owned(), url: format!("https://{region}.console.{domain}/{page}") })
}

/// Links to the log stream of a task or a job. Names in this page are escaped twice, with `$` for the second `%`.
pub(super) fn log(region: &str, partition: &str, group: &str, stream: &str) -> Option<Link> {
    let twice = |text: &str| escape(&escape(text)).replace('%', "$");
    let page = format!(
        "cloudwatch/home?region={region}#logsV2:log-groups/log-group/{}/log-events/{}",
        twice(group),
        twice(stream)
    );
    link("Log", region, partition, &page)
}

/// Escapes a text for every part of a URL (RFC 3986: all but unreserved characters).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
