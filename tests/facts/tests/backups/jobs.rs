//! What runs the jobs, and how their ends are heard of.

use std::collections::BTreeSet;

use cluster_core::backup::{ChainId, JobName, Kind};
use cluster_facts::template::{read, rendered, resources};
use jiff::Timestamp;
use serde_json::json;

use crate::iam::Rendered;

/// The scheduler waits for a job first: what Batch does by itself is for when it cannot.
#[test]
fn batch_cancels_a_job_that_does_not_start_a_little_after_the_scheduler_would() {
    let stacks = rendered("default")["stacks"].take();
    let scheduler = Rendered::of("default", "Scheduling");
    let start = scheduler.variable("START_TIMEOUT_MINUTES").parse::<u64>().unwrap() * 60;
    let all = resources(&stacks["Backup"]["live"]);
    let queues: Vec<_> = all.iter().filter(|(_, r)| r["Type"] == "AWS::Batch::JobQueue").collect();
    assert_eq!(queues.len(), 2);
    for (id, queue) in queues {
        let queue = &queue["Properties"];
        assert_eq!(queue["ComputeEnvironmentOrder"].as_array().unwrap().len(), 1, "{id}: the scheduler falls back");
        let mut reasons = BTreeSet::new();
        for action in queue["JobStateTimeLimitActions"].as_array().unwrap() {
            assert_eq!((&action["State"], &action["Action"]), (&json!("RUNNABLE"), &json!("CANCEL")), "{id}");
            let after = action["MaxTimeSeconds"].as_u64().unwrap();
            assert!(after > start && after <= 2 * start, "{id}: {after} s, and the scheduler waits for {start} s");
            reasons.insert(action["Reason"].as_str().unwrap().to_owned());
        }
        // https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable_time_limit_actions.html
        let known = [
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        ];
        assert_eq!(reasons, known.map(str::to_owned).into(), "{id}");
    }
}

#[test]
fn an_update_of_the_instances_ends_no_job_and_replaces_no_environment() {
    let stacks = rendered("default")["stacks"].take();
    let longest = Rendered::of("default", "Scheduling").variable("RUN_TIMEOUT_MINUTES");
    let all = resources(&stacks["Backup"]["live"]);
    let mut paid = BTreeSet::new();
    for (id, environment) in all.iter().filter(|(_, r)| r["Type"] == "AWS::Batch::ComputeEnvironment") {
        let environment = &environment["Properties"];
        assert_eq!(environment["ReplaceComputeEnvironment"], json!(false), "{id}");
        // With another role or strategy Batch cannot change it in place:
        // https://docs.aws.amazon.com/batch/latest/userguide/infrastructure-updates.html
        assert!(environment["ServiceRole"].is_null() && environment["ComputeEnvironmentName"].is_null(), "{id}");
        let policy = &environment["UpdatePolicy"];
        assert_eq!(policy["TerminateJobsOnUpdate"], json!(false), "{id}");
        assert_eq!(policy["JobExecutionTimeoutMinutes"], json!(longest), "{id}: as long as a job may run");
        let resources = &environment["ComputeResources"];
        assert_eq!(resources["MinvCpus"], json!(0), "{id}: idle instances cost");
        let text = |key: &str| resources[key].as_str().unwrap().to_owned();
        paid.insert((text("Type"), text("AllocationStrategy")));
    }
    let known = [("EC2", "BEST_FIT_PROGRESSIVE"), ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")];
    assert_eq!(paid, known.map(|(kind, strategy)| (kind.to_owned(), strategy.to_owned())).into());
}

/// On a queue of yours jobs of others end, too.
#[test]
fn the_rule_on_job_ends_knows_the_clusters_jobs_by_their_names() {
    let rule = &read("infra/scheduling.yaml")["Resources"]["JobEnds"];
    let detail = &rule["Properties"]["EventPattern"]["detail"];
    let prefix = detail["jobName"][0]["prefix"].as_str().unwrap().to_owned();
    let due: Timestamp = "2026-11-30T01:00:00Z".parse().unwrap();
    for kind in [Kind::Full, Kind::Differential] {
        let name = JobName { database: "neo4j".to_owned(), slot: kind, attempt: ChainId::new(due, 1) };
        assert!(name.to_string().starts_with(&prefix), "{name}");
    }
    assert_eq!(detail["status"], json!(["SUCCEEDED", "FAILED"]));
}
