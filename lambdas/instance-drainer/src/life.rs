use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, operation::put_item::PutItemError, types::AttributeValue};
use cluster_core::instance::Life;
use cluster_lambda::Failure;
use jiff::Timestamp;

/// The key of the item that says how far the cluster's life has come.
const KEY: [(&str, &str); 2] = [("pk", "cluster"), ("sk", "life")];

/// What the state table says of the cluster's life.
#[derive(Clone, Debug)]
pub(crate) struct LifeTable {
    client: Client,
    table: String,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is so now.
    Yes,
    /// A later request has been there already.
    Outrun,
    /// There is no such table.
    NoTable,
}

impl LifeTable {
    /// Reads and writes through this client.
    #[must_use]
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// How far the cluster's life has come, as of now and not of a moment ago.
    pub(crate) async fn read(&self) -> Result<Life, Failure> {
        let table = &self.table;
        let asked = self.client.get_item().table_name(table).set_key(Some(key())).consistent_read(true);
        let answer = asked.send().await;
        let answer =
            answer.map_err(|error| Failure::call(&format!("read the cluster's life in table {table}"), error))?;
        let Some(item) = answer.item() else { return Ok(Life::Creating) };
        match item.get("life").and_then(|life| life.as_s().ok()).map(String::as_str) {
            Some("complete") => Ok(Life::Complete),
            Some("deleting") => Ok(Life::Deleting),
            other => Err(Failure::permanent(format!(
                "table {table} says that the cluster's life is {other:?}, but it should be complete or deleting: correct \
                 the attribute life of its item cluster/life"
            ))),
        }
    }

    /// Writes how far the cluster's life has come, unless somebody asked for something else later than `since`: Lambda
    /// may try a creation again when its stack is being deleted already.
    pub(crate) async fn write(&self, life: Life, since: Timestamp) -> Result<Written, Failure> {
        let table = &self.table;
        let text = |text: String| AttributeValue::S(text);
        // Always with three decimals: `DynamoDB` compares these as text.
        let since = format!("{since:.3}");
        let answer = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(key()))
            .item("life", text(life.to_string()))
            .item("since", text(since.clone()))
            .condition_expression("attribute_not_exists(#since) OR #since <= :since")
            .expression_attribute_names("#since", "since")
            .expression_attribute_values(":since", text(since))
            .send()
            .await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(Written::Outrun),
            Some(PutItemError::ResourceNotFoundException(_)) => Ok(Written::NoTable),
            _ => Err(Failure::call(&format!("write the cluster's life into table {table}"), error)),
        }
    }

    /// The refusal of a write to a table that is not there.
    pub(crate) fn missing(&self) -> Failure {
        Failure::permanent(format!("there is no table {}: was it deleted outside of the stack?", self.table))
    }
}

fn key() -> HashMap<String, AttributeValue> {
    KEY.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).collect()
}
