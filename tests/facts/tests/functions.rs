//! Facts about every function, walked by the registry: its crate, template, rules, alarms, outputs, variables, metrics, page.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use cluster_facts::{
    root,
    template::{all, deployments, read, rendered, resources},
};
use cluster_lambda::{Description, Messages, SWEEP};
use cluster_sim::{
    cluster::Cluster,
    functions::{FUNCTIONS, Registered},
    time::play,
};
use serde_json::{Value, json};

use crate::{
    disks, gateway, metrics,
    template::{everything, names},
};

/// Returns the functions of a deployment.
pub(crate) fn of_deployment(deployment: &str) -> Vec<Registered> {
    let stacks = rendered(deployment)["stacks"].take();
    let is_there = |function: &&Registered| match deployment {
        "discovery" => function.stack == "Discovery",
        "drain-alone" => function.stack == "Draining",
        "alerts-alone" => function.stack == "Alerting",
        _ => !stacks[function.stack].is_null(),
    };
    FUNCTIONS.iter().filter(is_there).copied().collect()
}

#[test]
fn each_function_has_a_crate_and_a_template_with_nothing_but_it_and_its_queues() {
    let crates = std::fs::read_dir(root().join("lambdas")).unwrap().map(|entry| entry.unwrap().file_name());
    let crates: BTreeSet<_> = crates.map(|name| name.into_string().unwrap()).collect();
    let known = FUNCTIONS.iter().map(Registered::name).chain([gateway::NAME]);
    let known: BTreeSet<_> = known.map(str::to_owned).collect();
    assert_eq!(crates, known, "left: folders, right: FUNCTIONS and the gateway");
    let of_root = resources(&read("infra/template.yaml"));
    for function in FUNCTIONS {
        let (name, template, stack) = (function.name(), function.template(), function.stack);
        let found = resources(&read(&template));
        let of_type = |kind: &str| found.iter().filter(|(_, r)| r["Type"] == kind).collect::<Vec<_>>();
        let [(id, function)] = of_type("AWS::Serverless::Function")[..] else { panic!("{template} has one function") };
        assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], json!(name), "{template}");
        let properties = &function["Properties"];
        assert_eq!(properties["CodeUri"], json!(format!("../lambdas/{name}/")), "{template}");
        assert_eq!(properties["Runtime"], json!("provided.al2023"), "{template}");
        // The root nests it under this name.
        let (_, nested) = of_root.iter().find(|(id, _)| id == stack).unwrap();
        assert_eq!(nested["Properties"]["Location"], json!(template.strip_prefix("infra/").unwrap()), "{stack}");
        // What stands around it stands in queues.yaml.
        let queues: Vec<_> =
            found.iter().filter(|(_, resource)| resource["Properties"]["Location"] == "queues.yaml").collect();
        let [(queues, nested)] = queues[..] else { panic!("{template} nests queues.yaml once") };
        assert_eq!(queues, "Queues", "{template}");
        let parameters = &nested["Properties"]["Parameters"];
        assert_eq!(parameters["Function"], json!(name), "{template}");
        assert_eq!(parameters["LogGroup"], properties["LoggingConfig"]["LogGroup"], "{template}");
        for kind in ["AWS::SQS::Queue", "AWS::SQS::QueuePolicy"] {
            assert!(of_type(kind).is_empty(), "{template}: {kind} belongs in queues.yaml");
        }
        let schedules: Vec<_> = of_type("AWS::Scheduler::Schedule").iter().map(|(id, _)| id.as_str()).collect();
        let wanted: &[&str] = if name == "backup-scheduler" { &["Differential", "Full"] } else { &[] };
        assert_eq!(schedules, wanted, "{template}: a sweep belongs in queues.yaml");
        let url = json!({"Fn::GetAtt": ["Queues", "Outputs.DeadLettersUrl"]});
        assert_eq!(properties["Environment"]["Variables"]["DEAD_LETTER_QUEUE_URL"], url, "{template}");
        let [(_, retries)] = of_type("AWS::Lambda::EventInvokeConfig")[..] else { panic!("{template}: one, for {id}") };
        let lost = json!({"Fn::GetAtt": ["Queues", "Outputs.UndeliveredArn"]});
        assert_eq!(retries["Properties"]["DestinationConfig"]["OnFailure"]["Destination"], lost, "{template}");
        assert_eq!(retries["Properties"]["FunctionName"], json!({"Ref": id}), "{template}");
        let mappings = of_type("AWS::Lambda::EventSourceMapping");
        let wakes = |(_, mapping): &&(String, Value)| {
            assert_eq!(mapping["Properties"]["FunctionName"], json!({"Ref": id}), "{template}");
            mapping["Properties"]["EventSourceArn"].to_string()
        };
        // The second queue, where the function has one, is named after what it delays.
        let delayed = parameters["HasSpotEndings"] == "true";
        let queues = ["TriggersArn", "SpotEndingsArn"].into_iter().take(if delayed { 2 } else { 1 });
        let queues = queues.map(|arn| json!({"Fn::GetAtt": ["Queues", format!("Outputs.{arn}")]}).to_string());
        assert_eq!(mappings.iter().map(wakes).collect::<BTreeSet<_>>(), queues.collect(), "{template}");
    }
    let nested = everything().into_iter().filter(|(_, _, r)| r["Properties"]["Location"] == "queues.yaml").count();
    assert_eq!(
        nested,
        FUNCTIONS.len() + 1,
        "queues.yaml is nested by functions alone, and by that of drain-alone.yaml"
    );
}

#[test]
fn each_function_has_its_outputs_in_its_template_and_in_the_root() {
    let of_root = read("infra/template.yaml")["Outputs"].clone();
    let mut kept = BTreeSet::new();
    for function in FUNCTIONS {
        let (template, stack, output) = (function.template(), function.stack, function.output());
        let own = names(&read(&template)["Outputs"]);
        for (of_root, of_function) in [
            (format!("{output}Function"), "FunctionName"),
            (format!("Show{output}Plan"), "ShowPlan"),
            (format!("Follow{output}Log"), "FollowLog"),
            (format!("Read{output}DeadLetters"), "ReadDeadLetters"),
            (format!("Purge{output}DeadLetters"), "PurgeDeadLetters"),
        ] {
            kept.insert((of_root, json!({"Fn::GetAtt": [stack, format!("Outputs.{of_function}")]}).to_string()));
            assert!(own.contains(of_function), "{template} has no output {of_function}");
        }
        for of_function in ["FunctionArn", "LogGroup"] {
            assert!(own.contains(of_function), "{template} has no output {of_function}");
        }
    }
    let speaks_of_one = |name: &String| {
        FUNCTIONS.iter().any(|function| name.contains(&function.output())) || name.ends_with("DeadLetters")
    };
    let found = of_root.as_object().unwrap().iter().filter(|(name, _)| speaks_of_one(name));
    let found: BTreeSet<_> = found.map(|(name, output)| (name.clone(), output["Value"].to_string())).collect();
    assert_eq!(found, kept, "left: outputs of the root, right: those that follow from FUNCTIONS");
}

#[test]
fn a_queue_gives_a_message_back_when_the_function_has_ended_and_not_much_later() {
    for function in FUNCTIONS {
        let stacks = rendered("default")["stacks"].take();
        let (own, queues) = (&stacks[function.stack]["live"], &stacks[format!("{}/Queues", function.stack)]["live"]);
        let (_, its) = resources(own).into_iter().find(|(_, r)| r["Type"] == "AWS::Lambda::Function").unwrap();
        let timeout = its["Properties"]["Timeout"].as_u64().unwrap();
        let woken = resources(queues).into_iter().filter(|(_, r)| !r["Properties"]["RedrivePolicy"].is_null());
        let mut names = BTreeSet::new();
        for (id, queue) in woken {
            let patience: u64 = queue["Properties"]["VisibilityTimeout"].as_str().unwrap().parse().unwrap();
            let name = function.name();
            // Lambda refuses a mapping whose queue gives a message back before the function can have ended.
            assert!(patience > timeout, "{name}: {id}: {patience} s, and the function may take {timeout} s");
            // One message blocks all that come after it: sweeps, and the warning that leaves two minutes. Nothing that the
            // pruner does is urgent.
            let most = if name == "backup-pruner" { 6 * 60 } else { 2 * 60 };
            assert!(patience <= most, "{name}: {id}: {patience} s without a reconciliation after a failure");
            names.insert(id);
        }
        let delayed = function.name() == "instance-drainer";
        let wanted = ["Triggers", "SpotEndings"].into_iter().take(if delayed { 2 } else { 1 });
        assert_eq!(names, wanted.map(str::to_owned).collect());
    }
}

#[test]
fn the_second_queue_wakes_the_drainer_45_seconds_before_a_spot_instance_ends() {
    let stacks = rendered("default")["stacks"].take();
    let queue = &stacks["Draining/Queues"]["live"]["Resources"]["SpotEndings"]["Properties"];
    assert_eq!(queue["DelaySeconds"], json!(120 - 45));
    let arn = &stacks["Draining/Queues"]["live"]["Outputs"]["SpotEndingsArn"]["Value"];
    let rules = resources(&stacks["Draining"]["live"]).into_iter().filter(|(_, r)| r["Type"] == "AWS::Events::Rule");
    let mut to_it = rules.filter(|(_, rule)| rule["Properties"]["Targets"].to_string().contains(&arn.to_string()));
    let (id, rule) = to_it.next().unwrap();
    assert_eq!(to_it.next(), None, "nothing but a warning has an end");
    let kinds = &rule["Properties"]["EventPattern"]["detail-type"];
    assert_eq!(kinds, &json!(["EC2 Spot Instance Interruption Warning"]), "{id}");
    assert_eq!(rule["Properties"]["Targets"].as_array().unwrap().len(), 2, "{id}: now, and once more");
}

/// The live form of each stack of a template in a deployment, by the function that it belongs to.
fn around(deployment: &str, file: &str) -> BTreeMap<String, Value> {
    let stacks = rendered(deployment)["stacks"].take();
    let stacks = stacks.as_object().unwrap().values().filter(|stack| stack["file"] == file);
    stacks.map(|stack| (stack["parameters"]["Function"].as_str().unwrap().to_owned(), stack["live"].clone())).collect()
}

#[test]
fn each_function_has_alarms_on_its_dead_letters_on_what_does_not_reach_it_and_on_its_silence() {
    for deployment in deployments() {
        let expected = of_deployment(&deployment);
        let expected: BTreeSet<_> = expected.iter().map(Registered::name).collect();
        let (queues, silences) = (around(&deployment, "queues.yaml"), around(&deployment, "silence.yaml"));
        for around in [&queues, &silences] {
            assert_eq!(around.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{deployment}");
        }
        let text = |function: &str, id: &str, alarm: &Value| {
            let text = alarm["AlarmDescription"].as_str().unwrap();
            assert!(text.contains(function) && text.len() <= 1024, "{function}: {id}: {text}");
            assert!(text.contains("Logs-"), "{function}: {id} does not name the log: {text}");
        };
        for (function, stack) in &queues {
            let output = |name: &str| stack["Outputs"][name]["Value"].as_str().unwrap().to_owned();
            for queue in ["DeadLetters", "Undelivered"] {
                let (id, arn) = (format!("{queue}Alarm"), output(&format!("{queue}Arn")));
                let alarm = &stack["Resources"][&id]["Properties"];
                let name = json!([{"Name": "QueueName", "Value": arn.rsplit(':').next().unwrap()}]);
                assert_eq!((&alarm["Namespace"], &alarm["Dimensions"]), (&json!("AWS/SQS"), &name), "{function}: {id}");
                text(function, &id, alarm);
            }
        }
        let mut metrics = BTreeSet::new();
        for (function, stack) in &silences {
            let silence = &stack["Resources"]["SilenceAlarm"]["Properties"];
            assert_eq!(silence["TreatMissingData"], json!("breaching"), "{function}: silence is no data");
            let number = |name: &str| silence[name].as_str().unwrap().parse::<u64>().unwrap();
            let minutes = number("Period") * number("EvaluationPeriods") / 60;
            let (words, patience) =
                if function == "backup-pruner" { ("13 hours", 13 * 60) } else { ("five minutes", 5) };
            assert_eq!(minutes, patience, "{function}: as the text says");
            assert!(silence["AlarmDescription"].as_str().unwrap().contains(words), "{function}: {silence}");
            // Two sweeps may be missed.
            let every = queues[function]["Resources"]["Sweep"]["Properties"]["ScheduleExpression"].as_str().unwrap();
            let every = if every == "rate(6 hours)" { 6 * 60 } else { 1 };
            assert!(minutes > 2 * every, "{function}: {minutes} minutes, and a sweep each {every}");
            text(function, "SilenceAlarm", silence);
            let queue = queues[function]["Outputs"]["TriggersName"]["Value"].as_str().unwrap();
            assert!(silence["AlarmDescription"].as_str().unwrap().contains(queue), "{function}: the queue is its own");
            // Another function's metric would hide its silence.
            let metric = silence["MetricName"].as_str().unwrap();
            assert!(described(function).metrics.contains(&metric), "{function} never writes {metric}");
            metrics.insert(metric.to_owned());
        }
        assert_eq!(metrics.len(), silences.len(), "{deployment}: {metrics:?}");
    }
}

fn described(name: &str) -> Description {
    FUNCTIONS.iter().find(|function| function.name() == name).unwrap().function
}

/// The `(source, detail-type)` pairs that the rules of a template let through, and that its own schedules send.
fn matched(template: &str) -> BTreeSet<(String, String)> {
    let all = resources(&read(template));
    let schedules = all.iter().filter(|(_, resource)| resource["Type"] == "AWS::Scheduler::Schedule");
    let sent = schedules.map(|(_, schedule)| {
        let input = schedule["Properties"]["Target"]["Input"].as_str().unwrap();
        let event: Value = serde_json::from_str(input).unwrap();
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        (text("source"), text("detail-type"))
    });
    let rules = all.iter().filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule");
    let patterns = rules.map(|(_, rule)| rule["Properties"]["EventPattern"].clone());
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let pairs = patterns.flat_map(|pattern| {
        let kinds = texts(&pattern["detail-type"]);
        texts(&pattern["source"])
            .into_iter()
            .flat_map(move |source| kinds.clone().into_iter().map(move |kind| (source.clone(), kind)))
    });
    pairs.chain(sent).collect()
}

#[test]
fn each_function_is_woken_by_what_its_rules_let_through_and_by_nothing_else() {
    let input = &read("infra/queues.yaml")["Resources"]["Sweep"]["Properties"]["Target"]["Input"];
    let sweep: Value = serde_json::from_str(input.as_str().unwrap()).unwrap();
    assert_eq!((sweep["source"].as_str(), sweep["detail-type"].as_str()), (Some(SWEEP.0), Some(SWEEP.1)));
    for function in FUNCTIONS {
        let wakes = function.function.wakes.iter().copied();
        assert!(wakes.clone().any(|kind| kind == SWEEP), "{} is not swept", function.name());
        let events = wakes.filter(|kind| *kind != SWEEP);
        let events: BTreeSet<_> = events.map(|(source, kind)| (source.to_owned(), kind.to_owned())).collect();
        assert_eq!(
            matched(&function.template()),
            events,
            "left: rules and schedules, right: WAKES of {}",
            function.name()
        );
    }
}

#[test]
fn each_custom_resource_has_the_function_that_answers_for_it() {
    let answered = FUNCTIONS.iter().flat_map(|function| function.function.custom_resources.iter().copied());
    let answered: BTreeSet<_> = answered.map(str::to_owned).collect();
    let types = everything().into_iter().map(|(_, _, resource)| resource["Type"].as_str().unwrap().to_owned());
    let used: BTreeSet<_> = types.filter(|kind| kind.starts_with("Custom::")).collect();
    assert_eq!(used, answered, "left: templates, right: CUSTOM_RESOURCES");
}

#[test]
fn each_message_has_a_result_where_the_function_gives_one() {
    for function in FUNCTIONS {
        let found = resources(&read(&function.template()));
        for (id, mapping) in found.iter().filter(|(_, r)| r["Type"] == "AWS::Lambda::EventSourceMapping") {
            let reports = mapping["Properties"]["FunctionResponseTypes"] == json!(["ReportBatchItemFailures"]);
            assert_eq!(reports, function.function.messages == Messages::Single, "{}: {id}", function.name());
        }
    }
}

#[test]
fn each_metric_that_is_declared_is_written_while_a_core_heals_and_no_other_is() {
    let written: BTreeSet<_> = metrics::written().iter().map(|(metric, _)| metric.as_str()).collect();
    let declared: BTreeSet<_> =
        FUNCTIONS.iter().flat_map(|function| function.function.metrics.iter().copied()).collect();
    let absent = metrics::absent_at_zero();
    assert!(written.is_subset(&declared), "left: written, right: METRICS: {written:?} {declared:?}");
    assert!(absent.is_subset(&declared), "left: ABSENT_AT_ZERO, right: METRICS: {absent:?} {declared:?}");
    let never: BTreeSet<_> = declared.difference(&written).filter(|metric| !absent.contains(*metric)).collect();
    assert!(never.is_empty(), "declared, and not written: {never:?}");
}

#[test]
fn what_is_absent_at_zero_is_good_to_its_alarms_when_it_is_missing_and_says_so_in_the_documents() {
    let absent = metrics::absent_at_zero();
    let mut watched = BTreeSet::new();
    for alarm in deployments().iter().flat_map(|deployment| crate::alarms::alarms(deployment)) {
        let (place, properties) = (&alarm.place, &alarm.properties);
        for (metric, _) in disks::watched(properties) {
            let Some(metric) = absent.get(metric.as_str()) else { continue };
            assert_eq!(
                properties["TreatMissingData"],
                json!("notBreaching"),
                "{place}: {metric} is absent when all is well"
            );
            // Whoever computes with it, or waits for a small value, does not see its zeros.
            assert!(properties["Metrics"].is_null(), "{place}: {metric}");
            assert_eq!(properties["ComparisonOperator"], json!("GreaterThanThreshold"), "{place}: {metric}");
            assert!(
                ["Maximum", "Minimum", "Sum"].contains(&properties["Statistic"].as_str().unwrap()),
                "{place}: {metric}"
            );
            watched.insert(*metric);
        }
    }
    assert!(watched.len() >= 12, "{watched:?}");
    let monitoring = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for metric in FUNCTIONS.iter().flat_map(|function| function.function.metrics) {
        let row = monitoring.lines().find(|line| line.starts_with(&format!("| `{metric}`"))).unwrap();
        assert_eq!(row.contains("only when it is not 0 |"), absent.contains(metric), "docs/monitoring.md: {row}");
    }
}

#[test]
fn each_alarm_watches_a_metric_that_a_function_or_a_task_writes() {
    let by_functions = FUNCTIONS.iter().flat_map(|function| function.function.metrics.iter().copied());
    let written: BTreeSet<_> = by_functions.map(str::to_owned).chain(disks::metrics()).collect();
    for deployment in deployments() {
        let stacks = rendered(&deployment)["stacks"].take();
        for (path, stack) in stacks.as_object().unwrap() {
            for (id, alarm) in resources(&stack["live"]) {
                for (metric, _) in disks::watched(&alarm["Properties"]) {
                    assert!(written.contains(&metric), "{path}/{id}: nobody writes {metric}");
                }
            }
        }
    }
}

#[test]
fn each_function_has_a_page_and_each_metric_a_row() {
    let monitoring = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for function in FUNCTIONS {
        let page = format!("docs/{}.md", function.name());
        assert!(root().join(&page).is_file(), "there is no {page}");
        for metric in function.function.metrics {
            assert!(monitoring.contains(&format!("| `{metric}`")), "docs/monitoring.md has no row for {metric}");
        }
    }
}

#[test]
fn each_variable_that_a_function_reads_is_set_and_no_other() {
    let stacks = rendered("default")["stacks"].take();
    for function in FUNCTIONS {
        let live = resources(&stacks[function.stack]["live"]).into_iter();
        let (_, found) = live.into_iter().find(|(_, resource)| resource["Type"] == "AWS::Lambda::Function").unwrap();
        let variables = &found["Properties"]["Environment"]["Variables"];
        let asked = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            // Lambda itself sets those of the SDK, and the function's name.
            if name.starts_with("AWS_") {
                return (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "function".to_owned());
            }
            asked.borrow_mut().insert(name.to_owned());
            variables[name].as_str().map(str::to_owned)
        };
        play(async { (function.start)(&lookup, Cluster::discovery().aws()).unwrap() });
        assert_eq!(names(variables), asked.take(), "left: the template, right: {}", function.name());
    }
}

#[test]
fn each_alarm_has_a_row_in_the_documents_and_each_row_an_alarm() {
    let monitoring = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    let section = monitoring.split("\n## Alarms\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    let mut alarms = BTreeSet::new();
    for path in all() {
        let resources = read(&path)["Resources"].as_object().cloned().unwrap_or_default();
        alarms.extend(resources.into_iter().filter(|(_, r)| crate::alarms::is_alarm(r)).map(|(id, _)| id));
    }
    assert_eq!(alarms, documented);
}
