//! Deploys the cluster in other shapes, and deletes each in another state.

use std::net::Ipv4Addr;

use cluster_world::{neo4j::Fault, route53::Zone};
use serde_json::json;

use crate::{
    cluster::{Build, Cluster},
    narrator::Narrator,
    stage::{Stage, Trouble},
};

/// Longer than the hooks of cores wait for a sign of life, in seconds.
const AWAY: u64 = 1_900;
const TOPIC: &str = "arn:aws:sns:eu-west-1:000000000000:alarms";

/// Deploys and deletes each of them on one stage. `Err` is the first step that failed.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let played = play_all(&stage, narrator).await;
    stage.end(played).await
}

async fn play_all(stage: &Stage, narrator: &mut Narrator) -> Result<(), Trouble> {
    let five = Cluster::prepare(stage, "neo4j-five", Build::Cargo, narrator).await?;
    let (seven, three) = (five.named("neo4j-seven"), five.named("neo4j-three"));
    five_spot_cores_are_deleted_while_they_form(five, narrator).await?;
    seven_mixed_cores_are_deleted_while_one_is_gone(seven, narrator).await?;
    three_cores_are_deleted_while_one_is_retained(three, narrator).await
}

fn ensure(held: bool, what: impl FnOnce() -> String) -> Result<(), Trouble> {
    if held { Ok(()) } else { Err(what()) }
}

async fn five_spot_cores_are_deleted_while_they_form(
    cluster: Cluster<'_>,
    narrator: &mut Narrator,
) -> Result<(), Trouble> {
    let stage = cluster.stage;
    let zone = stage.live.world().create("AWS::Route53::HostedZone", "Theirs", &json!({"Name": "neo4j.service"}))?;
    let zone = zone.ok_or("the zone was not created")?.physical_id;
    let snapshots: Vec<_> = (1..=5).map(|n| format!("snap-0123456789abcde{n:02}")).collect();
    let login = |user: &str| json!({"username": user, "password": "correct-horse-battery"});
    let certificate = json!({"certificate": "…", "private_key": "…", "ca": "…"});
    let mut secrets = Vec::new();
    for (parameter, value) in [
        ("AdminSecretArn", login("neo4j")),
        ("ReadWriteSecretArn", login("writer")),
        ("ReadOnlySecretArn", login("reader")),
        ("MonitorSecretArn", login("monitor")),
        ("TlsSecretArn", certificate.clone()),
        ("ClusterTlsSecretArn", certificate),
    ] {
        secrets.push((parameter, stage.make_secret(&format!("their-{parameter}"), &value.to_string()).await?));
    }
    let snapshots = snapshots.join(",");
    let mut parameters = vec![
        ("CoreCount", "5"),
        ("CorePurchase", "spot"),
        ("HostedZoneId", &zone),
        ("RestoreSnapshotIds", &snapshots),
        ("AlarmTopicArn", TOPIC),
    ];
    parameters.extend(secrets.iter().map(|(parameter, arn)| (*parameter, arn.as_str())));
    let what = "sam deploy: 5 Spot cores from snapshots, TLS, own secrets, a given zone";
    narrator.work(what, cluster.deploy(&parameters)).await?;
    cluster.until("the first instances wait for their volumes", async || Ok(cluster.waiting() > 0)).await?;
    ensure(cluster.cores().len() < 5, || "all cores were there at once".to_owned())?;
    let plan = cluster.plan().await?;
    ensure(plan["neo4j"]["monitor"].is_null(), || format!("the given secrets should be readable: {plan}"))?;
    narrator.work("deleting it while it forms", cluster.delete()).await?;
    let mut world = stage.live.world();
    let left = world.route53.zones.get(&zone).map(Zone::written);
    ensure(left == Some(0), || format!("the given zone should be empty: {left:?}"))?;
    world.route53.zones.remove(&zone);
    Ok(())
}

async fn seven_mixed_cores_are_deleted_while_one_is_gone(
    cluster: Cluster<'_>,
    narrator: &mut Narrator,
) -> Result<(), Trouble> {
    let parameters = [
        ("CoreCount", "7"),
        ("CorePurchase", "mixed"),
        ("CoreOnDemandBase", "4"),
        ("ReplicaCount", "2"),
        ("ReplicaPurchase", "mixed"),
        ("DataVolumeType", "io2"),
        ("ClientCidr", "10.0.0.0/16"),
        ("Neo4jSeries", "calendar"),
        ("SlowQueryLog", "false"),
    ];
    let what = "sam deploy: 7 mixed cores on io2, 2 replicas, calendar series";
    narrator.work(what, cluster.deploy(&parameters)).await?;
    let formed = async {
        cluster.formed(7, 2).await?;
        cluster.is_whole().await
    };
    narrator.work("seven cores and two replicas form", formed).await?;
    let gone = cluster.cores().remove("5").ok_or("there is no core 5")?;
    narrator.work("EC2 takes the Spot instance of core 5", meets_a_spot_warning(&cluster, &gone.instance)).await?;
    cluster.until("the instance is gone", async || Ok(!cluster.cores().contains_key("5"))).await?;
    narrator.work("deleting it while one core is gone", cluster.delete()).await
}

/// EC2 says that it takes an instance, and does so two minutes later: Neo4j has to have stopped by then.
async fn meets_a_spot_warning(cluster: &Cluster<'_>, instance: &str) -> Result<(), Trouble> {
    let stage = cluster.stage;
    stage.live.world().interrupt(instance);
    // The function has its time as it passes, and only what follows flies.
    let draining = async || {
        let world = stage.live.world();
        Ok(world.container_instance(instance).is_some_and(|found| found.status == "DRAINING"))
    };
    stage.until("the instance drains", draining).await?;
    let empty = async || {
        let world = stage.live.world();
        let left = world.tasks_on(instance).count();
        let ended = world.ec2.instances.get(instance).is_none_or(|found| found.ended.is_some());
        ensure(!ended || left == 0, || format!("EC2 took {instance} with {left} tasks"))?;
        Ok(left == 0)
    };
    cluster.until_by(2, "its Neo4j has stopped before EC2 takes it", empty).await.map(drop)
}

async fn three_cores_are_deleted_while_one_is_retained(
    cluster: Cluster<'_>,
    narrator: &mut Narrator,
) -> Result<(), Trouble> {
    let stage = cluster.stage;
    let parameters = [("CoreInstanceType", "m7i.large")];
    narrator.work("sam deploy: 3 cores on x86", cluster.deploy(&parameters)).await?;
    narrator.work("three cores form", cluster.formed(3, 0)).await?;
    let before = cluster.cores();
    let parameters = [("CoreInstanceType", "m7i.large"), ("CoreCount", "5")];
    narrator.work("sam deploy: 5 cores", cluster.deploy(&parameters)).await?;
    narrator.work("five cores form", cluster.formed(5, 0)).await?;
    let after = cluster.cores();
    ensure(before.iter().all(|(number, core)| after.get(number) == Some(core)), || {
        format!("the first three should be as they were: {before:?}, then {after:?}")
    })?;
    let core = cluster.cores().remove("3").ok_or("there is no core 3")?;
    // Two of five refuse the login of the user that looks, and the others need the third; then the function is away, and the
    // hook comes to its end.
    for core in ["1", "2"].iter().filter_map(|number| after.get(*number)) {
        let address: Ipv4Addr = core.address.parse().map_err(|e| format!("{}: {e}", core.address))?;
        stage.live.world().neo4j.faults.entry(address).or_default().insert(Fault::LoginRefused);
    }
    stage.terminate(&core.instance)?;
    let shut = async || {
        let plan = cluster.plan().await?;
        let cores = plan["cores"].as_array().into_iter().flatten();
        Ok(cores.filter(|core| core["core"] == 3).all(|core| core["safeToStop"] == false))
    };
    narrator
        .work("two cores refuse a login, and the gate shuts for a third", cluster.until("the gate shuts", shut))
        .await?;
    stage.wind(AWAY).await?;
    let retained = cluster.until_by(20, "the instance is retained", async || Ok(cluster.is_retained(&core.instance)));
    narrator.work("a terminating core is retained", retained).await?;
    narrator.note(&format!("its replacement waits for {}", core.volume));
    narrator.work("deleting it while one core is retained", cluster.delete()).await
}
