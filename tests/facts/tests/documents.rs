//! Facts that the documents share with templates and code.

use std::collections::BTreeSet;

use cluster_facts::{
    root,
    template::{all, read},
};

use crate::template::of_type;

#[test]
fn each_message_that_the_documents_explain_is_one_that_the_code_says() {
    let explained = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let mut code = String::new();
    let mut folders = vec![root().join("shared"), root().join("lambdas")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                code += &std::fs::read_to_string(entry).unwrap();
            }
        }
    }
    // Containers say things too, by their commands.
    for path in all() {
        code += &std::fs::read_to_string(root().join(path)).unwrap();
    }
    // A message may be broken over two lines.
    let code = code.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = explained.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| message |"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let messages: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(messages.len() >= 40, "{messages:?}");
    for message in messages {
        for part in message.split('…') {
            assert!(code.contains(part.trim()), "no message says {part:?}, which docs/troubleshooting.md explains");
        }
    }
}

#[test]
fn each_output_that_the_documents_ask_for_is_one_of_the_stack() {
    let operations = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let outputs = read("infra/template.yaml")["Outputs"].clone();
    let asked = |before: &str| -> BTreeSet<String> {
        let words = operations.split(before).skip(1);
        let words = words.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
        words.filter(|word| !word.is_empty()).collect()
    };
    let names: BTreeSet<_> = &asked("$(output ") | &asked("\noutput ");
    assert!(
        names.contains("ClientsGroup") && names.contains("BackupGroup") && names.contains("MembersGroup"),
        "{names:?}"
    );
    for name in names {
        assert!(!outputs[&name].is_null(), "the stack has no output {name}");
    }
}

#[test]
fn the_check_for_a_whole_cluster_shows_what_there_is_beside_what_there_should_be() {
    let operations = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let section = operations.split("\n## Is the cluster whole?\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let statements = section.split("```cypher\n").nth(1).unwrap().split("```").next().unwrap();
    let [servers, databases, _] = statements.split(';').take(3).collect::<Vec<_>>()[..] else {
        panic!("three statements, not {statements}");
    };
    // What filters is also empty when everything is missing.
    assert!(!statements.contains("WHERE"), "{statements}");
    assert!(["hosting", "requestedHosting"].iter().all(|column| servers.contains(column)), "{servers}");
    for of in ["PrimariesCount", "SecondariesCount"] {
        let both = ["current", "requested"].map(|which| databases.contains(&format!("{which}{of}")));
        assert_eq!(both, [true, true], "{of}: {databases}");
    }
}

#[test]
fn the_secrets_that_are_kept_are_found_by_what_the_documents_ask_for() {
    let operations = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let [filter] = operations.split("list-secrets --filters Key=description,Values=\"").skip(1).collect::<Vec<_>>()[..]
    else {
        panic!("docs/operations.md looks for secrets once");
    };
    // Secrets Manager compares beginnings: without the last sign a stack `neo4j` would find those of `neo4j-dev`.
    let beginning = filter.split('"').next().unwrap().replace("$NAME", "${ClusterName}");
    assert!(beginning.ends_with("${ClusterName}:"), "{beginning}");
    for (id, secret) in of_type("AWS::SecretsManager::Secret") {
        let description = secret["Description"]["Fn::Sub"].as_str().unwrap();
        assert!(description.starts_with(&beginning), "{id}: {description}");
    }
}

#[test]
fn whoever_comes_from_the_predecessor_finds_each_of_its_parameters() {
    let documents = std::fs::read_to_string(root().join("docs/parameters.md")).unwrap();
    for name in [
        "AcceptLicense",
        "VpcId",
        "KeyName",
        "ECSAMI",
        "NodeSecurityGroups",
        "SNSTopicArn",
        "ClusterInstanceType",
        "SubnetID",
        "DesiredCapacity",
        "EBSSize",
        "EBSType",
        "ReplicasInstanceType",
        "ReplicasCount",
        "ReplicasSubnetID",
        "DockerImage",
        "DockerECRARN",
        "AdminUser",
        "AdminPassword",
        "ReadOnlyUser",
        "ReadOnlyUserPassword",
        "CloudMapNamespaceID",
        "CloudMapNamespaceName",
        "Neo4jCoreSubdomain",
        "Neo4jReplicasSubdomain",
        "BackupPath",
        "BackupHourlyStoreForDays",
        "BackupDailyStoreForDays",
        "IsDrainSupported",
        "SlowQueryLog",
    ] {
        let row = documents
            .lines()
            .any(|line| line.starts_with("| ") && line.split('|').nth(1).unwrap().contains(&format!("`{name}`")));
        assert!(row, "docs/parameters.md says nothing of {name}");
    }
}
