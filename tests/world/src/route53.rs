//! Route 53: private zones, and the rules by which it takes or refuses a batch of changes.

mod rules;

use std::{collections::BTreeMap, fmt::Write};

use quick_xml::{de, se};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Answer, Context, Refusal, Request, World,
    cloudformation::{Change as ResourceChange, Operation, Wanted, done, number, short, text},
    service::{Asked, Service, Target, Touched},
};

const XMLNS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// Zones by id.
#[derive(Clone, Debug, Default)]
pub struct Route53 {
    /// What there is.
    pub zones: BTreeMap<String, Zone>,
}

/// The ARN of a zone.
#[must_use]
pub fn arn(zone: &str) -> String {
    format!("arn:aws:route53:::hostedzone/{zone}")
}

/// A private zone.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// Its domain, with a trailing dot.
    pub name: String,
    /// The ARN of the Cloud Map namespace that made it; nobody else may write into it.
    pub managed_by: Option<String>,
    /// In the order in which Route 53 lists them. The records that Cloud Map writes are not kept here.
    pub records: BTreeMap<Key, RecordSet>,
}

/// Domain with its labels turned round, type, set identifier.
pub type Key = (String, String, Option<String>);

/// A record set, named as in Route 53's XML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecordSet {
    /// With a trailing dot.
    pub name: String,
    /// `A`, `CNAME`, …
    pub r#type: String,
    /// Tells record sets of one name and type apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
    /// A weighted record, which does not mix with multivalue ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// A multivalue record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_value_answer: Option<bool>,
    /// Seconds.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// The values.
    pub resource_records: Values,
    /// A health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_id: Option<String>,
}

/// The values of a record set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Values {
    /// One or more.
    #[serde(default)]
    pub resource_record: Vec<OneValue>,
}

/// One value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneValue {
    /// As text.
    pub value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeRequest {
    change_batch: ChangeBatch,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeBatch {
    changes: Changes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    #[serde(default)]
    change: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: RecordSet,
}

impl RecordSet {
    /// The values as text.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.resource_records.resource_record.iter().map(|record| record.value.as_str())
    }

    /// A record set with one routing policy: none.
    #[must_use]
    pub fn simple(name: &str, r#type: &str, ttl: u32, values: &[&str]) -> Self {
        let resource_record = values.iter().map(|value| OneValue { value: (*value).to_owned() }).collect();
        let resource_records = Values { resource_record };
        Self { name: absolute(name), r#type: r#type.to_owned(), ttl: Some(ttl), resource_records, ..Self::default() }
    }

    /// A multivalue A record set.
    #[must_use]
    pub fn multivalue(name: &str, set_identifier: &str, address: &str) -> Self {
        let (set_identifier, multi_value_answer) = (Some(set_identifier.to_owned()), Some(true));
        Self { set_identifier, multi_value_answer, ..Self::simple(name, "A", 10, &[address]) }
    }

    /// A weighted A record set.
    #[must_use]
    pub fn weighted(name: &str, set_identifier: &str, address: &str) -> Self {
        let (set_identifier, weight) = (Some(set_identifier.to_owned()), Some(1));
        Self { set_identifier, weight, ..Self::simple(name, "A", 10, &[address]) }
    }

    fn key(&self) -> Key {
        (turned(&self.name), self.r#type.clone(), self.set_identifier.clone())
    }

    fn describe(&self) -> String {
        let mut text = format!("[name='{}', type='{}'", self.name, self.r#type);
        if let Some(id) = &self.set_identifier {
            _ = write!(text, ", set-identifier='{id}'");
        }
        text + "]"
    }
}

/// Lower case, with a trailing dot.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase())
}

/// `a.b.c.` as `c.b.a.`, which is how Route 53 orders names.
fn turned(name: &str) -> String {
    let labels: Vec<_> = absolute(name).trim_end_matches('.').rsplit('.').map(str::to_owned).collect();
    labels.join(".") + "."
}

impl Zone {
    /// A zone with nothing but what Route 53 itself puts there.
    #[must_use]
    pub fn new(name: &str, managed_by: Option<String>) -> Self {
        let mut zone = Self { name: absolute(name), managed_by, records: BTreeMap::new() };
        zone.put(RecordSet::simple(name, "NS", 172_800, &["ns-0.awsdns-00.com."]));
        let soa = "ns-0.awsdns-00.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
        zone.put(RecordSet::simple(name, "SOA", 900, &[soa]));
        zone
    }

    /// How many record sets were written since; while there are any, the zone cannot be deleted.
    #[must_use]
    pub fn written(&self) -> usize {
        self.records.values().filter(|set| !["NS", "SOA"].contains(&set.r#type.as_str())).count()
    }

    /// The record sets under a name.
    pub fn under(&self, name: &str) -> impl Iterator<Item = &RecordSet> {
        let name = absolute(name);
        self.records.values().filter(move |set| set.name == name)
    }

    /// The addresses of the multivalue A records under a name, in order.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let sets = self.under(name).filter(|set| set.r#type == "A");
        let mut addresses: Vec<_> = sets.flat_map(RecordSet::values).map(str::to_owned).collect();
        addresses.sort();
        addresses
    }

    /// Puts a record set there without asking.
    pub fn put(&mut self, set: RecordSet) {
        self.records.insert(set.key(), set);
    }
}

/// The zone that a request is about.
fn zone_in(request: &Request) -> Option<&str> {
    Some(request.path.strip_prefix("/2013-04-01/hostedzone/")?.split_once("/rrset")?.0)
}

/// What IAM is told of a batch of (action, record set).
#[must_use]
pub fn circumstances(batch: &[(&str, RecordSet)]) -> Context {
    let normalized = |set: &RecordSet| absolute(&set.name).trim_end_matches('.').to_owned();
    Context::from([
        (
            "route53:ChangeResourceRecordSetsNormalizedRecordNames".to_owned(),
            batch.iter().map(|(_, set)| normalized(set)).collect(),
        ),
        (
            "route53:ChangeResourceRecordSetsRecordTypes".to_owned(),
            batch.iter().map(|(_, set)| set.r#type.clone()).collect(),
        ),
        (
            "route53:ChangeResourceRecordSetsActions".to_owned(),
            batch.iter().map(|(action, _)| (*action).to_owned()).collect(),
        ),
    ])
}

/// A refusal as Route 53 words it.
pub(super) fn refused(refusal: Refusal) -> Answer {
    let (code, message) = (refusal.code, quick_xml::escape::escape(refusal.message));
    let status = match code {
        "AccessDenied" => 403,
        "NoSuchHostedZone" => 404,
        _ => 400,
    };
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    let body = format!("<ErrorResponse xmlns=\"{XMLNS}\">{error}<RequestId>r</RequestId></ErrorResponse>");
    Answer { status, ..Answer::ok(body) }
}

impl Service for Route53 {
    const NAME: &'static str = "route53";
    const TARGET: Target = Target::Rest("/2013-04-01/hostedzone/");
    const RESOURCES: &'static [&'static str] = &["AWS::Route53::HostedZone", "AWS::Route53::RecordSet"];

    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let request = asked.request;
        let zone = zone_in(request).map(arn).into_iter().collect();
        let action = match request.method.as_str() {
            "GET" => "ListResourceRecordSets",
            _ => "ChangeResourceRecordSets",
        };
        let changes = de::from_str(&String::from_utf8_lossy(&request.body)).ok();
        let changes = changes.map_or_else(Vec::new, |request: ChangeRequest| request.change_batch.changes.change);
        let changes: Vec<_> = changes.iter().map(|c| (c.action.as_str(), c.resource_record_set.clone())).collect();
        let context = if changes.is_empty() { Context::new() } else { circumstances(&changes) };
        Touched { action: Some(action), context, ..Touched::resources(zone) }
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let request = asked.request;
        let body = match (request.method.as_str(), zone_in(request)) {
            ("GET", Some(zone)) => world.list_records(zone, &request.query),
            ("POST", Some(zone)) => world.change_records(zone, &request.body),
            _ => Err(Refusal::new("InvalidAction", format!("the world has no {}", request.path))),
        };
        body.map(Value::String)
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        let properties = wanted.properties;
        if wanted.r#type == "AWS::Route53::HostedZone" {
            let id = world.zone_id();
            world.route53.zones.insert(id.clone(), Zone::new(&text(properties, "Name"), None));
            return done(id.clone(), json!({"Id": id, "NameServers": ["ns-0.example", "ns-1.example"]}));
        }
        let set = record_set(properties);
        let name = set.name.clone();
        let (id, zone) = world.zone_of(properties)?;
        zone.change(&[("CREATE", set)]).map_err(|refusal| format!("zone {id}: {refusal}"))?;
        done(name, json!({}))
    }

    fn update(world: &mut World, change: &ResourceChange<'_>) -> Operation {
        if change.r#type != "AWS::Route53::RecordSet" {
            return Ok(None);
        }
        let (id, zone) = world.zone_of(change.properties)?;
        let changes = [("DELETE", record_set(change.old)), ("CREATE", record_set(change.properties))];
        zone.change(&changes).map_err(|refusal| format!("zone {id}: {refusal}"))?;
        done(change.physical_id, json!({}))
    }

    fn delete(world: &mut World, r#type: &str, id: &str, properties: &Value) -> Result<(), String> {
        if r#type == "AWS::Route53::HostedZone" {
            // API reference of DeleteHostedZone: only the NS and SOA records may be left.
            let records = world.route53.zones.get(id).map_or(0, Zone::written);
            if records > 0 {
                return Err(format!("HostedZoneNotEmpty: zone {id} still has {records} record sets"));
            }
            world.route53.zones.remove(id);
        } else if let Ok((_, zone)) = world.zone_of(properties) {
            // CloudFormation takes a record that is gone for deleted.
            _ = zone.change(&[("DELETE", record_set(properties))]);
        }
        Ok(())
    }
}

fn record_set(properties: &Value) -> RecordSet {
    let values: Vec<_> =
        properties["ResourceRecords"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ttl = number(properties, "TTL").unwrap_or(60);
    RecordSet::simple(&text(properties, "Name"), &text(properties, "Type"), ttl, &values)
}

impl World {
    pub(super) fn zone_id(&mut self) -> String {
        format!("Z{}", self.id(20).to_ascii_uppercase())
    }

    fn zone_of(&mut self, properties: &Value) -> Result<(String, &mut Zone), String> {
        let id = short(&text(properties, "HostedZoneId"));
        let zone = self.route53.zones.get_mut(&id).ok_or_else(|| format!("NoSuchHostedZone: {id}"))?;
        Ok((id, zone))
    }

    fn zone(&mut self, id: &str) -> Result<&mut Zone, Refusal> {
        let absent = || Refusal::new("NoSuchHostedZone", format!("No hosted zone found with ID: {id}"));
        self.route53.zones.get_mut(id).ok_or_else(absent)
    }

    fn list_records(&mut self, zone: &str, query: &str) -> Result<String, Refusal> {
        let decode = |value: &str| value.replace("%2F", "/").replace("%3A", ":");
        let pairs: BTreeMap<&str, String> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key, decode(value))).collect();
        let text = |key: &str| pairs.get(key).cloned();
        let most = self.page.min(text("maxitems").and_then(|most| most.parse().ok()).unwrap_or(300));
        let start: Key = (
            text("name").map(|name| turned(&name)).unwrap_or_default(),
            text("type").unwrap_or_default(),
            text("identifier"),
        );
        let zone = self.zone(zone)?;
        let mut sets: Vec<_> = zone.records.range(start..).map(|(_, set)| set).take(most + 1).collect();
        let next = if sets.len() > most { sets.pop() } else { None };
        let broken = |error: se::SeError| Refusal::new("InternalError", error.to_string());
        let sets = sets.into_iter().map(|set| se::to_string_with_root("ResourceRecordSet", set));
        let sets = sets.collect::<Result<String, _>>().map_err(broken)?;
        let next = next.map_or("<IsTruncated>false</IsTruncated>".to_owned(), |set| {
            let id = set.set_identifier.as_ref().map(|id| format!("<NextRecordIdentifier>{id}</NextRecordIdentifier>"));
            format!(
                "<IsTruncated>true</IsTruncated><NextRecordName>{}</NextRecordName><NextRecordType>{}</NextRecordType>{}",
                set.name,
                set.r#type,
                id.unwrap_or_default()
            )
        });
        let body = format!("<ResourceRecordSets>{sets}</ResourceRecordSets>{next}<MaxItems>{most}</MaxItems>");
        Ok(format!("<ListResourceRecordSetsResponse xmlns=\"{XMLNS}\">{body}</ListResourceRecordSetsResponse>"))
    }

    fn change_records(&mut self, zone: &str, body: &[u8]) -> Result<String, Refusal> {
        let request: ChangeRequest = de::from_str(&String::from_utf8_lossy(body))
            .map_err(|error| Refusal::new("InvalidInput", format!("Unexpected XML: {error}")))?;
        let changes = request.change_batch.changes.change;
        let changes: Vec<_> = changes.iter().map(|c| (c.action.as_str(), c.resource_record_set.clone())).collect();
        let now = self.now;
        self.zone(zone)?.change(&changes)?;
        let info = format!("<Id>/change/C1</Id><Status>PENDING</Status><SubmittedAt>{now}</SubmittedAt>");
        Ok(format!(
            "<ChangeResourceRecordSetsResponse xmlns=\"{XMLNS}\"><ChangeInfo>{info}</ChangeInfo></ChangeResourceRecordSetsResponse>"
        ))
    }
}
