//! A real Neo4j behind the tasks of one core of the world: ECS starts it, tells it to stop and kills it, and a task has stopped
//! when its process has ended, not before.
//!
//! The other cores are the world's, and what Community cannot say is the world's to say as well; but it says nothing for a
//! process that does not answer. While the process starts or stops, the world's time goes no faster than the process's own;
//! otherwise it flies.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cluster_sim::{
    cluster::Cluster,
    functions::Environment,
    gateway,
    time::play,
    wire::{Invocable, Wire},
};
use cluster_world::{World, neo4j::Phase};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    LOOK, PATIENCE, Series,
    container::{BOLT, Member},
    ensure,
    gateway::Asking,
    life::{Life, NAME, PASSWORD, server_id},
    network::{Network, accepts},
};
use crate::{narrator::Narrator, stage::Trouble};

/// The core that is real.
pub const CORE: usize = 1;
/// How long a step of the simulation is.
const STEP: Duration = Duration::from_secs(5);
/// How long a process may leave a page unanswered before it counts as silent: one that runs answers in milliseconds.
const SILENT: Duration = Duration::from_secs(2);
/// How long an invocation of neo4j-gateway may take.
const INVOCATION: Duration = Duration::from_secs(15);
/// How long a story waits in the world's time.
const LONGEST: i64 = 3600;

/// A core of the world whose processes are real.
#[derive(Debug)]
pub struct Core<'a> {
    /// Everything else of the cluster.
    pub cluster: Cluster,
    /// What its containers are started with.
    pub life: &'a Life,
    /// The folder of its data volume.
    pub volume: PathBuf,
    /// The process that there is now.
    pub process: Option<Process>,
    /// How the processes before it have ended.
    pub ended: Vec<End>,
    asking: &'a Asking,
    network: &'a Network,
    narrator: &'a Narrator,
    heard: Heard,
    started: usize,
}

/// A process that plays the member of a task.
#[derive(Debug)]
pub struct Process {
    /// The task's id.
    pub task: String,
    /// The container.
    pub member: Member,
    /// The name of its network.
    name: String,
    /// Whether Bolt's port has opened.
    open: bool,
    /// When it was told to stop: in the world's time, and in its own.
    told: Option<(Timestamp, Instant)>,
}

/// How a process has ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The task's id.
    pub task: String,
    /// Whether it was killed.
    pub killed: bool,
    /// How much of its own time passed since it was told to stop.
    pub took: Duration,
}

/// The member that a process plays: its task and its address.
type Heard = Arc<Mutex<Option<(String, Ipv4Addr)>>>;

/// Forms a cluster in the world, lets a real Neo4j play one core of it from now on, with a volume of its own, and tells a story
/// of it. Docker kills what has not stopped after so many seconds: with the template's own twenty minutes a story would take as
/// long.
///
/// # Errors
/// What the story refuses, and a start that fails.
pub fn tell(
    (network, narrator): (&Network, &Narrator),
    series: Series,
    stop_timeout: i64,
    story: impl AsyncFnOnce(&mut Core<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let life = Life::new(network, series, false)?;
    let asking = Asking::new(&life)?;
    play(async {
        let mut core = Core::of(network, narrator, (&life, &asking), stop_timeout).await?;
        story(&mut core).await
    })
}

impl<'a> Core<'a> {
    async fn of(
        network: &'a Network,
        narrator: &'a Narrator,
        (life, asking): (&'a Life, &'a Asking),
        stop_timeout: i64,
    ) -> Result<Self, Trouble> {
        let cluster = Cluster::formed(3).quiet();
        let disk = cluster.nodes[CORE - 1].volume.clone();
        let heard = Heard::default();
        {
            let mut world = cluster.wire.world();
            shorten(&mut world, stop_timeout);
            world.neo4j.played.insert(disk);
        }
        let name = cluster.environment()["GATEWAY_FUNCTION"].clone();
        cluster.wire.add_function(&name, held_to(&heard));
        let volume = network.folder.join("volume");
        narrator.note("a cluster has formed in the world");
        let mut core =
            Self { cluster, life, volume, process: None, ended: vec![], asking, network, narrator, heard, started: 0 };
        core.follow(Instant::now())?;
        core.until("the core's process is there", Self::is_open).await?;
        narrator.note("one of its cores is a real Neo4j");
        Ok(core)
    }

    /// Returns how a driver reaches the process.
    ///
    /// # Errors
    /// When there is none.
    pub fn bolt(&self) -> Result<String, Trouble> {
        Ok(format!("bolt://{}:{BOLT}", self.running()?.member.address))
    }

    /// Returns the process.
    ///
    /// # Errors
    /// When there is none.
    pub fn running(&self) -> Result<&Process, Trouble> {
        self.process.as_ref().ok_or_else(|| "no process plays the core".to_owned())
    }

    /// Returns whether the process has opened its ports and is not on its way out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.open && process.told.is_none())
    }

    /// Returns the server id that the process itself says.
    ///
    /// # Errors
    /// When it does not.
    pub fn server(&self) -> Result<Value, Trouble> {
        server_id(self.life, self.running()?.member.address)
    }

    /// Returns the core's instance.
    ///
    /// # Errors
    /// When no instance has the core's volume.
    pub fn instance(&self) -> Result<String, Trouble> {
        self.cluster.holder(CORE).ok_or_else(|| "no instance has the core's volume".to_owned())
    }

    /// Returns what ECS says of the process's task.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn status(&self) -> Result<&'static str, Trouble> {
        let task = &self.running()?.task;
        let world = self.cluster.wire.world();
        let tasks = &world.ecs.clusters[&self.cluster.ecs_cluster].tasks;
        tasks.get(task).map(|task| task.status).ok_or_else(|| format!("ECS knows no task {task}"))
    }

    /// Returns whether neo4j-gateway is answered by the process itself.
    ///
    /// # Errors
    /// When the request is refused.
    pub fn is_heard(&self) -> Result<bool, Trouble> {
        let address = self.running()?.member.address;
        // It has a runtime of its own, and real time.
        let asking = self.asking;
        let asked = std::thread::scope(|scope| scope.spawn(|| asking.observe(address, None, None)).join());
        let answer = asked.map_err(|_| "the gateway panicked".to_owned())??;
        Ok(answer.page.is_ok())
    }

    /// Tells what comes next.
    pub fn note(&self, text: &str) {
        self.narrator.note(text);
    }

    /// Lets the world and the process go on until something is so.
    ///
    /// # Errors
    /// When it does not become so, or the process outlives what it must not.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), Trouble> {
        let (began, began_at) = (Instant::now(), self.cluster.wire.world().now);
        while !is_so(self) {
            let passed = self.cluster.wire.world().now.duration_since(began_at).as_secs();
            ensure(passed < LONGEST && began.elapsed() < PATIENCE, || {
                format!("{what}: not after {passed} seconds of the world\n{}", self.cluster.picture())
            })?;
            self.step().await?;
        }
        Ok(())
    }

    /// Lets a step pass.
    async fn step(&mut self) -> Result<(), Trouble> {
        let began = Instant::now();
        self.cluster.step().await;
        self.follow(began)
    }

    /// Lets the process go on as the world has: it starts with its task, is told to stop, and is killed. What takes its time
    /// takes it, up to a step.
    fn follow(&mut self, began: Instant) -> Result<(), Trouble> {
        self.outlives_nothing()?;
        if self.process.is_none() {
            self.start()?;
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let (now, patience, stopping) = {
            let world = self.cluster.wire.world();
            let member = world.neo4j.members.get(&process.task);
            let member = member.ok_or_else(|| format!("{} has left the world before its process", process.task))?;
            let task = world.ecs.clusters[&self.cluster.ecs_cluster].tasks.get(&process.task);
            (world.now, member.settings.stop_timeout, task.is_some_and(|task| task.status == "STOPPING"))
        };
        if stopping && process.told.is_none() {
            process.member.terminate()?;
            process.told = Some((now, Instant::now()));
        }
        let Some((told, told_at)) = process.told else {
            if !process.open {
                let (member, rest) = (&mut process.member, STEP.saturating_sub(began.elapsed()));
                process.open = soon(rest, || Ok(accepts(member.address, BOLT) || member.ended()?.is_some()))?;
                ensure(process.member.ended()?.is_none(), || "the process ended in its start".to_owned())?;
            }
            return Ok(());
        };
        let member = &mut process.member;
        let ends = soon(STEP.saturating_sub(began.elapsed()), || Ok(member.ended()?.is_some()))?;
        let killed = !ends && now.duration_since(told).as_secs() >= patience;
        if killed {
            process.member.kill()?;
        }
        if ends || killed {
            let end = End { task: process.task.clone(), killed, took: told_at.elapsed() };
            self.network.remove(&process.name)?;
            self.process = None;
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.cluster.wire.world().end_member(&end.task, killed);
            self.ended.push(end);
        }
        Ok(())
    }

    /// Starts the process of the task that ECS runs on the core's volume.
    fn start(&mut self) -> Result<(), Trouble> {
        let found = {
            let world = self.cluster.wire.world();
            let disk = &self.cluster.nodes[CORE - 1].volume;
            let mut members = world.neo4j.members.iter().filter(|(_, member)| member.disk == *disk);
            members.next().map(|(task, member)| (task.clone(), member.address))
        };
        let Some((task, address)) = found else { return Ok(()) };
        self.started += 1;
        let name = format!("core-{}", self.started);
        let secrets = self.life.secrets(PASSWORD, NAME, false)?;
        let member = Member::start(self.network, &self.life.definition, &name, address, &self.volume, &secrets)?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((task.clone(), address));
        self.process = Some(Process { task, member, name, open: false, told: None });
        Ok(())
    }

    /// While the process lives, its task is not STOPPED, its instance runs, and no hook has let that go.
    fn outlives_nothing(&self) -> Result<(), Trouble> {
        let Some(process) = &self.process else { return Ok(()) };
        ensure(self.status()? != "STOPPED", || format!("ECS calls {} STOPPED, and its process lives", process.task))?;
        let world = self.cluster.wire.world();
        let mut instances = world.ec2.instances.iter();
        let on = instances.find(|(_, found)| found.address == process.member.address && found.ended.is_none());
        let (instance, _) = on.ok_or("the instance has ended under its process")?;
        let state = world.auto_scaling.member(instance).map(|member| member.state);
        let held = state.is_some_and(|state| ["InService", "Terminating:Wait"].contains(&state));
        ensure(held, || format!("{instance} is {state:?}, and the process on it lives"))
    }
}

/// Lets Docker kill earlier what does not stop.
fn shorten(world: &mut World, stop_timeout: i64) {
    let definitions = world.ecs.definitions.values_mut().filter_map(|definition| definition.neo4j.as_mut());
    let members = world.neo4j.members.values_mut().map(|member| &mut member.settings);
    for settings in definitions.chain(members) {
        Arc::make_mut(settings).stop_timeout = stop_timeout;
    }
}

/// Looks whether something happens in this time.
fn soon(longest: Duration, mut happens: impl FnMut() -> Result<bool, Trouble>) -> Result<bool, Trouble> {
    let began = Instant::now();
    loop {
        let happened = happens()?;
        if happened || began.elapsed() > longest {
            return Ok(happened);
        }
        std::thread::sleep(LOOK);
    }
}

/// Returns neo4j-gateway, to which the world says nothing for a process that does not answer.
fn held_to(heard: &Heard) -> Invocable {
    let (world, heard) = (gateway::invocable(&Environment::new(), INVOCATION), heard.clone());
    let run = world.run.clone();
    let held = move |wire: &Wire, payload: Value| {
        hold(wire, &heard);
        run(wire, payload)
    };
    Invocable { run: Arc::new(held), ..world }
}

/// Lets the world's member be silent as long as its process is.
fn hold(wire: &Wire, heard: &Heard) {
    let Some((task, address)) = heard.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    let answers = answers(address).unwrap_or(false);
    let mut world = wire.world();
    let serving = world.neo4j.members.get(&task).is_some_and(|member| member.phase == Phase::Serving);
    if serving {
        world.hang_member(&task, !answers);
    }
}

/// Asks a process for its first page.
fn answers(address: Ipv4Addr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, 7474).into(), SILENT)?;
    stream.set_read_timeout(Some(SILENT))?;
    stream.write_all(b"GET / HTTP/1.0\r\nAccept: application/json\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}
