//! Facts about every alarm of every deployment: how bad it is, what it is about, whom it calls, and how it introduces itself.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::{
    root,
    template::{deployments, rendered, resources},
};
use serde_json::{Value, json};

/// What an alarm may say of itself.
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];
const TIERS: [&str; 5] = ["core", "replica", "backup", "dns", "control"];
/// How long a title may be, and the name of a cluster.
const TITLE: usize = 120;
const LONGEST_NAME: usize = 64;

/// An alarm of a deployment.
pub(crate) struct Found {
    /// Where it is, such as `Monitoring/QuorumLostAlarm`.
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) properties: Value,
    /// The parameters of its stack.
    parameters: Value,
    /// The name of its stack.
    stack: String,
}

impl Found {
    pub(crate) fn is_composite(&self) -> bool {
        self.kind == "AWS::CloudWatch::CompositeAlarm"
    }

    /// Returns its tags. The same key twice would be refused.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.properties["Tags"].as_array().into_iter().flatten();
        let all: Vec<_> = all.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect();
        let tags: BTreeMap<_, _> = all.iter().cloned().collect();
        assert_eq!(tags.len(), all.len(), "{}: {all:?}", self.place);
        tags
    }

    /// Returns the first sentence of its description, as a reader of alarms takes it for a title.
    fn title(&self) -> &str {
        let text = self.properties["AlarmDescription"].as_str().unwrap();
        text.split_once(". ").map_or(text, |(first, _)| first)
    }

    /// Whether CloudFormation names it so.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let (_, id) = self.place.rsplit_once('/').unwrap();
        name.starts_with(&format!("{}-{id}-", self.stack))
    }

    /// Whether it is made of the other, and calls in its place.
    pub(crate) fn speaks_for(&self, other: &Self) -> bool {
        let rule = self.properties["AlarmRule"].as_str().unwrap_or_default();
        rule.split('"').nth(1).is_some_and(|name| other.is_named(name))
    }

    /// Whether it calls somebody itself. One that a composite alarm speaks for does not.
    pub(crate) fn speaks(&self) -> bool {
        !self.properties["AlarmActions"].is_null()
    }
}

/// Returns whether a resource is an alarm.
pub(crate) fn is_alarm(resource: &Value) -> bool {
    resource["Type"] == "AWS::CloudWatch::Alarm" || resource["Type"] == "AWS::CloudWatch::CompositeAlarm"
}

/// Returns the alarms of a deployment.
pub(crate) fn alarms(deployment: &str) -> Vec<Found> {
    let stacks = rendered(deployment)["stacks"].take();
    let of_stack = |(path, stack): (&String, &Value)| -> Vec<Found> {
        let all = resources(&stack["live"]).into_iter().filter(|(_, resource)| is_alarm(resource));
        all.map(|(id, alarm)| Found {
            place: format!("{path}/{id}"),
            kind: alarm["Type"].as_str().unwrap().to_owned(),
            properties: alarm["Properties"].clone(),
            parameters: stack["parameters"].clone(),
            stack: stack["name"].as_str().unwrap().to_owned(),
        })
        .collect()
    };
    stacks.as_object().unwrap().iter().flat_map(of_stack).collect()
}

#[test]
fn each_alarm_says_how_bad_it_is_and_what_it_is_about() {
    for deployment in deployments() {
        for alarm in alarms(&deployment) {
            let (place, tags) = (format!("{deployment}: {}", alarm.place), alarm.tags());
            let tag = |name: &str| tags.get(name).map(String::as_str).unwrap_or_default();
            assert!(SEVERITIES.contains(&tag("severity")), "{place}: {tags:?}");
            assert!(TIERS.contains(&tag("tier")), "{place}: {tags:?}");
            let cluster = alarm.parameters["ClusterName"].as_str().unwrap_or(&alarm.stack);
            assert_eq!(tag("cluster"), cluster, "{place}");
            let known = ["severity", "tier", "cluster", "planned"];
            assert!(tags.keys().all(|name| known.contains(&name.as_str())), "{place}: {tags:?}");
            assert!(["", "drain"].contains(&tag("planned")), "{place}: {tags:?}");
            // Whoever is woken is not woken for work that somebody planned, and must not sleep on because of it.
            assert!(tag("planned").is_empty() || tag("severity") != "critical", "{place}: {tags:?}");
        }
    }
}

#[test]
fn each_alarm_calls_somebody_when_it_goes_off_and_when_it_ends_and_says_what_missing_data_mean() {
    for deployment in deployments() {
        let found = alarms(&deployment);
        let called = found.iter().any(Found::speaks);
        for alarm in &found {
            let (place, properties) = (format!("{deployment}: {}", alarm.place), &alarm.properties);
            assert_eq!(properties["AlarmActions"], properties["OKActions"], "{place}");
            // Of missing data the alarms on silence tell. An action on them would call at each creation.
            assert!(properties["InsufficientDataActions"].is_null(), "{place}");
            let spoken_for = found.iter().filter(|other| other.speaks_for(alarm)).count();
            assert!(spoken_for <= 1, "{place}: {spoken_for} composite alarms speak for it");
            assert_eq!(alarm.speaks(), called && spoken_for == 0, "{place}: calls nobody, or calls twice");
            let treated = properties["TreatMissingData"].as_str().unwrap_or("composite");
            let treatments: &[_] =
                if alarm.is_composite() { &["composite"] } else { &["breaching", "ignore", "notBreaching"] };
            assert!(treatments.contains(&treated), "{place}: {treated}");
        }
    }
}

#[test]
fn each_description_begins_with_a_title_and_fits() {
    let mut titles = BTreeSet::new();
    for alarm in deployments().iter().flat_map(|deployment| alarms(deployment)) {
        let (place, title) = (&alarm.place, alarm.title());
        let text = alarm.properties["AlarmDescription"].as_str().unwrap();
        // The longest that AWS takes, in signs: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        assert!(text.chars().count() <= 1024 && text.len() > title.len() + 2, "{place}: {text}");
        let Some(name) = alarm.parameters["ClusterName"].as_str() else {
            assert!(title.chars().count() <= TITLE, "{place}: {title}");
            continue;
        };
        assert_eq!(title.matches(name).count(), 1, "{place}: the title names the cluster: {title}");
        let longest = title.chars().count() - name.len() + LONGEST_NAME;
        assert!(longest <= TITLE, "{place}: {longest} with the longest name: {title}");
        titles.insert((place.clone(), title.to_owned()));
    }
    assert!(titles.len() >= 30, "{titles:?}");
}

#[test]
fn the_severities_are_those_that_people_agreed_on() {
    let all = alarms("replicas");
    let critical: BTreeSet<_> =
        all.iter().filter(|alarm| alarm.tags()["severity"] == "critical").map(|alarm| alarm.place.as_str()).collect();
    // Whom it wakes: a quorum that is lost, whatever takes it next, and that nobody knows.
    let wanted = [
        "Alerting/Queues/DeadLettersAlarm",
        "Alerting/Queues/UndeliveredAlarm",
        "Alerting/Silence/SilenceAlarm",
        "Alerting/UndeliveredAlertAlarm",
        "Monitoring/DataDiskFullAlarm",
        "Monitoring/GatewaySilentAlarm",
        "Monitoring/QuorumLostAlarm",
        "Monitoring/SeveralCoresNotWholeAlarm",
        "Monitoring/SeveralCoresNotWholeUnlessQuorumLostAlarm",
        "Monitoring/Silence/SilenceAlarm",
        "Monitoring/StopWithoutQuorumAlarm",
    ];
    assert_eq!(critical, wanted.into());
}

#[test]
fn what_one_drain_causes_by_itself_is_marked_as_planned() {
    let planned: BTreeSet<_> = alarms("replicas")
        .into_iter()
        .filter(|alarm| {
            alarm.properties["Tags"].as_array().unwrap().contains(&json!({"Key": "planned", "Value": "drain"}))
        })
        .map(|alarm| alarm.place)
        .collect();
    let wanted = [
        "CoreNotWholeAlarm",
        "CoreNotWholeUnlessQuorumLostAlarm",
        "DataDiskUnreportedAlarm",
        "MembersMissingAlarm",
        "QuorumAtRiskAlarm",
        "QuorumAtRiskUnlessQuorumLostAlarm",
    ];
    assert_eq!(planned, wanted.map(|id| format!("Monitoring/{id}")).into());
}

#[test]
fn the_documents_say_how_bad_each_alarm_is() {
    let monitoring = std::fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    let row = |id: &str, path: &str| {
        let cells = |line: &str| line.split('|').skip(1).take(3).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows = monitoring.lines().map(cells).filter(|cells| cells.first() == Some(&format!("`{id}`")));
        // A template that is nested for each function has a row for each stack.
        let mut of_stack = rows.filter(|cells| id != "SilenceAlarm" || path.starts_with(&format!("{}/", cells[1])));
        of_stack.next().unwrap_or_else(|| panic!("docs/monitoring.md has no row for {path}/{id}"))
    };
    for alarm in alarms("replicas") {
        let (path, id) = alarm.place.rsplit_once('/').unwrap();
        let documented = row(id, path);
        let severity = &alarm.tags()["severity"];
        let of = |function: &str, is_its: bool| {
            let (usual, its) = documented[2].split_once(&format!("; of {function} "))?;
            Some(if is_its { its } else { usual })
        };
        let of_one = of("backup-pruner", path.ends_with("PrunerSilence"))
            .or_else(|| of("alarm-router", path.starts_with("Alerting")));
        let said = of_one.unwrap_or(&documented[2]);
        assert_eq!(said, severity, "{}: {documented:?}", alarm.place);
    }
}

#[test]
fn a_lost_quorum_holds_back_what_follows_from_it_and_nothing_else() {
    let mut held_back = BTreeSet::new();
    for deployment in deployments() {
        let found = alarms(&deployment);
        for composite in found.iter().filter(|alarm| alarm.is_composite()) {
            let (place, properties) = (format!("{deployment}: {}", composite.place), &composite.properties);
            let name = properties["ActionsSuppressor"].as_str().unwrap();
            let [suppressor] = found.iter().filter(|alarm| alarm.is_named(name)).collect::<Vec<_>>()[..] else {
                panic!("{place}: {name}");
            };
            let [child] = found.iter().filter(|alarm| composite.speaks_for(alarm)).collect::<Vec<_>>()[..] else {
                panic!("{place}: {properties}");
            };
            // It wakes somebody, and nothing holds it back.
            assert!(!suppressor.is_composite() && suppressor.tags()["severity"] == "critical", "{place}");
            assert_eq!(suppressor.place, "Monitoring/QuorumLostAlarm", "{place}");
            assert_eq!((composite.tags(), composite.title()), (child.tags(), child.title()), "{place}");
            assert_eq!(properties["AlarmRule"].as_str().unwrap().matches("ALARM(").count(), 1, "{place}");
            // For so long the suppressor may still be on its way.
            let number = |of: &Value| of.as_u64().unwrap();
            let takes = number(&suppressor.properties["Period"]) * number(&suppressor.properties["EvaluationPeriods"]);
            assert_eq!(number(&properties["ActionsSuppressorWaitPeriod"]), takes, "{place}");
            assert_eq!(number(&properties["ActionsSuppressorExtensionPeriod"]), 600, "{place}: as the documents say");
            held_back.insert(child.place.clone());
        }
    }
    let wanted = ["CoreNotWholeAlarm", "QuorumAtRiskAlarm", "SeveralCoresNotWholeAlarm"];
    assert_eq!(held_back, wanted.map(|id| format!("Monitoring/{id}")).into());
}

#[test]
fn a_window_mutes_each_alarm_that_calls_but_for_those_that_wake_somebody() {
    let mut rules = 0;
    for deployment in deployments() {
        let found = alarms(&deployment);
        let stacks = rendered(&deployment)["stacks"].take();
        let chosen = &stacks["root"]["parameters"];
        let rule = stacks.get("Muting").map(|stack| &stack["live"]["Resources"]["MuteRule"]["Properties"]);
        let wanted = chosen["MuteSchedule"].as_str().is_some_and(|schedule| !schedule.is_empty());
        assert_eq!(rule.is_some(), wanted, "{deployment}");
        let Some(rule) = rule else { continue };
        let schedule = &rule["Rule"]["Schedule"];
        assert_eq!(
            [&schedule["Expression"], &schedule["Duration"], &schedule["Timezone"]],
            [&chosen["MuteSchedule"], &chosen["MuteDuration"], &chosen["MuteTimeZone"]],
            "{deployment}"
        );
        let names = rule["MuteTargets"]["AlarmNames"].as_array().unwrap();
        let names: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
        assert!(names.len() <= 100, "{deployment}: CloudWatch takes no more");
        let muted = |alarm: &Found| names.iter().filter(|name| alarm.is_named(name)).count();
        for alarm in &found {
            let spoken_for = found.iter().any(|other| other.speaks_for(alarm));
            // What keeps the router from telling anything goes past it, and past this.
            let past = alarm.place.starts_with("Alerting/");
            let times = usize::from(!spoken_for && !past && alarm.tags()["severity"] != "critical");
            assert_eq!(muted(alarm), times, "{deployment}: {}", alarm.place);
        }
        assert_eq!(names.len(), found.iter().map(muted).sum::<usize>(), "{deployment}: names of nothing: {names:?}");
        rules += 1;
    }
    assert!(rules >= 10, "{rules}");
}
