//! What S3 answers: XML in the body, and facts about one object in the headers.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Value, json};

use super::{super::Refusal, Bucket, MOST, Object, request::Wish};

const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// API reference of `ListObjectsV2`: keys in the order of their UTF-8 bytes; a list may have fewer than were asked for; the
/// token is only there when more follow.
pub(super) fn list(bucket: &Bucket, wish: &Wish, page: usize) -> Result<Value, Refusal> {
    let prefix = wish.parameter("prefix").unwrap_or_default();
    let after = wish.parameter("continuation-token").or_else(|| wish.parameter("start-after")).unwrap_or_default();
    let delimiter = wish.parameter("delimiter").unwrap_or_default();
    let most: usize = match wish.parameter("max-keys") {
        None => MOST,
        Some(most) => most.parse().map_err(|_| Refusal::new("InvalidArgument", "max-keys is no number"))?,
    };
    let most = most.min(MOST).min(page);
    let mut body = format!("<ListBucketResult xmlns=\"{XMLNS}\">");
    let (mut common, mut count, mut last, mut more) = (BTreeSet::new(), 0, String::new(), false);
    for (key, object) in bucket.objects.range(after.clone()..) {
        if *key <= after || !key.starts_with(&prefix) {
            continue;
        }
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let folder = rest.split_once(&delimiter).filter(|_| !delimiter.is_empty());
        let folder = folder.map(|(head, _)| format!("{prefix}{head}{delimiter}"));
        // Of a folder that was given already, on this page or the one before, nothing more is said.
        if folder.as_ref().is_some_and(|folder| common.contains(folder) || after.starts_with(folder.as_str())) {
            last.clone_from(key);
            continue;
        }
        if count == most {
            more = true;
            break;
        }
        count += 1;
        last.clone_from(key);
        if let Some(folder) = folder {
            common.insert(folder);
            continue;
        }
        let (key, size, etag) = (escaped(key), object.bytes, object.etag.replace('"', "&quot;"));
        let written = object.written.strftime("%Y-%m-%dT%H:%M:%S.000Z");
        _ = write!(body, "<Contents><Key>{key}</Key><LastModified>{written}</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>");
    }
    for folder in common {
        _ = write!(body, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(&folder));
    }
    let token = if more { format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)) } else { String::new() };
    _ = write!(body, "<KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{token}</ListBucketResult>");
    Ok(json!({"headers": {}, "body": body}))
}

/// API reference of `GetObject` and `HeadObject`.
pub(super) fn object(object: &Object, with_body: bool) -> Value {
    let mut headers = json!({
        "etag": object.etag,
        "last-modified": object.written.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    });
    if let Some(until) = object.locked_until {
        headers["x-amz-object-lock-mode"] = json!("GOVERNANCE");
        headers["x-amz-object-lock-retain-until-date"] = json!(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    if object.hold {
        headers["x-amz-object-lock-legal-hold"] = json!("ON");
    }
    if !with_body {
        headers["content-length"] = json!(object.bytes.to_string());
    }
    json!({"headers": headers, "body": if with_body { object.body.as_str() } else { "" }})
}

/// API reference of `GetObjectTagging`.
pub(super) fn tags(object: &Object) -> Value {
    let mut body = format!("<Tagging xmlns=\"{XMLNS}\"><TagSet>");
    for (key, value) in &object.tags {
        _ = write!(body, "<Tag><Key>{}</Key><Value>{}</Value></Tag>", escaped(key), escaped(value));
    }
    json!({"headers": {}, "body": body + "</TagSet></Tagging>"})
}

/// API reference of `DeleteObjects`: 200, whatever became of each key.
pub(super) fn deleted(gone: &[String], stuck: &[String]) -> Value {
    let mut body = format!("<DeleteResult xmlns=\"{XMLNS}\">");
    for key in gone {
        _ = write!(body, "<Deleted><Key>{}</Key><DeleteMarker>true</DeleteMarker></Deleted>", escaped(key));
    }
    for key in stuck {
        let why = "<Code>AccessDenied</Code><Message>Access Denied</Message>";
        _ = write!(body, "<Error><Key>{}</Key>{why}</Error>", escaped(key));
    }
    json!({"headers": {}, "body": body + "</DeleteResult>"})
}

pub(super) fn precondition() -> Refusal {
    Refusal::new("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
