use std::collections::BTreeMap;

use aws_sdk_route53::{
    Client,
    error::ProvideErrorMetadata,
    operation::change_resource_record_sets::ChangeResourceRecordSetsError,
    types::{Change as BatchChange, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType},
};
use cluster_core::dns::{Change, Name, Occupant, Plan, RecordSet, Records};
use cluster_lambda::{Failure, is_refusal};

/// The most record sets that Route 53 returns at once.
const PAGE: i32 = 300;

/// The zone of the records.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    client: Client,
}

/// The answer of Route 53 to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Applied as a whole.
    Accepted,
    /// Refused as a whole, with its reasons: the plan was made from a stale observation, or breaks a rule of the zone.
    Refused(String),
}

impl Zone {
    /// Reads and writes through this client.
    #[must_use]
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads the records under each name, in the order given; nothing when there is no such zone.
    ///
    /// Makes one walk that begins at the first name and jumps from name to name: somebody else's zone may hold ten
    /// thousand records. The names must be in the order in which Route 53 lists them, so that a walk that reaches the
    /// end of the zone has covered all of them. A walk begins at the name's first type, whichever that is, so it sees a
    /// CNAME as well. («`ListResourceRecordSets`», Amazon Route 53 API reference: sorted by name, then type.)
    pub(crate) async fn records<const N: usize>(
        &self,
        zone: &str,
        names: [&Name; N],
    ) -> Result<Option<[Records; N]>, Failure> {
        let mut found: BTreeMap<&Name, Found> = names.iter().map(|name| (*name, Found::default())).collect();
        'walk: for name in names {
            let mut next: Option<(RrType, Option<String>)> = None;
            loop {
                let (kind, identifier) = next.map_or((None, None), |(kind, identifier)| (Some(kind), identifier));
                let page = self
                    .client
                    .list_resource_record_sets()
                    .hosted_zone_id(zone)
                    .start_record_name(name.as_str())
                    .set_start_record_type(kind)
                    .set_start_record_identifier(identifier)
                    .max_items(PAGE)
                    .send()
                    .await;
                let page = match page {
                    Ok(page) => page,
                    Err(error) if is_refusal(&error, &["NoSuchHostedZone"]) => return Ok(None),
                    Err(error) => return Err(Failure::call(&format!("list the records of zone {zone}"), error)),
                };
                for set in page.resource_record_sets() {
                    if let Some(found) = found.get_mut(&Name::new(set.name())) {
                        found.add(set);
                    }
                }
                if !page.is_truncated() {
                    break 'walk;
                }
                let of_this_name = page.next_record_name().is_some_and(|next| Name::new(next) == *name);
                let (true, Some(kind)) = (of_this_name, page.next_record_type()) else { break };
                next = Some((kind.clone(), page.next_record_identifier().map(str::to_owned)));
            }
        }
        Ok(Some(names.map(|name| found.remove(name).unwrap_or_default().records())))
    }

    /// Writes a plan's changes under a name as one atomic batch.
    pub(crate) async fn apply(&self, zone: &str, name: &Name, plan: &Plan) -> Result<Applied, Failure> {
        let changes = plan.changes.iter().map(batch_change).collect::<Result<Vec<_>, _>>();
        let batch = changes.and_then(|changes| ChangeBatch::builder().set_changes(Some(changes)).build());
        let batch = batch.map_err(|error| Failure::permanent("could not build the change batch").caused_by(error))?;
        let answer = self.client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
        let Err(error) = answer else { return Ok(Applied::Accepted) };
        if let Some(ChangeResourceRecordSetsError::InvalidChangeBatch(refused)) = error.as_service_error() {
            let reasons = refused.messages().join(" ");
            return Ok(Applied::Refused(if reasons.is_empty() { refused.to_string() } else { reasons }));
        }
        let managed = error.message().is_some_and(|message| message.contains("can only be managed through"));
        let failure = Failure::call(&format!("change the records of {name} in zone {zone}"), error);
        if managed {
            let what =
                format!("zone {zone} belongs to Cloud Map, which lets nobody else write: use a zone of your own");
            return Err(Failure::permanent(what).caused_by(failure));
        }
        Err(failure)
    }
}

/// The records that a walk has found under one name. A walk may meet the same set twice; it counts once.
#[derive(Debug, Default)]
struct Found {
    multivalue: BTreeMap<String, RecordSet>,
    occupant: Option<Occupant>,
}

impl Found {
    fn add(&mut self, set: &ResourceRecordSet) {
        let identifier = match set.r#type() {
            RrType::A => set.set_identifier().map(str::to_owned),
            RrType::Cname => {
                self.occupant = Some(Occupant::Cname);
                return;
            }
            // Allowed beside any A record.
            _ => return,
        };
        let (Some(id), Some(true), Some(ttl)) = (identifier, set.multi_value_answer(), set.ttl()) else {
            self.occupant.get_or_insert(Occupant::OtherPolicy);
            return;
        };
        let record = RecordSet {
            name: Name::new(set.name()),
            set_identifier: id.clone(),
            ttl: u32::try_from(ttl).unwrap_or(u32::MAX),
            values: set.resource_records().iter().map(|record| record.value().to_owned()).collect(),
            health_check: set.health_check_id().map(str::to_owned),
        };
        self.multivalue.insert(id, record);
    }

    fn records(self) -> Records {
        Records { multivalue: self.multivalue.into_values().collect(), occupant: self.occupant }
    }
}

fn batch_change(change: &Change) -> Result<BatchChange, aws_sdk_route53::error::BuildError> {
    let action = match change {
        Change::Delete(..) => ChangeAction::Delete,
        Change::Create(..) => ChangeAction::Create,
    };
    let set = change.record();
    let values = set.values.iter().map(|value| ResourceRecord::builder().value(value).build());
    let set = ResourceRecordSet::builder()
        .name(set.name.as_str())
        .r#type(RrType::A)
        .set_identifier(&set.set_identifier)
        .multi_value_answer(true)
        .ttl(i64::from(set.ttl))
        .set_resource_records(Some(values.collect::<Result<_, _>>()?))
        .set_health_check_id(set.health_check.clone())
        .build()?;
    BatchChange::builder().action(action).resource_record_set(set).build()
}
