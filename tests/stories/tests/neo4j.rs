//! What functions make of what Neo4j says, and of its silence.

mod deaths;
mod disks;
mod formation;
mod gateway;
mod hangs;
mod logins;
mod names;
mod phases;

use std::net::Ipv4Addr;

use cluster_core::neo4j::statement;
use cluster_sim::{cluster::Cluster, time::minutes};
use cluster_world::neo4j::{Dbms, Member, Reply, Request};
use serde_json::{Value, json};

/// Returns a cluster whose cores have been whole for a while.
async fn settled(cores: usize) -> Cluster {
    let cluster = Cluster::formed(cores);
    cluster.live(minutes(6)).await;
    cluster
}

/// What the function answers to a person.
async fn look(cluster: &Cluster) -> Value {
    cluster.invoke(json!({"dryRun": true})).await.unwrap()
}

/// The task of a core.
fn task(cluster: &Cluster, core: usize) -> String {
    cluster.a_task(&format!("core-{core}"))
}

fn member(cluster: &Cluster, core: usize) -> Member {
    let task = task(cluster, core);
    cluster.wire.world().neo4j.members[&task].clone()
}

fn address(cluster: &Cluster, core: usize) -> Ipv4Addr {
    member(cluster, core).address
}

/// Lets the process of a core stand still, or go on.
fn hang(cluster: &Cluster, core: usize, hangs: bool) {
    let task = task(cluster, core);
    cluster.wire.world().hang_member(&task, hangs);
}

fn dbms(cluster: &Cluster) -> Dbms {
    cluster.wire.world().neo4j.dbms_in(&cluster.ecs_cluster).unwrap().clone()
}

/// Changes what a user is.
fn set_password(cluster: &Cluster, user: &str, password: &str) {
    let change = |dbms: &mut Dbms, _| password.clone_into(&mut dbms.users.get_mut(user).unwrap().password);
    assert!(cluster.wire.world().administer(&cluster.ecs_cluster, change));
}

/// The ARN of a secret that the subject is given.
fn secret(cluster: &Cluster, variable: &str) -> String {
    cluster.variable(variable).to_owned()
}

/// The password in a secret.
fn password(cluster: &Cluster, variable: &str) -> String {
    cluster.wire.world().secrets_manager.field(&secret(cluster, variable), "password").unwrap()
}

/// The status of an answer to a login with what looks at servers.
fn logs_in(cluster: &Cluster, core: usize, user: &str, password: &str) -> u16 {
    let body = json!({"statement": statement::SERVERS.text, "parameters": {}, "accessMode": "Read"});
    let request = Request::query("system", Some((user, password)), &body);
    let address = address(cluster, core);
    let Reply::Answer(answer) = cluster.wire.world().ask_neo4j(address, &request) else { panic!("no answer") };
    answer.status
}

/// The numbers of the cores that are whole.
fn whole(answer: &Value) -> Vec<u64> {
    let cores = answer["cores"].as_array().unwrap().iter().filter(|core| core["whole"] == true);
    cores.map(|core| core["core"].as_u64().unwrap()).collect()
}

/// The numbers of the cores that are safe to stop.
fn safe(answer: &Value) -> Vec<u64> {
    let cores = answer["cores"].as_array().unwrap().iter().filter(|core| core["safeToStop"] == true);
    cores.map(|core| core["core"].as_u64().unwrap()).collect()
}

/// Why a core is not whole.
fn why(answer: &Value, core: usize) -> String {
    answer["cores"][core - 1]["why"].as_str().unwrap_or_default().to_owned()
}

/// The last values of `QuorumMargin`, `MembersMissing` and `MembersAnswering`.
fn figures(cluster: &Cluster) -> [Option<f64>; 3] {
    ["QuorumMargin", "MembersMissing", "MembersAnswering"].map(|name| cluster.metric(name, None))
}

/// Lets an event wake the function: the agent of a core is away for a moment.
async fn an_event_comes(cluster: &Cluster, core: usize) {
    let instance = cluster.holder(core).unwrap();
    {
        let mut world = cluster.wire.world();
        world.silence(&instance);
        world.hear(&instance);
    }
    let before = cluster.metrics.lock().unwrap().len();
    cluster.step().await;
    assert!(cluster.metrics.lock().unwrap().len() > before, "no round was made");
}
