//! What becomes of a task of the world when its process is a real Neo4j: one that stops, one that never ends, and one that
//! stands still.

use cluster_world::Request;

use super::{
    Series,
    container::BOLT,
    disk, ensure,
    network::{Network, accepts},
    played::{CORE, Core, tell},
};
use crate::{narrator::Narrator, stage::Trouble};

/// Seconds after which Docker kills what has not stopped, where that is not waited for. The template's own are 1,200.
const AMPLE: i64 = 300;
/// The same where a story waits for the kill: the least that the template allows.
const SHORT: i64 = 30;
/// How many rows have to come back.
const KEPT: u64 = 100;

/// An instance is terminated, instance-drainer drains it, and its task is told to stop: idle (11 s), and then with an open transaction (20 s). Its hook is completed when
/// the process has ended, and the next instance starts another one on the same volume.
///
/// # Errors
/// The first thing that does not hold.
pub fn is_drained(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    tell((network, narrator), series, AMPLE, async |core| {
        let kept = core.keeps()?;
        core.is_replaced("idle").await?;
        core.has(&kept)?;
        // The calendar series waits for a client that leaves its transaction open for 80 s, and nobody here waits for that.
        if series == Series::Calendar {
            return Ok(());
        }
        let holder = core.life.client.hold(&core.bolt()?)?;
        core.is_replaced("with an open transaction").await?;
        drop(holder);
        // What was not committed is gone.
        core.has(&kept)
    })
}

/// The disk fills up, and the instance is terminated: the process is told to stop, never ends, and is killed. Once the volume has
/// grown, the next instance starts another one, with all that was acknowledged.
///
/// # Errors
/// The first thing that does not hold.
pub fn is_killed_on_a_full_disk(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    disk::mount(&network.folder.join("volume"), disk::SMALL)?;
    tell((network, narrator), series, SHORT, async |core| {
        let kept = core.keeps()?;
        disk::fill_up_to(&core.volume, disk::ROOM)?;
        let acknowledged = disk::write_until_refused(core.life, &core.bolt()?)?;
        let volume = core.cluster.nodes[CORE - 1].volume.clone();
        core.cluster.wire.world().fill_disk(&volume);
        core.note(&format!("full after {acknowledged} acknowledged transactions"));
        let instance = core.terminate()?;
        core.until("the process is killed", |core| !core.ended.is_empty()).await?;
        ensure(core.ended[0].killed, || format!("the stop on a full disk ends by itself: {:?}", core.ended))?;
        core.note("told to stop, and killed when its time was over");
        disk::mount(&core.volume, disk::GROWN)?;
        core.cluster.wire.world().free_disk(&volume);
        core.until("the next instance serves", |core| core.serves_without(&instance)).await?;
        core.has(&kept)?;
        let count = "MATCH (n:Filler) RETURN count(DISTINCT n.run) AS runs";
        let runs = core.life.client.cypher(&core.bolt()?, &[count])?[0][0]["runs"].as_u64().unwrap_or_default();
        ensure(runs == acknowledged || runs == acknowledged + 1, || {
            format!("{acknowledged} were acknowledged, {runs} are there")
        })?;
        core.note("on a volume with room the next one starts, and has all that was acknowledged");
        Ok(())
    })
}

/// The process stands still: it answers nobody, and ECS sees nothing of it. instance-drainer stops its task under the lease,
/// which ends by a kill, and the next one on the same instance answers again.
///
/// # Errors
/// The first thing that does not hold.
pub fn stands_still(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    tell((network, narrator), series, SHORT, async |core| {
        let kept = core.keeps()?;
        let instance = core.instance()?;
        ensure(core.is_heard()?, || "a process that runs does not answer".to_owned())?;
        core.running()?.member.signal_neo4j("STOP")?;
        ensure(!core.is_heard()?, || "HTTP answers while Neo4j stands still".to_owned())?;
        let (member, status) = (&core.running()?.member, core.status()?);
        let healthy = member.is_healthy()? && accepts(member.address, BOLT);
        ensure(healthy && status == "RUNNING", || format!("ECS sees it: {status}, healthy: {healthy}"))?;
        core.note("it stands still: HTTP is silent, 7687 accepts, and ECS says RUNNING");
        let task = core.running()?.task.clone();
        core.until("the process is killed", |core| !core.ended.is_empty()).await?;
        let calls = core.cluster.wire.world().calls.clone();
        ensure(calls.iter().any(|call| call.action == "ecs:StopTask"), || "nobody stopped the task".to_owned())?;
        let [end] = &core.ended[..] else { return Err(format!("it ended more than once: {:?}", core.ended)) };
        ensure(end.killed && end.task == task, || format!("what stands still ends by itself: {end:?}"))?;
        core.note(
            "silent for ten minutes: instance-drainer stopped its task, and it was killed when its time was over",
        );
        core.until("another process answers", Core::is_open).await?;
        ensure(core.instance()? == instance, || "it came back on another instance".to_owned())?;
        core.has(&kept)?;
        core.note("the next task answers again, on the same instance and volume");
        Ok(())
    })
}

/// What has to come back with a volume.
#[derive(Debug)]
struct Kept {
    server: serde_json::Value,
}

impl Core<'_> {
    /// Writes rows that have to come back.
    fn keeps(&self) -> Result<Kept, Trouble> {
        let write = format!("UNWIND range(1, {KEPT}) AS number CREATE (:Written {{number: number}})");
        self.life.client.cypher(&self.bolt()?, &[&write])?;
        Ok(Kept { server: self.server()? })
    }

    /// Refuses another server id, or other rows, and waits until the process answers neo4j-gateway.
    fn has(&self, kept: &Kept) -> Result<(), Trouble> {
        super::until("the gateway is answered", || Ok(self.is_heard()?.then_some(())))?;
        let server = self.server()?;
        ensure(server == kept.server, || format!("{} came back as {server}", kept.server))?;
        let count = "MATCH (n:Written) RETURN count(DISTINCT n.number) AS written";
        let rows = self.life.client.cypher(&self.bolt()?, &[count])?;
        ensure(rows[0][0]["written"] == KEPT, || format!("{KEPT} rows were acknowledged, and there are {rows:?}"))
    }

    /// Terminates the core's instance, as people do, and returns it.
    fn terminate(&self) -> Result<String, Trouble> {
        let instance = self.instance()?;
        let form = format!(
            "Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId={instance}\
             &ShouldDecrementDesiredCapacity=false"
        );
        let (method, path) = ("POST".to_owned(), "/".to_owned());
        let request = Request { method, path, body: form.into_bytes(), ..Request::default() };
        let answer = self.cluster.wire.world().answer(&request);
        ensure(answer.status == 200, || format!("Auto Scaling refuses: {}", answer.body))?;
        Ok(instance)
    }

    /// Returns whether another instance serves as the core, with a process that is open.
    fn serves_without(&self, old: &str) -> bool {
        self.is_open() && self.cluster.is_replaced(CORE, old)
    }

    async fn is_replaced(&mut self, how: &str) -> Result<(), Trouble> {
        let before = self.ended.len();
        let instance = self.terminate()?;
        self.until("the next instance serves", |core| core.serves_without(&instance)).await?;
        let [end] = &self.ended[before..] else { return Err(format!("it ended {:?}", self.ended)) };
        ensure(!end.killed, || format!("a stop {how} ends by a kill: {end:?}"))?;
        self.note(&format!(
            "stopped {how} in {:.1} s, and only then released; back on the next instance",
            end.took.as_secs_f64()
        ));
        Ok(())
    }
}
