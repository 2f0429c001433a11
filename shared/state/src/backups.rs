//! What backup-scheduler remembers: slots that have come, jobs that have not been judged, and how old the backups are.

use aws_sdk_dynamodb::types::AttributeValue;
use cluster_core::backup::{Age, Ages, JobName, Kind, OpenJob, Slot, Task};
use cluster_lambda::{Failure, is_refusal};
use jiff::Timestamp;

use super::{Item, StateTable, key, text, time};

/// The partition of everything here. Only backup-scheduler may write there, and delete from it.
const BACKUP: &str = "backup";
/// The prefix of the sort keys of slots; when they were due and what they ask for follow.
const SLOT: &str = "slot/";
/// The prefix of the sort keys of jobs; their name follows.
const JOB: &str = "job/";
/// The prefix of the sort keys of databases; their name follows.
const AGE: &str = "age/";
/// The sort key of when backups began to be counted.
const BEGAN: &str = "began";

/// What backup-scheduler remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backups {
    /// The slots that came within the last days, by when they were due.
    pub slots: Vec<Slot>,
    /// The jobs that have not been judged, by name.
    pub jobs: Vec<OpenJob>,
    /// How old the backups are.
    pub ages: Ages,
    /// The sort keys of items that cannot be read. They are left alone: one may be a job that runs.
    pub unreadable: Vec<String>,
}

impl StateTable {
    /// Reads what backup-scheduler remembers, with consistent reads.
    pub async fn read_backups(&self) -> Result<Backups, Failure> {
        let asked = self.client.query().table_name(&self.table).key_condition_expression("pk = :pk");
        let asked =
            asked.expression_attribute_values(":pk", AttributeValue::S(BACKUP.to_owned())).consistent_read(true);
        let mut items = asked.into_paginator().items().send();
        let mut backups = Backups::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| Failure::call(&self.step("read backups"), error))?;
            backups.add(&item);
        }
        Ok(backups)
    }

    /// Puts down that a slot has come. Returns whether it had not come before.
    pub async fn open_slot(&self, slot: &Slot) -> Result<bool, Failure> {
        self.put(slot_item(slot), Some("attribute_not_exists(pk)"), &[], "write a slot").await
    }

    /// Writes how far a slot is.
    pub async fn save_slot(&self, slot: &Slot) -> Result<(), Failure> {
        self.put(slot_item(slot), None, &[], "write a slot").await.map(drop)
    }

    /// Forgets a slot.
    pub async fn forget_slot(&self, slot: &Slot) -> Result<(), Failure> {
        self.forget(&slot_key(slot)).await
    }

    /// Claims the right to submit a job: a new one, or one that was claimed at that time before. Returns whether it is ours.
    pub async fn claim_job(&self, job: &OpenJob, before: Option<Timestamp>) -> Result<bool, Failure> {
        let item = job_item(job);
        match before {
            None => self.put(item, Some("attribute_not_exists(pk)"), &[], "claim a job").await,
            Some(before) => {
                self.put(item, Some("claimed = :before"), &[(":before", time(before))], "claim a job").await
            }
        }
    }

    /// Puts down what became of a job that was submitted under this claim: its id, and when it was terminated. Returns whether
    /// the claim still stood.
    pub async fn save_job(&self, job: &OpenJob) -> Result<bool, Failure> {
        let claimed = [(":claimed", time(job.claimed))];
        self.put(job_item(job), Some("claimed = :claimed"), &claimed, "write a job").await
    }

    /// Forgets a job.
    pub async fn forget_job(&self, job: &OpenJob) -> Result<(), Failure> {
        self.forget(&format!("{JOB}{}", job.name)).await
    }

    /// Writes the ages that have changed, and forgets those of databases that are gone. If nothing has changed, it makes no call.
    pub async fn save_ages(&self, before: &Ages, after: &Ages) -> Result<(), Failure> {
        if let Some(began) = after.began.filter(|_| after.began != before.began) {
            let mut item = key(BACKUP, BEGAN);
            item.insert("since".to_owned(), time(began));
            self.put(item, None, &[], "write when backups began").await?;
        }
        for (name, age) in after.databases.iter().filter(|(name, age)| before.databases.get(*name) != Some(*age)) {
            let mut item = key(BACKUP, &format!("{AGE}{name}"));
            item.insert("since".to_owned(), time(age.since));
            item.extend(age.good.map(|good| ("good".to_owned(), time(good))));
            self.put(item, None, &[], "write the age of a backup").await?;
        }
        for name in before.databases.keys().filter(|name| !after.databases.contains_key(*name)) {
            self.forget(&format!("{AGE}{name}")).await?;
        }
        Ok(())
    }

    async fn put(
        &self,
        item: Item,
        condition: Option<&str>,
        values: &[(&str, AttributeValue)],
        what: &str,
    ) -> Result<bool, Failure> {
        let mut asked = self.client.put_item().table_name(&self.table).set_item(Some(item));
        asked = asked.set_condition_expression(condition.map(str::to_owned));
        for (name, value) in values {
            asked = asked.expression_attribute_values(*name, value.clone());
        }
        match asked.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error, &["ConditionalCheckFailedException"]) => Ok(false),
            Err(error) => Err(Failure::call(&self.step(what), error)),
        }
    }

    async fn forget(&self, sort: &str) -> Result<(), Failure> {
        let asked = self.client.delete_item().table_name(&self.table).set_key(Some(key(BACKUP, sort)));
        asked.send().await.map(drop).map_err(|error| Failure::call(&self.step("forget a backup"), error))
    }

    fn step(&self, what: &str) -> String {
        format!("{what} in table {}", self.table)
    }
}

impl Backups {
    fn add(&mut self, item: &Item) {
        let sort = text(item, "sk").unwrap_or_default();
        let read = if sort == BEGAN {
            since(item).map(|began| self.ages.began = Some(began))
        } else if let Some(name) = sort.strip_prefix(AGE) {
            age(item).map(|age| _ = self.ages.databases.insert(name.to_owned(), age))
        } else if sort.starts_with(SLOT) {
            slot(item).map(|slot| self.slots.push(slot))
        } else if let Some(name) = sort.strip_prefix(JOB) {
            job(name, item).map(|job| self.jobs.push(job))
        } else {
            None
        };
        if read.is_none() {
            self.unreadable.push(format!("{BACKUP}/{sort}"));
        }
    }
}

fn word(kind: Kind) -> AttributeValue {
    AttributeValue::S(kind.to_string())
}

fn kind(item: &Item, name: &str) -> Option<Kind> {
    [Kind::Full, Kind::Differential].into_iter().find(|kind| text(item, name) == Some(&kind.to_string()))
}

fn at(item: &Item, name: &str) -> Option<Timestamp> {
    text(item, name)?.parse().ok()
}

fn since(item: &Item) -> Option<Timestamp> {
    at(item, "since")
}

fn flag(item: &Item, name: &str) -> Option<bool> {
    item.get(name)?.as_bool().ok().copied()
}

fn age(item: &Item) -> Option<Age> {
    let good = match item.get("good") {
        None => None,
        Some(_) => Some(at(item, "good")?),
    };
    Some(Age { since: since(item)?, good })
}

fn slot_key(slot: &Slot) -> String {
    format!("{SLOT}{:.0}/{}", slot.due, slot.kind)
}

fn slot_item(slot: &Slot) -> Item {
    let mut item = key(BACKUP, &slot_key(slot));
    item.insert("kind".to_owned(), word(slot.kind));
    item.insert("due".to_owned(), time(slot.due));
    item.insert("seen".to_owned(), time(slot.seen));
    item.insert("done".to_owned(), AttributeValue::Bool(slot.done));
    // DynamoDB has no empty sets.
    if !slot.settled.is_empty() {
        item.insert("settled".to_owned(), AttributeValue::Ss(slot.settled.iter().cloned().collect()));
    }
    item
}

fn slot(item: &Item) -> Option<Slot> {
    let settled = match item.get("settled") {
        None => Vec::new(),
        Some(names) => names.as_ss().ok()?.clone(),
    };
    Some(Slot {
        kind: kind(item, "kind")?,
        due: at(item, "due")?,
        seen: at(item, "seen")?,
        settled: settled.into_iter().collect(),
        done: flag(item, "done")?,
    })
}

fn job_item(open: &OpenJob) -> Item {
    let OpenJob { name, task, nonce, on_spot, claimed, terminated } = open;
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut item = key(BACKUP, &format!("{JOB}{name}"));
    let attributes = [
        ("chain", text(&task.chain.to_string())),
        ("kind", word(task.kind)),
        ("slot", time(task.slot)),
        ("source", text(&task.source)),
        ("nonce", text(nonce)),
        ("onSpot", AttributeValue::Bool(*on_spot)),
        ("claimed", time(*claimed)),
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    if !task.job.is_empty() {
        item.insert("job".to_owned(), text(&task.job));
    }
    item.extend(terminated.map(|terminated| ("terminated".to_owned(), time(terminated))));
    item
}

fn job(name: &str, item: &Item) -> Option<OpenJob> {
    let name: JobName = name.parse().ok()?;
    let task = Task {
        job: text(item, "job").unwrap_or_default().to_owned(),
        database: name.database.clone(),
        chain: text(item, "chain")?.parse().ok()?,
        kind: kind(item, "kind")?,
        slot: at(item, "slot")?,
        source: text(item, "source")?.to_owned(),
    };
    let terminated = match item.get("terminated") {
        None => None,
        Some(_) => Some(at(item, "terminated")?),
    };
    Some(OpenJob {
        name,
        task,
        nonce: text(item, "nonce")?.to_owned(),
        on_spot: flag(item, "onSpot")?,
        claimed: at(item, "claimed")?,
        terminated,
    })
}

#[cfg(test)]
mod tests {
    use cluster_core::backup::ChainId;

    use super::*;

    fn all(items: &[Item]) -> Backups {
        let mut backups = Backups::default();
        for item in items {
            backups.add(item);
        }
        backups
    }

    fn open_job() -> OpenJob {
        let due: Timestamp = "2026-11-30T01:00:00Z".parse().unwrap();
        let name = JobName { database: "neo4j".into(), slot: Kind::Differential, attempt: ChainId::new(due, 1) };
        let task = Task {
            job: "j-1".into(),
            database: "neo4j".into(),
            chain: ChainId::new("2026-11-29T01:00:00Z".parse().unwrap(), 1),
            kind: Kind::Differential,
            slot: due,
            source: "core 2".into(),
        };
        let claimed = "2026-11-30T01:00:05.25Z".parse().unwrap();
        OpenJob { name, task, nonce: "b1".into(), on_spot: true, claimed, terminated: None }
    }

    #[test]
    fn slots_and_jobs_are_read_back() {
        let due = "2026-11-30T01:00:00Z".parse().unwrap();
        let fresh = Slot::new(Kind::Full, due, "2026-11-30T01:00:03.125Z".parse().unwrap());
        let settled = Slot { settled: ["neo4j".to_owned(), "system".to_owned()].into(), done: true, ..fresh.clone() };
        let unsubmitted = OpenJob { task: Task { job: String::new(), ..open_job().task }, ..open_job() };
        for slot in [fresh, settled] {
            assert_eq!(all(&[slot_item(&slot)]), Backups { slots: vec![slot], ..Backups::default() });
        }
        let terminated = OpenJob { terminated: Some("2026-11-30T01:20:00.5Z".parse().unwrap()), ..open_job() };
        for job in [open_job(), unsubmitted, terminated] {
            assert_eq!(all(&[job_item(&job)]), Backups { jobs: vec![job], ..Backups::default() });
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for attribute in ["chain", "kind", "slot", "source", "nonce", "onSpot", "claimed"] {
            let mut broken = job_item(&open_job());
            broken.remove(attribute);
            let name = format!("backup/job/{}", open_job().name);
            assert_eq!(all(&[broken]), Backups { unreadable: vec![name], ..Backups::default() }, "{attribute}");
        }
        let mut broken = job_item(&open_job());
        broken.insert("terminated".to_owned(), AttributeValue::S("lately".to_owned()));
        assert_eq!(all(&[broken]).unreadable.len(), 1);
        assert_eq!(all(&[key("backup", "other")]).unreadable, ["backup/other"]);
    }
}
