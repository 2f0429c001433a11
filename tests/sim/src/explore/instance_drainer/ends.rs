//! What must come of everything once the faults are over.

use cluster_world::{
    ec2::boot::Agent,
    neo4j::{Member, Phase},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Instances, Woken, Wrong, invoke, scenarios::MINUTE, steps::THEIRS};
use crate::cluster::Cluster;

/// How many minutes it may take until nothing is written any more, once every core is whole: one may still be replaced, with the
/// grace of tasks of no service on its instance.
const SETTLES: usize = 30;
/// How many minutes all that takes which waits for a clock: a hook that runs out, a core that is given up, and the second try
/// to restart a member, an hour after the first, with the 20 minutes that one which hangs has to stop.
const PATIENCE: u64 = 150;

impl Instances {
    /// Does what people do about what the function leaves to them: a member that hangs beside another that is away or ill, or
    /// before it ever answered, an agent that is silent, an instance that was left draining, a launch that runs into its hook.
    fn help(&mut self) {
        self.cluster.wire.world().lambda.functions.extend(std::mem::take(&mut self.muted));
        {
            let mut world = self.cluster.wire.world();
            let hung: Vec<_> =
                world.neo4j.members.iter().filter(|(_, found)| found.hangs).map(|(id, _)| id.clone()).collect();
            let stuck = |found: &Member| found.phase == Phase::Stuck;
            let full = world.neo4j.dbms_in(&self.cluster.ecs_cluster);
            let full = full.is_some_and(|dbms| dbms.servers.values().any(|server| server.full));
            let away = world.neo4j.members.len() < self.cluster.nodes.len() || world.neo4j.members.values().any(stuck);
            for task in &hung {
                // One that had not answered yet may be recovering, for all that anybody can see.
                if hung.len() > 1 || away || full || world.neo4j.members[task].phase != Phase::Serving {
                    world.hang_member(task, false);
                }
            }
            // Where a disk was full only for a moment, nothing tells a start that hangs from one that recovers.
            let now = world.now;
            let long = |found: &Member| now.duration_since(found.started) > SignedDuration::from_mins(40);
            let given_up = world.neo4j.members.iter().find(|(_, found)| self.drawn && stuck(found) && long(found));
            if let Some(task) = given_up.map(|(task, _)| task.clone()) {
                world.kill_member(&task);
            }
            let all: Vec<_> =
                world.auto_scaling.groups.values().flat_map(|group| group.members.keys().cloned()).collect();
            for instance in &all {
                world.complete_hook(instance, THEIRS, true);
            }
        }
        for core in 1..=self.cluster.nodes.len() {
            let Some(instance) = self.cluster.holder(core) else { continue };
            let mut world = self.cluster.wire.world();
            let Some(found) = world.ec2.instances.get(&instance) else { continue };
            let (fails, silent) = (found.impaired, found.boot.agent == Agent::Silent);
            let taken = found.reclaimed.is_some();
            let state = world.auto_scaling.member(&instance).map_or("", |member| member.state);
            let leaves = state.starts_with("Terminating");
            if fails && !leaves {
                world.mark_unhealthy(&instance);
            }
            // An agent that nobody can bring back.
            if silent && !fails {
                world.hear(&instance);
            }
            let drains = world.container_instance(&instance).is_some_and(|found| found.status == "DRAINING");
            drop(world);
            // What EC2 calls impaired while its agent still answers: nobody else ends it where the others cannot do without it.
            if leaves && fails && !silent {
                self.cluster.empty(core);
            }
            let held = self.guard.holder(&self.cluster.wire.world()).is_some();
            let ours = taken || (self.rebalanced && held);
            if drains && !leaves && !ours {
                self.cluster.set_status(core, "ACTIVE");
            }
        }
    }

    /// When the faults are over every core becomes whole, and then nothing is written any more.
    pub(super) async fn becomes_whole(&mut self) -> Result<(), Wrong> {
        {
            let mut world = self.cluster.wire.world();
            world.ec2.no_capacity.clear();
            world.ec2.attach_errors.clear();
            let full: Vec<_> = world.neo4j.full.iter().cloned().collect();
            for disk in &full {
                world.free_disk(disk);
            }
        }
        let is_whole = |cluster: &Cluster, core: usize| {
            let Some(instance) = cluster.serving(core).filter(|_| cluster.states(core).len() == 1) else {
                return false;
            };
            let world = cluster.wire.world();
            let joined = world.container_instance(&instance).is_some_and(|f| f.connected && f.status == "ACTIVE");
            let on = |member: &&Member| member.instance.as_ref() == Some(&instance);
            let answers = world.neo4j.members.values().find(on).is_some_and(Member::answers);
            let dbms = world.neo4j.dbms_in(&cluster.ecs_cluster);
            let full = dbms.is_some_and(|dbms| dbms.servers.values().any(|server| server.full));
            answers && joined && !full && world.ec2.instances.get(&instance).is_some_and(|found| !found.impaired)
        };
        let whole = |cluster: &Cluster| (1..=cluster.nodes.len()).all(|core| is_whole(cluster, core));
        let ends = self.cluster.wire.world().now + SignedDuration::from_mins(PATIENCE.cast_signed());
        while !whole(&self.cluster) {
            if self.cluster.wire.world().now > ends {
                let (picture, sees) = (self.cluster.picture(), self.sees().await);
                return Err(format!("not whole after {PATIENCE} minutes\n{picture}\n{sees}"));
            }
            self.help();
            self.live(30).await?;
        }
        // A core counts as whole when its task has run for five minutes. One round takes note of that, and may declare the user
        // that looks; the next one takes note of what that user sees.
        self.cluster.wire.sleep(5 * MINUTE + 10).await;
        self.reconcile(&[]).await?;
        self.live(2 * MINUTE).await?;
        // A lease goes back, and clocks go, in the round that sees that they may.
        let mut idle = self.idle_round().await;
        for _ in 0..SETTLES {
            if idle.is_ok() {
                break;
            }
            self.live(MINUTE).await?;
            idle = self.idle_round().await;
        }
        idle?;
        self.holds()
    }

    /// What the function says of every core, and what it would do.
    async fn sees(&self) -> String {
        match self.cluster.invoke(json!({"dryRun": true})).await {
            Ok(answer) => {
                let cores = answer["cores"].as_array().into_iter().flatten();
                let cores = cores.map(|core| format!("core {}: {}; {}", core["core"], core["why"], core["healing"]));
                format!(
                    "{}\nlease: {}\nsteps: {}",
                    cores.collect::<Vec<_>>().join("\n"),
                    answer["lease"],
                    answer["steps"]
                )
            }
            Err(failure) => failure.chain(),
        }
    }

    /// A round in which nothing is to be done says so, and writes nothing.
    async fn idle_round(&self) -> Result<(), Wrong> {
        let answer = self.writes_nothing().await?;
        if all_is_well(&answer) { Ok(()) } else { Err(format!("the idle round sees something to do: {answer}")) }
    }

    /// CloudFormation says that the stack goes, tried as Lambda tries it; then it deletes the cores with their services.
    pub(super) async fn delete(&mut self) -> Result<(), Wrong> {
        self.deleted = true;
        for pause in [60, 120, 0] {
            if invoke(&self.cluster, self.cluster.phase_request("Delete")).await {
                break;
            }
            self.live(pause).await?;
        }
        self.holds()
    }

    pub(super) async fn is_deleted(&mut self) -> Result<(), Wrong> {
        self.delete().await?;
        let ecs_cluster = &self.cluster.ecs_cluster;
        let mut all = Vec::new();
        for (core, node) in (1..).zip(&self.cluster.nodes) {
            let service = format!("arn:aws:ecs:eu-west-1:000000000000:service/{ecs_cluster}/core-{core}");
            all.push(("AWS::ECS::Service", service, json!({"Cluster": ecs_cluster})));
            all.push(("AWS::AutoScaling::AutoScalingGroup", node.group.clone(), json!({})));
            all.push(("AWS::EC2::Volume", node.volume.clone(), json!({"DeletionPolicy": "Snapshot"})));
        }
        for (kind, id, properties) in all {
            let mut operation = self.cluster.wire.world().delete(kind, &id, &properties);
            let ends = self.cluster.wire.world().now + SignedDuration::from_mins(PATIENCE.cast_signed());
            while !matches!(operation, Ok(Some(_))) {
                if self.cluster.wire.world().now > ends {
                    return Err(format!("{kind} {id} is not gone: {operation:?}\n{}", self.cluster.picture()));
                }
                self.live(30).await?;
                let again = operation.is_err();
                let mut world = self.cluster.wire.world();
                operation = if again { world.delete(kind, &id, &properties) } else { world.status(kind, &id) };
            }
        }
        let world = self.cluster.wire.world();
        let ours = |id: &str| id != "i-0000000000000000f";
        let left: Vec<_> = world.ec2.instances.iter().filter(|(id, found)| ours(id) && found.ended.is_none()).collect();
        let theirs = world.auto_scaling.groups.get(&self.foreign.group).map_or(0, |group| group.members.len());
        if left.len() > theirs || world.ec2.snapshots.len() != self.cluster.nodes.len() {
            return Err(format!("left running: {left:?}; snapshots: {:?}", world.ec2.snapshots));
        }
        Ok(())
    }
}

/// Whether the function answers that every core is whole and nothing is to be done.
fn all_is_well(answer: &Value) -> bool {
    let round = &answer["reconciled"];
    let whole = |core: &Value| core["whole"] == true;
    round["steps"] == json!([]) && round["cores"].as_array().is_some_and(|cores| cores.iter().all(whole))
}
