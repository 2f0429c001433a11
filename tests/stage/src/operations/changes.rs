//! Who changes something: a parameter, a task, an instance, and the members one after the other.

use std::collections::BTreeMap;

use super::{CORES, Person, REPLICAS, ROLL};
use crate::{
    documents::{ensure, fill},
    stage::Trouble,
};

impl Person<'_> {
    /// Enlarges the volumes without a template, and leaves everything else as it is.
    pub(super) async fn changes_a_parameter(&mut self) -> Result<(), Trouble> {
        let before = self.running();
        let parameters = "aws cloudformation describe-stacks --stack-name \"$NAME\" --output text \
            --query 'Stacks[0].Parameters[?ParameterKey!=`DataVolumeSize`].[ParameterKey,ParameterValue]' | sort";
        let others = self.run(parameters, false).await?;
        let change = self.documents.block("Deploy a change", 1)?;
        self.run(&change, true).await?;
        let sizes: Vec<_> = self.stage.live.world().ec2.volumes.values().map(|volume| volume.size).collect();
        ensure(sizes == [200; CORES], || format!("every volume should have 200 GiB: {sizes:?}"))?;
        let kept = self.run(parameters, false).await?;
        ensure(kept == others, || format!("other parameters have changed:\n{others}\n{kept}"))?;
        let after = self.running();
        ensure(after == before, || format!("an update restarts nobody: {before:?}, then {after:?}"))
    }

    pub(super) async fn restarts_a_core(&mut self) -> Result<(), Trouble> {
        let core = self.cluster.cores().remove("1").ok_or("there is no core 1")?;
        let (_, task) = self.find(&core.instance).await?;
        let command = fill(&self.documents.block("Restart a core", 0)?, &[("TASK", &task)])?;
        ensure(command.trim() == fill(&self.documents.block("A full disk", 0)?, &[("TASK", &task)])?.trim(), || {
            "a member whose disk was full is restarted by another command".to_owned()
        })?;
        self.run(&command, false).await?;
        let stopped =
            async || Ok(self.cluster.stage.live.world().tasks_on(&core.instance).all(|id| !task.ends_with(&id)));
        self.cluster.until("the task has stopped", stopped).await?;
        self.formed().await?;
        let same = self.cluster.cores().remove("1");
        ensure(same.as_ref() == Some(&core), || format!("core 1 should be on the same instance: {same:?}"))
    }

    pub(super) async fn replaces_an_instance(&mut self) -> Result<(), Trouble> {
        let old = self.cluster.cores().remove("2").ok_or("there is no core 2")?;
        let end = fill(&self.documents.block("Replace an instance", 0)?, &[("i-…", &old.instance)])?;
        self.run(&end, false).await?;
        let moved = async || Ok(self.cluster.cores().get("2").is_some_and(|core| core.instance != old.instance));
        self.cluster.until("core 2 has another instance", moved).await?;
        self.formed().await?;
        let new = self.cluster.cores().remove("2");
        let same = new.as_ref().is_some_and(|new| new.volume == old.volume && new.contents == old.contents);
        ensure(same, || format!("core 2 should have {} again: {new:?}", old.volume))?;
        let standing = self.standings().await?.remove("core 2").unwrap_or_default();
        ensure(standing == ("reached".to_owned(), String::new()), || format!("core 2 is replaced, but {standing:?}"))
    }

    /// Returns `target` and `outdated` of each member, as the table shows them: cores as «core 1», replicas by instance.
    async fn standings(&mut self) -> Result<BTreeMap<String, (String, String)>, Trouble> {
        let block = self.documents.block(ROLL, 0)?;
        let (_, table) = block.split_once('\n').ok_or("the table of outdated members is one line")?;
        let table = self.run(table, false).await?;
        let rows = table.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
        let rows = rows.filter_map(|row| match &row[..] {
            [who, _, _, target, outdated] => Some((who.clone(), (target.clone(), outdated.clone()))),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Deploys another setting and another AMI, which restarts nobody, and rolls one member after the other.
    pub(super) async fn rolls_the_members(&mut self) -> Result<(), Trouble> {
        let before = self.running();
        let replicas = REPLICAS.to_string();
        let changed =
            [("ReplicaCount", replicas.as_str()), ("SlowQueryMillis", "1000"), ("AmiId", "ami-0fedcba9876543210")];
        let deployed = self.cluster.deploy(&changed);
        self.narrator.work("sam deploy: another setting, another AMI", deployed).await?;
        let after = self.running();
        ensure(after == before, || format!("an update restarts nobody: {before:?}, then {after:?}"))?;
        let definition = self.documents.block(ROLL, 0)?;
        let definition = definition.lines().next().unwrap_or_default().to_owned();
        self.prelude = format!("{}\n{definition}", self.prelude);
        let standings = self.standings().await?;
        let outdated = |(target, why): &(String, String)| {
            target == "outdated" && why.contains("its task is of") && why.contains("its instance is of")
        };
        let all = standings.len() == CORES + REPLICAS && standings.values().all(outdated);
        ensure(all, || format!("every member should be outdated: {standings:?}"))?;
        self.compares_what_comes_next().await?;

        let replica = self.documents.block(ROLL, 1)?;
        self.rolls("replica", &replica).await?;
        for core in 1..CORES {
            let service = format!("core-{core}");
            let command = fill(&self.documents.block(ROLL, 2)?, &[("core-N", &service)])?;
            self.rolls(&service, &command).await?;
        }
        self.rolls_both().await?;
        let mut standings = self.standings().await?;
        let last = standings.remove("core 3").unwrap_or_default();
        ensure(last == ("reached".to_owned(), String::new()), || format!("core 3 is rolled, but {last:?}"))?;
        let rolled = |(target, why): &(String, String)| target == "outdated" && !why.contains("its task is of");
        let all = standings.len() == CORES + REPLICAS - 1 && standings.values().all(rolled);
        ensure(all, || format!("only the instances should be outdated now: {standings:?}"))
    }

    /// Rolls task and instance of the last core in one disruption.
    async fn rolls_both(&mut self) -> Result<(), Trouble> {
        let old = self.cluster.cores().remove("3").ok_or("there is no core 3")?;
        let (ci, task) = self.find(&old.instance).await?;
        let drain = fill(&self.documents.block(ROLL, 3)?, &[("CI", &ci), ("TASK", &task)])?;
        self.run(&drain, true).await?;
        let update = fill(&self.documents.block(ROLL, 2)?, &[("core-N", "core-3")])?;
        self.run(&update, false).await?;
        let end = fill(&self.documents.block("Replace an instance", 0)?, &[("i-…", &old.instance)])?;
        self.run(&end, false).await?;
        let moved = async || Ok(self.cluster.cores().get("3").is_some_and(|core| core.instance != old.instance));
        self.cluster.until("core 3 has another instance", moved).await?;
        self.formed().await
    }

    /// Before an update that adds members, and after one that was rolled back: is the newest what is wanted?
    async fn compares_what_comes_next(&mut self) -> Result<(), Trouble> {
        let compared = self.documents.block("Add cores", 0)?;
        let compared = self.run(&compared, false).await?;
        let newest = compared.split(['"', '\n']).filter(|word| word.ends_with("-core:2")).count();
        ensure(newest == 2, || format!("the newest revision should be the wanted one:\n{compared}"))?;
        let versions = self.documents.block(ROLL, 4)?;
        let versions = self.run(&versions, false).await?;
        let rows = versions.lines().filter(|line| line.contains("| lt-") || line.contains("|  lt-"));
        let rows: Vec<Vec<_>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
        let next = rows.len() == CORES + 1 && rows.iter().all(|row| matches!(row[..], [.., "2", "1", ""]));
        ensure(next, || format!("the next instance of every group should be of version 2, not 1:\n{versions}"))
    }

    /// Gives one service the wanted revision, and waits until its task runs with it. No other task changes.
    async fn rolls(&mut self, service: &str, command: &str) -> Result<(), Trouble> {
        let before = self.running();
        self.run(command, false).await?;
        let is_new = async || {
            Ok(self.running().get(service).is_some_and(|tasks| tasks.iter().all(|(_, revision)| revision == "2")))
        };
        self.cluster.until(&format!("{service} runs the new revision"), is_new).await?;
        self.formed().await?;
        let after = self.running();
        let others =
            before.iter().filter(|(name, _)| *name != service).all(|(name, tasks)| after.get(name) == Some(tasks));
        ensure(others, || format!("{service} alone should have changed: {before:?}, then {after:?}"))
    }
}
