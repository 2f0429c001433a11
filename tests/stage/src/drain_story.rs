//! instance-drainer by itself, for an ECS cluster that knows no Neo4j: deployed as its page says, onto groups that somebody else
//! has, beside one that is nobody's business.

use std::{collections::BTreeMap, time::Duration};

use cluster_world::auto_scaling::TERMINATING;
use serde_json::{Value, json};

use crate::{
    cluster::architecture,
    documents::{self, Block, Documents, ensure},
    narrator::{Narrator, Row, Took},
    stage::{Stage, Trouble},
};

const STACK: &str = "ecs-drain-local";
/// The ECS cluster, and the group of its instances.
const CLUSTER: &str = "services";
const GROUP: &str = "services-a";
/// A group of somebody else's in the same account, with a hook of its own, and its ECS cluster.
const THEIRS: &str = "theirs";
const ELSEWHERE: &str = "elsewhere";
const INSTANCES: usize = 3;
/// How long a task of no service may go on, in minutes. The function measures it by its own clock, which nobody winds.
const GRACE: u64 = 0;
/// How far time is wound at a look.
const STEP: u64 = 2;

/// The blocks of shell of its page that are run.
pub const RUN: &[Block] = &[("Deploy it", 1)];

/// Tells the story on a stage of its own. `Err` is the first step that did not hold.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = tell(&stage, narrator).await;
    stage.end(told).await
}

async fn tell(stage: &Stage, narrator: &mut Narrator) -> Result<(), Trouble> {
    let documents = Documents::read(RUN)?;
    populate(stage)?;
    let template = narrator.work("cargo build: the function", stage.build("drain-alone.yaml")).await?;
    let parameters =
        format!("EcsClusterName={CLUSTER} Architecture={} StandaloneTaskGraceMinutes={GRACE}", architecture());
    let mut deploy = vec!["deploy", "--stack-name", STACK, "--parameter-overrides", &parameters];
    deploy.extend(template.iter().map(String::as_str));
    narrator.work("sam deploy: instance-drainer by itself", stage.sam("deploy-drain", &deploy)).await?;
    let mut story = Story { stage, narrator, prelude: stage.exports() };
    let told = async {
        story.is_in_service().await?;
        story.gives_the_group_tag_and_hook(&documents).await?;
        story.shows_its_plan().await?;
        story.drains_an_instance().await?;
        story.leaves_others_alone().await?;
        story.meets_a_spot_warning().await
    };
    let told: Result<(), Trouble> = told.await;
    if let Err(why) = told {
        let log = stage.outputs(STACK).await?.remove("LogGroup").ok_or("the stack names no log")?;
        return Err(format!("{why}; the function said last:\n{}", stage.last_lines(&log, 40).await?));
    }
    let gone = stage.delete_stack(STACK);
    story.narrator.work("deleting the stack", gone).await?;
    documents.all_were_run()
}

/// Makes what is there before: the groups, their instances, the services.
fn populate(stage: &Stage) -> Result<(), Trouble> {
    let mut world = stage.live.world();
    let mut make = |kind: &str, id: &str, properties: &Value| -> Result<String, Trouble> {
        Ok(world.create(kind, id, properties)?.ok_or_else(|| format!("{id} was not made"))?.physical_id)
    };
    for cluster in [CLUSTER, ELSEWHERE] {
        make("AWS::ECS::Cluster", cluster, &json!({"ClusterName": cluster}))?;
    }
    for (group, size, hooks) in [(GROUP, INSTANCES, vec![]), (THEIRS, 1, vec![hook("theirs")])] {
        let cluster = if group == GROUP { CLUSTER } else { ELSEWHERE };
        let config = format!("  - {{path: /etc/ecs/ecs.config, content: \"ECS_CLUSTER={cluster}\"}}");
        let data = json!({"UserData": {"Fn::Base64": format!("#cloud-config\nwrite_files:\n{config}\n")}});
        let launch = make("AWS::EC2::LaunchTemplate", group, &json!({"LaunchTemplateData": data}))?;
        let properties = json!({
            "AutoScalingGroupName": group, "MinSize": "0", "MaxSize": size.to_string(),
            "DesiredCapacity": size.to_string(), "VPCZoneIdentifier": ["subnet-0000000000000000a"],
            "LaunchTemplate": {"LaunchTemplateId": launch, "Version": "$Latest"},
            "LifecycleHookSpecificationList": hooks,
        });
        make("AWS::AutoScaling::AutoScalingGroup", group, &properties)?;
    }
    for (service, more) in
        [("web", json!({"DesiredCount": INSTANCES})), ("agent", json!({"SchedulingStrategy": "DAEMON"}))]
    {
        let definition = json!({"Family": service, "ContainerDefinitions": [{"Name": service}]});
        let definition = make("AWS::ECS::TaskDefinition", service, &definition)?;
        let mut properties = json!({
            "ServiceName": service, "Cluster": CLUSTER, "TaskDefinition": definition,
            "DeploymentConfiguration": {"MinimumHealthyPercent": "0", "MaximumPercent": "100"},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            properties[key] = value.clone();
        }
        make("AWS::ECS::Service", service, &properties)?;
    }
    Ok(())
}

fn hook(name: &str) -> Value {
    json!({
        "LifecycleHookName": name, "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 3600,
        "DefaultResult": "ABANDON",
    })
}

struct Story<'a> {
    stage: &'a Stage,
    narrator: &'a mut Narrator,
    prelude: String,
}

impl Story<'_> {
    async fn run(&mut self, command: &str) -> Result<String, Trouble> {
        documents::run(self.stage, self.narrator, &self.prelude, command, false).await
    }

    /// Lets time pass until something is so, and says how much of it did.
    async fn until(&self, what: &str, is_so: impl Fn() -> Result<bool, Trouble>) -> Result<Duration, Trouble> {
        let stage = self.stage;
        let began = stage.live.world().now;
        let wound = async || {
            let so = is_so()?;
            if !so {
                stage.wind(STEP).await?;
            }
            Ok(so)
        };
        stage.until(what, wound).await?;
        let passed = stage.live.world().now.duration_since(began);
        Duration::try_from(passed).map_err(|error| error.to_string())
    }

    /// Returns the states of a group's instances.
    fn states(&self, group: &str) -> BTreeMap<String, &'static str> {
        let world = self.stage.live.world();
        let members = world.auto_scaling.groups.get(group).map(|group| group.members.clone()).unwrap_or_default();
        members.into_iter().map(|(id, member)| (id, member.state)).collect()
    }

    fn state(&self, instance: &str) -> Option<&'static str> {
        self.stage.live.world().auto_scaling.member(instance).map(|member| member.state)
    }

    fn status(&self, instance: &str) -> Option<&'static str> {
        self.stage.live.world().container_instance(instance).map(|found| found.status)
    }

    /// Returns the services and groups of the tasks on an instance that have not stopped.
    fn tasks(&self, instance: &str) -> Vec<String> {
        let world = self.stage.live.world();
        let on: Vec<_> = world.tasks_on(instance).collect();
        let tasks = world.ecs.clusters.values().flat_map(|cluster| &cluster.tasks);
        tasks.filter(|(id, _)| on.contains(id)).map(|(_, task)| task.service.clone()).collect()
    }

    fn an_instance(&self) -> Result<String, Trouble> {
        let states = self.states(GROUP).into_iter();
        let mut serving = states.filter(|(id, state)| *state == "InService" && self.tasks(id).len() >= 2);
        serving.next().map(|(id, _)| id).ok_or_else(|| "no instance serves".to_owned())
    }

    /// Somebody starts a task of no service on an instance.
    fn starts_a_task(&self, instance: &str) -> Result<(), Trouble> {
        let mut world = self.stage.live.world();
        let (cluster, address) = world.registered(instance).ok_or_else(|| format!("{instance} is not registered"))?;
        world.run_task(&cluster, "cron", address);
        Ok(())
    }

    async fn is_in_service(&mut self) -> Result<(), Trouble> {
        let serves = || {
            let serving = self.states(GROUP).into_keys().filter(|id| self.tasks(id).len() == 2).count();
            Ok(serving == INSTANCES && self.states(THEIRS).values().all(|state| *state == "InService"))
        };
        let serves = self.until("every instance has its tasks", serves).await?;
        self.narrator.note(&format!("{INSTANCES} instances serve after {} s", serves.as_secs()));
        Ok(())
    }

    async fn gives_the_group_tag_and_hook(&mut self, documents: &Documents) -> Result<(), Trouble> {
        let block = documents.block("Deploy it", 1)?;
        self.run(&format!("GROUP={GROUP} SERVICES={CLUSTER}\n{block}")).await?;
        let world = self.stage.live.world();
        let group = world.auto_scaling.groups.get(GROUP).ok_or("the group is gone")?;
        let tagged = group.tags.get("ecs-drain:cluster").is_some_and(|(value, _)| value == CLUSTER);
        let hooked = group.hooks.get("ecs-drain").is_some_and(|hook| hook.transition == TERMINATING);
        ensure(tagged && hooked && group.retain, || format!("the commands made {group:?}"))
    }

    async fn shows_its_plan(&mut self) -> Result<(), Trouble> {
        let mut outputs = self.stage.outputs(STACK).await?;
        let show = outputs.remove("ShowPlan").ok_or("the stack has no output ShowPlan")?;
        let printed = self.run(&documents::unescaped(&show)).await?;
        let mut answers = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
        let plan = answers.next().and_then(Result::ok).unwrap_or_default();
        ensure(plan["dryRun"] == json!(true) && plan["steps"] == json!([]), || format!("no empty plan: {printed}"))
    }

    /// Terminates an instance with a task of a service, one of a daemon, and one of nobody's.
    async fn drains_an_instance(&mut self) -> Result<(), Trouble> {
        let instance = self.an_instance()?;
        self.starts_a_task(&instance)?;
        let from = self.stage.live.world().calls.len();
        let terminate = format!(
            "aws autoscaling terminate-instance-in-auto-scaling-group --instance-id {instance} \
             --no-should-decrement-desired-capacity"
        );
        self.run(&terminate).await?;
        let draining = || Ok(self.status(&instance) == Some("DRAINING"));
        let mut took = self.until("the instance drains", draining).await?;
        took += self.is_released(&instance).await?;
        let asked = self.stage.live.world().calls[from..].iter().any(|call| call.action == "ecs:StopTask");
        ensure(asked, || "nobody stopped the task that belongs to no service".to_owned())?;
        self.row("an instance drained", format!("let go empty, after {} s", took.as_secs()), took, from)
    }

    /// Waits until an instance has been let go, and refuses that it still had a task.
    async fn is_released(&self, instance: &str) -> Result<Duration, Trouble> {
        self.until("the instance is let go", || {
            let world = self.stage.live.world();
            let state = world.auto_scaling.member(instance).map(|member| member.state);
            let left: Vec<_> = world.tasks_on(instance).collect();
            ensure(state == Some("Terminating:Wait") || left.is_empty(), || format!("{state:?} with {left:?}"))?;
            Ok(world.ec2.instances.get(instance).is_none_or(|found| found.ended.is_some()))
        })
        .await
    }

    /// Another group's hook is somebody else's, whatever happens.
    async fn leaves_others_alone(&mut self) -> Result<(), Trouble> {
        let theirs = self.states(THEIRS).into_keys().next().ok_or("they have no instance")?;
        let from = self.stage.live.world().calls.len();
        self.stage.terminate(&theirs)?;
        self.stage.live.world().interrupt("i-0123456789abcdef0");
        self.stage.wind(180).await?;
        let quiet = async || {
            let before = self.stage.live.world().calls.len();
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(self.stage.live.world().calls.len() == before)
        };
        self.stage.until("all is quiet", quiet).await?;
        let held = self.state(&theirs) == Some("Terminating:Wait") && self.status(&theirs) == Some("ACTIVE");
        ensure(held, || format!("{theirs} is somebody else's: {:?}", self.states(THEIRS)))?;
        // The call that terminated it is not counted among those of functions.
        let writes = self.stage.live.world().count_calls(from + 1).1;
        ensure(writes == 0, || format!("{writes} writes for what is somebody else's"))?;
        self.narrator.note("another group's instance, and a Spot warning of nobody's, are left alone");
        Ok(())
    }

    async fn meets_a_spot_warning(&mut self) -> Result<(), Trouble> {
        let again = || Ok(self.states(GROUP).len() == INSTANCES && self.an_instance().is_ok());
        self.until("the next instance serves", again).await?;
        let instance = self.an_instance()?;
        let from = self.stage.live.world().calls.len();
        self.stage.live.world().interrupt(&instance);
        // EC2 gives two minutes. The function has them in real time, and only what follows flies.
        let draining = async || Ok(self.status(&instance) == Some("DRAINING"));
        self.stage.until("the instance drains", draining).await?;
        let empty = || {
            let world = self.stage.live.world();
            let left: Vec<_> = world.tasks_on(&instance).collect();
            let ended = world.ec2.instances.get(&instance).is_none_or(|found| found.ended.is_some());
            ensure(!ended, || format!("EC2 took {instance} with {left:?}"))?;
            Ok(left.is_empty())
        };
        let took = self.until("every task has stopped before EC2 takes the instance", empty).await?;
        self.row("a Spot warning", format!("empty after {} s", took.as_secs()), took, from)
    }

    fn row(&mut self, event: &'static str, answer: String, took: Duration, from: usize) -> Result<(), Trouble> {
        let (calls, writes) = self.stage.live.world().count_calls(from);
        self.narrator.row(Row { event, answer, held: true, took: Some(Took::Modelled(took)), calls, writes })
    }
}
