//! The truth about who is down because the function wanted it, whatever the lease says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use cluster_world::{World, neo4j::Kind};
use jiff::Timestamp;

use crate::cluster::Node;

/// A core that the function has stopped.
#[derive(Clone, Debug)]
struct Down {
    /// The task that it stopped.
    task: String,
    /// By which call.
    by: String,
    /// When.
    since: Timestamp,
}

/// The cores that are voluntarily down, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Disruptions(Arc<Mutex<BTreeMap<usize, Down>>>);

impl Disruptions {
    /// Forgets those that are back.
    pub(super) fn look(&self, world: &World, nodes: &[Node]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let node = |core: usize| nodes.get(core - 1);
        all.retain(|core, down| node(*core).is_none_or(|node| is_back(world, node, down).is_err()));
    }

    /// Notes that a call is about to stop a core, which is wrong while another one is down.
    pub(super) fn begin(&self, world: &World, nodes: &[Node], core: usize, task: &str, by: &str) -> Result<(), String> {
        self.look(world, nodes);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let down = Down { task: task.to_owned(), by: by.to_owned(), since: world.now };
        let other = all.iter().find(|(other, _)| **other != core).map(|(other, down)| (*other, down.clone()));
        // One that is stopped again is down since the first time, and comes back with the task after the last.
        all.entry(core).and_modify(|known| task.clone_into(&mut known.task)).or_insert(down);
        let Some((other, down)) = other else { return Ok(()) };
        let why = nodes.get(other - 1).and_then(|node| is_back(world, node, &down).err()).unwrap_or_default();
        Err(format!(
            "core {core} (task {task}) is stopped while core {other}, which {} stopped at {} (task {}), is not back: {why}",
            down.by, down.since, down.task
        ))
    }
}

/// Whether the Neo4j of a core takes part in every voting set again: in another task, or in the same one if nobody wants it
/// stopped any more.
fn is_back(world: &World, node: &Node, down: &Down) -> Result<(), String> {
    let members = world.neo4j.members.iter().filter(|(_, member)| member.disk == node.volume);
    let Some((task, member)) = members.max_by_key(|(_, member)| member.started) else {
        return Err("its Neo4j does not run".to_owned());
    };
    if *task == down.task {
        let found = world.ecs.clusters.get(&member.cluster).and_then(|cluster| cluster.tasks.get(task));
        let on = member.instance.as_ref().and_then(|instance| world.container_instance(instance));
        let kept = found.is_some_and(|task| task.wanted) && on.is_some_and(|found| found.status == "ACTIVE");
        if !kept || down.by == "autoscaling:SetInstanceHealth" {
            return Err("the same task is there still".to_owned());
        }
    }
    if !member.answers() {
        return Err("its Neo4j does not answer".to_owned());
    }
    let Some(dbms) = world.neo4j.dbms_of(member) else { return Err("its Neo4j has joined nothing".to_owned()) };
    for (name, database) in dbms.databases.iter().filter(|(_, found)| found.wanted && found.kind != Kind::Composite) {
        let copy = database.copies.get(&member.server).filter(|copy| copy.primary);
        if copy.is_some_and(|copy| copy.unable.is_some()) {
            return Err(format!("it does not vote in {name}"));
        }
    }
    Ok(())
}
