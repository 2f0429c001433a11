//! Reads CloudFormation templates as the service reads them: short forms become long ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// A template of this repository, by its path from the root.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(crate::root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    documents.first().map(long_form).unwrap_or_default()
}

/// Every template that is deployed, by its path from the root.
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

/// Every resource that one resource waits for, by `DependsOn` or by reference, at any distance.
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

/// A part of a template as it is deployed: conditions decided, references and texts filled in.
///
/// `names` holds what `Ref` gives under a logical id, and what `Fn::GetAtt` gives under `id.attribute`.
///
/// # Panics
/// When a name is missing, or a function is used that this does not know.
#[must_use]
pub fn render(part: &Value, template: &Value, names: &BTreeMap<String, String>) -> Value {
    let inside = |part: &Value| render(part, template, names);
    let name = |name: &str| names.get(name).unwrap_or_else(|| panic!("nobody says what {name} is")).clone();
    let map = match part {
        Value::Array(items) => return items.iter().map(inside).filter(|item| !item.is_null()).collect(),
        Value::Object(map) => map,
        plain => return plain.clone(),
    };
    let only = map.iter().next().filter(|_| map.len() == 1);
    match only.map(|(key, value)| (key.as_str(), value)) {
        Some(("Ref", id)) if id == "AWS::NoValue" => Value::Null,
        Some(("Ref", id)) => json!(name(id.as_str().unwrap())),
        Some(("Fn::GetAtt", parts)) => {
            let parts: Vec<_> = parts.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            json!(name(&parts.join(".")))
        }
        Some(("Fn::Sub", Value::String(text))) => json!(fill(text, &name)),
        Some(("Fn::Sub", parts)) => {
            let own = inside(&parts[1]);
            let name = |key: &str| own[key].as_str().map_or_else(|| name(key), str::to_owned);
            json!(fill(parts[0].as_str().unwrap(), &name))
        }
        Some(("Fn::If", parts)) => {
            let condition = &template["Conditions"][parts[0].as_str().unwrap()];
            inside(&parts[if holds(&inside(condition)) { 1 } else { 2 }])
        }
        Some(("Fn::Join", parts)) => {
            let (between, parts) = (inside(&parts[0]), inside(&parts[1]));
            json!(list(&parts).join(between.as_str().unwrap()))
        }
        Some(("Fn::Split", parts)) => {
            let (at, text) = (inside(&parts[0]), inside(&parts[1]));
            json!(text.as_str().unwrap().split(at.as_str().unwrap()).collect::<Vec<_>>())
        }
        // A list parameter is said as one text with commas.
        Some(("Fn::Select", parts)) => {
            let (index, parts) = (inside(&parts[0]).as_u64().unwrap(), inside(&parts[1]));
            json!(list(&parts)[usize::try_from(index).unwrap()])
        }
        Some(("Fn::FindInMap", path)) => {
            let path = inside(path);
            let key = |n: usize| path[n].as_str().map_or_else(|| path[n].to_string(), str::to_owned);
            template["Mappings"][key(0)][key(1)][key(2)].clone()
        }
        Some(("Fn::Base64", text)) => json!({"Fn::Base64": inside(text)}),
        Some((function, _)) if function.starts_with("Fn::") && !["Fn::Equals", "Fn::Not"].contains(&function) => {
            panic!("{function} is not known here")
        }
        _ => {
            let all = map.iter().map(|(key, value)| (key.clone(), inside(value)));
            Value::Object(all.filter(|(_, value)| !value.is_null()).collect())
        }
    }
}

/// The texts of a list, or of a text with commas.
fn list(value: &Value) -> Vec<String> {
    let texts = |items: &Vec<Value>| items.iter().map(|item| item.as_str().unwrap().to_owned()).collect();
    value.as_array().map_or_else(|| value.as_str().unwrap().split(',').map(str::to_owned).collect(), texts)
}

/// Whether a rendered condition holds.
fn holds(condition: &Value) -> bool {
    match (&condition["Fn::Equals"], &condition["Fn::Not"]) {
        (Value::Array(two), _) => two[0] == two[1],
        (_, Value::Array(one)) => !holds(&one[0]),
        _ => panic!("no condition that is known here: {condition}"),
    }
}

/// A text with its `${…}` filled in.
fn fill(text: &str, name: &dyn Fn(&str) -> String) -> String {
    let mut parts = text.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |filled, part| {
        let (inner, rest) = part.split_once('}').unwrap();
        filled + &name(inner) + rest
    })
}
