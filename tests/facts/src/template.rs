//! Reads the templates: their sources, and what `tests/template/render.py` makes of them for each deployment.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::OnceLock,
};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Returns what `tests/template/render.py` writes for a deployment, in the form that is described there.
///
/// # Panics
/// When the renderer fails, or knows no such deployment.
#[must_use]
pub fn rendered(deployment: &str) -> Value {
    let path = rendered_folder().join(format!("{deployment}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the names of all deployments of today's templates.
///
/// # Panics
/// When the renderer fails.
#[must_use]
pub fn deployments() -> Vec<String> {
    let files = std::fs::read_dir(rendered_folder()).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut names: Vec<_> = json.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with(|first: char| first.is_ascii_digit())); // those of a release
    names.sort();
    names
}

/// Renders the templates, unless that was done since they were changed last.
fn rendered_folder() -> &'static Path {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let (root, folder) = (crate::root(), crate::root().join("target/rendered"));
        let renderer = root.join("tests/template/render.py");
        let python = root.join(".venv/bin/python");
        let run = Command::new(&python).arg(renderer).arg("--out").arg(&folder).output();
        let run = run.unwrap_or_else(|e| panic!("{}: {e}: run `make tools` first", python.display()));
        assert!(run.status.success(), "the templates cannot be rendered:\n{}", String::from_utf8_lossy(&run.stderr));
        folder
    })
}

/// Returns a template of this repository, by its path from the root. Short forms of functions become long ones.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(crate::root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    documents.first().map(long_form).unwrap_or_default()
}

/// Returns the path from the root of every template that is deployed.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn all() -> Vec<String> {
    let folder = crate::root().join("infra");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().map(|name| format!("infra/{}", name.to_string_lossy()));
    let mut all: Vec<_> =
        files.filter(|p| p.extension().is_some_and(|e| e == "yaml")).filter_map(|p| name(&p)).collect();
    all.sort();
    all
}

/// Returns a container of a tier's task definition in a deployment, wherever in its stacks that is.
///
/// # Panics
/// When there is not exactly one such task definition, or it has no such container.
#[must_use]
pub fn container(deployment: &Value, tier: &str, name: &str) -> Value {
    let live = deployment["stacks"].as_object().unwrap().values().flat_map(|stack| resources(&stack["live"]));
    let tasks = live.filter(|(_, resource)| resource["Type"] == "AWS::ECS::TaskDefinition");
    let suffix = format!("-{tier}");
    let tasks: Vec<_> =
        tasks.filter(|(_, task)| task["Properties"]["Family"].as_str().unwrap().ends_with(&suffix)).collect();
    assert_eq!(tasks.len(), 1, "task definitions whose family ends with {suffix}");
    let containers = tasks[0].1["Properties"]["ContainerDefinitions"].as_array().unwrap();
    let container = containers.iter().find(|container| container["Name"] == name);
    container.unwrap_or_else(|| panic!("the tier {tier} has no container {name}")).clone()
}

/// Returns the resources of a template: (logical id, resource).
#[must_use]
pub fn resources(template: &Value) -> Vec<(String, Value)> {
    let all = template["Resources"].as_object().into_iter().flatten();
    all.map(|(id, resource)| (id.clone(), resource.clone())).collect()
}

/// Returns every logical id that a value refers to, by `Ref`, `Fn::GetAtt` or `Fn::Sub`.
#[must_use]
pub fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found.sort();
    found.dedup();
    found
}

/// Returns every resource that one resource depends on, by `DependsOn` or by reference, directly or not.
#[must_use]
pub fn dependencies(resources: &BTreeMap<String, Value>, id: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![id.to_owned()];
    while let Some(id) = open.pop() {
        let Some(resource) = resources.get(&id) else { continue };
        let explicit = &resource["DependsOn"];
        let explicit = explicit.as_array().cloned().unwrap_or_else(|| vec![explicit.clone()]);
        let explicit = explicit.iter().filter_map(Value::as_str).map(str::to_owned);
        for next in explicit.chain(references(&resource["Properties"])) {
            if resources.contains_key(&next) && found.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => {
            for (key, inner) in map {
                match (key.as_str(), inner) {
                    ("Ref", Value::String(id)) => found.push(id.clone()),
                    ("Fn::GetAtt", Value::Array(parts)) => {
                        found.extend(parts.first().and_then(Value::as_str).map(str::to_owned));
                    }
                    ("Fn::Sub", Value::String(text)) => found.extend(variables(text)),
                    ("Fn::Sub", Value::Array(parts)) => {
                        found.extend(parts.first().and_then(Value::as_str).into_iter().flat_map(variables));
                        collect(inner, found);
                    }
                    _ => collect(inner, found),
                }
            }
        }
        _ => {}
    }
}

/// Returns the names in a text's `${…}`, without their attributes.
fn variables(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(name, _)| name.split('.').next().unwrap_or(name).to_owned()).collect()
}

fn long_form(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(scalar) => scalar_value(scalar),
        Yaml::Sequence(items) => items.iter().map(long_form).collect(),
        Yaml::Mapping(map) => {
            let text = |key: &Yaml<'_>| long_form(key).as_str().map(str::to_owned).unwrap_or_default();
            Value::Object(map.iter().map(|(key, value)| (text(key), long_form(value))).collect::<Map<_, _>>())
        }
        Yaml::Tagged(tag, inner) => {
            let inner = long_form(inner);
            match tag.suffix.as_str() {
                "Ref" => json!({"Ref": inner}),
                "Condition" => json!({"Condition": inner}),
                "GetAtt" => {
                    let parts: Vec<_> = inner.as_str().unwrap_or_default().splitn(2, '.').collect();
                    json!({"Fn::GetAtt": parts})
                }
                function => json!({format!("Fn::{function}"): inner}),
            }
        }
        _ => Value::Null,
    }
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => json!(value),
        Scalar::Integer(value) => json!(value),
        Scalar::FloatingPoint(value) => json!(value.into_inner()),
        Scalar::String(value) => json!(value),
    }
}
