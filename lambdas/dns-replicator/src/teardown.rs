use cluster_core::dns::{self, Registration, Task};
use cluster_lambda::Failure;

use crate::{Replicator, config::Target, pass::log, zone::Applied};

impl Replicator {
    /// Removes what would keep a stack from being deleted: our record sets, and instances of tasks that are no more.
    ///
    /// Refuses while tasks run: their members would vanish from DNS under their clients. A transient failure means «not
    /// yet»: Cloud Map forgets some seconds after it was asked, and whoever called looks again later.
    pub async fn tear_down(&self, target: &Target) -> Result<usize, Failure> {
        let left = self.members.left_over(target).await?;
        for (tier, registered) in target.tiers.iter().zip(&left) {
            refuse_what_is_in_use(target, &tier.cloud_map_service, registered)?;
        }
        let removed = self.remove_records(target).await?;
        for (tier, registered) in target.tiers.iter().zip(&left) {
            for Registration { id, .. } in registered {
                self.members.deregister(&tier.cloud_map_service, id).await?;
                tracing::info!(tier = tier.tier, instance = id, "deregistered what ECS left in Cloud Map");
            }
        }
        let any = |left: &[Vec<Registration>; 2]| left.iter().any(|registered| !registered.is_empty());
        if any(&left) && any(&self.members.left_over(target).await?) {
            return Err(Failure::transient("Cloud Map still holds instances that were deregistered just now"));
        }
        Ok(removed)
    }

    async fn remove_records(&self, target: &Target) -> Result<usize, Failure> {
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let mut refused = String::new();
        for _ in 0..2 {
            let Some(records) = self.zone.records(&target.hosted_zone, &names).await? else { return Ok(0) };
            let plan = dns::plan_removal(&records, &target.owner);
            log(&plan, false);
            if plan.changes.is_empty() {
                return Ok(0);
            }
            match self.zone.apply(&target.hosted_zone, &plan).await? {
                Applied::Accepted => return Ok(plan.changes.len()),
                Applied::Refused(why) => refused = why,
            }
        }
        Err(Failure::diverged(format!(
            "Route 53 refused twice to remove our records from zone {}: {refused}",
            target.hosted_zone
        )))
    }
}

/// Whatever is not certainly the rest of a stopped task stays, and the stack with it.
fn refuse_what_is_in_use(target: &Target, service: &str, registered: &[Registration]) -> Result<(), Failure> {
    for Registration { id, task, .. } in registered {
        let cluster = &target.ecs_cluster;
        match task {
            Task::Missing | Task::Known { wanted: false, .. } => {}
            Task::Known { .. } => {
                return Err(Failure::permanent(format!(
                    "task {id} of ECS cluster {cluster} is running and registered in Cloud Map service {service}: scale \
                     its service to 0 or delete its stack, then delete this stack again"
                )));
            }
            Task::Foreign => {
                return Err(Failure::permanent(format!(
                    "instance {id:?} of Cloud Map service {service} was not registered by ECS: deregister it, then \
                     delete this stack again"
                )));
            }
            Task::Unknown(why) => {
                return Err(Failure::transient(format!("ECS did not say whether task {id} still runs ({why})")));
            }
        }
    }
    Ok(())
}
