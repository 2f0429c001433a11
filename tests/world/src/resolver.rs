//! DNS over the world's zones, as the resolver of a VPC answers it.

use super::World;

/// A multivalue answer holds at most this many records, chosen at random (Route 53 developer guide, «Multivalue answer
/// routing»).
const MULTIVALUE_ANSWERS: usize = 8;

/// One record of an answer: domain without trailing dot, type, seconds, value as text.
pub type Record = (String, &'static str, u32, String);

impl World {
    /// What the resolver answers; nothing when there is no such domain.
    pub fn resolve(&mut self, name: &str, r#type: &str) -> Option<Vec<Record>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let zones = self.route53.zones.values().filter(|zone| {
            let domain = zone.name.trim_end_matches('.');
            name == domain || name.ends_with(&format!(".{domain}"))
        });
        // The private zone with the longest matching name answers, and no other.
        let zone = zones.max_by_key(|zone| zone.name.len())?;
        if let Some(namespace) = &zone.managed_by {
            return self.resolve_in_cloud_map(&namespace.clone(), &name, r#type);
        }
        let sets: Vec<_> = zone.under(&name).cloned().collect();
        if sets.is_empty() {
            return None;
        }
        if let Some(alias) = sets.iter().find(|set| set.r#type == "CNAME") {
            let target = alias.values().next().unwrap_or_default().to_owned();
            let mut answers = vec![(name, "CNAME", alias.ttl.unwrap_or(0), target.clone())];
            answers.extend(self.resolve(&target, r#type).unwrap_or_default());
            return Some(answers);
        }
        let mut addresses: Vec<_> = sets
            .iter()
            .filter(|set| set.r#type == r#type && r#type == "A")
            .flat_map(|set| set.values().map(|value| (name.clone(), "A", set.ttl.unwrap_or(0), value.to_owned())))
            .collect();
        self.ids.shuffle(&mut addresses);
        addresses.truncate(MULTIVALUE_ANSWERS);
        Some(addresses)
    }

    fn resolve_in_cloud_map(&self, namespace: &str, name: &str, r#type: &str) -> Option<Vec<Record>> {
        let id = namespace.rsplit('/').next().unwrap_or_default();
        let mut services = self.cloud_map.services.values().filter(|service| service.namespace == id);
        services.find_map(|service| {
            let domain = self.cloud_map.domain(service);
            let answering = || service.instances.iter().filter(|(_, instance)| instance.answers(self.now));
            if name == domain {
                let srv = |(id, instance): (&String, &super::cloud_map::Instance)| {
                    let port = instance.attributes.get("AWS_INSTANCE_PORT").map_or("0", String::as_str);
                    (domain.clone(), "SRV", service.ttl, format!("1 1 {port} {id}.{domain}"))
                };
                return Some(answering().filter(|_| r#type == "SRV").map(srv).collect());
            }
            let id = name.strip_suffix(&format!(".{domain}"))?;
            let (_, instance) = answering().find(|(i, _)| *i == id)?;
            let address = instance.attributes.get("AWS_INSTANCE_IPV4").filter(|_| r#type == "A");
            Some(address.into_iter().map(|a| (name.to_owned(), "A", service.ttl, a.clone())).collect())
        })
    }
}
