//! The story that the demo tells and the end-to-end test proves: a cluster from its deployment to its deletion.

use std::time::Duration;

use cluster_world::ec2::Contents;
use hickory_proto::rr::RecordType;
use serde_json::json;

use crate::{
    cluster::{Build, Cluster, NAMES},
    narrator::{Narrator, Row, Took},
    stage::{Stage, Trouble},
};

const STACK: &str = "neo4j-local";
const CORES: usize = 3;
const REPLICAS: usize = 2;

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
        let forming = self.cluster.formed(CORES, REPLICAS);
        let took = self.narrator.work("instances boot, get their volumes, join", forming).await?;
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
        Ok(())
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
        for calls in [9, 18] {
            stage.wind(60).await?;
            let counted = || async move { Ok(stage.live.world().count_calls(from).0 >= calls) };
            stage.until("both sweeps have looked", counted).await?;
        }
        let writes = stage.live.world().count_calls(from).1;
        self.row("two idle minutes", "unchanged".into(), writes == 0, None, from)
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
        self.row("core 2 out of DNS", "2 cores left".into(), true, Some(Took::Modelled(took)), from)?;

        let from = stage.live.world().calls.len();
        let healed = self.cluster.formed(CORES, REPLICAS);
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
            Ok(away + back + cluster.formed(CORES, REPLICAS).await?)
        };
        let took = self.narrator.work("the instance of core 1 reboots", back).await?;
        let same = self.cluster.cores().remove("1") == Some(core);
        self.row("core 1 rebooted", "same instance, same volume".into(), same, Some(Took::Modelled(took)), from)?;
        let function = stage.outputs(STACK).await?.remove("InstanceDrainerFunction").unwrap_or_default();
        let plan = stage.invoke(&function, &json!({"dryRun": true})).await?;
        self.narrator.note(&format!("dry run by hand: {plan}"));
        if plan["steps"] == json!([]) { Ok(()) } else { Err(format!("the dry run answered {plan}")) }
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
