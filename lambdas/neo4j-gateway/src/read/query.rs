use cluster_core::neo4j::{Fault, Kind};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{status, unreadable};
use crate::{ask::Reply, faults::fault};

/// The rows that a statement returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    fields: Vec<String>,
    values: Vec<Vec<Value>>,
    /// How many changes it made to `system`.
    pub(crate) updates: u64,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    errors: Option<Vec<Error>>,
    counters: Option<Counters>,
}

#[derive(Deserialize)]
struct Data {
    fields: Vec<String>,
    values: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counters {
    #[serde(default)]
    system_updates: u64,
}

/// Reads an answer of the Query API. The status is sent before the statement runs, so a 202 with `errors` is a failure, also
/// when there are rows.
/// Source: <https://neo4j.com/docs/query-api/current/query/>.
pub(crate) fn rows(reply: &Reply) -> Result<Rows, Fault> {
    let answer: Result<Answer, _> = serde_json::from_slice(&reply.body);
    if let Ok(Answer { errors: Some(errors), .. }) = &answer
        && let Some(first) = errors.first()
    {
        return Err(of_error(reply, first));
    }
    if !(200..=299).contains(&reply.status) {
        return Err(status(reply));
    }
    let answer = answer.map_err(|e| unreadable(reply, &format!("no answer of the Query API: {e}")))?;
    let Data { fields, values } = answer.data.ok_or_else(|| unreadable(reply, "an answer without data"))?;
    if values.iter().any(|row| row.len() != fields.len()) {
        return Err(unreadable(reply, "a row has another number of values than there are fields"));
    }
    Ok(Rows { fields, values, updates: answer.counters.map_or(0, |counters| counters.system_updates) })
}

/// Sorts an error by its code, and where that says nothing by the status.
/// Source: <https://neo4j.com/docs/status-codes/current/errors/all-errors/>.
fn of_error(reply: &Reply, error: &Error) -> Fault {
    let code = error.code.as_deref().unwrap_or_default();
    let kind = match code {
        "Neo.ClientError.Security.Unauthorized" => Kind::LoginRefused,
        "Neo.ClientError.Security.AuthenticationRateLimit" => Kind::Locked,
        "Neo.ClientError.Security.CredentialsExpired" => Kind::PasswordExpired,
        "Neo.ClientError.Security.Forbidden" => Kind::Forbidden,
        _ => match status(reply).kind {
            Kind::Unreadable => Kind::Failed,
            kind => kind,
        },
    };
    fault(kind, &format!("{code}: {}", error.message.as_deref().unwrap_or_default()))
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    fields: &'a [String],
    values: &'a [Value],
}

impl Rows {
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.values.iter().map(|values| Row { fields: &self.fields, values })
    }
}

impl Row<'_> {
    /// Returns the value of a column.
    pub(super) fn get<T: DeserializeOwned>(self, column: &str) -> Result<T, Fault> {
        let value = self.fields.iter().zip(self.values).find(|(field, _)| *field == column).map(|(_, value)| value);
        let wrong = |why: &str| fault(Kind::Unreadable, &format!("the column {column} {why}"));
        let value = value.ok_or_else(|| wrong("is missing"))?;
        T::deserialize(value).map_err(|_| wrong("has another form than documented"))
    }

    /// Returns a count, or nothing where there is none.
    pub(super) fn count(self, column: &str) -> Result<Option<u32>, Fault> {
        Ok(self.get::<Option<i64>>(column)?.and_then(|count| count.try_into().ok()))
    }
}
