//! What a request to S3 asks for: it stands in the method, the path, the query and the headers.

use std::collections::BTreeMap;

use quick_xml::de;
use serde::Deserialize;

use super::super::{Refusal, Request};

/// Where a request to S3 goes. A host such as `<bucket>.s3.<region>.amazonaws.com` has been put in front of the path.
pub(super) struct Wish {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    query: BTreeMap<String, String>,
}

impl Wish {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let header = |name: &str| request.headers.get(name).cloned();
        Self {
            bucket: bucket.to_owned(),
            key: decoded(key),
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            query: query(request),
        }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned()
    }
}

fn query(request: &Request) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.query.as_bytes()).into_owned().collect()
}

fn decoded(text: &str) -> String {
    // A plus is a plus in a path.
    let text = text.replace('+', "%2B");
    form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// Returns which operation a request to S3 is; nothing when it is none that the world knows.
pub(crate) fn operation(request: &Request) -> Option<&'static str> {
    let wish = Wish::of(request);
    if request.target.is_some() || wish.bucket.is_empty() || request.path.starts_with("/20") {
        return None;
    }
    let has = |name: &str| wish.query.contains_key(name);
    match (request.method.as_str(), wish.key.is_empty()) {
        ("GET", true) if has("list-type") => Some("ListObjectsV2"),
        ("GET", false) if has("tagging") => Some("GetObjectTagging"),
        ("GET", false) => Some("GetObject"),
        ("HEAD", false) => Some("HeadObject"),
        ("PUT", false) => Some("PutObject"),
        ("POST", true) if has("delete") => Some("DeleteObjects"),
        _ => None,
    }
}

/// The body of `DeleteObjects`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    #[serde(default)]
    object: Vec<Identifier>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identifier {
    key: String,
    version_id: Option<String>,
}

impl Delete {
    /// A version that is named would be lost for ever: nobody here may ask for that.
    pub(super) fn read(request: &Request) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::new("MalformedXML", why);
        let delete: Self = de::from_str(&String::from_utf8_lossy(&request.body)).map_err(|error| malformed(error.to_string()))?;
        match delete.object.iter().find(|object| object.version_id.is_some()) {
            Some(object) => Err(Refusal::new("AccessDenied", format!("a version of {} would be lost", object.key))),
            None => Ok(delete),
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.object.iter().map(|object| object.key.clone()).collect()
    }
}
