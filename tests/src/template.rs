//! Reads CloudFormation templates as the service reads them: short forms become long ones.

use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// A template of this repository, by its path from the root.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(crate::stage::root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    documents.first().map(long_form).unwrap_or_default()
}

/// Every template that is deployed, by its path from the root.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn all() -> Vec<String> {
    let folder = crate::stage::root().join("infra");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().map(|name| format!("infra/{}", name.to_string_lossy()));
    let mut all: Vec<_> =
        files.filter(|p| p.extension().is_some_and(|e| e == "yaml")).filter_map(|p| name(&p)).collect();
    all.sort();
    all
}

/// The resources of a template: (logical id, resource).
#[must_use]
pub fn resources(template: &Value) -> Vec<(String, Value)> {
    let all = template["Resources"].as_object().into_iter().flatten();
    all.map(|(id, resource)| (id.clone(), resource.clone())).collect()
}

/// Every logical id that a value refers to, by `Ref`, `Fn::GetAtt` or `Fn::Sub`.
#[must_use]
pub fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found.sort();
    found.dedup();
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

/// The names in a text's `${…}`, without their attributes.
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
