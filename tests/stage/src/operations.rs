//! The commands of the documents, taken from their text and run by the real AWS CLI against a local AWS, as a person on call
//! would.

mod changes;
mod leaves;
mod looks;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cluster::{Build, Cluster},
    documents::{self, Block, Documents, ensure, fill},
    narrator::Narrator,
    stage::{Stage, Trouble},
};

const STACK: &str = "neo4j-ops";
/// The heading under which members are rolled.
const ROLL: &str = "Roll the members one at a time";
const CORES: usize = 3;
const REPLICAS: usize = 1;
/// Longer than the hooks of cores wait for a sign of life, in seconds.
const AWAY: u64 = 1_900;

/// The blocks of shell under each heading that are run, in their order under it. A heading names its document.
const RUN: &[Block] = &[
    ("Before you start", 0),
    ("Before you start", 1),
    ("Before you start", 2),
    ("See the members", 0),
    ("Is the cluster whole?", 0),
    ("Deploy a change", 1),
    ("Look at the cluster", 0),
    ("Roll the members one at a time", 0),
    ("Roll the members one at a time", 1),
    ("Roll the members one at a time", 2),
    ("Roll the members one at a time", 3),
    ("Roll the members one at a time", 4),
    ("Roll the members one at a time", 4),
    ("Restart a core", 0),
    ("Replace an instance", 0),
    ("Add cores", 0),
    ("Add and remove replicas", 0),
    ("Stop and start the cluster", 0),
    ("Stop and start the cluster", 1),
    ("Stop and start the cluster", 2),
    ("Stop and start the cluster", 3),
    ("Restore from snapshots", 0),
    ("An instance is retained", 0),
    ("An instance is retained", 1),
    ("An instance is retained", 2),
    ("Delete the stack", 0),
    ("Delete the stack", 2),
    ("A full disk", 0),
    ("Undelivered messages", 0),
    ("A silent function", 0),
    ("Check an account", 0),
    ("At a glance", 0),
];

/// Those that are not, and why.
pub const NOT_RUN: &[(&str, usize, &str)] = &[
    ("Try it", 0, "these commands are what runs this"),
    ("Deploy", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    ("Deploy a change", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    ("Log in to an instance", 0, "no instance boots here"),
    ("Create the two users", 0, "no Neo4j runs here"),
    ("Deploy it", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    (
        "Deploy it for an account",
        0,
        "it builds for arm64 and deploys to an account; the stories use what the template makes",
    ),
    (
        "Give it your topics",
        0,
        "the emulator's topics and the world's queue are two; the stories hand on what a topic sends",
    ),
    ("Grow the data volumes", 0, "it runs on an instance"),
    ("Delete the stack", 1, "the world has no network interfaces, and the emulator's lists know none of these filters"),
    ("A full disk", 1, "it runs on an instance"),
    ("Backups", 0, "it defines the variable of blocks that are not run"),
    ("See the backups", 0, "the outputs whose commands it runs are on the lists below"),
    ("Take one now", 0, "tests of facts run the command in this output"),
    ("See what there is", 0, "the outputs whose commands it runs are on the lists below"),
    ("See what there is", 1, "the emulator's bucket and that of the world are two"),
    ("Pin a chain", 0, "the emulator's bucket and that of the world are two; the simulation's stories pin a chain"),
    ("Bring back what was deleted", 0, "the emulator's bucket and that of the world are two"),
    ("Delete by hand", 0, "the emulator's bucket and that of the world are two"),
    ("Encryption", 0, "the tests of members run it, with certificates that fit and that do not"),
];

/// The outputs that hold commands, and are run.
const OUTPUTS: &[&str] = &[
    "ShowMembers",
    "ShowInstanceDrainerPlan",
    "ShowDnsReplicatorPlan",
    "ShowBackupSchedulerPlan",
    "ShowBackupPrunerPlan",
    "ReadAdminPassword",
    "ReadInstanceDrainerDeadLetters",
    "ReadDnsReplicatorDeadLetters",
    "ReadBackupSchedulerDeadLetters",
    "ReadBackupPrunerDeadLetters",
    "PurgeInstanceDrainerDeadLetters",
    "PurgeDnsReplicatorDeadLetters",
    "PurgeBackupSchedulerDeadLetters",
    "PurgeBackupPrunerDeadLetters",
    "ProtectStack",
];

/// Those that are not, and why.
pub const OUTPUTS_NOT_RUN: &[(&str, &str)] = &[
    ("FollowInstanceDrainerLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowDnsReplicatorLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowBackupSchedulerLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowBackupPrunerLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowBackupJobLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowNeo4jLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowNeo4jGatewayLog", "version 1 of the CLI has no `logs tail`"),
    ("ShowGroupUsers", "the world has no network interfaces"),
    ("TakeBackup", "tests of facts run it, and hold its message against that of the schedule"),
];

/// Runs the commands on a stage of its own. Fails with the first that did not do what its document says.
pub async fn play(narrator: &mut Narrator) -> Result<(), Trouble> {
    let stage = narrator.work("starting the local AWS", Stage::open()).await?;
    let told = tell(&stage, narrator).await;
    stage.end(told).await
}

async fn tell(stage: &Stage, narrator: &mut Narrator) -> Result<(), Trouble> {
    let documents = Documents::read(RUN)?;
    let cluster = Cluster::prepare(stage, STACK, Build::Cargo, narrator).await?;
    let replicas = REPLICAS.to_string();
    let parameters = [("ReplicaCount", replicas.as_str())];
    narrator.work("sam deploy: the whole cluster", cluster.deploy(&parameters)).await?;
    let forms = async {
        cluster.formed(CORES, REPLICAS).await?;
        cluster.is_whole().await
    };
    narrator.work("it forms", forms).await?;
    let prelude = documents.block("Before you start", 0)?;
    let named = format!("export NAME={STACK}\n{prelude}");
    let (prelude, outputs) = (format!("{}\n{named}", stage.exports()), BTreeSet::new());
    let mut person = Person { stage, cluster, documents, prelude, outputs, narrator };
    // Once for all: each call of the CLI takes as long as Python does to start.
    let ecs = person.run("echo \"$CLUSTER\"", false).await?;
    let lines = person.prelude.lines().filter(|line| !line.starts_with("CLUSTER="));
    let prelude = lines.collect::<Vec<_>>().join("\n");
    person.prelude = format!("{prelude}\nCLUSTER={ecs}");
    person.looks().await?;
    person.looks_at_the_members().await?;
    person.checks_the_account().await?;
    person.looks_at_a_glance().await?;
    person.reads_dead_letters().await?;
    person.reads_what_was_not_delivered().await?;
    person.changes_a_parameter().await?;
    person.restarts_a_core().await?;
    person.rolls_the_members().await?;
    person.replaces_an_instance().await?;
    person.empties_a_retained_instance().await?;
    person.forgets_a_replica().await?;
    person.took_no_majority()?;
    person.stops_and_starts().await?;
    person.removes_it().await?;
    let outputs: BTreeSet<_> = OUTPUTS.iter().map(|name| (*name).to_owned()).collect();
    ensure(person.outputs == outputs, || {
        format!("listed in OUTPUTS, but not run: {:?}", outputs.difference(&person.outputs))
    })?;
    person.documents.all_were_run()
}

struct Person<'a> {
    stage: &'a Stage,
    cluster: Cluster<'a>,
    documents: Documents,
    prelude: String,
    /// The outputs whose commands were run.
    outputs: BTreeSet<String>,
    narrator: &'a mut Narrator,
}

impl Person<'_> {
    /// Runs commands, and returns what they print. Time passes only as fast as it does, unless told to fly.
    async fn run(&mut self, command: &str, fly: bool) -> Result<String, Trouble> {
        documents::run(self.stage, self.narrator, &self.prelude, command, fly).await
    }

    /// The command in an output of the stack.
    async fn output(&mut self, name: &str) -> Result<String, Trouble> {
        ensure(OUTPUTS.contains(&name), || format!("OUTPUTS does not list {name}"))?;
        self.outputs.insert(name.to_owned());
        let mut outputs = self.stage.outputs(STACK).await?;
        let command = outputs.remove(name).ok_or_else(|| format!("the stack has no output {name}"))?;
        self.run(&documents::unescaped(&command), false).await
    }

    /// Returns the container instance and the task of an instance, as the table and the list show them.
    async fn find(&mut self, instance: &str) -> Result<(String, String), Trouble> {
        let block = self.documents.block("Before you start", 1)?.replace("\\\n", " ");
        let (table, tasks) = block.split_once("\n\n").ok_or("the table and the list of tasks are one command")?;
        let table = self.run(table, false).await?;
        let row = table.lines().find(|line| line.contains(instance));
        let row = row.ok_or_else(|| format!("the table has no {instance}:\n{table}"))?;
        let ci = row.split(['|', ' ']).find(|cell| cell.starts_with("arn:")).ok_or("the row names no CI")?.to_owned();
        let task = self.run(&fill(tasks, &[("CI", &ci)])?, false).await?.trim().to_owned();
        Ok((ci, task))
    }

    /// Returns the instance of a replica.
    fn replica(&self) -> Option<String> {
        let world = self.stage.live.world();
        let tier = |tags: &BTreeMap<String, String>| tags.get("neo4j:tier").is_some_and(|tier| tier == "replica");
        let mut running = world.ec2.instances.iter().filter(|(_, found)| found.state == "running" && tier(&found.tags));
        running.next().map(|(id, _)| id.clone())
    }

    async fn formed(&mut self) -> Result<(), Trouble> {
        let again = async {
            self.cluster.formed(CORES, REPLICAS).await?;
            self.cluster.is_whole().await
        };
        self.narrator.work("all answer again, and every core may be stopped", again).await?;
        Ok(())
    }

    /// Whoever follows the documents takes the majority from no database.
    fn took_no_majority(&self) -> Result<(), Trouble> {
        let lost = self.stage.live.world().without_majority();
        let taken: Vec<_> = lost.iter().filter(|(_, lost)| !lost.voluntary().is_zero()).collect();
        ensure(taken.is_empty(), || format!("the commands took the majority from databases: {taken:?}"))
    }

    /// Returns the tasks that run, with the revisions of their definitions, by ECS service.
    fn running(&self) -> BTreeMap<String, Vec<(String, String)>> {
        let world = self.stage.live.world();
        let mut running: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, task) in world.ecs.clusters.values().flat_map(|cluster| &cluster.tasks) {
            if task.wanted && task.status == "RUNNING" {
                let revision = task.definition.rsplit(':').next().unwrap_or_default().to_owned();
                running.entry(task.service.clone()).or_default().push((id.clone(), revision));
            }
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drain_story, stage::root};

    #[test]
    fn every_block_of_shell_in_the_documents_is_run_or_has_a_reason() {
        let known: BTreeSet<_> = Documents::read(RUN).unwrap().blocks.into_keys().collect();
        let run = RUN.iter().chain(drain_story::RUN).map(|(heading, number)| ((*heading).to_owned(), *number));
        let not_run = NOT_RUN.iter().map(|(heading, number, _)| ((*heading).to_owned(), *number));
        let listed: Vec<_> = run.chain(not_run).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a block is listed twice");
    }

    #[test]
    fn every_output_that_holds_a_command_is_run_or_has_a_reason() {
        let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
        let (_, outputs) = template.split_once("\nOutputs:").unwrap();
        let names = outputs.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let verbs = ["Show", "Read", "Purge", "Follow", "Protect", "Take"];
        let command = |name: &&str| verbs.iter().any(|verb| name.starts_with(verb)) && !name.ends_with("Arn");
        let commands: BTreeSet<_> = names.filter(command).collect();
        let not_run = OUTPUTS_NOT_RUN.iter().map(|(name, _)| *name);
        assert_eq!(OUTPUTS.iter().copied().chain(not_run).collect::<BTreeSet<_>>(), commands);
    }
}
