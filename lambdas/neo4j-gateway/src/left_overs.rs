use cluster_core::neo4j::{Fault, Kind, Login, statement};
use serde_json::{Map, Value};

use crate::{ask::Member, read};

/// How old a left-over is at least, in milliseconds. Nothing that another invocation still waits for is.
const OLDER: i64 = 15_000;

/// Ends what an earlier invocation gave up on, of this user and with our mark. Returns how many.
///
/// The look costs every member a statement each time. Nobody else could know: the caller whose invocation was cut off never
/// learned that anything was left, `maxExecutionTime` is ignored by 5.26, and a statement that ignores its end is seen nowhere
/// else. It is answered from memory, in a few milliseconds.
pub(crate) async fn end(member: &Member<'_>, monitor: &Login) -> Result<usize, Fault> {
    let user = Map::from_iter([("user".to_owned(), Value::from(monitor.username.as_str()))]);
    let look = async {
        let rows = member.query("LEFT_OVERS", &statement::LEFT_OVERS, user, monitor).await?;
        let ids = read::left_overs(&rows, OLDER)?;
        if ids.is_empty() {
            return Ok(0);
        }
        let count = ids.len();
        let ids = Map::from_iter([("ids".to_owned(), Value::from(ids))]);
        member.query("END_TRANSACTIONS", &statement::END_TRANSACTIONS, ids, monitor).await?;
        Ok(count)
    };
    match look.await {
        // What the member refuses of this says nothing about what it is asked next.
        Err(Fault {
            kind: Kind::Failed | Kind::Forbidden | Kind::Unreadable | Kind::TooLarge | Kind::NotFound,
            ..
        }) => Ok(0),
        other => other,
    }
}
