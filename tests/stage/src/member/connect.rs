//! What the README says about connecting, done by the official driver: through the name that dns-replicator published, to
//! members behind the addresses that it published.

use std::{collections::BTreeSet, net::Ipv4Addr};

use cluster_sim::cluster::Cluster;
use hickory_proto::rr::RecordType;
use tokio::{net::UdpSocket, runtime::Runtime};

use super::{
    Series,
    container::{BOLT, Member},
    ensure,
    life::{Life, NAME, PASSWORD},
    network::{HERE, Network},
    settings, until,
};
use crate::{
    dns::{self, ask},
    narrator::Narrator,
    serve::Live,
    stage::{Trouble, root},
};

/// Tells how clients connect to a formed cluster of three cores.
///
/// # Errors
/// The first thing that does not hold.
pub fn tell(network: &Network, narrator: &Narrator, series: Series, tls: bool) -> Result<(), Trouble> {
    let life = Life::new(network, series, tls)?;
    let cluster = Cluster::formed(3);
    let published = cluster.published("core");
    ensure(published.len() == 3, || format!("dns-replicator has published {published:?}"))?;

    // Its world, as it stands then, answers on the port that resolvers ask.
    let world = Live::new(cluster.wire.world().clone());
    let runtime = Runtime::new().map_err(|e| e.to_string())?;
    let socket = runtime.block_on(UdpSocket::bind((HERE, 53))).map_err(|e| format!("no port for DNS: {e}"))?;
    let _serving = {
        let _inside = runtime.enter();
        let mut server = dns::serve(socket, world);
        runtime.spawn(async move { _ = server.block_until_done().await })
    };
    network.resolve_by(HERE)?;
    found_by_members(&runtime, &life)?;

    // One of them is dead, and still published until its records have gone.
    let addresses: Vec<Ipv4Addr> = published.iter().filter_map(|address| address.parse().ok()).collect();
    let [dead, alive @ ..] = &addresses[..] else { return Err(format!("no addresses: {published:?}")) };
    network.add("dead", *dead)?;
    let secrets = life.secrets(PASSWORD, NAME, false)?;
    let mut members = vec![];
    for (number, address) in alive.iter().enumerate() {
        let (name, volume) = (format!("core-{}", number + 2), network.folder.join(format!("volume-{}", number + 2)));
        members.push(Member::start(network, &life.definition, &name, *address, &volume, &secrets)?);
    }
    for member in &mut members {
        member.open()?;
    }
    narrator.note(&format!("members are open at {alive:?}, and {dead} is published as well"));

    let address = life.definition.output("ConnectTo")?;
    let (host, port) = address.rsplit_once("://").and_then(|(_, rest)| rest.rsplit_once(':')).ok_or("no address")?;
    ensure(port == BOLT.to_string(), || format!("ConnectTo is {address}"))?;
    is_in_the_readme(address, tls)?;
    // Each connection goes to one of the addresses, in the order of an answer that is shuffled.
    let who = "SHOW DATABASES YIELD name, serverID WHERE name = 'neo4j' RETURN serverID";
    // A driver says in its routing context which address it was given:
    // <https://neo4j.com/docs/bolt/current/bolt/message/#messages-hello>.
    let table = format!(
        "CALL dbms.routing.getRoutingTable({{address: '{host}:{port}'}}, 'neo4j') YIELD servers UNWIND servers AS server \
         UNWIND server.addresses AS address RETURN collect(DISTINCT address) AS addresses"
    );
    let (mut met, mut tried) = (BTreeSet::new(), BTreeSet::new());
    until("every address is tried, and every member met", || {
        let (by, rows) = life.client.cypher_by(address, &[who, "CREATE (n:Here) RETURN count(n) AS made", &table])?;
        ensure(rows[1][0]["made"] == 1, || format!("nothing was written: {rows:?}"))?;
        met.insert(rows[0][0]["serverID"].as_str().unwrap_or_default().to_owned());
        tried.extend(by);
        for found in rows[2][0]["addresses"].as_array().into_iter().flatten().filter_map(|a| a.as_str()) {
            let at = found.rsplit_once(':').map_or(found, |(at, _)| at);
            // With TLS clients stay with the name that the certificate has. Community always tells them to.
            let expected = at == host || (!tls && published.contains(at));
            ensure(expected, || format!("the routing table sends clients to {found}"))?;
        }
        ensure(met.len() <= members.len(), || format!("there are only {} members: {met:?}", members.len()))?;
        Ok((met.len() == members.len() && addresses.iter().all(|one| tried.contains(one))).then_some(()))
    })?;
    narrator.note(&format!("{address}: the driver has written to each, also where it tried the dead one first"));
    Ok(())
}

/// The README's table has the address that the stack gives out.
fn is_in_the_readme(address: &str, tls: bool) -> Result<(), Trouble> {
    let page = std::fs::read_to_string(root().join("README.md")).map_err(|e| format!("README.md: {e}"))?;
    let row = format!("| {} TLS | `{address}` |", if tls { "with" } else { "without" });
    ensure(page.contains(&row), || format!("README.md has no row that begins with {row}"))
}

/// The name by which members look for each other is one that Cloud Map answers, with the port of the cluster.
fn found_by_members(runtime: &Runtime, life: &Life) -> Result<(), Trouble> {
    let settings = settings::of(life.definition.shape);
    let endpoints =
        settings.get("dbms.cluster.endpoints").or_else(|| settings.get("dbms.cluster.discovery.v2.endpoints"));
    let name = endpoints.and_then(|value| value.split(':').next()).ok_or("no setting says how cores are found")?;
    let records =
        runtime.block_on(ask((HERE, 53).into(), name, RecordType::SRV)).map_err(|e| format!("{name}: {e}"))?;
    let ports: BTreeSet<_> = records.iter().filter_map(|record| record.split(' ').nth(2)).collect();
    ensure(records.len() == 3 && ports == ["6000"].into(), || format!("{name} answers {records:?}"))
}
