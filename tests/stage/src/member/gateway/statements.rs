//! Every statement of the product, as the real parser takes it.

use cluster_core::neo4j::statement::{self, Access, MARK};
use serde_json::{Map, Value, json};

use super::{Http, Series, Trouble, admin, ensure};

/// What the parser calls a word or a column that it does not know.
const SYNTAX: &str = "Neo.ClientError.Statement.SyntaxError";
/// What it calls what only Enterprise does: it was read to its end.
const UNSUPPORTED: &str = "Neo.ClientError.Statement.UnsupportedAdministrationCommand";

/// Puts every statement, and what is wrong in each of three ways. Returns how many statements there are.
pub(super) fn check(http: &Http, series: Series) -> Result<usize, Trouble> {
    for (name, statement) in statement::ALL {
        let access = if statement.access == Access::Read { "Read" } else { "Write" };
        let parameters: Map<_, _> = statement.parameters.iter().map(|name| ((*name).to_owned(), value(name))).collect();
        let parameters = Value::from(parameters);
        let code = |text: &str| http.code(&admin(), text, access, &parameters);

        let expected: &[Option<&str>] = match *name {
            // They run.
            "DATABASES" | "LEFT_OVERS" | "END_TRANSACTIONS" | "CREATE_USER" | "KEEP_PASSWORD" => &[None],
            // It has this password.
            "SET_PASSWORD" => &[Some("Neo.ClientError.Statement.ArgumentError")],
            "STATUS_CHECK" => &[Some("Neo.ClientError.Procedure.ProcedureNotFound")],
            "SERVERS" if series == Series::Lts => &[Some("Neo.ClientError.Statement.NotSystemDatabaseError")],
            _ => &[Some(UNSUPPORTED)],
        };
        let found = code(statement.text)?;
        ensure(expected.contains(&found.as_deref()), || format!("{name}: {found:?}, not {expected:?}"))?;

        let rest = statement.text.strip_prefix(MARK).ok_or_else(|| format!("{name} has no mark"))?;
        let mut wrong = vec![format!("{MARK}NOW {rest}"), format!("{} NOW", statement.text)];
        // Of a procedure that Community has not, no column is known.
        if *name != "STATUS_CHECK" {
            wrong.extend(rest.contains("YIELD ").then(|| statement.text.replacen("YIELD ", "YIELD nothing, ", 1)));
        }
        for text in wrong {
            let found = code(&text)?;
            ensure(found.as_deref() == Some(SYNTAX), || format!("{text}: {found:?}, though it is wrong"))?;
        }
    }
    Ok(statement::ALL.len())
}

fn value(parameter: &str) -> Value {
    match parameter {
        "user" => json!("somebody"),
        "password" => json!("a-password-of-somebody"),
        "role" => json!(statement::MONITOR_ROLE),
        "ids" => json!(["neo4j-transaction-999999"]),
        "timeout" => json!(1_000),
        other => panic!("nobody knows what to put into {other}"),
    }
}
