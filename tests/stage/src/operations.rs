//! The commands of the documents, taken from their text and run by the real AWS CLI against a local AWS, as a person on call
//! would.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use cluster_world::neo4j::Fault;
use serde_json::{Value, json};

use crate::{
    cluster::{Build, Cluster, Core},
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
];

/// Those that are not, and why.
pub const NOT_RUN: &[(&str, usize, &str)] = &[
    ("Try it", 0, "these commands are what runs this"),
    ("Deploy", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    ("Deploy a change", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    ("Log in to an instance", 0, "no instance boots here"),
    ("Create the two users", 0, "no Neo4j runs here"),
    ("Deploy it", 0, "it builds for arm64 and deploys to an account; the stories run the same commands locally"),
    ("Grow the data volumes", 0, "it runs on an instance"),
    ("Delete the stack", 1, "the world has no network interfaces, and the emulator's lists know none of these filters"),
    ("A full disk", 1, "it runs on an instance"),
    ("Encryption", 0, "the tests of members run it, with certificates that fit and that do not"),
    ("At a glance", 0, "the emulator evaluates no alarms"),
];

/// The outputs that hold commands, and are run.
const OUTPUTS: &[&str] = &[
    "ShowMembers",
    "ShowInstanceDrainerPlan",
    "ShowDnsReplicatorPlan",
    "ReadAdminPassword",
    "ReadInstanceDrainerDeadLetters",
    "ReadDnsReplicatorDeadLetters",
    "PurgeInstanceDrainerDeadLetters",
    "PurgeDnsReplicatorDeadLetters",
    "ProtectStack",
];

/// Those that are not, and why.
pub const OUTPUTS_NOT_RUN: &[(&str, &str)] = &[
    ("FollowInstanceDrainerLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowDnsReplicatorLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowNeo4jLog", "version 1 of the CLI has no `logs tail`"),
    ("FollowNeo4jGatewayLog", "version 1 of the CLI has no `logs tail`"),
    ("ShowGroupUsers", "the world has no network interfaces"),
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

    async fn looks(&mut self) -> Result<(), Trouble> {
        for (output, planned) in [("ShowInstanceDrainerPlan", "steps"), ("ShowDnsReplicatorPlan", "changes")] {
            let printed = self.output(output).await?;
            // What the CLI itself has to say comes after the function's answer.
            let mut answers = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
            let plan = answers.next().and_then(Result::ok).unwrap_or_default();
            let empty = plan["dryRun"] == json!(true) && plan[planned] == json!([]);
            ensure(empty, || format!("{output} shows no empty plan: {printed}"))?;
        }
        let table = self.documents.block("Look at the cluster", 0)?;
        let table = self.run(&table, false).await?;
        // Time flies in the world, but not for the functions: to them the tasks have just started.
        let whole = |line: &&str| {
            line.split('\t').nth(6) == Some("true") || line.ends_with("the core counts as whole after five minutes")
        };
        let whole = table.lines().filter(whole).count();
        ensure(whole == CORES, || format!("the table should have {CORES} whole cores:\n{table}"))?;
        let addresses = self.documents.block("Before you start", 2)?;
        let addresses = self.run(&addresses, false).await?;
        let listed = |number: &str, instance: &str, address: &str| {
            let row = addresses.lines().find(|line| line.contains(instance)).unwrap_or_default();
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            cells.contains(&number) && cells.contains(&address)
        };
        let all = self.cluster.cores().iter().all(|(number, core)| listed(number, &core.instance, &core.address));
        ensure(all, || format!("not every core with its address is in\n{addresses}"))?;
        let password = self.output("ReadAdminPassword").await?;
        ensure(password.contains("\"password\""), || format!("no password: {password}"))?;
        self.output("ProtectStack").await?;
        Ok(())
    }

    /// Prints the table of the members in each of the ways that the documents name.
    async fn looks_at_the_members(&mut self) -> Result<(), Trouble> {
        let (of_readme, whole) =
            (self.documents.block("See the members", 0)?, self.documents.block("Is the cluster whole?", 0)?);
        ensure(of_readme.contains("NAME=neo4j-dev\n"), || format!("the README names no stack: {of_readme}"))?;
        let of_readme = of_readme.replace("NAME=neo4j-dev\n", &format!("NAME={STACK}\n"));
        let tables =
            [self.output("ShowMembers").await?, self.run(&whole, false).await?, self.run(&of_readme, false).await?];
        let cores = self.cluster.cores();
        for table in tables {
            let may_stop = |begins: &str, address: &str| {
                let mut rows = table.lines().filter(|row| row.starts_with(begins));
                rows.any(|row| row.contains(address) && row.contains(" 5.26.33 ") && row.contains(" yes "))
            };
            let all = cores.iter().all(|(number, core)| may_stop(&format!("core {number} "), &core.address));
            let replicas = table.lines().filter(|row| row.starts_with("replica ") && row.contains(" yes ")).count();
            ensure(cores.len() == CORES && all && replicas == REPLICAS, || {
                format!("every member should be there, and every core may be stopped:\n{table}")
            })?;
        }
        Ok(())
    }

    /// Whoever follows the documents takes the majority from no database.
    fn took_no_majority(&self) -> Result<(), Trouble> {
        let lost = self.stage.live.world().without_majority();
        let taken: Vec<_> = lost.iter().filter(|(_, lost)| !lost.voluntary().is_zero()).collect();
        ensure(taken.is_empty(), || format!("the commands took the majority from databases: {taken:?}"))
    }

    /// Has the stack looked at for what only an account shows. Nobody runs the tasks' containers here, and nobody makes
    /// metrics of lines in logs, so that nothing reports free disk or members until that is done for them.
    async fn checks_the_account(&mut self) -> Result<(), Trouble> {
        // The world knows no Systems Manager, and another make is none of this one's business.
        let alone = "export AWS_ENDPOINT_URL_SSM=\"$AWS_ENDPOINT_URL_ECS\"\nunset MAKEFLAGS MFLAGS MAKELEVEL";
        let check = format!("{alone}\n{}", self.documents.block("Check an account", 0)?);
        let before = self.run(&format!("{check} && echo ended with 0 || true"), false).await?;
        let missed = before.lines().any(|line| line == "not as expected: free-disk-metric, members-answer");
        ensure(missed && !before.contains("ended with 0"), || format!("only metrics should be missed:\n{before}"))?;

        let tiers = ["core", "replica"].map(|tier| json!([{"Name": "Tier", "Value": tier}]));
        let cores = (1..=CORES)
            .map(|core| json!([{"Name": "Tier", "Value": "core"}, {"Name": "Core", "Value": core.to_string()}]));
        let reports = tiers.into_iter().chain(cores).map(|mut dimensions| {
            let of_cluster = json!({"Name": "Cluster", "Value": STACK});
            dimensions.as_array_mut().into_iter().for_each(|all| all.insert(0, of_cluster.clone()));
            json!({"MetricName": "DataDiskFreePercent", "Value": 80, "Unit": "Percent", "Dimensions": dimensions})
        });
        let neo4j = self.reported().await?.into_iter().map(|(name, value)| {
            let of_cluster = json!([{"Name": "Cluster", "Value": STACK}]);
            json!({"MetricName": name, "Value": value, "Dimensions": of_cluster})
        });
        let reports = Value::from(reports.chain(neo4j).collect::<Vec<_>>());
        let put = format!("aws cloudwatch put-metric-data --namespace Neo4jCluster --metric-data '{reports}'");
        self.run(&put, false).await?;
        let after = self.run(&check, false).await?;
        ensure(after.contains(" 0 not as expected,"), || format!("all should be as expected:\n{after}"))?;

        let plan = format!("{alone}\n.venv/bin/python tests/account/check.py {STACK} --allow plans || true");
        let plan = self.run(&plan, false).await?.split_whitespace().collect::<Vec<_>>().join(" ");
        // Time flies in the world, but not for the functions.
        let told = ["3 cores are whole, and nothing is to do", "the core counts as whole after five minutes"];
        ensure(told.iter().any(|words| plan.contains(words)), || format!("the plan should be shown: {plan}"))
    }

    /// Waits until a sweep has heard every member in Cypher, and returns what it reported of Neo4j.
    async fn reported(&self) -> Result<BTreeMap<String, f64>, Trouble> {
        let log = self.cluster.drainer_log().await?;
        let expected = f64::from(u32::try_from(CORES + REPLICAS).map_err(|e| e.to_string())?);
        let last = RefCell::new(BTreeMap::new());
        let heard = async || {
            let metrics = self.stage.metrics(&log).await?;
            let is = |name: &str, value: f64| metrics.get(name) == Some(&value);
            let heard = is("MembersAnswering", expected) && is("QuorumMargin", 1.0) && is("MonitorLoginsRefused", 0.0);
            last.replace(metrics);
            Ok(heard)
        };
        self.cluster.until("a sweep has heard every member", heard).await?;
        let mut reported = last.into_inner();
        reported.retain(|name, _| ["Members", "Monitor", "Quorum"].iter().any(|begins| name.starts_with(begins)));
        Ok(reported)
    }

    async fn reads_dead_letters(&mut self) -> Result<(), Trouble> {
        for function in ["InstanceDrainer", "DnsReplicator"] {
            let (read, purge) = (format!("Read{function}DeadLetters"), format!("Purge{function}DeadLetters"));
            // What the function could not read.
            let outputs = self.stage.outputs(STACK).await?;
            let queue = outputs.get(&read).and_then(|command| command.split("--queue-url ").nth(1)?.split(' ').next());
            let queue = queue.ok_or_else(|| format!("{read} names no queue: {outputs:?}"))?;
            let send = "--message-body 'not json' --message-group-id g --message-deduplication-id d";
            self.run(&format!("aws sqs send-message --queue-url {queue} {send}"), false).await?;
            let letters = self.output(&read).await?;
            ensure(letters.contains("not json"), || format!("{read} shows no message: {letters}"))?;
            self.output(&purge).await?;
            let left = self.output(&read).await?;
            ensure(!left.contains("not json"), || format!("{purge} left {left}"))?;
        }
        Ok(())
    }

    /// Finds the queue of each alarm that leads to one, and looks into it.
    async fn reads_what_was_not_delivered(&mut self) -> Result<(), Trouble> {
        let under = "Undelivered messages";
        let queues = self.documents.command(under, 0, "describe-alarms")?;
        let queues = self.run(&queues, false).await?;
        let rows = queues.lines().filter(|line| line.contains("UndeliveredAlarm"));
        let names: Vec<_> = rows.filter_map(|row| row.rsplit('|').nth(1)).map(|name| name.trim().to_owned()).collect();
        ensure(names.len() == 2, || format!("each function has a queue of what was not delivered:\n{queues}"))?;
        let [url, read, purge] =
            ["get-queue-url", "receive-message", "purge-queue"].map(|words| self.documents.command(under, 0, words));
        let (url, read, purge) = (url?, read?, purge?);
        for name in names {
            let name = format!("\"{name}\"");
            let url = url.replace("QUEUE", &name);
            self.run(&format!("{url}\naws sqs send-message --queue-url \"$URL\" --message-body lost"), false).await?;
            let letters = self.run(&format!("{url}\n{read}"), false).await?;
            ensure(letters.contains("lost"), || format!("{name} shows no message: {letters}"))?;
            let left = self.run(&format!("{url}\n{purge}\n{read}"), false).await?;
            ensure(!left.contains("lost"), || format!("{name} still has {left}"))?;
        }

        let under = "A silent function";
        let alarms = self.documents.command(under, 0, "describe-alarms")?;
        let alarms = self.run(&alarms, false).await?;
        let queues = alarms.split("its queue ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        let queues: BTreeSet<_> = queues.map(str::to_owned).collect();
        ensure(queues.len() == 2, || format!("each function has an alarm on its silence:\n{alarms}"))?;
        let look = ["get-queue-url", "get-queue-attributes"].map(|words| self.documents.command(under, 0, words));
        let [url, look] = look;
        let (url, look) = (url?, look?);
        for queue in queues {
            let shown = self.run(&format!("{}\n{look}", url.replace("QUEUE", &queue)), false).await?;
            ensure(shown.contains("ApproximateNumberOfMessages"), || format!("{queue} shows {shown}"))?;
        }
        let schedules = self.documents.command(under, 0, "list-schedules")?;
        let schedules = self.run(&schedules, false).await?;
        ensure(schedules.matches("ENABLED").count() == 2, || format!("two schedules, not\n{schedules}"))
    }

    /// Enlarges the volumes without a template, and leaves everything else as it is.
    async fn changes_a_parameter(&mut self) -> Result<(), Trouble> {
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

    async fn restarts_a_core(&mut self) -> Result<(), Trouble> {
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

    async fn replaces_an_instance(&mut self) -> Result<(), Trouble> {
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

    /// Deploys another setting and another AMI, which restarts nobody, and rolls one member after the other.
    async fn rolls_the_members(&mut self) -> Result<(), Trouble> {
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

    async fn empties_a_retained_instance(&mut self) -> Result<(), Trouble> {
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
    async fn forgets_a_replica(&mut self) -> Result<(), Trouble> {
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

    async fn stops_and_starts(&mut self) -> Result<(), Trouble> {
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

    async fn removes_it(&mut self) -> Result<(), Trouble> {
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
        let verbs = ["Show", "Read", "Purge", "Follow", "Protect"];
        let command = |name: &&str| verbs.iter().any(|verb| name.starts_with(verb)) && !name.ends_with("Arn");
        let commands: BTreeSet<_> = names.filter(command).collect();
        let not_run = OUTPUTS_NOT_RUN.iter().map(|(name, _)| *name);
        assert_eq!(OUTPUTS.iter().copied().chain(not_run).collect::<BTreeSet<_>>(), commands);
    }
}
