//! What must hold at any time.

use cluster_world::World;

use super::{Instances, Wrong, guard::HOOKS};

impl Instances {
    /// Checks all of it.
    pub(super) fn invariants(&self) -> Result<(), Wrong> {
        let found = self.cluster.wire.wrong().map_or(Ok(()), Err);
        found
            .and_then(|()| self.foreign.stands(&self.cluster))
            .and_then(|()| {
                let world = self.cluster.wire.world();
                self.disruptions.look(&world, &self.guard.nodes);
                self.no_majority_is_taken(&world)?;
                let groups = self.cluster.nodes.iter().map(|node| node.group.as_str());
                self.hours.no_hook_runs_out(&world, groups, &HOOKS)?;
                self.volumes_stay_with_their_cores(&world)?;
                self.no_agent_runs_without_its_volume(&world)
            })
            .map_err(|wrong| format!("{wrong}\n{}", self.cluster.picture()))
    }

    /// Whatever AWS and people took by themselves: no function may take a majority. Once the stack goes, all members do.
    fn no_majority_is_taken(&self, world: &World) -> Result<(), Wrong> {
        for (database, lost) in world.without_majority() {
            if !lost.functions.is_zero() && !self.deleted {
                let recent = world.calls.iter().rev().filter(|call| call.write).take(12);
                let recent: Vec<_> =
                    recent.map(|call| format!("{} {} {:?}", call.at, call.action, call.resources)).collect();
                let (now, recent) = (world.now, recent.join("\n"));
                return Err(format!(
                    "functions took the majority of {database}: {lost}\nit is {now}, and the last writes were\n{recent}"
                ));
            }
        }
        Ok(())
    }

    fn volumes_stay_with_their_cores(&self, world: &World) -> Result<(), Wrong> {
        for (core, node) in (1..).zip(&self.cluster.nodes) {
            let holder = world.ec2.volumes.get(&node.volume).and_then(|volume| volume.attachment.as_ref());
            let group = holder.and_then(|held| world.auto_scaling.group_of(&held.instance));
            if group.is_some_and(|group| group != node.group) {
                return Err(format!("the volume of core {core} is with an instance of {group:?}"));
            }
        }
        Ok(())
    }

    fn no_agent_runs_without_its_volume(&self, world: &World) -> Result<(), Wrong> {
        let all = &world.ecs.clusters.get(&self.cluster.ecs_cluster);
        if all.is_some_and(|all| all.container_instances.values().any(|found| found.root_disk)) {
            return Err("an agent started without its volume".to_owned());
        }
        Ok(())
    }
}
