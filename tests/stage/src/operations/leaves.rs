//! What leaves: an instance that was retained, a replica, all members for a while, and the stack.

use std::{collections::BTreeMap, net::Ipv4Addr};

use cluster_world::neo4j::Fault;

use super::{AWAY, CORES, Person, REPLICAS};
use crate::{
    cluster::Core,
    documents::{ensure, fill},
    stage::Trouble,
};

impl Person<'_> {
    pub(super) async fn empties_a_retained_instance(&mut self) -> Result<(), Trouble> {
        let under = "An instance is retained";
        let kept = self.cluster.cores().remove("3").ok_or("there is no core 3")?;
        // Whoever knows better than the gate: core 1 refuses the login of the user that looks, and does all it should.
        let refusing: Ipv4Addr = self.cluster.cores()["1"].address.parse().map_err(|e| format!("no address: {e}"))?;
        self.stage.live.world().neo4j.faults.entry(refusing).or_default().insert(Fault::LoginRefused);
        self.stage.terminate(&kept.instance)?;
        let shut = async || {
            let plan = self.cluster.plan().await?;
            let cores = plan["cores"].as_array().into_iter().flatten();
            Ok(cores.filter(|core| core["core"] == 3).all(|core| core["safeToStop"] == false))
        };
        self.cluster.until("the gate is shut for core 3", shut).await?;
        // The function is away for half an hour, and the hook comes to its end.
        self.stage.wind(AWAY).await?;
        let retained = async || Ok(self.cluster.is_retained(&kept.instance));
        self.cluster.until_by(20, "the instance is retained", retained).await?;
        let listed = self.documents.block(under, 0)?;
        let listed = self.run(&listed, false).await?;
        let row = listed.lines().find(|line| line.contains(&kept.instance)).unwrap_or_default();
        ensure(row.contains("Terminating:Retained"), || format!("{} is not retained in:\n{listed}", kept.instance))?;

        let (ci, task) = self.find(&kept.instance).await?;
        let empty = self.documents.block(under, 1)?;
        let empty = fill(&empty, &[("CI", &ci), ("TASK", &task)])?;
        self.run(&empty, true).await?;
        self.stage.live.world().neo4j.faults.remove(&refusing);
        let moved = async || Ok(self.cluster.cores().get("3").is_some_and(|core| core.instance != kept.instance));
        self.cluster.until("core 3 has another instance", moved).await?;
        self.formed().await?;
        let new = self.cluster.cores().remove("3");
        ensure(new.as_ref().is_some_and(|new| new.volume == kept.volume), || format!("core 3 lost its volume: {new:?}"))
    }

    /// Deregisters a replica whose agent was away when its instance ended, so that ECS did not notice.
    pub(super) async fn forgets_a_replica(&mut self) -> Result<(), Trouble> {
        let replica = self.replica().ok_or("there is no replica")?;
        let (ci, _) = self.find(&replica).await?;
        self.stage.live.world().silence(&replica);
        self.stage.live.world().lose_instance(&replica);
        let gone = async || Ok(self.stage.live.world().auto_scaling.member(&replica).is_none());
        self.cluster.until("the instance is gone", gone).await?;
        let described = fill(&self.documents.inline("aws ec2 describe-instances")?, &[("i-…", &replica)])?;
        let described = self.run(&described, false).await?;
        ensure(described.contains("\"terminated\""), || format!("{replica} should be terminated: {described}"))?;
        let forced = fill(&self.documents.block("Add and remove replicas", 0)?, &[("CI", &ci)])?;
        ensure(
            forced.trim() == fill(&self.documents.block("An instance is retained", 2)?, &[("CI", &ci)])?.trim(),
            || "a silent core is deregistered by another command than a replica".to_owned(),
        )?;
        self.run(&forced, false).await?;
        let again = async || {
            let other = self.replica().filter(|other| *other != replica);
            Ok(other.is_some_and(|other| self.stage.live.world().tasks_on(&other).next().is_some()))
        };
        self.cluster.until("its replacement has a task", again).await?;
        self.formed().await
    }

    pub(super) async fn stops_and_starts(&mut self) -> Result<(), Trouble> {
        let under = "Stop and start the cluster";
        let before = self.cluster.cores();
        let stop = self.documents.block(under, 0)?;
        self.run(&stop, true).await?;
        let running = self.running();
        ensure(running.is_empty(), || format!("not everything has stopped when the commands come back: {running:?}"))?;
        let snapshots = self.documents.command("Restore from snapshots", 0, "create-snapshot")?;
        let volume = before.values().next().map(|core| core.volume.clone()).ok_or("there is no core")?;
        let snapshots = fill(&snapshots, &[("vol-…", &volume)])?;
        let snapshot = self.run(&snapshots, false).await?;
        ensure(snapshot.contains(&volume) && snapshot.contains("snap-"), || format!("no snapshot: {snapshot}"))?;
        let shrink = self.documents.block(under, 1)?;
        self.run(&shrink, false).await?;
        let gone = async || {
            let world = self.stage.live.world();
            Ok(before.values().all(|core| world.auto_scaling.member(&core.instance).is_none()))
        };
        self.cluster.until("the instances of the cores have gone", gone).await?;
        let back = self.documents.block(under, 2)?;
        self.run(&back, false).await?;
        let start = fill(&self.documents.block(under, 3)?, &[("REPLICAS", &REPLICAS.to_string())])?;
        self.run(&start, false).await?;
        self.formed().await?;
        let volumes = |cores: &BTreeMap<String, Core>| -> Vec<_> {
            cores.iter().map(|(number, core)| (number.clone(), core.volume.clone())).collect()
        };
        let after = self.cluster.cores();
        ensure(volumes(&after) == volumes(&before), || format!("a core lost its volume: {before:?}, then {after:?}"))
    }

    pub(super) async fn removes_it(&mut self) -> Result<(), Trouble> {
        let noted = self.documents.block("Delete the stack", 0)?;
        let noted = self.run(&noted, false).await?;
        let volumes: Vec<_> = noted.split_whitespace().filter(|word| word.starts_with("vol-")).collect();
        let secrets = noted.split_whitespace().filter(|word| word.contains("-Secrets-")).count();
        ensure(volumes.len() == CORES && secrets == 4, || format!("not 3 volumes and 4 secrets: {noted}"))?;
        let unprotect = self.documents.inline("aws cloudformation update-termination-protection --no-")?;
        self.run(&unprotect, false).await?;
        // SAM's own `delete` fails on stacks of the emulator that hold others.
        let delete = self.documents.block("Delete the stack", 2)?;
        let (_, delete) = delete.split_once("# or: ").ok_or("the only way to delete is `sam delete`")?;
        let delete = delete.to_owned();
        self.run(&delete, false).await?;
        self.narrator.work("the stack goes", self.cluster.delete()).await?;

        let of = volumes.join(",");
        let snapshots = self.documents.inline("aws ec2 describe-snapshots")?;
        let snapshots = self.run(&fill(&snapshots.replace("vol-…,vol-…", "vol-…"), &[("vol-…", &of)])?, false).await?;
        let all = volumes.iter().all(|volume| snapshots.contains(volume));
        ensure(all, || format!("not every one of {of} left a snapshot: {snapshots}"))?;
        for (begins, kept, count) in [
            ("aws secretsmanager list-secrets", "\"ARN\"", 4),
            ("aws dynamodb list-tables", "-State-", 1),
            ("aws logs describe-log-groups", "\"logGroupName\"", 3),
            ("aws ecs list-task-definitions", "task-definition/", 1),
        ] {
            let command = self.documents.inline(begins)?;
            let listed = self.run(&command, false).await?;
            let found = listed.matches(kept).count();
            ensure(found == count, || format!("{command}: {count} should be kept, not {found}: {listed}"))?;
        }
        Ok(())
    }
}
