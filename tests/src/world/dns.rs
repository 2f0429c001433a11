//! DNS over the world's zones, as the resolver of a VPC answers it.

use std::net::SocketAddr;

use async_trait::async_trait;
use hickory_proto::{
    op::{Header, HeaderCounts, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use hickory_server::{
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::UdpSocket;

use super::{World, serve::Live};

/// A multivalue answer holds at most this many records, chosen at random.
const MULTIVALUE_ANSWERS: usize = 8;

/// One record of an answer: domain without trailing dot, type, seconds, value as text.
pub type Answer = (String, &'static str, u32, String);

impl World {
    /// What the resolver answers; nothing when there is no such domain.
    pub fn resolve(&mut self, name: &str, r#type: &str) -> Option<Vec<Answer>> {
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

    fn resolve_in_cloud_map(&self, namespace: &str, name: &str, r#type: &str) -> Option<Vec<Answer>> {
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

/// Serves a world's DNS on this socket until the handle is dropped.
#[must_use]
pub fn serve(socket: UdpSocket, world: Live) -> Server<impl RequestHandler> {
    let mut server = Server::new(Resolver(world));
    server.register_socket(socket);
    server
}

struct Resolver(Live);

#[async_trait]
impl RequestHandler for Resolver {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let answers = request.request_info().ok().and_then(|info| {
            let (name, kind) = (info.query.name().to_string(), info.query.query_type().to_string());
            self.0.world().resolve(&name, &kind)
        });
        if answers.is_none() {
            metadata.response_code = ResponseCode::NXDomain;
        }
        let records: Vec<_> = answers.into_iter().flatten().filter_map(|answer| record(&answer)).collect();
        let response = MessageResponseBuilder::from_message_request(request).build(metadata, &records, [], [], []);
        match handle.send_response(response).await {
            Ok(info) => info,
            Err(_) => Header { metadata, counts: HeaderCounts::default() }.into(),
        }
    }
}

fn record((name, kind, ttl, value): &Answer) -> Option<Record> {
    let data = match *kind {
        "A" => RData::A(rdata::A(value.parse().ok()?)),
        "CNAME" => RData::CNAME(rdata::CNAME(absolute(value)?)),
        _ => {
            let mut parts = value.split(' ');
            let mut number = || parts.next()?.parse().ok();
            let (priority, weight, port) = (number()?, number()?, number()?);
            RData::SRV(rdata::SRV::new(priority, weight, port, absolute(parts.next()?)?))
        }
    };
    Some(Record::from_rdata(absolute(name)?, *ttl, data))
}

fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()
}

/// Asks a DNS server over UDP, as a client does. Answers the values of that type, in order; none for no such domain.
pub async fn ask(server: SocketAddr, name: &str, r#type: RecordType) -> std::io::Result<Vec<String>> {
    let mut question = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(absolute(name).unwrap_or_default(), r#type));
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    socket.send(&question.to_vec().map_err(std::io::Error::other)?).await?;
    let mut buffer = vec![0; 4096];
    let size = socket.recv(&mut buffer).await?;
    let answer = Message::from_vec(buffer.get(..size).unwrap_or_default()).map_err(std::io::Error::other)?;
    let values = answer.answers.iter().filter(|record| record.record_type() == r#type);
    let mut values: Vec<_> = values.map(|record| record.data.to_string()).collect();
    values.sort();
    Ok(values)
}
