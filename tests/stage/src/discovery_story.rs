//! Discovery by itself, for ECS services of somebody else's: their names from the deployment to the deletion.

use std::{net::Ipv4Addr, time::Duration};

use cluster_world::route53::RecordSet;
use hickory_proto::rr::RecordType;
use serde_json::json;

use crate::{
    narrator::{Narrator, Row, Took},
    stage::{Stage, Trouble},
};

const STACK: &str = "neo4j-names";
const CLUSTER: &str = "neo4j";
const CORE: &str = "core.neo4j.service";
const REPLICA: &str = "replica.neo4j.service";
const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
/// Longer than an instance takes from joining to the first passed health check, and than a schedule's minute.
const A_WHILE: u64 = 70;

/// Plays the whole story on a stage of its own. `Err` tells the first step that did not hold.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = Story { stage: &stage, narrator }.tell().await;
    stage.end(told).await
}

struct Story<'a> {
    stage: &'a Stage,
    narrator: &'a mut Narrator,
}

impl Story<'_> {
    async fn tell(&mut self) -> Result<(), Trouble> {
        self.deploy().await?;
        self.cores_join().await?;
        self.an_idle_minute().await?;
        self.a_member_turns_unhealthy().await?;
        self.grow().await?;
        self.deletion_is_refused_while_members_run().await?;
        self.scale_to_nothing().await?;
        self.delete().await
    }

    async fn deploy(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let parameters = format!(
            "ClusterName={STACK} VpcId=vpc-local EcsClusterName={CLUSTER} CoreServiceNames=core,core-spare Architecture={architecture}"
        );
        let template = self.narrator.work("cargo build: the function", stage.build("discovery.yaml")).await?;
        let mut deploy = vec!["deploy", "--stack-name", STACK, "--parameter-overrides", &parameters];
        deploy.extend(template.iter().map(String::as_str));
        let from = stage.live.world().calls.len();
        let took =
            self.narrator.work("sam deploy: the template of discovery alone", stage.sam("deploy", &deploy)).await;
        took?;
        let outputs = stage.outputs(STACK).await?;
        let output = |name: &str| outputs.get(name).cloned().ok_or_else(|| format!("the stack has no output {name}"));
        let (calls, writes) = stage.live.world().count_calls(from);
        let nothing = stage.ask(CORE, RecordType::A).await?.is_empty();
        self.narrator.row(Row {
            event: "stack deployed",
            answer: "no members, no answer".into(),
            held: nothing,
            took: None,
            calls,
            writes,
        })?;

        let registries = [output("CoreRegistryArn")?, output("ReplicaRegistryArn")?];
        let fixture = [
            "deploy",
            "--template-file",
            "tests/fixtures/cluster.yaml",
            "--stack-name",
            "neo4j-services",
            "--no-resolve-s3",
            "--parameter-overrides",
            &format!("ClusterName={CLUSTER} CoreRegistryArn={} ReplicaRegistryArn={}", registries[0], registries[1]),
        ];
        self.narrator
            .work("sam deploy: two ECS services that stand in for Neo4j", stage.sam("services", &fixture))
            .await?;
        Ok(())
    }

    async fn cores_join(&mut self) -> Result<(), Trouble> {
        self.stage.live.world().scale(CLUSTER, "core", 3);
        for n in 1..=3 {
            self.add_instance("core", n);
            let event = ["first core joins", "second core joins", "third core joins"][usize::from(n) - 1];
            self.expect(event, A_WHILE, CORE, &addresses("core", 1..=n)).await?;
        }
        for name in ["core.discovery.neo4j.service", "discovery.core.neo4j.service"] {
            let answers = self.stage.ask(name, RecordType::SRV).await?;
            self.narrator.note(&format!("{name} SRV: {} members", answers.len()));
            if answers.len() != 3 {
                return Err(format!("{name} answers {answers:?}, not three members"));
            }
        }
        Ok(())
    }

    async fn an_idle_minute(&mut self) -> Result<(), Trouble> {
        let live = &self.stage.live;
        let from = live.world().calls.len();
        // The second sweep proves that the first one wrote nothing after its reading.
        for calls in [5, 10] {
            self.stage.wind(60).await?;
            let counted = || async move { Ok(live.world().count_calls(from).0 >= calls) };
            self.stage.until("the sweep has read everything", counted).await?;
        }
        let (calls, writes) = live.world().count_calls(from);
        let held = (calls, writes) == (10, 0);
        self.narrator.row(Row {
            event: "two idle minutes",
            answer: "unchanged".into(),
            held,
            took: None,
            calls,
            writes,
        })
    }

    async fn a_member_turns_unhealthy(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        // The next sweep comes 60 s after the last: let the member fail shortly before it, so that ECS has not acted yet.
        stage.wind(50).await?;
        let ill = {
            let world = stage.live.world();
            let cluster = &world.ecs.clusters[CLUSTER];
            let ill = cluster.wanted("core").find(|(_, task)| task.address == address("core", 2));
            ill.map(|(id, _)| id.clone()).ok_or("the second core is not there")?
        };
        stage.live.world().fail_health(CLUSTER, &ill);
        let rest: Vec<_> =
            addresses("core", 1..=3).into_iter().filter(|a| *a != address("core", 2).to_string()).collect();
        self.expect("second core turns UNHEALTHY", 11, CORE, &rest).await?;
        let srv = stage.ask("core.discovery.neo4j.service", RecordType::SRV).await?;
        self.narrator.note(&format!("Cloud Map acts 30 s later: its SRV record still names {} members", srv.len()));
        self.expect("ECS replaces it", 2 * A_WHILE, CORE, &addresses("core", 1..=3)).await
    }

    async fn grow(&mut self) -> Result<(), Trouble> {
        let function = self.stage.outputs(STACK).await?.remove("FunctionName").unwrap_or_default();
        for n in 4..=5 {
            self.add_instance("core", n);
        }
        self.stage.live.world().scale(CLUSTER, "core", 5);
        self.expect("3 → 5 cores", A_WHILE, CORE, &addresses("core", 1..=5)).await?;
        // Exactly two, so that core instances left over are none.
        self.add_instance("replica", 1);
        self.add_instance("replica", 2);
        self.stage.live.world().scale(CLUSTER, "replica", 2);
        self.expect("two replicas join", A_WHILE, REPLICA, &addresses("replica", 1..=2)).await?;

        let plan = self.stage.invoke(&function, &json!({"dryRun": true})).await?;
        self.narrator.note(&format!("dry run by hand: {plan}"));
        if plan["changes"] != json!([]) || plan["dryRun"] != json!(true) {
            return Err(format!("the dry run answered {plan}"));
        }
        Ok(())
    }

    async fn deletion_is_refused_while_members_run(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        let from = stage.live.world().calls.len();
        let refused = async {
            match stage.delete_stack(STACK).await {
                Err(why) if why.contains("scale its service to 0 or delete its stack") => Ok(()),
                other => Err(format!("the deletion was not refused as it should be: {other:?}")),
            }
        };
        self.narrator.work("deleting the stack while members run: refused", refused).await?;
        let (calls, writes) = stage.live.world().count_calls(from);
        let all = stage.ask(CORE, RecordType::A).await? == addresses("core", 1..=5);
        let answer = "all members still answer".into();
        let held = all && writes == 0;
        self.narrator.row(Row { event: "deletion refused", answer, held, took: None, calls, writes })
    }

    async fn scale_to_nothing(&mut self) -> Result<(), Trouble> {
        self.stage.live.world().scale(CLUSTER, "core", 0);
        self.expect("the core service is scaled to 0", A_WHILE, CORE, &[]).await?;
        self.expect("… and the replicas stay", 0, REPLICA, &addresses("replica", 1..=2)).await
    }

    async fn delete(&mut self) -> Result<(), Trouble> {
        let stage = self.stage;
        self.narrator.work("deleting the services", stage.delete_stack("neo4j-services")).await?;
        // What a round that died may leave: without the function's last round the zone could not be deleted.
        let left = RecordSet::multivalue(CORE, &format!("{STACK}/0123456789abcdef0123456789abcdef"), "10.0.9.9");
        for zone in stage.live.world().route53.zones.values_mut().filter(|zone| zone.managed_by.is_none()) {
            zone.put(left.clone());
        }
        let from = stage.live.world().calls.len();
        self.narrator.work("deleting the stack, with a record left over", stage.delete_stack(STACK)).await?;
        let (calls, writes) = stage.live.world().count_calls(from);
        let held = writes == 1 && {
            let world = stage.live.world();
            world.route53.zones.is_empty()
                && world.cloud_map.services.is_empty()
                && world.cloud_map.namespaces.is_empty()
        };
        let answer = "no zone, no service left".into();
        self.narrator.row(Row { event: "stacks deleted", answer, held, took: None, calls, writes })
    }

    fn add_instance(&self, service: &str, n: u8) {
        let zone = ZONES[usize::from(n - 1) % ZONES.len()];
        self.stage.live.world().add_container_instance(CLUSTER, address(service, n), zone);
    }

    /// Lets time pass, then waits until DNS answers as it should.
    async fn expect(&mut self, event: &'static str, seconds: u64, name: &str, want: &[String]) -> Result<(), Trouble> {
        let stage = self.stage;
        let from = stage.live.world().calls.len();
        stage.wind(seconds).await?;
        let look = || async move { Ok(stage.ask(name, RecordType::A).await? == want) };
        let took: Result<Duration, Trouble> =
            self.narrator.work(event, stage.until(&format!("{name} answers {want:?}"), look)).await;
        let (calls, writes) = stage.live.world().count_calls(from);
        let answer = if want.is_empty() { format!("{name}: none") } else { format!("{name}: {}", want.join(" ")) };
        let (held, took) = (took.is_ok(), took?);
        self.narrator.row(Row { event, answer, held, took: Some(Took::Real(took)), calls, writes })
    }
}

fn address(service: &str, n: u8) -> Ipv4Addr {
    // Hosts of one cluster are filled from the lowest address on: the replicas' come after the cores'.
    if service == "core" { Ipv4Addr::new(10, 0, n, 10) } else { Ipv4Addr::new(10, 1, n, 10) }
}

fn addresses(service: &str, range: std::ops::RangeInclusive<u8>) -> Vec<String> {
    range.map(|n| address(service, n).to_string()).collect()
}
