//! A data volume that fills up, seen with a real Neo4j: what it says, how it stops, how it starts, and what heals it.

use std::{net::Ipv4Addr, path::Path, process::Command};

use super::{
    Series,
    container::{BOLT, Member},
    ensure, gateway,
    life::{Life, NAME, PASSWORD},
    network::{self, Network, accepts},
    until,
};
use crate::{narrator::Narrator, stage::Trouble};

pub(super) const SMALL: &str = "size=400m";
pub(super) const GROWN: &str = "size=800m";
/// Left free when writing begins.
pub(super) const ROOM: u64 = 8 << 20;

/// Tells how a member fills its volume, and what of it comes back once there is room.
///
/// # Errors
/// The first thing that does not hold.
pub fn tell(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    let life = Life::new(network, series, false)?;
    let asking = gateway::Asking::new(&life)?;
    let volume = network.folder.join("volume");
    mount(&volume, SMALL)?;
    let start = |name: &str, last: u8| {
        let secrets = life.secrets(PASSWORD, NAME, false)?;
        Member::start(network, &life.definition, name, Ipv4Addr::new(10, 0, 1, last), &volume, &secrets)
    };
    let bolt = |member: &Member| format!("bolt://{}:{BOLT}", member.address);
    let statuses = "SHOW DATABASES YIELD name, currentStatus, statusMessage WHERE name = 'neo4j'";

    let mut member = start("full", 11)?;
    member.open()?;
    fill_up_to(&volume, ROOM)?;
    let acknowledged = write_until_refused(&life, &bolt(&member))?;
    let refused = life.client.cypher(&bolt(&member), &["MATCH (n) RETURN count(n)"]).err().unwrap_or_default();
    ensure(refused.contains("needs to be restarted"), || format!("a full disk does not refuse reads: {refused:?}"))?;
    let shown = life.client.cypher(&bolt(&member), &[statuses])?;
    let (status, message) = (&shown[0][0]["currentStatus"], shown[0][0]["statusMessage"].as_str().unwrap_or_default());
    ensure(status == "online" && message.contains("No space left"), || format!("a full disk looks like {shown:?}"))?;
    ensure(member.is_healthy()? && life.client.get(&page(&member)).is_ok(), || "a full disk closes ports".to_owned())?;
    let view = until("the gateway sees it", || Ok(asking.view(member.address, &gateway::admin()).ok()))?;
    let neo4j =
        view.databases.iter().find(|database| database.name == "neo4j").ok_or("the gateway does not see neo4j")?;
    let seen = neo4j.copies.iter().all(|copy| copy.status == "online" && copy.message.contains("No space left"));
    ensure(seen, || format!("for the gateway a full disk looks like {neo4j:?}"))?;
    narrator.note(&format!("full after {acknowledged} acknowledged transactions: it says online, and refuses all"));

    member.terminate()?;
    until("the stop fails", || Ok(member.console().contains("No space left on device").then_some(())))?;
    until("the port closes", || Ok((!accepts(member.address, BOLT)).then_some(())))?;
    ensure(stays_for_five_seconds(&mut member)?, || {
        "the stop on a full disk ends by itself: say so in the documents".to_owned()
    })?;
    member.kill()?;
    narrator.note("told to stop: the port is closed, and it does not end");

    let mut hung = start("hung", 12)?;
    until("the start fails", || {
        ensure(hung.ended()?.is_none(), || "the start on a full disk ends by itself".to_owned())?;
        Ok(hung.console().contains("No space left on device").then_some(()))
    })?;
    ensure(stays_for_five_seconds(&mut hung)?, || {
        "the start on a full disk ends by itself: say so in the documents".to_owned()
    })?;
    ensure(hung.is_healthy()?, || "a member that hangs in its start is called unhealthy: say so".to_owned())?;
    mount(&volume, GROWN)?;
    ensure(stays_for_five_seconds(&mut hung)?, || {
        "a start that hung goes on or ends once there is room: say so in the documents".to_owned()
    })?;
    narrator.note("started again: it hangs, without a port and without an end, also when the volume has grown");
    // What a person does then: `aws ecs stop-task`.
    hung.stop()?;
    narrator.note("told to stop once there is room: it ends");

    let mut healed = start("healed", 13)?;
    healed.open()?;
    let rows = life.client.cypher(
        &bolt(&healed),
        &["MATCH (n:Filler) RETURN count(DISTINCT n.run) AS runs", "CREATE (:Healed)", statuses],
    )?;
    let runs = rows[0][0]["runs"].as_u64().unwrap_or_default();
    ensure(runs == acknowledged || runs == acknowledged + 1, || {
        format!("{acknowledged} were acknowledged, {runs} are there")
    })?;
    ensure(rows[2][0]["statusMessage"] == "", || format!("it is not healed: {}", rows[2]))?;
    ensure(healed.stop()? == 0, || "a healed member does not stop".to_owned())?;
    narrator.note("started once more: whole, writable, and it stops");
    Ok(())
}

fn page(member: &Member) -> String {
    format!("http://{}:7474/", member.address)
}

/// Mounts a file system of this size, or lets the one that is there grow to it.
pub(super) fn mount(volume: &Path, size: &str) -> Result<(), Trouble> {
    let is_new = !volume.exists();
    std::fs::create_dir_all(volume).map_err(|e| format!("{}: {e}", volume.display()))?;
    let options = if is_new { size.to_owned() } else { format!("remount,{size}") };
    network::run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(volume))
}

/// Takes all space but so many bytes.
pub(super) fn fill_up_to(volume: &Path, left: u64) -> Result<(), Trouble> {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(volume).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let free: u64 = text.lines().nth(1).and_then(|line| line.trim().parse().ok()).ok_or("df says nothing")?;
    ensure(free > left, || format!("only {free} bytes are free at first"))?;
    network::run(Command::new("fallocate").args(["-l", &(free - left).to_string()]).arg(volume.join("taken")))
}

/// Writes until Neo4j refuses. Returns how many transactions it acknowledged.
pub(super) fn write_until_refused(life: &Life, address: &str) -> Result<u64, Trouble> {
    let mut acknowledged = 0;
    loop {
        let text = "reduce(text = '', n IN range(1, 200) | text + 'filler')";
        let write = format!("UNWIND range(1, 1000) AS n CREATE (:Filler {{run: {acknowledged}, n: n, text: {text}}})");
        match life.client.cypher(address, &[&write]) {
            Ok(_) => acknowledged += 1,
            Err(refused) => {
                let full = refused.contains("TransactionLogError") || refused.contains("TransactionStartFailed");
                ensure(full, || format!("something else is refused: {refused}"))?;
                ensure(acknowledged > 0, || format!("nothing was written before the volume was full: {refused}"))?;
                return Ok(acknowledged);
            }
        }
        ensure(acknowledged < 1000, || "the volume does not fill".to_owned())?;
    }
}

/// Looks for five seconds whether a container stays as it is, without an end and without a port. That this goes on for ever, no
/// test can show; where members stop or start, this is longer than they take.
fn stays_for_five_seconds(member: &mut Member) -> Result<bool, Trouble> {
    let mut looks = 0;
    until("nothing happens", || {
        looks += 1;
        let moves = member.ended()?.is_some() || accepts(member.address, BOLT);
        Ok(if moves { Some(false) } else { (looks > 100).then_some(true) })
    })
}
