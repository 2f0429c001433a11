use cluster_core::dns::{self, InUse, Registration};
use cluster_lambda::Failure;

use crate::{Replicator, config::Target, members::Tasks};

impl Replicator {
    /// Refuses while tasks of the target are registered and may run: their clients would lose them from DNS, or find
    /// them there forever.
    pub(crate) async fn refuse_while_in_use(&self, target: &Target) -> Result<(), Failure> {
        self.out_of_use(target).await.map(drop)
    }

    /// Returns the registrations that are certainly left over from stopped tasks; fails while there is any other.
    async fn out_of_use(&self, target: &Target) -> Result<[Vec<Registration>; 2], Failure> {
        let left = self.left_over(target).await?;
        for (tier, registered) in target.tiers.iter().zip(&left) {
            for registration in registered {
                if let Some(in_use) = registration.in_use() {
                    return Err(refusal(&registration.id, &in_use, &target.ecs_cluster, &tier.cloud_map_service));
                }
            }
        }
        Ok(left)
    }

    /// Removes what would keep a stack from being deleted: our record sets, unless the names stay in use, and the
    /// instances of stopped tasks. Returns how many record sets it removed.
    ///
    /// A transient failure means «not yet»: Cloud Map removes an instance some seconds after the request, and the
    /// caller tries again later.
    pub(crate) async fn tear_down(&self, target: &Target) -> Result<usize, Failure> {
        // Only what this one observation has cleared is deregistered: a task that registers from now on is not in it.
        let left = self.out_of_use(target).await?;
        let serving = &self.config.target;
        let names_stay = target != serving && target.has_names_of(serving);
        let removed = if names_stay { 0 } else { self.remove_records(target).await? };
        for (tier, registered) in target.tiers.iter().zip(&left) {
            for Registration { id, .. } in registered {
                self.members.deregister(&tier.cloud_map_service, id).await?;
                tracing::info!(tier = tier.tier, instance = id, "deregistered what ECS left in Cloud Map");
            }
        }
        let any = |left: &[Vec<Registration>; 2]| left.iter().any(|registered| !registered.is_empty());
        if any(&left) && any(&self.left_over(target).await?) {
            let why = "Cloud Map still holds instances that were deregistered; if that lasts, deregister them by hand";
            return Err(Failure::transient(why));
        }
        Ok(removed)
    }

    /// Returns the registrations in both services, with their tasks; a service that is gone has none.
    async fn left_over(&self, target: &Target) -> Result<[Vec<Registration>; 2], Failure> {
        let [core, replica] = self.members.listed(target).await;
        let listed = [core?, replica?].map(Option::unwrap_or_default);
        let ids = listed.iter().flatten().map(|instance| instance.id.as_str());
        let cluster = &target.ecs_cluster;
        let tasks = match self.members.tasks(cluster, ids).await? {
            // A cluster is deleted only after its tasks.
            Tasks::NoSuchCluster => Tasks::none_left(listed.iter().flatten()),
            tasks @ Tasks::Described(_) => tasks,
        };
        Ok(listed.map(|instances| instances.into_iter().map(|i| i.with_task(&tasks, cluster)).collect()))
    }

    async fn remove_records(&self, target: &Target) -> Result<usize, Failure> {
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let plan = async || {
            let records = self.zone.records(&target.hosted_zone, names).await?.unwrap_or_default();
            Ok(records.iter().map(|records| Ok(dns::plan_removal(records, &target.owner))).collect())
        };
        let outcome = self.converge(target, false, plan).await.result()?;
        Ok(outcome.tiers.iter().map(|tier| tier.plan.changes.len()).sum())
    }
}

fn refusal(id: &str, in_use: &InUse, cluster: &str, service: &str) -> Failure {
    match in_use {
        InUse::Running => Failure::permanent(format!(
            "task {id} of ECS cluster {cluster} is running and registered in Cloud Map service {service}: scale its \
             service to 0 or delete its stack, then try again"
        )),
        InUse::Foreign => Failure::permanent(format!(
            "instance {id:?} of Cloud Map service {service} was not registered by ECS: deregister it, then try again"
        )),
        InUse::Unknown(why) => Failure::transient(format!("ECS did not say whether task {id} still runs: {why}")),
    }
}
