//! What a cluster looks like, for whoever reads why a story failed.

use std::fmt::Write;

use super::Cluster;

impl Cluster {
    /// Returns what there is: cores, container instances, tasks, names, and what functions failed with.
    #[must_use]
    pub fn picture(&self) -> String {
        let world = self.wire.world();
        let mut text = format!("at {} the cluster looks like this:\n", world.now);
        for (core, node) in (1..).zip(&self.nodes) {
            let volume = world.ec2.volumes.get(&node.volume).map_or("is gone".to_owned(), |volume| {
                let held = volume.attachment.as_ref().map(|held| format!("{} to {}", held.state, held.instance));
                format!("is {:?}, {}", volume.contents, held.unwrap_or_else(|| "held by nobody".to_owned()))
            });
            _ = writeln!(text, "  core {core}: {} {volume}", node.volume);
            let members = world.auto_scaling.groups.get(&node.group).map(|group| group.members.clone());
            for (id, member) in members.into_iter().flatten() {
                let found = world.ec2.instances.get(&id);
                let (state, agent) = found.map_or(("gone", None), |found| (found.state, Some(found.boot.agent)));
                let health = if member.healthy { "healthy" } else { "unhealthy" };
                _ = writeln!(text, "    {id}: {}, {health}, {state}, agent {agent:?}", member.state);
            }
        }
        for cluster in world.ecs.clusters.values() {
            for (address, found) in &cluster.container_instances {
                let (id, connected) = (found.instance.as_deref().unwrap_or("no instance"), found.connected);
                _ = writeln!(text, "  container instance {address} ({id}): {}, connected: {connected}", found.status);
            }
            for (id, task) in cluster.tasks.iter().filter(|(_, task)| task.status != "STOPPED") {
                let wanted = if task.wanted { "" } else { ", to be stopped" };
                let (service, status, health, on) = (&task.service, task.status, task.health, task.address);
                _ = writeln!(text, "  task {id} of {service} on {on}: {status}, {health}{wanted}");
            }
        }
        for (task, member) in &world.neo4j.members {
            let (at, phase, hangs) = (member.address, member.phase, if member.hangs { ", stands still" } else { "" });
            _ = writeln!(text, "  Neo4j {} in task {task} at {at}: {phase:?}{hangs}", member.server);
        }
        for (name, database) in world.neo4j.dbms.values().flat_map(|dbms| &dbms.databases) {
            let unable: Vec<_> =
                database.voters().filter(|(_, copy)| copy.unable.is_some()).map(|(id, _)| id).collect();
            let (all, majority) = (database.voters().count(), database.majority());
            _ = writeln!(
                text,
                "  database {name}: led by {:?}, {unable:?} of {all} cannot vote, {majority} are a majority",
                database.leader
            );
        }
        for (name, lost) in world.without_majority() {
            _ = writeln!(text, "  database {name} had no majority for {lost}");
        }
        for (name, zone) in &world.route53.zones {
            let names = zone.records.values().filter(|set| set.r#type == "A");
            for set in names {
                let values: Vec<_> = set.values().collect();
                _ = writeln!(text, "  {name}: {} {:?} {values:?}", set.name, set.set_identifier);
            }
        }
        for (id, job) in &world.batch.jobs {
            let (code, why) = (job.exit_code, job.status_reason.as_deref().unwrap_or_default());
            _ = writeln!(text, "  job {} ({id}) in {}: {}, exit code {code:?} {why}", job.name, job.queue, job.status);
        }
        for failure in self.failures.lock().unwrap().iter().rev().take(5) {
            _ = writeln!(text, "  failed: {failure}");
        }
        text
    }
}
