//! What each member is started with. `make members` shows that Neo4j takes it; here it is frozen, and every change is seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use cluster_facts::template::{container, deployments, rendered};
use serde_json::Value;

/// What tells one kind of member from another: the tier, and the words in the name of its deployment.
type Kind = BTreeSet<String>;

/// Returns everything that decides how a container starts and stops, as lines of a name and a value.
fn lines(container: &Value) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for (section, value) in [("Environment", "Value"), ("Secrets", "ValueFrom")] {
        for each in container[section].as_array().unwrap() {
            let name = each["Name"].as_str().unwrap();
            assert!(lines.insert(name.to_owned(), each[value].as_str().unwrap().to_owned()).is_none(), "{name}: twice");
        }
    }
    for key in ["EntryPoint", "HealthCheck", "MountPoints", "PortMappings", "StopTimeout", "Ulimits"] {
        lines.insert(key.to_owned(), container[key].to_string());
    }
    let words: Vec<_> = container["Command"].as_array().unwrap().iter().skip(1).collect();
    lines.insert("Command, without its script".to_owned(), format!("{words:?}"));
    lines
}

/// Returns the one word by which some kinds differ from all others, or all that they have.
fn when(some: &[&Kind], all: &[Kind]) -> String {
    if some.len() == all.len() {
        return String::new();
    }
    let words: BTreeSet<_> = all.iter().flatten().collect();
    let is_it = |word: &str, has: bool| {
        all.iter().filter(|kind| kind.contains(word) == has).count() == some.len()
            && some.iter().all(|kind| kind.contains(word) == has)
    };
    let one = words.iter().find_map(|word| match (is_it(word, true), is_it(word, false)) {
        (true, _) => Some(format!(" [{word}]")),
        (_, true) => Some(format!(" [not {word}]")),
        _ => None,
    });
    one.unwrap_or_else(|| format!(" {some:?}"))
}

#[test]
fn every_member_is_started_with_this_and_nothing_else() {
    let (mut kinds, mut found) = (vec![], BTreeMap::<String, BTreeMap<String, Vec<Kind>>>::new());
    for name in deployments().iter().filter(|name| name.starts_with("members-")) {
        let words = name.trim_start_matches("members-").replace("cluster-tls", "clustertls");
        for tier in ["core", "replica"] {
            let kind: Kind = words.split('-').chain([tier]).map(str::to_owned).collect();
            for (name, value) in lines(&container(&rendered(name), tier, "neo4j")) {
                found.entry(name).or_default().entry(value).or_default().push(kind.clone());
            }
            kinds.push(kind);
        }
    }
    assert_eq!(kinds.len(), 16, "two series, two tiers, with and without certificates for clients and for members");
    let mut text = String::new();
    for (name, values) in found {
        for (value, of) in values {
            writeln!(text, "{name} = {value}{}", when(&of.iter().collect::<Vec<_>>(), &kinds)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
