use cluster_core::neo4j::{
    Answer, Answers, Asked, Check, Fault, Kind, Login, Observe, Page, Raft, View,
    statement::{DATABASES, SERVERS, STATUS_CHECK},
};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    ask::{Asking, Member},
    faults::fault,
    left_overs, read,
};

/// How long the status check waits for an entry to be replicated, in milliseconds: the default of the procedure.
const REPLICATION: u64 = 1_000;

/// Asks all members at the same time. Returns their answers in that order, and how many left-overs were ended.
pub(crate) async fn observe(asking: &Asking<'_>, request: &Observe) -> (Answers, usize) {
    let each = request.members.iter().map(|asked| member(asking, asked, request.monitor.as_ref()));
    let (members, ended): (Vec<_>, Vec<usize>) = join_all(each).await.into_iter().unzip();
    (Answers { members }, ended.into_iter().sum())
}

async fn member(asking: &Asking<'_>, asked: &Asked, monitor: Option<&Login>) -> (Answer, usize) {
    let began = Instant::now();
    let member = asking.member(asked.address);
    let (is_core, mut ended) = (asked.core.is_some(), 0);
    let page = page(&member).await;
    let raft = raft(&member, &page, is_core).await;
    let view = match may_query(asked, &page, &raft, monitor) {
        Ok(monitor) => view(&member, asked, monitor, &mut ended).await,
        Err(why) => Err(why),
    };
    let check = match (&view, monitor) {
        (Ok(_), Some(monitor)) if is_core => check(&member, monitor).await,
        (Ok(_), _) => Err(not_asked("only cores have primaries to check")),
        (Err(_), _) => Err(not_asked("it has not answered what comes first")),
    };
    let millis = began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let (task, address) = (asked.task.clone(), asked.address);
    (Answer { task, address, page, raft, view, check, millis }, ended)
}

/// Asks `GET /`.
pub(crate) async fn page(member: &Member<'_>) -> Result<Page, Fault> {
    read::page(&member.page("/").await?)
}

async fn raft(member: &Member<'_>, page: &Result<Page, Fault>, is_core: bool) -> Result<Vec<Raft>, Fault> {
    match page {
        Ok(_) if is_core => read::raft(&member.page("/dbms/cluster/status").await?),
        Ok(_) => Err(not_asked("only cores are asked for Raft")),
        Err(_) => Err(not_asked("it has not answered GET /")),
    }
}

/// Decides whether a member gets statements, which it might leave unanswered and run on.
fn may_query<'a>(
    asked: &Asked,
    page: &Result<Page, Fault>,
    raft: &Result<Vec<Raft>, Fault>,
    monitor: Option<&'a Login>,
) -> Result<&'a Login, Fault> {
    if page.is_err() {
        return Err(not_asked("it has not answered GET /"));
    }
    if raft.as_ref().is_err_and(|fault| fault.kind == Kind::Silent) {
        return Err(not_asked("it has not answered GET /dbms/cluster/status"));
    }
    if asked.pages_only {
        return Err(not_asked("pages only: it left a statement unanswered not long ago"));
    }
    monitor.ok_or_else(|| not_asked("the request has no login"))
}

/// Asks what the member sees, one statement after the other. Nothing follows a login that was refused or a silence.
async fn view(member: &Member<'_>, asked: &Asked, monitor: &Login, ended: &mut usize) -> Result<View, Fault> {
    *ended = left_overs::end(member, monitor).await?;
    let servers = match asked.core {
        Some(_) => read::servers(&member.query("SERVERS", &SERVERS, Map::new(), monitor).await?)?,
        None => vec![],
    };
    let rows = member.query("DATABASES", &DATABASES, Map::new(), monitor).await?;
    Ok(View { server: read::own(&rows, asked.address)?, servers, databases: read::databases(&rows)? })
}

async fn check(member: &Member<'_>, monitor: &Login) -> Result<Vec<Check>, Fault> {
    let timeout = Map::from_iter([("timeout".to_owned(), Value::from(REPLICATION))]);
    read::checks(&member.query("STATUS_CHECK", &STATUS_CHECK, timeout, monitor).await?)
}

fn not_asked(why: &str) -> Fault {
    fault(Kind::NotAsked, why)
}
