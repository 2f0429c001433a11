//! The other way to deploy: into a zone that somebody else made and uses, with alarms, without health checks, and at
//! first as a dry run.

use std::net::Ipv4Addr;

use cluster_world::{
    Resource,
    route53::{RecordSet, Zone},
};
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use crate::{
    narrator::Narrator,
    stage::{Stage, Trouble},
};

const STACK: &str = "neo4j-given";
const CLUSTER: &str = "graph";
const CORE: &str = "core.neo4j.service";
const TOPIC: &str = "arn:aws:sns:eu-west-1:000000000000:alarms";
const ALARMS: usize = 5;
const A_WHILE: u64 = 70;

/// Deploys, changes and deletes the stack on a stage of its own. `Err` tells the first step that did not hold.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = tell(&stage, narrator).await;
    stage.end(told).await
}

fn ensure(held: bool, what: impl FnOnce() -> String) -> Result<(), Trouble> {
    if held { Ok(()) } else { Err(what()) }
}

async fn tell(stage: &Stage, narrator: &mut Narrator) -> Result<(), Trouble> {
    let create = |kind: &str, id: &str, properties: Value| -> Result<Resource, Trouble> {
        stage.live.world().create(kind, id, &properties)?.ok_or_else(|| format!("{id} was not made"))
    };
    // It covers the domain, and holds what others wrote: under the very name, and elsewhere.
    let zone = create("AWS::Route53::HostedZone", "Theirs", json!({"Name": "service"}))?.physical_id;
    let theirs = [
        RecordSet::multivalue(CORE, "somebody-else/1", "10.9.9.1"),
        RecordSet::simple("www.service", "A", 60, &["10.9.9.2"]),
    ];
    {
        let mut world = stage.live.world();
        let zone = world.route53.zones.get_mut(&zone).ok_or("the zone is gone")?;
        for set in &theirs {
            zone.put(set.clone());
        }
    }

    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let parameters = |dry_run: bool| {
        format!(
            "ClusterName={STACK} VpcId=vpc-local EcsClusterName={CLUSTER} Architecture={architecture} \
             HostedZoneId={zone} AlarmActionArn={TOPIC} RequireHealthyTasks=false DryRun={dry_run}"
        )
    };
    let template = narrator.work("cargo build: the function", stage.build("discovery.yaml")).await?;
    let deploy = async |log: &str, dry_run: bool| {
        let parameters = parameters(dry_run);
        let mut deploy = vec!["deploy", "--stack-name", STACK, "--parameter-overrides", &parameters];
        deploy.extend(template.iter().map(String::as_str));
        stage.sam(log, &deploy).await
    };
    narrator.work("sam deploy: into a given zone, as a dry run", deploy("deploy-given", true)).await?;
    let outputs = stage.outputs(STACK).await?;
    let output = |name: &str| outputs.get(name).cloned().ok_or_else(|| format!("the stack has no output {name}"));
    ensure(output("HostedZoneId")? == zone, || format!("the stack's zone is not {zone}: {outputs:?}"))?;
    let told = stage.alarms().await?.matches(TOPIC).count();
    ensure(told == 2 * ALARMS, || format!("the topic is told {told} times, not by {ALARMS} alarms and their ends"))?;

    // One task without a health check.
    create("AWS::ECS::Cluster", "Cluster", json!({"ClusterName": CLUSTER}))?;
    let container = json!([{"Name": "neo4j"}]);
    let task =
        create("AWS::ECS::TaskDefinition", "Task", json!({"Family": CLUSTER, "ContainerDefinitions": container}))?;
    let registry = output("CoreRegistryArn")?;
    create(
        "AWS::ECS::Service",
        "core",
        json!({
            "ServiceName": "core", "Cluster": CLUSTER, "TaskDefinition": task.physical_id, "DesiredCount": 1,
            "ServiceRegistries": [{"RegistryArn": registry}],
        }),
    )?;
    stage.live.world().add_container_instance(CLUSTER, Ipv4Addr::new(10, 0, 1, 10), "eu-west-1a");
    stage.wind(A_WHILE).await?;

    let function = output("FunctionName")?;
    let round = stage.invoke(&function, &json!({})).await?;
    let planned = round["changes"].as_array().map_or(0, Vec::len);
    ensure(round["dryRun"] == json!(true) && planned == 1, || format!("no dry run: {round}"))?;
    let answer = stage.ask(CORE, RecordType::A).await?;
    ensure(answer == ["10.9.9.1"], || format!("the dry run wrote: {CORE} answers {answer:?}"))?;

    narrator.work("sam deploy: now it writes", deploy("deploy-given-2", false)).await?;
    stage.invoke(&function, &json!({})).await?;
    let answer = stage.ask(CORE, RecordType::A).await?;
    ensure(answer == ["10.0.1.10", "10.9.9.1"], || format!("the member is not beside theirs: {answer:?}"))?;
    let message = json!({"messageId": "m", "eventSource": "aws:sqs", "body": "not json", "attributes": {}});
    let malformed = stage.invoke(&function, &json!({"Records": [message]})).await?;
    ensure(malformed["deadLettered"] == json!(1), || format!("the message did not go aside: {malformed}"))?;

    stage.live.world().scale(CLUSTER, "core", 0);
    stage.wind(A_WHILE).await?;
    narrator.work("deleting the stack", stage.delete_stack(STACK)).await?;
    let world = stage.live.world();
    let zones: Vec<_> = world.route53.zones.keys().collect();
    ensure(zones == [&zone], || format!("only the given zone should stand: {zones:?}"))?;
    let left = world.route53.zones.get(&zone).map_or(0, Zone::written);
    let kept = theirs.iter().all(|set| {
        world.route53.zones.get(&zone).is_some_and(|zone| zone.under(&set.name).collect::<Vec<_>>() == [set])
    });
    ensure(kept && left == theirs.len(), || format!("in the given zone {left} record sets are left, theirs: {kept}"))?;
    narrator.note("the given zone holds what others wrote, and nothing else");
    Ok(())
}
