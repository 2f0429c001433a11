use std::collections::{BTreeMap, BTreeSet};

use super::super::{Alert, Key, Severity, Status, Tree};

fn alert(severity: Severity, labels: &[(&str, &str)]) -> Alert {
    Alert {
        key: Key::new("k"),
        event: "e".into(),
        status: Status::Firing,
        lasting: true,
        severity,
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        title: "t".into(),
        meaning: "m".into(),
        since: None,
        reading: None,
        links: vec![],
        next_step: None,
    }
}

fn destinations() -> BTreeSet<String> {
    ["mail", "pager", "chat"].map(str::to_owned).into()
}

const TREE: &str = r#"{
  "to": ["mail"],
  "routes": [
    {"match": {"severity": ">=error", "stack": "neo4j-prod*"}, "to": ["pager"], "repeatMinutes": 30, "continue": true,
     "routes": [{"match": {"tier": ["replica", "backup"]}, "to": ["chat"], "holdMinutes": 10}]},
    {"match": {"stack": "neo4j-prod*"}, "to": ["chat", "mail"]},
    {"match": {"severity": "info"}, "to": []}
  ]
}"#;

fn ways(alert: &Alert) -> Vec<String> {
    let tree = Tree::read(TREE, &destinations()).unwrap();
    let told = |way: super::super::Way| {
        format!(
            "{} by {}, again after {} min, held {} min",
            way.to,
            way.route,
            way.repeat.as_mins(),
            way.hold.as_mins()
        )
    };
    tree.ways(alert).into_iter().map(told).collect()
}

#[test]
fn an_alert_takes_the_first_route_that_matches_and_those_that_follow_while_they_continue() {
    let core = alert(Severity::Critical, &[("stack", "neo4j-prod-1"), ("tier", "core")]);
    assert_eq!(
        ways(&core),
        [
            "pager by 1, again after 30 min, held 0 min",
            "chat by 2, again after 240 min, held 0 min",
            "mail by 2, again after 240 min, held 0 min",
        ]
    );
    let replica = alert(Severity::Error, &[("stack", "neo4j-prod-1"), ("tier", "replica")]);
    // Of two ways to one destination, the first.
    assert_eq!(
        ways(&replica),
        ["chat by 1.1, again after 30 min, held 10 min", "mail by 2, again after 240 min, held 0 min"]
    );
    let elsewhere = alert(Severity::Critical, &[("stack", "other")]);
    assert_eq!(ways(&elsewhere), ["mail by root, again after 240 min, held 0 min"]);
    let nameless = alert(Severity::Warning, &[]);
    assert_eq!(ways(&nameless), ["mail by root, again after 240 min, held 0 min"]);
    assert_eq!(ways(&alert(Severity::Info, &[])), [""; 0], "a route may say that nobody is told");
}

#[test]
fn a_wrong_tree_is_refused_by_its_place() {
    for (text, why) in [
        ("{\n  \"to\": [\"mail\"],\n  \"route\": []\n}", "line 3, column 9: unknown field `route`"),
        ("{", "line 1, column 1: EOF"),
        (r#"{"routes": []}"#, "the root says no destination"),
        (r#"{"to": []}"#, "the root says no destination"),
        (r#"{"to": ["mail"], "match": {"tier": "core"}}"#, "the root has a match"),
        (r#"{"to": ["sms"]}"#, "route root: there is no destination \"sms\": there are chat, mail, pager"),
        (r#"{"to": ["mail"], "routes": [{"match": {"severity": "urgent"}}]}"#, "route 1: severity is \"urgent\""),
        (r#"{"to": ["mail"], "routes": [{"match": {"stack": "a*b"}}]}"#, "route 1: stack is \"a*b\""),
        (r#"{"to": ["mail"], "routes": [{"match": {"stack": []}}]}"#, "route 1: stack has no value"),
        (r#"{"to": ["mail"], "routes": [{"to": ["chat"]}, {"match": {"a": "b"}}]}"#, "route 1: it matches everything"),
        (r#"{"to": ["mail"], "repeatMinutes": 1}"#, "route root: repeatMinutes is 1, but should be from 5 to 10080"),
        (
            r#"{"to": ["mail"], "routes": [{"match": {"a": "b"}, "routes": [{"match": {"a": "b"}, "holdMinutes": 20000}]}]}"#,
            "route 1.1: holdMinutes is 20000",
        ),
    ] {
        let refused = Tree::read(text, &destinations()).unwrap_err().to_string();
        assert!(refused.starts_with(why), "{refused}");
    }
}

#[test]
fn a_destination_may_name_an_entry_of_its_secret() {
    let destinations = ["page", "slack"].map(str::to_owned).into();
    let tree = |to: &str| Tree::read(&format!(r#"{{"to": ["{to}"]}}"#), &destinations);
    assert_eq!(tree("slack:db-team").unwrap().destinations(), ["slack:db-team".to_owned()].into());
    for to in ["slack:", "slack:a b", "page:a", "chat:a", "slack:a:b"] {
        let refused = tree(to).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("route root: there is no destination {to:?}")), "{refused}");
    }
}

#[test]
fn whoever_has_written_no_tree_gets_one_that_goes_somewhere() {
    let ways = |destinations: &[&str], severity: Severity| {
        let tree = Tree::standard(&destinations.iter().map(|name| (*name).to_owned()).collect());
        tree.ways(&alert(severity, &[])).into_iter().map(|way| way.to).collect::<Vec<_>>().join(" ")
    };
    for (destinations, critical, error) in [
        (&["page"][..], "page", "page"),
        (&["page", "notify"], "page", "notify"),
        (&["page", "slack"], "page slack", "slack"),
        (&["page", "pagerduty"], "pagerduty", "page"),
        (&["page", "notify", "pagerduty", "slack", "webhook"], "pagerduty slack webhook", "notify slack webhook"),
    ] {
        assert_eq!(ways(destinations, Severity::Critical), critical);
        assert_eq!(ways(destinations, Severity::Error), error);
    }
}
