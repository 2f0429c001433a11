//! The story that the demo tells and the end-to-end test proves: a cluster from its deployment to its deletion.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt,
    time::Duration,
};

use cluster_world::{
    ec2::Contents,
    neo4j::{Lost, Member},
};
use hickory_proto::rr::RecordType;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    cluster::{Build, Cluster, Core, NAMES},
    narrator::{Narrator, Row, Took},
    stage::{Stage, Trouble},
};

const STACK: &str = "neo4j-local";
const CORES: usize = 3;
const REPLICAS: usize = 2;
/// How often both functions call the world when nothing is to do. dns-replicator: the registry of each tier, the tasks in
/// them, the zone. instance-drainer: groups, volumes, container instances (a list and their description), tasks (the same).
/// Secrets, the state table, and neo4j-gateway itself are the emulator's.
const CALLS_OF_A_SWEEP: usize = 4 + 6;

/// Plays the whole story on a stage of its own. `Err` tells the first step that did not hold.
pub async fn play(build: Build, narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = tell(&stage, build, narrator).await;
    stage.end(told).await
}

/// Deploys the cluster, and leaves it to a person until `done`.
pub async fn keep(narrator: &mut Narrator, done: impl Future<Output = ()>) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = async {
        form(&stage, Build::Cargo, narrator).await?;
        narrator.summary();
        println!("\nPaste this into another terminal:\n\n{}\nNAME={STACK}", stage.exports());
        println!("\nThen try what docs/operations.md has. Time is real, a sweep comes each minute.");
        println!("Enter or Ctrl-C ends it.");
        done.await;
        Ok(())
    };
    let told = told.await;
    stage.end(told).await
}

async fn tell(stage: &Stage, build: Build, narrator: &mut Narrator) -> Result<(), Trouble> {
    let mut story = form(stage, build, narrator).await?;
    story.is_idle().await?;
    story.loses_an_instance().await?;
    story.reboots_an_instance().await?;
    story.drains_an_instance().await?;
    story.kept_its_majority().await?;
    story.is_deleted().await
}

async fn form<'a>(stage: &'a Stage, build: Build, narrator: &'a mut Narrator) -> Result<Story<'a>, Trouble> {
    let cluster = Cluster::prepare(stage, STACK, build, narrator).await?;
    let replicas = REPLICAS.to_string();
    let parameters = [("ReplicaCount", replicas.as_str())];
    narrator.work("sam deploy: the whole cluster", cluster.deploy(&parameters)).await?;
    let mut story = Story { stage, cluster, narrator };
    story.forms().await?;
    Ok(story)
}

struct Story<'a> {
    stage: &'a Stage,
    cluster: Cluster<'a>,
    narrator: &'a mut Narrator,
}

impl Story<'_> {
    async fn forms(&mut self) -> Result<(), Trouble> {
        let from = self.stage.live.world().calls.len();
        let (stage, cluster) = (self.stage, &self.cluster);
        let answering = || stage.live.world().neo4j.members.values().any(Member::answers);
        let first = cluster.until("a member answers", async || Ok(answering()));
        let began = self.narrator.work("instances boot, get their volumes, Neo4j starts", first).await?;
        self.shows_rows("the members appear, before they know the user monitor", &self.cluster.plan().await?)?;
        let forming = self.cluster.formed(CORES, REPLICAS);
        let took = self.narrator.work("members form a cluster and get their names", forming).await? + began;
        for (number, core) in self.cluster.cores() {
            let (volume, instance, address) = (core.volume, core.instance, core.address);
            self.narrator.note(&format!("core {number}: {volume} on {instance} at {address}"));
        }
        let held = self.cluster.cores().values().all(|core| core.contents == Contents::Xfs);
        self.row("cluster forms", "3 cores, 2 replicas in DNS".into(), held, Some(Took::Modelled(took)), from)?;
        for name in ["core.discovery.neo4j.service", "discovery.core.neo4j.service"] {
            let answers = self.stage.ask(name, RecordType::SRV).await?;
            if answers.len() != CORES {
                return Err(format!("{name} answers {answers:?}, not {CORES} members"));
            }
        }
        let whole = self.cluster.is_whole();
        let (_, plan) = self.narrator.work("instance-drainer declares the user monitor, and hears all", whole).await?;
        self.shows("every core may be stopped, one at a time", &plan)?;
        let ecs = self.cluster.output("EcsClusterName").await?;
        let declared =
            self.stage.live.world().neo4j.dbms_in(&ecs).is_some_and(|dbms| dbms.users.contains_key("monitor"));
        if declared { Ok(()) } else { Err("Neo4j has no user monitor, although every member answered one".to_owned()) }
    }

    /// Shows what a person sees who looks at the members.
    fn shows(&self, what: &str, plan: &Value) -> Result<(), Trouble> {
        let table = plan["table"].as_str().ok_or_else(|| format!("the dry run shows no table: {plan}"))?;
        self.narrator.note(&format!("ShowMembers: {what}"));
        self.narrator.lines(table);
        Ok(())
    }

    /// Shows the rows of it alone, while everything is missing something.
    fn shows_rows(&self, what: &str, plan: &Value) -> Result<(), Trouble> {
        let table = plan["table"].as_str().unwrap_or_default();
        let sections = table.split("\n\n").filter(|one| one.starts_with("member ") || one.starts_with("user monitor:"));
        self.shows(what, &json!({"table": sections.collect::<Vec<_>>().join("\n\n")}))
    }

    async fn is_idle(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        // What the forming still left to look at comes first.
        stage.wind(60).await?;
        let quiet = async || {
            let before = stage.live.world().calls.len();
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(stage.live.world().calls.len() == before)
        };
        stage.until("all is quiet", quiet).await?;
        let from = stage.live.world().calls.len();
        for sweeps in 1..=2 {
            stage.wind(60).await?;
            let counted = || async move { Ok(stage.live.world().count_calls(from).0 >= sweeps * CALLS_OF_A_SWEEP) };
            stage.until("both sweeps have looked", counted).await?;
        }
        let writes = stage.live.world().count_calls(from).1;
        self.row("two idle minutes", "unchanged".into(), writes == 0, None, from)?;
        self.reports_the_margin().await
    }

    /// Looks at the metrics of the last sweep.
    async fn reports_the_margin(&self) -> Result<(), Trouble> {
        let log = self.cluster.drainer_log().await?;
        let metrics = self.stage.metrics(&log).await?;
        #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
        let wanted = [("QuorumMargin", 1.0), ("MembersMissing", 0.0), ("MembersAnswering", (CORES + REPLICAS) as f64)];
        for (name, value) in wanted {
            if metrics.get(name) != Some(&value) {
                return Err(format!("{name} should be {value} in the metrics of {log}: {metrics:?}"));
            }
        }
        self.narrator.note("QuorumMargin is 1: one core may be lost");
        Ok(())
    }

    async fn loses_an_instance(&mut self) -> Result<(), Trouble> {
        let (stage, cluster) = (self.stage, &self.cluster);
        let before = cluster.cores();
        let lost = before.get("2").ok_or("there is no core 2")?.clone();
        let from = stage.live.world().calls.len();
        stage.live.world().lose_instance(&lost.instance);
        let gone = cluster.until("core 2 is out of DNS", async || {
            Ok(!stage.ask(NAMES[0].1, RecordType::A).await?.contains(&lost.address))
        });
        let took = self.narrator.work("the instance of core 2 is lost", gone).await?;
        let plan = self.cluster.plan().await?;
        self.shows("no other core may be stopped now", &plan)?;
        let missing = plan["neo4j"]["missing"].as_array().is_some_and(|all| {
            all.len() == 1 && all.iter().all(|one| one.as_str().is_some_and(|one| one.starts_with("core 2 ")))
        });
        let held = plan["cores"].as_array().is_some_and(|cores| {
            cores.len() == CORES && cores.iter().all(|core| (core["safeToStop"] == true) == (core["core"] == 2))
        });
        if !(missing && held) {
            return Err(format!("core 2 alone should be missing, and hold the others: {plan}"));
        }
        self.row("core 2 out of DNS", "2 cores left".into(), true, Some(Took::Modelled(took)), from)?;

        let from = stage.live.world().calls.len();
        let healed = async {
            let published = self.cluster.formed(CORES, REPLICAS).await?;
            Ok(published + self.cluster.is_whole().await?.0)
        };
        let healed = self.narrator.work("a new instance gets the same volume", healed).await? + took;
        let now = self.cluster.cores();
        let core = now.get("2").ok_or("core 2 did not come back")?;
        let same = core.volume == lost.volume && core.contents == Contents::Xfs && core.instance != lost.instance;
        let rest = now.iter().filter(|(number, _)| *number != "2").eq(before.iter().filter(|(n, _)| *n != "2"));
        let answer = format!("{} on {}", core.volume, core.instance);
        self.row("core 2 healed", answer, same && rest, Some(Took::Modelled(healed)), from)
    }

    async fn reboots_an_instance(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        let core = self.cluster.cores().remove("1").ok_or("there is no core 1")?;
        let from = stage.live.world().calls.len();
        let cluster = &self.cluster;
        let connected = |connected: bool| {
            stage.live.world().container_instance(&core.instance).is_some_and(|host| host.connected == connected)
        };
        stage.live.world().reboot(&core.instance);
        let back = async {
            let away = cluster.until("its agent is away", async || Ok(connected(false))).await?;
            let back = cluster.until("its agent is back", async || Ok(connected(true))).await?;
            Ok(away + back + cluster.is_whole().await?.0 + cluster.formed(CORES, REPLICAS).await?)
        };
        let took = self.narrator.work("the instance of core 1 reboots", back).await?;
        let same = self.cluster.cores().remove("1") == Some(core);
        self.row("core 1 rebooted", "same instance, same volume".into(), same, Some(Took::Modelled(took)), from)?;
        let plan = self.cluster.plan().await?;
        if plan["steps"] == json!([]) { Ok(()) } else { Err(format!("the dry run answered {plan}")) }
    }

    /// Terminates the instance of a core as people do: nobody empties it first, and nobody looks at Neo4j.
    async fn drains_an_instance(&mut self) -> Result<(), Trouble> {
        let (stage, cluster) = (self.stage, &self.cluster);
        let before = cluster.cores();
        let drained = before.get("3").ok_or("there is no core 3")?.clone();
        let from = stage.live.world().calls.len();
        let answers = Answers::new(before.values().filter(|core| core.address != drained.address));
        let watched = async |what: &str, is_so: &dyn Fn() -> bool| {
            let looks = async || {
                answers.look(stage).await?;
                Ok(is_so())
            };
            match cluster.until_by(1, what, looks).await {
                Ok(took) => Ok(took),
                Err(why) => {
                    let log = stage.last_lines(&cluster.drainer_log().await?, 60).await?;
                    Err(format!("{why}:\n{log}"))
                }
            }
        };
        stage.terminate(&drained.instance)?;
        let draining = || {
            let world = stage.live.world();
            world.container_instance(&drained.instance).is_some_and(|found| found.status == "DRAINING")
        };
        let drains = watched("the instance drains", &draining);
        let mut took = self.narrator.work("people terminate the instance of core 3", drains).await?;
        let plan = cluster.plan().await?;
        self.holds_the_lease(&plan)?;
        let gone = || {
            let world = stage.live.world();
            world.ec2.instances.get(&drained.instance).is_none_or(|found| found.ended.is_some())
        };
        let gone = watched("Auto Scaling terminates it", &gone);
        took += self.narrator.work("Neo4j stops, and only then is the instance let go", gone).await?;
        self.narrator.note(&format!("let go {} s after it was to be terminated", took.as_secs()));
        let returned = || cluster.cores().get("3").is_some_and(|core| core.instance != drained.instance);
        let returns = async {
            let returned = watched("core 3 is in service on another instance", &returned).await?;
            let votes = watched("core 3 votes again", &|| votes(stage, &drained.volume)).await?;
            let published = cluster.formed(CORES, REPLICAS).await?;
            let whole = cluster.is_whole().await?.0;
            let free =
                cluster.until("the lease is free", async || Ok(cluster.plan().await?["lease"].is_null())).await?;
            Ok(returned + votes + published + whole + free)
        };
        took += self.narrator.work("the next instance gets the volume, and the core votes again", returns).await?;
        let core = cluster.cores().remove("3").ok_or("core 3 did not come back")?;
        let held = core.volume == drained.volume && core.contents == Contents::Xfs;
        let answer = format!("{} on {}, in every voting set; {answers}", core.volume, core.instance);
        self.row("core 3 drained", answer, held && answers.were_right(), Some(Took::Modelled(took)), from)
    }

    /// Shows who may stop: the core that drains alone.
    fn holds_the_lease(&self, plan: &Value) -> Result<(), Trouble> {
        let lease = &plan["lease"];
        let spared = plan["cores"].as_array().into_iter().flatten().filter(|core| core["safeToStop"] == true);
        let spared: Vec<_> = spared.map(|core| &core["core"]).collect();
        if lease["core"] != 3 || spared.iter().any(|core| **core != 3) {
            return Err(format!(
                "core 3 alone should be allowed to stop, under the lease: {lease}, {spared:?}\n{plan}"
            ));
        }
        self.narrator.note(&format!(
            "the gate let core 3 go, and the lease is its own: {} since {}",
            lease["cause"].as_str().unwrap_or_default(),
            lease["since"].as_str().unwrap_or_default()
        ));
        Ok(())
    }

    /// Sums up how long each database had no majority. What AWS takes is its own business; functions may take nothing, and
    /// nobody else has taken anything here.
    async fn kept_its_majority(&mut self) -> Result<(), Trouble> {
        let ecs = self.cluster.output("EcsClusterName").await?;
        let (lost, mut databases) = {
            let world = self.stage.live.world();
            let databases = world.neo4j.dbms_in(&ecs).map(|dbms| dbms.databases.keys().cloned().collect::<Vec<_>>());
            (world.without_majority(), databases.ok_or("no Neo4j has formed")?)
        };
        databases.extend(lost.keys().filter(|name| !databases.contains(name)).cloned().collect::<Vec<_>>());
        let of = |name: &String| lost.get(name).map_or_else(|| "0 s".to_owned(), Lost::to_string);
        let each: Vec<_> = databases.iter().map(|name| format!("{name} {}", of(name))).collect();
        let held = !databases.is_empty() && lost.values().all(|lost| lost.voluntary().is_zero());
        let all = lost.values().map(|lost| lost.aws + lost.itself + lost.voluntary()).sum::<SignedDuration>();
        let all = Duration::try_from(all).map_err(|error| error.to_string())?;
        let from = self.stage.live.world().calls.len();
        let answer = format!("seconds without a majority: {}", each.join(", "));
        self.row("without a majority", answer, held, Some(Took::Modelled(all)), from)
    }

    async fn is_deleted(&mut self) -> Result<(), Trouble> {
        let from = self.stage.live.world().calls.len();
        self.narrator.work("deleting the stack", self.cluster.delete()).await?;
        let snapshots = self.stage.live.world().ec2.snapshots.len();
        let answer = format!("nothing left but {snapshots} snapshots");
        self.row("stack deleted", answer, snapshots == CORES, None, from)
    }

    fn row(
        &mut self,
        event: &'static str,
        answer: String,
        held: bool,
        took: Option<Took>,
        from: usize,
    ) -> Result<(), Trouble> {
        let (calls, writes) = self.stage.live.world().count_calls(from);
        self.narrator.row(Row { event, answer, held, took, calls, writes })
    }
}

/// What DNS answered for the cores, each second in which one of them went and came back.
struct Answers {
    /// The addresses that each answer has.
    stay: Vec<String>,
    asked: Cell<usize>,
    wrong: RefCell<Vec<String>>,
}

impl Answers {
    fn new<'a>(stay: impl Iterator<Item = &'a Core>) -> Self {
        let stay = stay.map(|core| core.address.clone()).collect();
        Self { stay, asked: Cell::default(), wrong: RefCell::default() }
    }

    /// Asks. An answer is right with all who stay, and without anybody whose task has stopped.
    async fn look(&self, stage: &Stage) -> Result<(), Trouble> {
        let answer = stage.ask(NAMES[0].1, RecordType::A).await?;
        self.asked.set(self.asked.get() + 1);
        let world = stage.live.world();
        let mut tasks = world.ecs.clusters.values().flat_map(|cluster| cluster.tasks.values());
        let lives: BTreeSet<_> =
            tasks.by_ref().filter(|task| task.status != "STOPPED").map(|task| task.address.to_string()).collect();
        let right = self.stay.iter().all(|address| answer.contains(address))
            && answer.iter().all(|address| lives.contains(address));
        if !right {
            self.wrong.borrow_mut().push(format!("{} {answer:?}", world.now));
        }
        Ok(())
    }

    fn were_right(&self) -> bool {
        self.asked.get() > 0 && self.wrong.borrow().is_empty()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self.wrong.borrow();
        write!(f, "{} of {} answers of DNS were wrong", wrong.len(), self.asked.get())?;
        wrong.iter().take(3).try_for_each(|answer| write!(f, ", {answer}"))
    }
}

/// Returns whether the core with this volume takes part in every database that it holds a primary of.
fn votes(stage: &Stage, volume: &str) -> bool {
    let world = stage.live.world();
    let Some(store) = world.neo4j.stores.get(volume) else { return false };
    let copies = world.neo4j.dbms.values().flat_map(|dbms| dbms.databases.values());
    let copies: Vec<_> = copies.filter_map(|database| database.copies.get(&store.server)).collect();
    let votes = |copy: &&cluster_world::neo4j::Copy| {
        copy.status == "online" && copy.message.is_empty() && copy.unable.is_none() && copy.lag == 0
    };
    !copies.is_empty() && copies.iter().filter(|copy| copy.primary).all(votes)
}
