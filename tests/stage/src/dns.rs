//! The world's DNS on a socket.

use std::net::SocketAddr;

use async_trait::async_trait;
use cluster_world::resolver;
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

use crate::serve::Live;

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

fn record((name, kind, ttl, value): &resolver::Record) -> Option<Record> {
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
