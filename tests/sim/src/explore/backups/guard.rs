//! The truth about every write, before it takes effect.

use std::collections::BTreeSet;

use cluster_core::backup::{Key, Kind, Layout, Manifest, Verdict};
use cluster_world::{Request, World, batch::Outcome, s3::Bucket};
use serde_json::Value;

use super::{super::Wrong, truth};

/// Says what is wrong with a write.
pub(super) fn check(world: &World, request: &Request, bucket: &str, prefix: &str) -> Result<(), Wrong> {
    let Some((action, fields)) = cluster_world::read(request) else { return Ok(()) };
    let Some(found) = world.s3.buckets.get(bucket) else { return Ok(()) };
    let layout = Layout::new(prefix);
    let checked = match action.as_str() {
        "batch:SubmitJob" => submits(world, &fields, found),
        "s3:PutObject" => writes(world, request, bucket, found, &layout),
        "s3:DeleteObjects" => deletes(world, request, found, &layout),
        _ => Ok(()),
    };
    checked.map_err(|why| format!("{action}: {why}"))
}

/// No two jobs write into one chain, and no full backup into a folder that holds something.
fn submits(world: &World, fields: &Value, bucket: &Bucket) -> Result<(), Wrong> {
    let variables = fields["containerOverrides"]["environment"].as_array().into_iter().flatten();
    let mut to = "";
    let mut full = false;
    for variable in variables {
        match variable["name"].as_str() {
            Some("BACKUP_TO") => to = variable["value"].as_str().unwrap_or_default(),
            Some("BACKUP_TYPE") => full = variable["value"] == "FULL",
            _ => {}
        }
    }
    let open = world.batch.jobs.values().filter(|job| !job.has_ended());
    if let Some(job) = open.into_iter().find(|job| job.environment.get("BACKUP_TO").is_some_and(|other| other == to)) {
        return Err(format!("{} writes into {to} already", job.name));
    }
    let folder = to.splitn(4, '/').nth(3).unwrap_or_default();
    if full && bucket.objects.keys().any(|key| key.starts_with(folder)) {
        return Err(format!("a full backup would go into {to}, which holds something"));
    }
    Ok(())
}

/// Nothing is called good that its job did not end well for, or whose log does not prove it; and no word about another job is lost.
fn writes(world: &World, request: &Request, name: &str, bucket: &Bucket, layout: &Layout) -> Result<(), Wrong> {
    let key = request.path.trim_start_matches('/').trim_start_matches(name).trim_start_matches('/');
    if !matches!(layout.read(key), Key::Manifest { .. }) {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&request.body);
    // The SDK may frame it in chunks with a checksum behind.
    let json = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to)).unwrap_or_default();
    let manifest: Manifest = serde_json::from_str(json).map_err(|error| format!("{key} is no manifest: {error}"))?;
    for backup in manifest.backups.iter().filter(|backup| backup.verdict == Verdict::Good) {
        // Those that were filled in have no job.
        let Some(job) = world.batch.jobs.get(&backup.job) else { continue };
        let proves = match (job.outcome, backup.kind) {
            (Outcome::Good, _) | (Outcome::OtherDatabase | Outcome::Gap | Outcome::Full, Kind::Full) => true,
            (Outcome::BrokenCheck, kind) => kind == Kind::Differential,
            _ => false,
        };
        if job.status != "SUCCEEDED" || !proves {
            return Err(format!("{key} calls {} good, which is {} by {:?}", job.name, job.status, job.outcome));
        }
        let folder = layout.folder(&manifest.database, manifest.chain);
        let file = backup.artifact.as_ref().map(|artifact| format!("{folder}{}", artifact.file)).unwrap_or_default();
        if !bucket.objects.contains_key(&file) {
            return Err(format!("{key} calls {} good, and there is no {file}", job.name));
        }
    }
    let known = bucket.objects.get(key).and_then(|object| serde_json::from_str::<Manifest>(&object.body).ok());
    let jobs = |manifest: &Manifest| manifest.backups.iter().map(|backup| backup.job.clone()).collect::<BTreeSet<_>>();
    let lost: Vec<_> =
        known.iter().flat_map(|known| jobs(known).difference(&jobs(&manifest)).cloned().collect::<Vec<_>>()).collect();
    // A write on a condition that no longer holds is refused.
    let stands =
        request.headers.get("if-match").is_none_or(|tag| bucket.objects.get(key).is_some_and(|at| at.etag == *tag));
    let new = request.headers.contains_key("if-none-match") && known.is_some();
    if lost.is_empty() || !stands || new { Ok(()) } else { Err(format!("{key} loses what is known of {lost:?}")) }
}

/// The newest good chain of each database id stays whole.
fn deletes(world: &World, request: &Request, bucket: &Bucket, layout: &Layout) -> Result<(), Wrong> {
    let body = String::from_utf8_lossy(&request.body);
    let keys: Vec<&str> = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).collect();
    let newest = truth::newest_chains(bucket, layout);
    for key in keys {
        let (Key::Artifact { database, chain, .. } | Key::Manifest { database, chain }) = layout.read(key) else {
            return Err(format!("{key} is not ours"));
        };
        if newest.contains(&(database.clone(), chain)) {
            return Err(format!("{key} is of the newest good chain of {database}"));
        }
        let folder = layout.folder(&database, chain);
        let open = world.batch.jobs.values().filter(|job| !job.has_ended());
        let writes = |to: &String| to.ends_with(&folder);
        if open.into_iter().any(|job| job.environment.get("BACKUP_TO").is_some_and(writes)) {
            return Err(format!("a job writes into {folder}"));
        }
    }
    Ok(())
}
