//! S3: buckets of objects with versions, tags, locks, conditional writes, and lists in pages.

mod answer;
mod request;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, Refusal, Request, World,
    cloudformation::{Change, Operation, Wanted, done, text},
    service::{Asked, Service, Target, Touched},
};

pub(crate) use request::operation;
use request::{Delete, Wish};

/// The most keys of one list, and of one `DeleteObjects` (API reference of both).
const MOST: usize = 1000;

/// Buckets by name.
#[derive(Clone, Debug, Default)]
pub struct S3 {
    /// What there is.
    pub buckets: BTreeMap<String, Bucket>,
}

/// A versioned bucket.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// The current objects by key.
    pub objects: BTreeMap<String, Object>,
    /// Objects that a delete marker or another version has hidden: nothing is ever lost here.
    pub hidden: Vec<(String, Object)>,
    /// Keys that cannot be deleted, though the call succeeds: `DeleteObjects` says so for each key.
    pub stuck: Vec<String>,
    /// How many objects have been written: makes `ETag`s.
    written: u64,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it holds; of a large one nothing, only its size counts.
    pub body: String,
    /// Its size.
    pub bytes: u64,
    /// `LastModified`.
    pub written: Timestamp,
    /// `ETag`, with its quotes.
    pub etag: String,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// Until when Object Lock retains it.
    pub locked_until: Option<Timestamp>,
    /// Whether it has a legal hold.
    pub hold: bool,
}

/// The ARN of a bucket.
#[must_use]
pub fn arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

impl Bucket {
    /// Puts an object there, as if it had been written at that time.
    pub fn put(&mut self, key: &str, body: &str, bytes: u64, written: Timestamp) -> &mut Object {
        self.written += 1;
        let object = Object {
            body: body.to_owned(),
            bytes,
            written,
            etag: format!("\"{:032x}\"", self.written),
            tags: BTreeMap::new(),
            locked_until: None,
            hold: false,
        };
        if let Some(old) = self.objects.remove(key) {
            self.hidden.push((key.to_owned(), old));
        }
        self.objects.entry(key.to_owned()).or_insert(object)
    }

    /// Hides an object behind a delete marker. That succeeds for a key that is not there, and for a locked object: a lock
    /// keeps its version, which stays.
    /// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>.
    fn hide(&mut self, key: &str) {
        if let Some(object) = self.objects.remove(key) {
            self.hidden.push((key.to_owned(), object));
        }
    }
}

impl World {
    /// The bucket of this name, made if it is new.
    pub fn bucket(&mut self, name: &str) -> &mut Bucket {
        self.s3.buckets.entry(name.to_owned()).or_default()
    }
}

impl Service for S3 {
    const NAME: &'static str = "s3";
    const TARGET: Target = Target::Buckets;
    const RESOURCES: &'static [&'static str] = &["AWS::S3::Bucket"];

    /// Service authorization reference of S3: lists are of the bucket, everything else is of the object. Deleting many is
    /// asked for each key; what a HEAD tells of locks, and a GET or HEAD of tags, is only told to whoever may read it.
    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let wish = Wish::of(asked.request);
        let object = |key: &str| format!("{}/{key}", arn(&wish.bucket));
        match asked.operation.as_str() {
            "ListObjectsV2" => {
                let prefix = wish.parameter("prefix").unwrap_or_default();
                let context = BTreeMap::from([("s3:prefix".to_owned(), [prefix].into())]);
                let action = Some("ListBucket");
                Touched { action, context, ..Touched::resources(vec![arn(&wish.bucket)]) }
            }
            "DeleteObjects" => {
                let keys = Delete::read(asked.request).map(|delete| delete.keys()).unwrap_or_default();
                let resources = keys.iter().map(|key| object(key)).collect();
                Touched { action: Some("DeleteObject"), ..Touched::resources(resources) }
            }
            "HeadObject" => Touched { action: Some("GetObject"), ..Touched::resources(vec![object(&wish.key)]) },
            _ => Touched::resources(vec![object(&wish.key)]),
        }
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let wish = Wish::of(asked.request);
        let (now, page) = (world.now, world.page);
        let absent = || Refusal::new("NoSuchBucket", "The specified bucket does not exist");
        let bucket = world.s3.buckets.get_mut(&wish.bucket).ok_or_else(absent)?;
        let no_key = || Refusal::new("NoSuchKey", "The specified key does not exist.");
        match asked.operation.as_str() {
            "ListObjectsV2" => answer::list(bucket, &wish, page),
            "GetObject" => Ok(answer::object(bucket.objects.get(&wish.key).ok_or_else(no_key)?, true)),
            "HeadObject" => Ok(answer::object(bucket.objects.get(&wish.key).ok_or_else(no_key)?, false)),
            "GetObjectTagging" => Ok(answer::tags(bucket.objects.get(&wish.key).ok_or_else(no_key)?)),
            "PutObject" => {
                let standing = bucket.objects.get(&wish.key).map(|object| object.etag.clone());
                // API reference of PutObject, `If-None-Match` and `If-Match`.
                match (&wish.if_none_match, &wish.if_match, standing) {
                    (Some(any), _, Some(_)) if any == "*" => return Err(answer::precondition()),
                    (_, Some(_), None) => return Err(no_key()),
                    (_, Some(wanted), Some(etag)) if *wanted != etag => return Err(answer::precondition()),
                    _ => {}
                }
                let body = String::from_utf8_lossy(&asked.request.body).into_owned();
                let bytes = body.len() as u64;
                let etag = bucket.put(&wish.key, &body, bytes, now).etag.clone();
                Ok(json!({"headers": {"etag": etag}, "body": ""}))
            }
            "DeleteObjects" => {
                let keys = Delete::read(asked.request)?.keys();
                if keys.len() > MOST {
                    return Err(Refusal::new("MalformedXML", format!("{} keys, and {MOST} are the most", keys.len())));
                }
                let (stuck, gone): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| bucket.stuck.contains(key));
                for key in &gone {
                    bucket.hide(key);
                }
                Ok(answer::deleted(&gone, &stuck))
            }
            other => Err(Refusal::new("NotImplemented", format!("the world has no s3:{other}"))),
        }
    }

    /// Template reference of `AWS::S3::Bucket`: `Ref` is the name, of lower-case letters where CloudFormation makes it up.
    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        let name = world.generated(wanted, "BucketName").to_ascii_lowercase();
        world.bucket(&name);
        done(name.clone(), json!({"Arn": arn(&name)}))
    }

    /// The same page: nothing but another name replaces a bucket.
    fn update(_: &mut World, change: &Change<'_>) -> Operation {
        if !change.keeps("BucketName") {
            return Ok(None);
        }
        done(change.physical_id, json!({"Arn": arn(change.physical_id)}))
    }

    /// The same page: CloudFormation deletes no bucket that has objects.
    fn delete(world: &mut World, _: &str, id: &str, properties: &Value) -> Result<(), String> {
        if text(properties, "DeletionPolicy").starts_with("Retain") {
            return Ok(());
        }
        if world.s3.buckets.get(id).is_some_and(|bucket| !bucket.objects.is_empty() || !bucket.hidden.is_empty()) {
            return Err(format!("The bucket you tried to delete is not empty: {id}"));
        }
        world.s3.buckets.remove(id);
        Ok(())
    }

    fn wrap(_: &Asked<'_>, result: Result<Value, Refusal>) -> Answer {
        match result {
            Ok(value) => {
                let headers = value["headers"].as_object().into_iter().flatten();
                let headers = headers.filter_map(|(name, value)| Some((header(name)?, value.as_str()?.to_owned())));
                Answer { headers: headers.collect(), ..Answer::ok(value["body"].as_str().unwrap_or_default()) }
            }
            Err(refusal) => refused(refusal.code, &refusal.message),
        }
    }
}

/// The names of the headers that S3's answers have.
fn header(name: &str) -> Option<&'static str> {
    let known = [
        "content-length",
        "etag",
        "last-modified",
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-tagging-count",
    ];
    known.into_iter().find(|known| *known == name)
}

/// Returns whether a request is one to S3.
pub(crate) fn is_asked(request: &Request) -> bool {
    operation(request).is_some()
}

/// A refusal as S3 words it.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
pub(crate) fn refused(code: &str, message: &str) -> Answer {
    let status = match code {
        "NoSuchKey" | "NoSuchBucket" => 404,
        "AccessDenied" | "AccessDeniedException" => 403,
        "PreconditionFailed" => 412,
        "ConditionalRequestConflict" => 409,
        "SlowDown" | "ThrottlingException" => 503,
        "NotImplemented" => 501,
        _ => 400,
    };
    let code = match code {
        "AccessDeniedException" => "AccessDenied",
        "ThrottlingException" => "SlowDown",
        other => other,
    };
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer { status, ..Answer::ok(body) }
}
