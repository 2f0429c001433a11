//! The whole cluster on a stage: the real root template, its instances and volumes in the world.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use cluster_world::ec2::Contents;
use hickory_proto::rr::RecordType;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    narrator::Narrator,
    stage::{Stage, Trouble},
};

/// The multivalue names of both tiers.
pub const NAMES: [(&str, &str); 2] = [("core", "core.neo4j.service"), ("replica", "replica.neo4j.service")];
/// The zones of the subnets.
const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
/// How far time is wound at a look: slow enough for functions, which work in real time, to keep up.
const STEP: u64 = 2;

/// Who builds the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Cargo, together with the tests.
    Cargo,
    /// `sam build`, as for an account: with a target folder, flags and features of its own.
    Sam,
}

/// A deployed cluster.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Where it is deployed.
    pub stage: &'a Stage,
    /// The stack's name.
    pub stack: &'static str,
    network: BTreeMap<String, String>,
    template: Vec<String>,
}

/// A core's instance and its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The instance.
    pub instance: String,
    /// Its private address.
    pub address: String,
    /// The data volume, which is attached to it.
    pub volume: String,
    /// What is on the volume.
    pub contents: Contents,
}

impl<'a> Cluster<'a> {
    /// Deploys the network that is there before a cluster, and builds the functions.
    pub async fn prepare(
        stage: &'a Stage,
        stack: &'static str,
        build: Build,
        narrator: &mut Narrator,
    ) -> Result<Self, Trouble> {
        let fixture = ["deploy", "--template-file", "tests/fixtures/network.yaml", "--stack-name", "network"];
        let fixture = [&fixture[..], &["--no-resolve-s3"]].concat();
        narrator.work("sam deploy: a VPC that is there before", stage.sam("network", &fixture)).await?;
        let network = stage.outputs("network").await?;
        for (n, zone) in ZONES.iter().enumerate() {
            let subnet = network.get(&format!("Subnet{}", n + 1)).ok_or("the network has no such subnet")?;
            stage.live.world().ec2.subnets.insert(subnet.clone(), (*zone).to_owned());
        }
        let template = match build {
            Build::Cargo => narrator.work("cargo build: the functions", stage.build("template.yaml")).await?,
            Build::Sam => {
                let architecture = format!("Architecture={}", architecture());
                let build = ["build", "--parameter-overrides", &architecture];
                narrator.work("sam build: the functions", stage.sam("build", &build)).await?;
                Vec::new()
            }
        };
        Ok(Self { stage, stack, network, template })
    }

    /// Deploys the root template with these parameters besides those that every deployment needs.
    pub async fn deploy(&self, parameters: &[(&str, &str)]) -> Result<(), Trouble> {
        let network = |name: &str| self.network.get(name).cloned().unwrap_or_default();
        let mut all: Vec<(String, String)> = vec![
            ("AcceptLicense".into(), "eval".into()),
            ("Image".into(), "neo4j:5.26.33-enterprise".into()),
            ("AmiId".into(), "ami-0123456789abcdef0".into()),
            ("VpcId".into(), network("VpcId")),
            ("Architecture".into(), architecture().into()),
        ];
        for (n, zone) in ZONES.iter().enumerate() {
            all.push((format!("CoreSubnet{}", n + 1), network(&format!("Subnet{}", n + 1))));
            all.push((format!("CoreZone{}", n + 1), (*zone).to_owned()));
        }
        all.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let all = all.join(" ");
        let mut deploy = vec!["deploy", "--stack-name", self.stack, "--parameter-overrides", &all];
        deploy.extend(self.template.iter().map(String::as_str));
        self.stage.sam(&format!("deploy-{}", self.stack), &deploy).await
    }

    /// The cores whose instance is in service with its volume, by number.
    #[must_use]
    pub fn cores(&self) -> BTreeMap<String, Core> {
        let world = self.stage.live.world();
        let mut cores = BTreeMap::new();
        for group in world.auto_scaling.groups.values() {
            let tag = |key: &str| group.tags.get(key).map(|(value, _)| value.clone());
            let (Some(core), Some(id)) = (tag("neo4j:core"), tag("neo4j:volume")) else { continue };
            let Some(volume) = world.ec2.volumes.get(&id) else { continue };
            let Some(attached) = volume.attachment.as_ref().filter(|a| a.state == "attached") else { continue };
            let serving = group.members.get(&attached.instance).is_some_and(|member| member.state == "InService");
            let Some(instance) = world.ec2.instances.get(&attached.instance).filter(|_| serving) else { continue };
            let (address, contents) = (instance.address.to_string(), volume.contents);
            cores.insert(core, Core { instance: attached.instance.clone(), address, volume: id, contents });
        }
        cores
    }

    /// The same for another stack.
    #[must_use]
    pub fn named(&self, stack: &'static str) -> Self {
        Self { stage: self.stage, stack, network: self.network.clone(), template: self.template.clone() }
    }

    /// Lets time pass until `look` is content, and says how much time that was for the cluster.
    pub async fn until(&self, what: &str, look: impl AsyncFn() -> Result<bool, Trouble>) -> Result<Duration, Trouble> {
        self.until_by(STEP, what, look).await
    }

    /// The same in steps of so many seconds, for what takes long.
    pub async fn until_by(
        &self,
        step: u64,
        what: &str,
        look: impl AsyncFn() -> Result<bool, Trouble>,
    ) -> Result<Duration, Trouble> {
        let began = self.now();
        let stage = self.stage;
        let wound = || async {
            let content = look().await?;
            if !content {
                stage.wind(step).await?;
            }
            Ok(content)
        };
        stage.until(what, wound).await?;
        Duration::try_from(self.now().duration_since(began)).map_err(|error| error.to_string())
    }

    /// How many instances wait for their volume or agent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let world = self.stage.live.world();
        let members = world.auto_scaling.groups.values().flat_map(|group| group.members.values());
        members.filter(|member| member.state == "Pending:Wait").count()
    }

    /// Whether Auto Scaling keeps an instance that it was to terminate.
    #[must_use]
    pub fn is_retained(&self, instance: &str) -> bool {
        self.stage
            .live
            .world()
            .auto_scaling
            .member(instance)
            .is_some_and(|member| member.state == "Terminating:Retained")
    }

    fn now(&self) -> Timestamp {
        self.stage.live.world().now
    }

    /// Waits until so many members of each tier answer in DNS, and each core's instance has its volume.
    pub async fn formed(&self, cores: usize, replicas: usize) -> Result<Duration, Trouble> {
        let what = format!("{cores} cores and {replicas} replicas answer");
        self.until(&what, async || {
            for ((_, name), count) in NAMES.iter().zip([cores, replicas]) {
                if self.stage.ask(name, RecordType::A).await?.len() != count.min(8) {
                    return Ok(false);
                }
            }
            Ok(self.cores().len() == cores)
        })
        .await
    }

    /// What instance-drainer would answer to a person now: what each member says, and which core may be stopped.
    pub async fn plan(&self) -> Result<Value, Trouble> {
        let function = self.output("InstanceDrainerFunction").await?;
        self.stage.invoke(&function, &json!({"dryRun": true})).await
    }

    /// The log group of instance-drainer.
    pub async fn drainer_log(&self) -> Result<String, Trouble> {
        let follow = self.output("FollowInstanceDrainerLog").await?;
        let group = follow.strip_prefix("aws logs tail ").and_then(|rest| rest.split_whitespace().next());
        group.map(str::to_owned).ok_or_else(|| format!("{follow} names no log group"))
    }

    /// An output of the stack.
    pub async fn output(&self, name: &str) -> Result<String, Trouble> {
        let found = self.stage.outputs(self.stack).await?.remove(name);
        found.ok_or_else(|| format!("the stack {} has no output {name}", self.stack))
    }

    /// Waits until all members answer and every core may be stopped, and says what instance-drainer then shows.
    pub async fn is_whole(&self) -> Result<(Duration, Value), Trouble> {
        let last = RefCell::new(Value::Null);
        let whole = self.until("every member answers and every core may be stopped", async || {
            let plan = self.plan().await?;
            let whole = plan["neo4j"]["missing"] == json!([])
                && plan["cores"].as_array().is_some_and(|cores| cores.iter().all(|core| core["safeToStop"] == true))
                && plan["neo4j"]["members"].as_array().is_some_and(|all| all.iter().all(|one| one["answers"] == true));
            last.replace(plan);
            Ok(whole)
        });
        let took = whole.await;
        let last = last.into_inner();
        match took {
            Ok(took) => Ok((took, last)),
            Err(why) => Err(format!("{why}:\n{}", last["table"].as_str().map_or(last.to_string(), str::to_owned))),
        }
    }

    /// Deletes the stack, and says what is left of it that should not be.
    pub async fn delete(&self) -> Result<(), Trouble> {
        self.stage.delete_stack(self.stack).await?;
        let world = self.stage.live.world();
        let running = world.ec2.instances.values().filter(|instance| instance.state != "terminated").count();
        let left = [
            ("instances", running),
            ("Auto Scaling groups", world.auto_scaling.groups.len()),
            ("data volumes", world.ec2.volumes.len()),
            ("launch templates", world.ec2.templates.len()),
            ("ECS clusters", world.ecs.clusters.len()),
            ("Cloud Map services", world.cloud_map.services.len()),
        ];
        let left: Vec<_> = left.iter().filter(|(_, count)| *count > 0).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left over after the deletion: {left:?}")) }
    }
}

/// The processor of this machine, as Lambda names it.
#[must_use]
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
