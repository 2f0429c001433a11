//! Who looks: at the plan, the members, the alarms, the account, and at messages that were not handled.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use super::{CORES, Person, REPLICAS, STACK};
use crate::{documents::ensure, stage::Trouble};

/// How many functions have queues.
const FUNCTIONS: usize = 5;

impl Person<'_> {
    pub(super) async fn looks(&mut self) -> Result<(), Trouble> {
        for (output, planned) in [("ShowInstanceDrainerPlan", "steps"), ("ShowDnsReplicatorPlan", "changes")] {
            let printed = self.output(output).await?;
            // What the CLI itself has to say comes after the function's answer.
            let mut answers = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
            let plan = answers.next().and_then(Result::ok).unwrap_or_default();
            let empty = plan["dryRun"] == json!(true) && plan[planned] == json!([]);
            ensure(empty, || format!("{output} shows no empty plan: {printed}"))?;
        }
        for output in ["ShowBackupSchedulerPlan", "ShowBackupPrunerPlan"] {
            let printed = self.output(output).await?;
            let mut answers = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
            let plan = answers.next().and_then(Result::ok).unwrap_or_default();
            ensure(plan["table"].is_string(), || format!("{output} shows no plan: {printed}"))?;
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
    pub(super) async fn looks_at_the_members(&mut self) -> Result<(), Trouble> {
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

    /// Has the stack looked at for what only an account shows. Nobody runs the tasks' containers here, and nobody makes
    /// metrics of lines in logs, so that nothing reports free disk or members until that is done for them.
    pub(super) async fn checks_the_account(&mut self) -> Result<(), Trouble> {
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

    /// Lists the alarms that are active: none at first, then the one whose metric goes up.
    pub(super) async fn looks_at_a_glance(&mut self) -> Result<(), Trouble> {
        let glance = self.documents.block("At a glance", 0)?;
        let none = self.run(&glance, false).await?;
        ensure(!none.contains(STACK), || format!("no alarm should be active:\n{none}"))?;
        // Nobody makes metrics of lines in logs here, so somebody has to say it.
        let of_cluster = json!([{"Name": "Cluster", "Value": STACK}]);
        let stopped = json!([{"MetricName": "StopsWithoutQuorum", "Value": 1, "Dimensions": of_cluster}]);
        let put = format!("aws cloudwatch put-metric-data --namespace Neo4jCluster --metric-data '{stopped}'");
        let active = self.run(&format!("{put}\n{glance}"), false).await?;
        let rows = active.lines().filter(|line| line.contains(STACK)).collect::<Vec<_>>();
        ensure(matches!(rows[..], [row] if row.contains("StopWithoutQuorumAlarm")), || {
            format!("one alarm should be active:\n{active}")
        })
    }

    /// Waits until a sweep has heard every member in Cypher, and returns what it reported of Neo4j.
    async fn reported(&self) -> Result<BTreeMap<String, f64>, Trouble> {
        let log = self.cluster.drainer_log().await?;
        let expected = f64::from(u32::try_from(CORES + REPLICAS).map_err(|e| e.to_string())?);
        let last = RefCell::new(BTreeMap::new());
        let heard = async || {
            let metrics = self.stage.metrics(&log).await?;
            let is = |name: &str, value: f64| metrics.get(name) == Some(&value);
            // The margin is absent while a member refuses the user that asks.
            let heard = is("MembersAnswering", expected) && is("QuorumMargin", 1.0);
            last.replace(metrics);
            Ok(heard)
        };
        self.cluster.until("a sweep has heard every member", heard).await?;
        let mut reported = last.into_inner();
        reported.retain(|name, _| ["Members", "Monitor", "Quorum"].iter().any(|begins| name.starts_with(begins)));
        Ok(reported)
    }

    pub(super) async fn reads_dead_letters(&mut self) -> Result<(), Trouble> {
        for function in ["InstanceDrainer", "DnsReplicator", "BackupScheduler", "BackupPruner", "AlarmRouter"] {
            let (read, purge) = (format!("Read{function}DeadLetters"), format!("Purge{function}DeadLetters"));
            // What the function could not read.
            let outputs = self.stage.outputs(STACK).await?;
            let queue = outputs.get(&read).and_then(|command| command.split("--queue-url ").nth(1)?.split(' ').next());
            let queue = queue.ok_or_else(|| format!("{read} names no queue: {outputs:?}"))?;
            let ordered =
                if queue.contains(".fifo") { " --message-group-id g --message-deduplication-id d" } else { "" };
            let send = format!("aws sqs send-message --queue-url {queue} --message-body 'not json'{ordered}");
            self.run(&send, false).await?;
            let letters = self.output(&read).await?;
            ensure(letters.contains("not json"), || format!("{read} shows no message: {letters}"))?;
            self.output(&purge).await?;
            let left = self.output(&read).await?;
            ensure(!left.contains("not json"), || format!("{purge} left {left}"))?;
        }
        Ok(())
    }

    /// Finds the queue of each alarm that leads to one, and looks into it.
    pub(super) async fn reads_what_was_not_delivered(&mut self) -> Result<(), Trouble> {
        let under = "Undelivered messages";
        let queues = self.documents.command(under, 0, "describe-alarms")?;
        let queues = self.run(&queues, false).await?;
        let rows = queues.lines().filter(|line| line.contains("UndeliveredAlarm"));
        let names: Vec<_> = rows.filter_map(|row| row.rsplit('|').nth(1)).map(|name| name.trim().to_owned()).collect();
        ensure(names.len() == FUNCTIONS, || format!("each function has a queue of what was not delivered:\n{queues}"))?;
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
        ensure(queues.len() == FUNCTIONS, || format!("each function has an alarm on its silence:\n{alarms}"))?;
        let look = ["get-queue-url", "get-queue-attributes"].map(|words| self.documents.command(under, 0, words));
        let [url, look] = look;
        let (url, look) = (url?, look?);
        for queue in queues {
            let shown = self.run(&format!("{}\n{look}", url.replace("QUEUE", &queue)), false).await?;
            ensure(shown.contains("ApproximateNumberOfMessages"), || format!("{queue} shows {shown}"))?;
        }
        let schedules = self.documents.command(under, 0, "list-schedules")?;
        let schedules = self.run(&schedules, false).await?;
        // Besides the sweeps there are those of full and differential backups.
        ensure(schedules.matches("ENABLED").count() == FUNCTIONS + 2, || format!("six schedules, not\n{schedules}"))
    }
}
