//! What Route 53 takes of a batch of changes, and what it refuses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{Key, RecordSet, Refusal, Zone, absolute};

/// The most multivalue records of one name and type (developer guide, «Quotas»).
const MULTIVALUE_LIMIT: usize = 100;
/// The most changes of a batch (developer guide, «Quotas», «Maximums on API requests»).
const BATCH_LIMIT: usize = 1_000;

impl Zone {
    /// Takes a batch of (action, record set) as a whole, or refuses it with every reason.
    pub fn change(&mut self, changes: &[(&str, RecordSet)]) -> Result<(), Refusal> {
        if let Some(namespace) = &self.managed_by {
            let message = format!(
                "The resource hostedzone/{} can only be managed through AWS Cloud Map ({namespace})",
                self.name
            );
            return Err(Refusal::new("AccessDenied", message));
        }
        let mut records = self.records.clone();
        let (mut reasons, mut created) = (Vec::new(), BTreeSet::new());
        if changes.is_empty() || changes.len() > BATCH_LIMIT {
            reasons.push(format!("Number of changes must be between 1 and {BATCH_LIMIT}"));
        }
        for (action, set) in changes {
            let set = RecordSet { name: absolute(&set.name), ..set.clone() };
            let what = set.describe();
            let (existing, suffix) = (records.get(&set.key()), format!(".{}", self.name));
            match (*action, existing) {
                ("CREATE" | "UPSERT", _) if set.name != self.name && !set.name.ends_with(&suffix) => {
                    reasons.push(format!("RRSet with DNS name {} is not permitted in zone {}", set.name, self.name));
                }
                ("CREATE", Some(_)) => {
                    reasons.push(format!("Tried to create resource record set {what} but it already exists"));
                }
                ("DELETE", None) => {
                    reasons.push(format!("Tried to delete resource record set {what} but it was not found"));
                }
                ("DELETE", Some(existing)) if *existing != set => {
                    reasons.push(format!(
                        "Tried to delete resource record set {what} but the values provided do not match the current values"
                    ));
                }
                ("DELETE", Some(_)) => _ = records.remove(&set.key()),
                ("CREATE" | "UPSERT", _) => {
                    reasons.extend(wrong_values(&set));
                    created.insert(set.key());
                    records.insert(set.key(), set);
                }
                (action, _) => reasons.push(format!("{action} is no action")),
            }
        }
        reasons.extend(broken_rules(&self.name, &records, &created));
        if !reasons.is_empty() {
            return Err(Refusal::new("InvalidChangeBatch", format!("[{}]", reasons.join(", "))));
        }
        self.records = records;
        Ok(())
    }
}

fn wrong_values(set: &RecordSet) -> Option<String> {
    let wrong = set.r#type == "A" && set.values().any(|value| value.parse::<Ipv4Addr>().is_err());
    let long = set.set_identifier.as_ref().is_some_and(|id| id.is_empty() || id.len() > 128);
    (wrong || long || set.values().next().is_none()).then(|| format!("Invalid Resource Record: {}", set.describe()))
}

/// The routing policies that the world knows. Records of one name and type have one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Routing {
    Simple,
    Weighted,
    Multivalue,
}

impl RecordSet {
    fn routing(&self) -> Routing {
        match (self.multi_value_answer, self.weight) {
            (Some(true), _) => Routing::Multivalue,
            (_, Some(_)) => Routing::Weighted,
            _ => Routing::Simple,
        }
    }
}

/// Why these record sets, which a batch has created, cannot stand with what else is in the zone, in Route 53's words:
/// external-dns#4345, cert-manager#5388, terraform#9732, amazon.aws#2694 have them.
fn broken_rules(zone: &str, records: &BTreeMap<Key, RecordSet>, created: &BTreeSet<Key>) -> Vec<String> {
    let mut reasons = BTreeSet::new();
    for set in created.iter().filter_map(|key| records.get(key)) {
        let (name, kind) = (&set.name, &set.r#type);
        let beside: Vec<_> = records.values().filter(|other| other.name == *name).collect();
        let of_type = || beside.iter().filter(|other| other.r#type == *kind);
        if of_type().filter(|set| set.routing() == Routing::Multivalue).count() > MULTIVALUE_LIMIT {
            reasons.insert(format!("Number of multivalue records for {name} {kind} exceeds {MULTIVALUE_LIMIT}"));
        }
        if of_type().any(|other| other.routing() != set.routing()) {
            let id = set.set_identifier.as_ref().map(|id| format!(", SetIdentifier {id}")).unwrap_or_default();
            let why = match set.routing() {
                Routing::Simple => "as other RRSets exist with the same name and type",
                Routing::Weighted => "as a non-weighted set exists with the same name and type",
                Routing::Multivalue => "because a non multivalue answer rrset exists with the same name and type",
            };
            reasons.insert(format!("RRSet with DNS name {name}, type {kind}{id} cannot be created {why}."));
        }
        let is_cname = |set: &RecordSet| set.r#type == "CNAME";
        if is_cname(set) && beside.iter().any(|other| !is_cname(other)) {
            reasons.insert(format!(
                "RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with the \
                 same DNS name in zone {zone}"
            ));
        } else if !is_cname(set) && beside.iter().any(|other| is_cname(other)) {
            reasons.insert(format!(
                "RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type CNAME \
                 with the same DNS name already exists in zone {zone}"
            ));
        }
    }
    reasons.into_iter().collect()
}
