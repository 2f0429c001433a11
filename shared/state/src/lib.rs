//! The state table: what the functions remember that AWS and Neo4j do not say. Only this crate knows its keys.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use cluster_core::instance::{Away, Clocks, Phase};
use cluster_lambda::{Failure, is_refusal};
use jiff::Timestamp;

/// The key of the item that says how far the cluster has come. No right to delete it exists.
const PHASE: (&str, &str) = ("cluster", "phase");
/// The partition of clocks.
const CLOCKS: &str = "clock";
/// Begins the sort keys of the clocks of disconnected container instances; their ARN follows.
const DISCONNECTED: &str = "disconnected/";
/// Begins the sort keys of the clocks of cores that are not whole; their number follows.
const NOT_WHOLE: &str = "not-whole/";

/// The state table.
#[derive(Clone, Debug)]
pub struct StateTable {
    client: Client,
    table: String,
}

/// What the state table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// How far the cluster has come.
    pub phase: Phase,
    /// How many cores the cluster had when its last deployment ended; nothing before the first one did.
    pub cores: Option<u8>,
    /// How long things have lasted that AWS does not date.
    pub clocks: Clocks,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is so now.
    Yes,
    /// A later request has been there already.
    Superseded,
    /// There is no such table.
    NoTable,
}

type Item = HashMap<String, AttributeValue>;

impl StateTable {
    /// Reads and writes through this client.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads everything, as of now and not of a moment ago.
    pub async fn read(&self) -> Result<State, Failure> {
        let ((phase, cores), clocks) = tokio::try_join!(biased; self.read_phase(), self.read_clocks())?;
        Ok(State { phase, cores, clocks })
    }

    async fn read_phase(&self) -> Result<(Phase, Option<u8>), Failure> {
        let table = &self.table;
        let asked = self.client.get_item().table_name(table).set_key(Some(key(PHASE.0, PHASE.1))).consistent_read(true);
        let answer = asked.send().await;
        let answer =
            answer.map_err(|error| Failure::call(&format!("read the cluster's phase in table {table}"), error))?;
        let Some(item) = answer.item() else { return Ok((Phase::Creating, None)) };
        let cores = item.get("cores").and_then(|cores| cores.as_n().ok()).and_then(|cores| cores.parse().ok());
        Ok((self.phase(text(item, "phase"))?, cores))
    }

    /// Reads the clocks. One that is unreadable starts anew, and is written again.
    async fn read_clocks(&self) -> Result<Clocks, Failure> {
        let table = &self.table;
        let asked = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(CLOCKS.to_owned()))
            .consistent_read(true);
        let mut items = asked.into_paginator().items().send();
        let mut clocks = Clocks::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| Failure::call(&format!("read the clocks in table {table}"), error))?;
            let time = |name: &str| text(&item, name).and_then(|time| time.parse().ok());
            match (text(&item, "sk"), time("since")) {
                (Some(key), Some(since)) => take(&mut clocks, key, since, time("seen")),
                (key, None) => tracing::warn!(table, key, "a clock in the state table is unreadable, and starts anew"),
                (None, _) => {}
            }
        }
        Ok(clocks)
    }

    fn phase(&self, said: Option<&str>) -> Result<Phase, Failure> {
        match said {
            Some("complete") => Ok(Phase::Complete),
            Some("deleting") => Ok(Phase::Deleting),
            other => Err(Failure::permanent(format!(
                "table {} says that the cluster's phase is {other:?}, but it should be complete or deleting: correct the \
                 attribute phase of its item cluster/phase",
                self.table
            ))),
        }
    }

    /// Writes how far the cluster has come, and with how many cores, unless somebody asked for something else later than
    /// `since`: Lambda may try a creation again when its stack is being deleted already.
    pub async fn write_phase(&self, phase: Phase, cores: u8, since: Timestamp) -> Result<Written, Failure> {
        let table = &self.table;
        let since = time(since);
        let answer = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(key(PHASE.0, PHASE.1)))
            .item("phase", AttributeValue::S(phase.to_string()))
            .item("cores", AttributeValue::N(cores.to_string()))
            .item("since", since.clone())
            .condition_expression("attribute_not_exists(#since) OR #since <= :since")
            .expression_attribute_names("#since", "since")
            .expression_attribute_values(":since", since)
            .send()
            .await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        if is_refusal(&error, &["ConditionalCheckFailedException"]) {
            return Ok(Written::Superseded);
        }
        if is_refusal(&error, &["ResourceNotFoundException"]) {
            return Ok(Written::NoTable);
        }
        Err(Failure::call(&format!("write the cluster's phase into table {table}"), error))
    }

    /// Writes the clocks that have started, and removes those that have ended. Without any it makes no call.
    pub async fn save(&self, before: &Clocks, after: &Clocks) -> Result<(), Failure> {
        let (before, after) = (items(before), items(after));
        let step = || format!("write clocks into table {}", self.table);
        for (key_of, Away { since, seen }) in after.iter().filter(|(key, away)| before.get(*key) != Some(*away)) {
            let item = self.client.put_item().table_name(&self.table).set_item(Some(key(CLOCKS, key_of)));
            let answer = item.item("since", time(*since)).item("seen", time(*seen)).send().await;
            answer.map_err(|error| Failure::call(&step(), error))?;
        }
        for key_of in before.keys().filter(|key| !after.contains_key(*key)) {
            let answer =
                self.client.delete_item().table_name(&self.table).set_key(Some(key(CLOCKS, key_of))).send().await;
            answer.map_err(|error| Failure::call(&step(), error))?;
        }
        Ok(())
    }

    /// Returns the refusal of a write to a table that is not there.
    #[must_use]
    pub fn missing(&self) -> Failure {
        Failure::permanent(format!("there is no table {}: was it deleted outside of the stack?", self.table))
    }
}

/// Clocks by their sort key.
fn items(clocks: &Clocks) -> BTreeMap<String, Away> {
    let disconnected = clocks.disconnected.iter().map(|(arn, away)| (format!("{DISCONNECTED}{arn}"), *away));
    // Of a core it does not matter when it was last seen.
    let not_whole = clocks.not_whole.iter().map(|(core, since)| (core, Away { since: *since, seen: *since }));
    disconnected.chain(not_whole.map(|(core, away)| (format!("{NOT_WHOLE}{core}"), away))).collect()
}

/// Adds what one item says; nothing when its key is none of ours.
fn take(clocks: &mut Clocks, key: &str, since: Timestamp, seen: Option<Timestamp>) {
    if let Some(arn) = key.strip_prefix(DISCONNECTED) {
        clocks.disconnected.insert(arn.into(), Away { since, seen: seen.unwrap_or(since) });
    } else if let Some(core) = key.strip_prefix(NOT_WHOLE).and_then(|core| core.parse().ok()) {
        clocks.not_whole.insert(core, since);
    }
}

fn key(partition: &str, sort: &str) -> Item {
    let attribute = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
    [attribute("pk", partition), attribute("sk", sort)].into()
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Always with three decimals: `DynamoDB` compares these as text.
fn time(at: Timestamp) -> AttributeValue {
    AttributeValue::S(format!("{at:.3}"))
}
