//! Neo4j in the model: members form, go, come back, and say so.

mod answers;
mod faults;
mod gateway;
mod life;
mod majority;
mod users;

use cluster_core::neo4j::statement::{self, Statement};
use cluster_sim::cluster::Cluster;
use cluster_world::neo4j::{Database, Dbms, Lost, Member, Phase, Reply, Request, http::basic};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// What members and people need to be told.
struct Asking {
    cluster: Cluster,
}

impl Asking {
    fn formed(cores: usize) -> Self {
        let asking = Self { cluster: Cluster::formed(cores) };
        let name = asking.cluster.ecs_cluster.clone();
        assert!(asking.cluster.wire.world().declare_monitor(&name, "watcher", "watcher-password", "watchers"));
        asking
    }

    /// The task of a core.
    fn task(&self, core: usize) -> String {
        self.cluster.a_task(&format!("core-{core}"))
    }

    fn member(&self, core: usize) -> Member {
        let task = self.task(core);
        self.cluster.wire.world().neo4j.members[&task].clone()
    }

    fn phase(&self, core: usize) -> Option<Phase> {
        let task = self.task(core);
        self.cluster.wire.world().neo4j.members.get(&task).map(|member| member.phase)
    }

    fn dbms(&self) -> Dbms {
        self.cluster.wire.world().neo4j.dbms_in(&self.cluster.ecs_cluster).unwrap().clone()
    }

    fn database(&self, name: &str) -> Database {
        self.dbms().databases[name].clone()
    }

    fn lost(&self, database: &str) -> Lost {
        self.cluster.wire.world().without_majority().get(database).copied().unwrap_or_default()
    }

    /// Lets the process of a core stand still, or go on.
    fn hang(&self, core: usize, hangs: bool) {
        let task = self.task(core);
        self.cluster.wire.world().hang_member(&task, hangs);
    }

    async fn sleep(&self, seconds: u64) {
        self.cluster.wire.sleep(seconds).await;
    }

    /// Whether the core's copies of all databases can take part, and it answers.
    fn is_back(&self, core: usize) -> bool {
        let task = self.task(core);
        let world = self.cluster.wire.world();
        let Some(member) = world.neo4j.members.get(&task).filter(|member| member.answers()) else { return false };
        let Some(dbms) = world.neo4j.dbms_of(member) else { return false };
        let copies = dbms.databases.values().filter_map(|database| database.copies.get(&member.server));
        copies.into_iter().all(|copy| copy.unable.is_none())
    }

    fn ask(&self, core: usize, request: &Request) -> Reply {
        let address = self.member(core).address;
        self.cluster.wire.world().ask_neo4j(address, request)
    }

    fn get(&self, core: usize, path: &str) -> Reply {
        self.ask(core, &Request::get(path))
    }

    /// Puts a statement to a core as a user.
    fn put(&self, core: usize, login: (&str, &str), statement: Statement, parameters: &Value) -> (u16, Value) {
        let access = if statement.access == statement::Access::Read { "Read" } else { "Write" };
        let body = json!({
            "statement": statement.text, "parameters": parameters, "accessMode": access, "includeCounters": true,
        });
        json_of(self.ask(core, &Request::query("system", Some(login), &body)))
    }

    /// Puts a statement to a core as the user that looks, and returns the rows.
    fn rows(&self, core: usize, statement: Statement) -> Vec<Value> {
        rows(&self.put(core, ("watcher", "watcher-password"), statement, &json!({"timeout": 1000})).1)
    }
}

/// The rows of an answer as objects.
fn rows(answer: &Value) -> Vec<Value> {
    let fields: Vec<_> = answer["data"]["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    let values = answer["data"]["values"].as_array().unwrap();
    let row =
        |row: &Value| fields.iter().zip(row.as_array().unwrap()).map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    values.iter().map(row).collect()
}

fn json_of(reply: Reply) -> (u16, Value) {
    let Reply::Answer(answer) = reply else { panic!("{reply:?}") };
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn seconds(time: SignedDuration) -> i64 {
    time.as_secs()
}

#[test]
fn a_login_is_basic() {
    assert_eq!(basic("neo4j", "secret"), "Basic bmVvNGo6c2VjcmV0");
}
