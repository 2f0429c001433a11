//! The state table: what the functions remember because neither AWS nor Neo4j reports it. Only this crate knows its
//! keys.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};
use cluster_core::instance::{Lease, Phase, Target, Wanted};
use cluster_lambda::{Failure, is_refusal};
use jiff::Timestamp;

mod backups;
mod incidents;
mod lease;
mod readiness;
mod remembered;
#[cfg(test)]
mod tests;

pub use backups::Backups;
pub use incidents::{Found, Incidents, Stored};
pub use remembered::Remembered;

/// The key of the item that holds the cluster's phase. No function has permission to delete it.
const PHASE: (&str, &str) = ("cluster", "phase");
/// The key of the item that holds what the last deployment wants every member to run.
const TARGET: (&str, &str) = ("cluster", "target");
/// How often what a read left out is asked for.
const TRIES: u8 = 4;
/// The partition of clocks, and of whatever else one sweep remembers for the next. Functions may delete from it.
const CLOCKS: &str = "clock";

/// The state table.
#[derive(Clone, Debug)]
pub struct StateTable {
    client: Client,
    table: String,
}

/// The contents of the state table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The cluster's phase.
    pub phase: Phase,
    /// How many cores the cluster had when its last deployment ended; nothing before the first one did.
    pub cores: Option<u8>,
    /// What every member should run; nothing before the first deployment ended.
    pub target: Option<Target>,
    /// The lease of voluntary disruptions.
    pub lease: Lease,
    /// What the last sweeps remembered.
    pub remembered: Remembered,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    Yes,
    /// A later request had been written already.
    Superseded,
    /// There is no such table.
    NoTable,
}

type Item = HashMap<String, AttributeValue>;

impl StateTable {
    /// Makes a table that is read and written through this client.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads everything, with consistent reads.
    pub async fn read(&self) -> Result<State, Failure> {
        let (cluster, remembered) = tokio::try_join!(biased; self.read_cluster(), self.read_remembered())?;
        let of = |key: (&str, &str)| cluster.iter().find(|item| text(item, "sk") == Some(key.1));
        let (phase, cores) = match of(PHASE) {
            Some(item) => (phase(item, &self.table)?, cores(item)),
            None => (Phase::Creating, None),
        };
        let target = of(TARGET).and_then(|item| self.target(item));
        let lease = of(lease::LEASE).map(|item| lease::read(item, &self.table)).unwrap_or_default();
        Ok(State { phase, cores, target, lease, remembered })
    }

    /// Reads the items of the cluster, by their keys: a list of them that is cut short would read as «creating».
    ///
    /// `UnprocessedKeys` names what a call left out, and an item that does not exist is in neither list (API reference of
    /// `BatchGetItem`).
    async fn read_cluster(&self) -> Result<Vec<Item>, Failure> {
        let table = &self.table;
        let step = || format!("read the cluster's items in table {table}");
        let keys = [PHASE, TARGET, lease::LEASE].map(|(partition, sort)| key(partition, sort));
        let mut wanted = Some(keys_of(keys.to_vec(), &step())?);
        let mut items = Vec::new();
        for _ in 0..TRIES {
            let Some(keys) = wanted.take() else { break };
            let answer = self.client.batch_get_item().request_items(table, keys).send().await;
            let answer = answer.map_err(|error| Failure::call(&step(), error))?;
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            wanted = answer.unprocessed_keys.unwrap_or_default().into_values().next();
        }
        match wanted {
            None => Ok(items),
            Some(_) => Err(Failure::transient(format!("could not {}", step())).caused_by("DynamoDB left items out")),
        }
    }

    /// Reads an item with a consistent read.
    async fn item(&self, (partition, sort): (&str, &str), what: &str) -> Result<Option<Item>, Failure> {
        let table = &self.table;
        let asked = self.client.get_item().table_name(table).set_key(Some(key(partition, sort))).consistent_read(true);
        let answer = asked.send().await;
        let answer =
            answer.map_err(|error| Failure::call(&format!("read the cluster's {what} in table {table}"), error))?;
        Ok(answer.item)
    }

    /// Reads the target. An unreadable one is none: then nothing counts as up to date.
    fn target(&self, item: &Item) -> Option<Target> {
        target(item)
            .inspect_err(|why| {
                tracing::error!(
                    table = self.table,
                    why,
                    "the target in the state table is unreadable: change a parameter of the tasks, such as \
                     SlowQueryMillis, and deploy the stack"
                );
            })
            .ok()
    }

    /// Reads what sweeps remember. An unreadable item is forgotten, and written again.
    async fn read_remembered(&self) -> Result<Remembered, Failure> {
        let table = &self.table;
        let asked = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(CLOCKS.to_owned()))
            .consistent_read(true);
        let mut items = asked.into_paginator().items().send();
        let mut remembered = Remembered::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| Failure::call(&format!("read the clocks in table {table}"), error))?;
            if !remembered.add(&item) {
                tracing::warn!(
                    table,
                    key = text(&item, "sk"),
                    "a clock in the state table is unreadable, and restarts"
                );
            }
        }
        Ok(remembered)
    }

    /// Writes the cluster's phase and its number of cores, unless a request later than `since` has been written: Lambda
    /// may retry a creation when its stack is already being deleted.
    pub async fn write_phase(&self, phase: Phase, cores: u8, since: Timestamp) -> Result<Written, Failure> {
        self.write_in_order(phase_item(phase, cores, since), since, "phase").await
    }

    /// Writes what every member should run, unless a request later than `since` has been written.
    pub async fn write_target(&self, target: &Target, since: Timestamp) -> Result<Written, Failure> {
        self.write_in_order(target_item(target, since), since, "target").await
    }

    async fn write_in_order(&self, item: Item, since: Timestamp, what: &str) -> Result<Written, Failure> {
        let table = &self.table;
        let answer = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#since) OR #since <= :since")
            .expression_attribute_names("#since", "since")
            .expression_attribute_values(":since", time(since))
            .send()
            .await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        if is_refusal(&error, &["ConditionalCheckFailedException"]) {
            return Ok(Written::Superseded);
        }
        if is_refusal(&error, &["ResourceNotFoundException"]) {
            return Ok(Written::NoTable);
        }
        Err(Failure::call(&format!("write the cluster's {what} into table {table}"), error))
    }

    /// Writes what has changed, and deletes what is no longer remembered. If nothing has, it makes no call.
    pub async fn save(&self, before: &Remembered, after: &Remembered) -> Result<(), Failure> {
        let (before, after) = (before.items(), after.items());
        let step = || format!("write clocks into table {}", self.table);
        for (sort, item) in after.iter().filter(|(sort, item)| before.get(*sort) != Some(*item)) {
            let item = key(CLOCKS, sort).into_iter().chain(item.clone()).collect();
            let answer = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
            answer.map_err(|error| Failure::call(&step(), error))?;
        }
        for sort in before.keys().filter(|sort| !after.contains_key(*sort)) {
            let answer =
                self.client.delete_item().table_name(&self.table).set_key(Some(key(CLOCKS, sort))).send().await;
            answer.map_err(|error| Failure::call(&step(), error))?;
        }
        Ok(())
    }

    /// Returns the refusal of a write to a table that does not exist.
    #[must_use]
    pub fn missing(&self) -> Failure {
        Failure::permanent(format!("there is no table {}: was it deleted outside of the stack?", self.table))
    }
}

fn keys_of(keys: Vec<Item>, step: &str) -> Result<KeysAndAttributes, Failure> {
    let built = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
    built.map_err(|error| Failure::permanent(format!("could not {step}")).caused_by(error.to_string()))
}

fn phase_item(phase: Phase, cores: u8, since: Timestamp) -> Item {
    let attributes = [
        ("phase", AttributeValue::S(phase.to_string())),
        ("cores", AttributeValue::N(cores.to_string())),
        ("since", time(since)),
    ];
    key(PHASE.0, PHASE.1).into_iter().chain(attributes.map(|(name, value)| (name.to_owned(), value))).collect()
}

fn target_item(target: &Target, since: Timestamp) -> Item {
    let wanted = target.wanted();
    let attributes = [
        ("coreTaskDefinition", AttributeValue::S(wanted.core_task_definition)),
        ("coreLaunchTemplates", AttributeValue::S(wanted.core_launch_templates)),
        ("replicaTaskDefinition", AttributeValue::S(wanted.replica_task_definition)),
        ("replicaLaunchTemplate", AttributeValue::S(wanted.replica_launch_template)),
        ("since", time(since)),
    ];
    key(TARGET.0, TARGET.1).into_iter().chain(attributes.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// Reads a target, or returns why it cannot be read.
fn target(item: &Item) -> Result<Target, String> {
    let text = |name: &str| text(item, name).unwrap_or_default().to_owned();
    let wanted = Wanted {
        core_task_definition: text("coreTaskDefinition"),
        core_launch_templates: text("coreLaunchTemplates"),
        replica_task_definition: text("replicaTaskDefinition"),
        replica_launch_template: text("replicaLaunchTemplate"),
    };
    Target::read(&wanted).map_err(|refused| refused.to_string())
}

fn phase(item: &Item, table: &str) -> Result<Phase, Failure> {
    match text(item, "phase") {
        Some("complete") => Ok(Phase::Complete),
        Some("deleting") => Ok(Phase::Deleting),
        other => Err(Failure::permanent(format!(
            "table {table} says that the cluster's phase is {other:?}, but it should be complete or deleting: correct the \
             attribute phase of its item cluster/phase"
        ))),
    }
}

fn cores(item: &Item) -> Option<u8> {
    item.get("cores")?.as_n().ok()?.parse().ok()
}

fn key(partition: &str, sort: &str) -> Item {
    let attribute = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
    [attribute("pk", partition), attribute("sk", sort)].into()
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Formats a time, always with three decimals: `DynamoDB` compares times as text.
fn time(at: Timestamp) -> AttributeValue {
    AttributeValue::S(format!("{at:.3}"))
}
