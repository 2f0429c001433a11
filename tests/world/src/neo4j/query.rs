//! The forms of the Query API: a request, the columns that a statement names, and an answer.

use serde_json::{Map, Value, json};

use super::{Settings, http::Answer};

/// A row by its columns.
pub(super) type Row = Map<String, Value>;

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) statement: String,
    pub(super) parameters: Value,
    /// Whether only the asked member may answer, and may change nothing.
    pub(super) reads: bool,
    pub(super) counts: bool,
    /// `maxExecutionTime`, in seconds.
    pub(super) patience: Option<u64>,
}

/// What came of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    pub(super) updates: u64,
    /// What failed after the first rows.
    pub(super) error: Option<(&'static str, String)>,
}

impl Query {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let reads = match body["accessMode"].as_str().unwrap_or("Write") {
            "Read" => true,
            "Write" => false,
            _ => return None,
        };
        Some(Self {
            statement: body["statement"].as_str()?.to_owned(),
            parameters: body["parameters"].clone(),
            reads,
            counts: body["includeCounters"] == true,
            patience: body["maxExecutionTime"].as_u64(),
        })
    }
}

/// Returns the names of the columns that a statement returns: of its `RETURN`, or else of its `YIELD`.
pub(super) fn columns(statement: &str) -> Vec<String> {
    let clause =
        ["RETURN ", "YIELD "].iter().find_map(|word| statement.rsplit_once(word)).map_or("", |(_, clause)| clause);
    // A comma in brackets belongs to an expression, which has a name at its end.
    let mut depth = 0;
    let parts = clause.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    let names = parts.map(|part| part.rsplit_once(" AS ").map_or(part, |(_, name)| name).trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

impl Outcome {
    pub(super) fn of_rows(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }

    pub(super) fn of_updates(updates: u64) -> Self {
        Self { updates, ..Self::default() }
    }

    /// The answer of the Query API, which takes a statement before it runs.
    pub(super) fn answer(&self, query: &Query, settings: &Settings) -> Answer {
        let fields = columns(&query.statement);
        let value = |row: &Row, field: &String| row.get(field).cloned().unwrap_or_default();
        let values: Vec<Vec<_>> =
            self.rows.iter().map(|row| fields.iter().map(|field| value(row, field)).collect()).collect();
        let mut body = json!({"data": {"fields": fields, "values": values}});
        match &self.error {
            Some((code, message)) => body["errors"] = json!([{"code": code, "message": message}]),
            None => body["bookmarks"] = json!(["FB:kcwQ"]),
        }
        if query.counts {
            body["counters"] = json!({"containsUpdates": false, "containsSystemUpdates": self.updates > 0, "systemUpdates": self.updates});
        }
        if !settings.is_5() {
            body["queryType"] = json!("r");
            body["resultAvailableAfter"] = json!(1);
            body["resultConsumedAfter"] = json!(1);
        }
        Answer::json(202, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_those_that_a_statement_returns() {
        assert_eq!(columns("SHOW SERVERS YIELD serverId, address"), ["serverId", "address"]);
        let named = "SHOW DATABASES YIELD name, creationTime RETURN name, duration.inSeconds(creationTime, datetime()).seconds AS age";
        assert_eq!(columns(named), ["name", "age"]);
        assert!(columns("CREATE ROLE $role IF NOT EXISTS").is_empty());
    }
}
