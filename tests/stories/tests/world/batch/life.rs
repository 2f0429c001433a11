//! From state to state.

use super::*;

#[test]
fn a_job_passes_through_its_states_and_each_change_is_an_event() {
    let mut jobs = Jobs::new();
    let id = jobs.submit("nightly");
    assert_eq!((jobs.status(&id).as_str(), jobs.told().len()), ("SUBMITTED", 0), "no event for the submission");
    for (seconds, status) in [(1, "RUNNABLE"), (90, "STARTING"), (30, "RUNNING"), (120, "SUCCEEDED")] {
        jobs.world.advance(seconds);
        assert_eq!((jobs.status(&id), jobs.told()), (status.to_owned(), vec![status.to_owned()]));
    }
    let described = jobs.describe(&id);
    let began = "2026-11-30T01:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let at = |key: &str| described[key].as_i64().unwrap() - began;
    assert_eq!((at("createdAt"), at("startedAt"), at("stoppedAt")), (0, 121_000, 241_000));
    let container = &described["container"];
    assert_eq!(
        (&container["exitCode"], &described["statusReason"]),
        (&json!(0), &json!("Essential container in task exited"))
    );
    assert!(container["logStreamName"].as_str().unwrap().starts_with("backup/default/"), "{container}");
    let attempts = described["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["container"]["exitCode"]), (1, &json!(0)));
    jobs.world.advance(7 * 24 * 3600 - 1);
    assert_eq!(jobs.status(&id), "SUCCEEDED", "at least seven days");
    jobs.world.advance(1);
    assert_eq!(jobs.describe(&id), Value::Null);
    assert!(jobs.list(&json!({"jobStatus": "SUCCEEDED"})).is_empty());
}

#[test]
fn an_event_tells_what_a_description_does() {
    let mut jobs = Jobs::new();
    let id = jobs.submit("nightly");
    jobs.world.advance(3600);
    let event = jobs.world.events.last().unwrap().clone();
    let arn = format!("arn:aws:batch:eu-west-1:000000000000:job/{id}");
    assert_eq!(event["Resources"], json!([arn]));
    let detail: Value = serde_json::from_str(event["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, jobs.describe(&id));
    assert_eq!((&detail["jobArn"], &detail["jobId"], &detail["jobName"]), (&json!(arn), &json!(id), &json!("nightly")));
}

#[test]
fn without_capacity_a_job_waits_for_ever_and_the_first_come_is_first_served() {
    let mut jobs = Jobs::new();
    jobs.world.batch.queues.get_mut("spot").unwrap().capacity = Some(0);
    let (first, second) = (jobs.submit("first"), jobs.submit("second"));
    jobs.world.advance(30 * 24 * 3600);
    assert_eq!((jobs.status(&first), jobs.status(&second)), ("RUNNABLE".to_owned(), "RUNNABLE".to_owned()));
    jobs.world.batch.queues.get_mut("spot").unwrap().capacity = Some(1);
    jobs.world.advance(1);
    assert_eq!((jobs.status(&first), jobs.status(&second)), ("STARTING".to_owned(), "RUNNABLE".to_owned()));
    jobs.world.advance(150);
    assert_eq!((jobs.status(&first), jobs.status(&second)), ("SUCCEEDED".to_owned(), "STARTING".to_owned()));
}

#[test]
fn what_has_no_host_is_cancelled_what_runs_is_killed_and_what_has_ended_stays_as_it_is() {
    let mut jobs = Jobs::new();
    let end = |jobs: &mut Jobs, id: &str| jobs.ask("terminatejob", &json!({"jobId": id, "reason": "took too long"}));
    let waits = jobs.submit("waits");
    jobs.world.advance(10);
    assert_eq!(end(&mut jobs, &waits), json!({}));
    let cancelled = jobs.describe(&waits);
    assert_eq!((&cancelled["status"], &cancelled["statusReason"]), (&json!("FAILED"), &json!("took too long")));
    assert!(cancelled["isCancelled"] == true && cancelled["container"]["exitCode"].is_null());
    assert_eq!(cancelled["attempts"], json!([]), "it never ran");

    let runs = jobs.submit("runs");
    jobs.world.advance(125);
    assert_eq!(jobs.status(&runs), "RUNNING");
    end(&mut jobs, &runs);
    assert_eq!(
        (jobs.status(&runs).as_str(), &jobs.describe(&runs)["isTerminated"]),
        ("RUNNING", &json!(true)),
        "it is told to end"
    );
    jobs.world.advance(30);
    let killed = jobs.describe(&runs);
    assert_eq!(
        (&killed["status"], &killed["container"]["exitCode"], &killed["statusReason"]),
        (&json!("FAILED"), &json!(137), &json!("took too long"))
    );
    assert_eq!(jobs.told(), ["RUNNABLE", "FAILED", "RUNNABLE", "STARTING", "RUNNING", "FAILED"]);

    let done = jobs.submit("done");
    jobs.world.advance(600);
    let before = jobs.describe(&done);
    end(&mut jobs, &done);
    assert_eq!((jobs.describe(&done), before["status"].as_str()), (before.clone(), Some("SUCCEEDED")));
    jobs.refused("terminatejob", &json!({"jobId": done}));
    jobs.refused("terminatejob", &json!({"jobId": done, "reason": "r".repeat(1025)}));
    jobs.refused("terminatejob", &json!({"jobId": "other", "reason": "why"}));
    let call = jobs.world.calls.iter().find(|call| call.action == "batch:TerminateJob").unwrap();
    assert_eq!((&call.resources[0], call.write), (&format!("arn:aws:batch:eu-west-1:000000000000:job/{waits}"), true));
}

#[test]
fn a_job_that_runs_longer_than_its_timeout_is_killed() {
    let mut jobs = Jobs::new();
    jobs.world.plan_job("neo4j", Outcome::Hangs);
    let mut hangs = job("hangs");
    hangs["containerOverrides"] = json!({"environment": [{"name": "BACKUP_DATABASE", "value": "neo4j"}]});
    hangs["timeout"] = json!({"attemptDurationSeconds": 600});
    let id = jobs.ask("submitjob", &hangs)["jobId"].as_str().unwrap().to_owned();
    // The clock of a timeout runs from `startedAt` on.
    jobs.world.advance(121 + 600 + 29);
    assert_eq!(jobs.status(&id), "RUNNING");
    jobs.world.advance(1);
    let killed = jobs.describe(&id);
    assert_eq!((&killed["status"], &killed["container"]["exitCode"]), (&json!("FAILED"), &json!(137)));
}

#[test]
fn a_host_that_is_taken_away_leaves_no_exit_code() {
    let mut jobs = Jobs::new();
    let id = jobs.submit("nightly");
    jobs.world.advance(150);
    jobs.world.reclaim_host(&id);
    let described = jobs.describe(&id);
    let reason = described["statusReason"].as_str().unwrap();
    assert!(reason.starts_with("Host EC2 (instance i-") && reason.ends_with(") terminated."), "{reason}");
    assert_eq!((&described["status"], &described["container"]["exitCode"]), (&json!("FAILED"), &Value::Null));
    assert_eq!(jobs.told().last().map(String::as_str), Some("FAILED"));
    jobs.world.advance(3600);
    assert!(jobs.told().is_empty(), "attempts: 1");
}
