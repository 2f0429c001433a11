//! The bucket of the backups. Every list is read to its end, or it is a failure: a part of a list plans no deletion.

mod place;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::list_objects_v2::ListObjectsV2Output,
    primitives::{ByteStream, DateTime},
    types::{Delete, ObjectIdentifier, ObjectLockLegalHoldStatus},
};
use cluster_core::backup::{ChainId, Folder, Hold, Key, Layout, Manifest, Object};
use cluster_lambda::{Failure, is_refusal};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

pub use place::Place;

/// How many requests run at once.
pub const AT_ONCE: usize = 16;
/// The tag with which people keep a chain for ever.
const KEEP: &str = "keep";
/// The most pages of one list: 10 million keys. A list that does not end is no list.
const PAGES: usize = 10_000;

/// The bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
    owner: String,
    layout: Layout,
}

/// What a list holds.
#[derive(Debug, Default)]
struct Listed {
    objects: Vec<(String, u64, Timestamp)>,
    folders: Vec<String>,
}

/// The chains of one database as their keys show them.
#[derive(Debug, Default)]
pub struct Keys {
    /// Each chain with its objects, without manifests.
    pub folders: BTreeMap<ChainId, Folder>,
    /// The chains that have a manifest.
    pub manifests: BTreeSet<ChainId>,
    /// Keys under the prefix of the chains that are not ours.
    pub foreign: Vec<String>,
}

impl Bucket {
    /// Reads and writes at this place.
    #[must_use]
    pub fn new(client: Client, place: Place) -> Self {
        Self { client, name: place.bucket, owner: place.owner, layout: place.layout }
    }

    /// Makes a first call.
    pub async fn look(&self) -> Result<(), Failure> {
        let list = self.client.list_objects_v2().bucket(&self.name).expected_bucket_owner(&self.owner).max_keys(1);
        let listed = list.prefix(self.layout.chains()).send().await;
        listed.map(drop).map_err(|error| Failure::call("list the bucket", error))
    }

    /// Returns the databases that have chains or manifests, and keys among them that are not ours.
    pub async fn databases(&self) -> Result<(BTreeSet<String>, Vec<String>), Failure> {
        let (mut databases, mut foreign) = (BTreeSet::new(), Vec::new());
        for parent in [self.layout.chains(), self.layout.manifests_of_all()] {
            let listed = self.list(&parent, true).await?;
            foreign.extend(listed.objects.into_iter().map(|(key, ..)| key));
            for folder in listed.folders {
                match self.layout.database(&folder) {
                    Some(database) => _ = databases.insert(database),
                    None => foreign.push(folder),
                }
            }
        }
        Ok((databases, foreign))
    }

    /// Returns what the keys of one database say.
    pub async fn keys(&self, database: &str) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        for (key, bytes, written) in self.list(&format!("{}{database}/", self.layout.chains()), false).await?.objects {
            match self.layout.read(&key) {
                Key::Artifact { chain, file, .. } => {
                    keys.folder(database, chain).objects.push(Object { file, bytes, written });
                }
                Key::Stranger { chain, .. } => keys.folder(database, chain).strangers += 1,
                _ => keys.foreign.push(key),
            }
        }
        for (key, ..) in self.list(&self.layout.manifests(database), false).await?.objects {
            match self.layout.read(&key) {
                Key::Manifest { chain, .. } => {
                    keys.folder(database, chain);
                    keys.manifests.insert(chain);
                }
                _ => keys.foreign.push(key),
            }
        }
        Ok(keys)
    }

    /// Returns one folder as it is now, with its manifest.
    pub async fn folder(&self, database: &str, chain: ChainId) -> Result<Folder, Failure> {
        let mut folder = empty(database, chain);
        for (key, bytes, written) in self.list(&self.layout.folder(database, chain), false).await?.objects {
            match self.layout.read(&key) {
                Key::Artifact { file, .. } => folder.objects.push(Object { file, bytes, written }),
                _ => folder.strangers += 1,
            }
        }
        folder.manifest = self.manifest(database, chain).await?;
        Ok(folder)
    }

    /// Reads the manifest of a chain: nothing when there is none, and why it cannot be understood.
    pub async fn manifest(&self, database: &str, chain: ChainId) -> Result<Option<Result<Manifest, String>>, Failure> {
        Ok(self.tagged_manifest(database, chain).await?.map(|(manifest, _)| manifest))
    }

    /// Reads the manifest of a chain with its entity tag.
    pub async fn tagged_manifest(
        &self,
        database: &str,
        chain: ChainId,
    ) -> Result<Option<(Result<Manifest, String>, String)>, Failure> {
        let key = self.layout.manifest(database, chain);
        let got = self.client.get_object().bucket(&self.name).expected_bucket_owner(&self.owner).key(&key).send().await;
        let got = match got {
            Ok(got) => got,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(Failure::call(&format!("read {key}"), error)),
        };
        let tag = got.e_tag().unwrap_or_default().to_owned();
        let body = got.body.collect().await;
        let body = body.map_err(|error| Failure::transient(format!("could not read {key}")).caused_by(error))?;
        Ok(Some((serde_json::from_slice(&body.into_bytes()).map_err(|error| error.to_string()), tag)))
    }

    /// Writes the manifest of a chain, if it is still as it was read: with this entity tag, or not there at all. Returns whether it
    /// was written.
    ///
    /// «412 Precondition Failed» is the answer where it is not, and «409 Conflict» where somebody writes at the same time (S3 user guide,
    /// «How to prevent object overwrites with conditional writes»).
    pub async fn put_manifest(&self, manifest: &Manifest, tag: Option<&str>) -> Result<bool, Failure> {
        let key = self.layout.manifest(&manifest.database, manifest.chain);
        let body = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Failure::permanent(format!("could not write {key}")).caused_by(error))?;
        let call = self.client.put_object().bucket(&self.name).expected_bucket_owner(&self.owner).key(&key);
        let call = match tag {
            Some(tag) => call.if_match(tag),
            None => call.if_none_match("*"),
        };
        match call.content_type("application/json").body(ByteStream::from(body)).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error, &["PreconditionFailed", "ConditionalRequestConflict"]) => Ok(false),
            Err(error) => Err(Failure::call(&format!("write {key}"), error)),
        }
    }

    /// Returns the newest chain of a database: nothing when it has none.
    pub async fn newest(&self, database: &str) -> Result<Option<Folder>, Failure> {
        let mut newest: Option<ChainId> = None;
        let chains = self.list(&format!("{}{database}/", self.layout.chains()), true).await?;
        let folders = chains.folders.iter().filter_map(|folder| folder.trim_end_matches('/').rsplit('/').next());
        newest = newest.max(folders.filter_map(|name| name.parse().ok()).max());
        for (key, ..) in self.list(&self.layout.manifests(database), false).await?.objects {
            if let Key::Manifest { chain, .. } = self.layout.read(&key) {
                newest = newest.max(Some(chain));
            }
        }
        match newest {
            Some(chain) => Ok(Some(self.folder(database, chain).await?)),
            None => Ok(None),
        }
    }

    /// Finds out what forbids to delete any object of a folder: tags, legal holds, locks.
    pub async fn holds(&self, folder: &Folder) -> Result<Vec<Hold>, Failure> {
        let at = self.layout.folder(&folder.database, folder.chain);
        let keys = folder.objects.iter().map(|object| format!("{at}{}", object.file));
        let found = stream::iter(keys.map(|key| async move { self.holds_of(&key).await })).buffer_unordered(AT_ONCE);
        let found: Vec<Vec<Hold>> = found.try_collect().await?;
        let found: BTreeSet<Hold> = found.into_iter().flatten().collect();
        Ok(found.into_iter().collect())
    }

    /// A HEAD says nothing of locks to whoever may not read them (API reference of `HeadObject`), so the role may.
    async fn holds_of(&self, key: &str) -> Result<Vec<Hold>, Failure> {
        let head = self.client.head_object().bucket(&self.name).expected_bucket_owner(&self.owner).key(key).send();
        let tags =
            self.client.get_object_tagging().bucket(&self.name).expected_bucket_owner(&self.owner).key(key).send();
        let (head, tags) = tokio::join!(head, tags);
        let head = head.map_err(|error| Failure::call(&format!("look at {key}"), error))?;
        let tags = tags.map_err(|error| Failure::call(&format!("read the tags of {key}"), error))?;
        let mut holds = Vec::new();
        if let Some(until) = head.object_lock_retain_until_date() {
            holds.push(Hold::Until(time(until)?));
        }
        if head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On) {
            holds.push(Hold::Legal);
        }
        if tags.tag_set().iter().any(|tag| tag.key() == KEEP) {
            holds.push(Hold::Pinned);
        }
        Ok(holds)
    }

    /// Deletes keys by delete markers, and returns those that stay, each with S3's reason: the call succeeds whatever becomes
    /// of each key (API reference of `DeleteObjects`).
    pub async fn delete(&self, keys: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
        let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(*key).build());
        let objects = objects.collect::<Result<Vec<_>, _>>();
        let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).build());
        let delete = delete.map_err(|error| Failure::permanent("could not name what to delete").caused_by(error))?;
        let call = self.client.delete_objects().bucket(&self.name).expected_bucket_owner(&self.owner).delete(delete);
        let deleted = call.send().await.map_err(|error| Failure::call("delete backups", error))?;
        let said: BTreeSet<&str> = deleted.deleted().iter().filter_map(|deleted| deleted.key()).collect();
        let mut left: BTreeMap<String, String> = keys
            .iter()
            .filter(|key| !said.contains(*key))
            .map(|key| ((*key).to_owned(), "S3 did not say what became of it".to_owned()))
            .collect();
        for error in deleted.errors() {
            if let Some(key) = error.key() {
                let why = [error.code(), error.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
                left.insert(key.to_owned(), why);
            }
        }
        Ok(left)
    }

    /// Writes a report.
    pub async fn put(&self, key: &str, body: String, kind: &str) -> Result<(), Failure> {
        let body = ByteStream::from(body.into_bytes());
        let call = self.client.put_object().bucket(&self.name).expected_bucket_owner(&self.owner).key(key);
        let put = call.content_type(kind).body(body).send().await;
        put.map(drop).map_err(|error| Failure::call(&format!("write {key}"), error))
    }

    /// Reads a whole list.
    async fn list(&self, prefix: &str, folders: bool) -> Result<Listed, Failure> {
        let mut listed = Listed::default();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let call =
                self.client.list_objects_v2().bucket(&self.name).expected_bucket_owner(&self.owner).prefix(prefix);
            let call = call.set_delimiter(folders.then(|| "/".to_owned())).set_continuation_token(token.take());
            let page = call.send().await.map_err(|error| Failure::call(&format!("list {prefix}"), error))?;
            take(&page, &mut listed)?;
            // «NextContinuationToken is sent when isTruncated is true» (API reference of `ListObjectsV2`): one without the other is
            // followed where it can be, and otherwise no end.
            match (page.is_truncated(), page.next_continuation_token()) {
                (Some(false) | None, None) => return Ok(listed),
                (_, Some(next)) => token = Some(next.to_owned()),
                (Some(true), None) => {
                    return Err(Failure::transient(format!("S3 says that more follows in {prefix}, and not where")));
                }
            }
        }
        Err(Failure::permanent(format!("the list of {prefix} does not end")))
    }
}

fn take(page: &ListObjectsV2Output, listed: &mut Listed) -> Result<(), Failure> {
    for object in page.contents() {
        let whole = object.key().zip(object.size()).zip(object.last_modified());
        let ((key, size), written) = whole
            .ok_or_else(|| Failure::transient(format!("S3 lists an object without key, size or time: {object:?}")))?;
        listed.objects.push((key.to_owned(), size.try_into().unwrap_or_default(), time(written)?));
    }
    listed.folders.extend(page.common_prefixes().iter().filter_map(|folder| folder.prefix()).map(str::to_owned));
    Ok(())
}

fn time(time: &DateTime) -> Result<Timestamp, Failure> {
    let parsed = Timestamp::new(time.secs(), time.subsec_nanos().try_into().unwrap_or_default());
    parsed.map_err(|error| Failure::permanent(format!("S3 gives a time that is none: {time:?}")).caused_by(error))
}

fn empty(database: &str, chain: ChainId) -> Folder {
    Folder { database: database.to_owned(), chain, manifest: None, objects: Vec::new(), strangers: 0 }
}

impl Keys {
    fn folder(&mut self, database: &str, chain: ChainId) -> &mut Folder {
        self.folders.entry(chain).or_insert_with(|| empty(database, chain))
    }
}
