use std::collections::{BTreeSet, HashMap};

use cluster_core::dns::{Readiness, Service, Tier};
use cluster_lambda::Failure;

use crate::{Replicator, config::TierTarget, members::Instance};

impl Replicator {
    /// Observes both tiers. A failure that concerns only one of them fails only that one: nothing is concluded from a
    /// part of its state, while the other's is complete.
    pub(crate) async fn observe(&self) -> Result<Vec<Result<Tier, Failure>>, Failure> {
        let target = &self.config.target;
        let names = target.tiers.each_ref().map(|tier| &tier.name);
        let (listed, records) = tokio::join!(
            biased;
            self.members.listed(target),
            self.zone.records(&target.hosted_zone, names)
        );
        let listed: Vec<_> = target.tiers.iter().zip(listed).map(|(tier, listed)| existing(tier, listed?)).collect();
        let whole = async {
            let records = records?.ok_or_else(|| no_such_zone(&target.hosted_zone))?;
            let published = records.each_ref().map(|records| {
                let sets = records.multivalue.iter();
                sets.filter_map(|set| target.owner.member(&set.set_identifier)).map(str::to_owned).collect()
            });
            // The tasks of a tier that could not be listed are not requested.
            let read = listed
                .iter()
                .zip(&published)
                .filter_map(|(listed, published)| Some((listed.as_ref().ok()?, published)));
            let ids = read.flat_map(|(listed, published): (&Vec<Instance>, &BTreeSet<String>)| {
                listed.iter().map(|instance| instance.id.as_str()).chain(published.iter().map(String::as_str))
            });
            let tasks = self.members.tasks(&target.ecs_cluster, ids).await?;
            Ok::<_, Failure>((records, published, tasks))
        };
        let (records, published, tasks) = match whole.await {
            Ok(read) => read,
            Err(failure) => return Err(failure.combined(listed.into_iter().filter_map(Result::err))),
        };

        let mut tiers = Vec::new();
        for (((tier, listed), records), published) in target.tiers.iter().zip(listed).zip(records).zip(published) {
            tiers.push(listed.map(|listed| {
                let unlisted =
                    published.into_iter().filter(|member| !listed.iter().any(|instance| instance.id == *member));
                Tier {
                    tier: tier.tier.to_owned(),
                    name: tier.name.clone(),
                    unlisted: unlisted.map(|member| (member.clone(), tasks.of(&member))).collect(),
                    registered: listed
                        .into_iter()
                        .map(|instance| instance.with_task(&tasks, &target.ecs_cluster))
                        .collect(),
                    service: None,
                    records,
                    neo4j: Readiness::default(),
                }
            }));
        }
        self.add_services(&mut tiers).await;
        Ok(tiers)
    }

    /// Asks ECS how many tasks the services of empty tiers should have. A missing answer about one service fails only its
    /// tier.
    async fn add_services(&self, tiers: &mut [Result<Tier, Failure>]) {
        let target = &self.config.target;
        let needs =
            |tier: &Result<Tier, Failure>| tier.as_ref().is_ok_and(|tier| Tier::needs_service(&tier.registered));
        let empty = tiers.iter().zip(&target.tiers).filter(|(tier, _)| needs(tier));
        let names: Vec<_> = empty.flat_map(|(_, target)| target.ecs_services.iter().map(String::as_str)).collect();
        let wanted = self.members.services(&target.ecs_cluster, &names).await;
        for (tier, target) in tiers.iter_mut().zip(&target.tiers).filter(|(tier, _)| needs(tier)) {
            let service = match &wanted {
                Ok(services) => sum(&target.ecs_services, services),
                Err(failure) => Err(Failure::of_kind(failure.kind(), failure.chain())),
            };
            match (tier.as_mut(), service) {
                (Ok(tier), Ok(service)) => tier.service = service,
                (Ok(_), Err(failure)) => *tier = Err(failure),
                (Err(_), _) => {}
            }
        }
    }
}

/// Returns what all services of a tier want together; nothing when ECS left one out of its answer.
fn sum(names: &[String], answers: &HashMap<String, Result<Service, String>>) -> Result<Option<Service>, Failure> {
    let mut services = Vec::new();
    for name in names {
        services.push(match answers.get(name) {
            Some(Ok(service)) => Some(*service),
            Some(Err(why)) => return Err(Failure::transient(why.clone())),
            None => None,
        });
    }
    Ok(Service::sum(services))
}

fn no_such_zone(zone: &str) -> Failure {
    Failure::permanent(format!("there is no hosted zone {zone}: correct the parameter HostedZoneId"))
}

/// Returns the instances of a tier's Cloud Map service, or the failure that it does not exist.
fn existing(tier: &TierTarget, listed: Option<Vec<Instance>>) -> Result<Vec<Instance>, Failure> {
    let (name, service) = (tier.tier, &tier.cloud_map_service);
    listed.ok_or_else(|| {
        Failure::permanent(format!(
            "there is no Cloud Map service {service} for tier {name}: was it deleted outside of the stack?"
        ))
    })
}
