//! What there is to be seen of a cluster, and what of it changes as a story goes.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use cluster_sim::{
    cluster::Cluster,
    time::{Within, seconds},
};
use jiff::Timestamp;
use serde_json::Value;

/// Tells a story as it goes.
pub(super) struct Chronicle<'a> {
    cluster: &'a Cluster,
    began: Timestamp,
    last: Vec<String>,
    pub(super) text: String,
}

impl<'a> Chronicle<'a> {
    pub(super) fn of(cluster: &'a Cluster) -> Self {
        let began = cluster.wire.world().now;
        let mut chronicle = Self { cluster, began, last: Vec::new(), text: String::new() };
        chronicle.look();
        chronicle
    }

    fn line(&mut self, what: &str) {
        let passed = self.cluster.wire.world().now.duration_since(self.began).as_secs();
        _ = writeln!(self.text, "{:>3}:{:02}:{:02}  {what}", passed / 3600, passed / 60 % 60, passed % 60);
    }

    /// Says what happens now.
    pub(super) fn say(&mut self, what: &str) {
        self.line(&format!("-- {what}"));
    }

    /// Notes what has changed.
    pub(super) fn look(&mut self) {
        let now = seen(self.cluster);
        for (place, what) in now.iter().enumerate() {
            if self.last.get(place) != Some(what) {
                self.line(what);
            }
        }
        self.last = now;
    }

    pub(super) async fn live(&mut self, time: Duration) {
        for _ in 0..time.as_secs().div_ceil(5) {
            self.cluster.step().await;
            self.look();
        }
    }

    pub(super) async fn until(&mut self, what: &str, limit: Within, is_so: impl Fn(&Cluster) -> bool) {
        for _ in 0..limit.0.as_secs() / 5 {
            if is_so(self.cluster) {
                return;
            }
            self.live(seconds(5)).await;
        }
        panic!("{what}: not within {:?}\n{}\n{}", limit.0, self.text, self.cluster.picture());
    }

    /// Every core serves, and the lease is free.
    pub(super) async fn until_whole(&mut self, limit: Within) {
        let cores = 1..=self.cluster.nodes.len();
        let whole = |cluster: &Cluster| {
            let serves = |core| serves(cluster, core) && cluster.states(core).len() == 1;
            cores.clone().all(serves) && lease(cluster).is_empty()
        };
        self.until("every core serves, and the lease is free", limit, whole).await;
    }

    /// Ends the story: no function has taken a majority for a second.
    pub(super) fn told(mut self) -> String {
        let lost = self.cluster.wire.world().without_majority();
        for (database, lost) in &lost {
            assert!(lost.functions.is_zero(), "{database}: {lost}\n{}", self.text);
            self.line(&format!("{database} had no majority for {lost}"));
        }
        self.text
    }
}

/// Whether the Neo4j of a core answers on an instance in service.
pub(super) fn serves(cluster: &Cluster, core: usize) -> bool {
    let Some(task) = cluster.serving(core).and_then(|instance| cluster.task(&instance)) else { return false };
    cluster.wire.world().neo4j.members.get(&task).is_some_and(cluster_world::neo4j::Member::answers)
}

/// Who holds the lease, and why.
pub(super) fn lease(cluster: &Cluster) -> String {
    let world = cluster.wire.world();
    let table = world.dynamodb.tables.values().next().unwrap();
    let lease = table.get(&("cluster".to_owned(), "lease".to_owned())).cloned().unwrap_or_default();
    let holder = lease["core"]["N"].as_str().map(|core| format!("core {core}, {}", text(&lease["cause"]["S"])));
    holder.unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What there is to be seen: a line for each core, one for the replicas if there are any, one for the votes, and one for the
/// lease.
fn seen(cluster: &Cluster) -> Vec<String> {
    let cores = 1..=cluster.nodes.len();
    let mut lines: Vec<_> =
        cores.map(|core| format!("core {core}: {}", shown(cluster, cluster.states(core)))).collect();
    let replicas = replicas(cluster);
    if !replicas.is_empty() {
        lines.push(format!("replicas: {}", shown(cluster, replicas)));
    }
    {
        let world = cluster.wire.world();
        let system = world.neo4j.dbms_in(&cluster.ecs_cluster).and_then(|dbms| dbms.databases.get("system"));
        let votes = system.map_or(0, |system| system.voters().filter(|(_, copy)| copy.unable.is_none()).count());
        lines.push(format!("votes: {votes} of {}", system.map_or(0, |system| system.voters().count())));
    }
    lines.push(format!("lease: {}", Some(lease(cluster)).filter(|held| !held.is_empty()).unwrap_or("free".to_owned())));
    lines
}

/// The instances of the groups that are no core's, with their lifecycle states.
pub(super) fn replicas(cluster: &Cluster) -> BTreeMap<String, &'static str> {
    let world = cluster.wire.world();
    let of_cores = |name: &String| cluster.nodes.iter().any(|node| node.group == *name);
    let groups = world.auto_scaling.groups.iter().filter(|(name, _)| !of_cores(name));
    let members = groups.flat_map(|(_, group)| &group.members);
    members.map(|(id, member)| (id.clone(), member.state)).collect()
}

fn shown(cluster: &Cluster, states: BTreeMap<String, &'static str>) -> String {
    let mut instances = Vec::new();
    for (id, state) in states {
        let world = cluster.wire.world();
        let registered = world.container_instance(&id).map_or("", |found| found.status);
        let tasks = world.tasks_on(&id).map(|task| world.ecs.clusters[&cluster.ecs_cluster].tasks[&task].status);
        // What comes and goes within seconds says nothing.
        let tasks =
            tasks.map(|status| if status == "RUNNING" { "RUNNING" } else { "…" }).collect::<Vec<_>>().join(", ");
        let hangs = world.neo4j.members.values().any(|m| m.instance.as_ref() == Some(&id) && m.hangs);
        let words = [state, registered, &tasks, if hangs { "hangs" } else { "" }];
        instances.push(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
    }
    instances.sort();
    instances.join(" | ")
}
