use cluster_core::neo4j::{
    Declaration, DeclareUsers, Declared, Fault, Kind,
    statement::{
        CREATE_ROLE, CREATE_USER, GRANT_ACCESS, GRANT_ROLE, GRANT_SHOW_SERVERS, GRANT_STATUS_CHECK,
        GRANT_STATUS_CHECK_BOOSTED, KEEP_PASSWORD, MONITOR_ROLE, SET_PASSWORD, Statement,
    },
};
use futures_util::future::join_all;
use serde_json::{Map, Value};

use crate::{
    ask::{Asking, Member},
    faults::fault,
    observe::page,
    read::Rows,
};

/// Makes the user as declared, through the first member that answers `GET /`, which hands statements on to the writer of
/// `system`. The next one is tried only where that fails for want of a leader: a login that one member refuses is
/// refused by all, and each attempt counts towards a lock.
pub(crate) async fn declare(asking: &Asking<'_>, request: &DeclareUsers) -> Declared {
    let members: Vec<_> = request.members.iter().map(|asked| (asked, asking.member(asked.address))).collect();
    let pages = join_all(members.iter().map(|(_, member)| page(member))).await;
    let mut became = None;
    let mut reasons = vec![];
    for ((asked, member), page) in members.iter().zip(pages) {
        let failed = match page {
            Ok(_) if asked.pages_only => fault(Kind::NotAsked, "pages only"),
            Ok(_) => match through(member, request, &mut became).await {
                Ok(declaration) => return Declared { monitor: Ok(declaration) },
                Err(failed) if !lacks_leader(&failed) => return Declared { monitor: Err(failed) },
                Err(failed) => failed,
            },
            Err(silent) => silent,
        };
        reasons.push((failed.kind, format!("{}: {}", asked.address, failed.message)));
    }
    let kind = reasons.iter().map(|(kind, _)| *kind).find(|kind| *kind == Kind::Failed);
    let kind = kind.or(reasons.first().map(|(kind, _)| *kind)).unwrap_or(Kind::NotAsked);
    let reasons: Vec<_> = reasons.into_iter().map(|(_, reason)| reason).collect();
    Declared { monitor: Err(fault(kind, &format!("no member could declare: {}", reasons.join("; ")))) }
}

/// Declares through one member. What has become of the user already is kept for the next one.
async fn through(
    member: &Member<'_>,
    request: &DeclareUsers,
    became: &mut Option<Declaration>,
) -> Result<Declaration, Fault> {
    let send = async |name: &str, statement: &Statement| -> Result<Rows, Fault> {
        let values = [
            ("user", request.monitor.username.as_str()),
            ("password", request.monitor.password.reveal()),
            ("role", MONITOR_ROLE),
        ];
        let wanted = values.into_iter().filter(|(name, _)| statement.parameters.contains(name));
        let parameters: Map<_, _> = wanted.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        member.query(name, statement, parameters, &request.admin).await
    };
    let declaration = match *became {
        Some(declaration) => declaration,
        None if send("CREATE_USER", &CREATE_USER).await?.updates > 0 => Declaration::Created,
        None => match send("SET_PASSWORD", &SET_PASSWORD).await {
            Ok(_) => Declaration::Changed,
            Err(failed) if is_same_password(&failed) => Declaration::Left,
            Err(failed) => return Err(failed),
        },
    };
    *became = Some(declaration);
    // The password that stands already is refused also where the user would have to change it.
    if declaration == Declaration::Left {
        send("KEEP_PASSWORD", &KEEP_PASSWORD).await?;
    }
    for (name, statement) in [
        ("CREATE_ROLE", &CREATE_ROLE),
        ("GRANT_ROLE", &GRANT_ROLE),
        ("GRANT_ACCESS", &GRANT_ACCESS),
        ("GRANT_SHOW_SERVERS", &GRANT_SHOW_SERVERS),
        ("GRANT_STATUS_CHECK", &GRANT_STATUS_CHECK),
        ("GRANT_STATUS_CHECK_BOOSTED", &GRANT_STATUS_CHECK_BOOSTED),
    ] {
        send(name, statement).await?;
    }
    Ok(declaration)
}

/// Neo4j refuses the password that stands already. No code of its own says so; the words are the same in both series.
fn is_same_password(failed: &Fault) -> bool {
    failed.kind == Kind::Failed
        && failed.message.contains("Statement.ArgumentError")
        && failed.message.contains("Old password and new password cannot be the same")
}

/// Codes of a member that is not the writer and could not hand a statement on, such as `NotALeader`.
/// Source: <https://neo4j.com/docs/status-codes/current/errors/all-errors/#_cluster_errors>.
fn lacks_leader(failed: &Fault) -> bool {
    failed.kind == Kind::Failed
        && ["Neo.ClientError.Cluster.", "Neo.TransientError.Cluster."].iter().any(|code| failed.message.contains(code))
}
