//! The rendered templates, created and deleted as CloudFormation does. Conditions and parameters are decided by the renderer;
//! what is left are references to what has been created.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

use cluster_world::{ACCOUNT, REGION};
use serde_json::{Value, json};

/// A resource that has been created.
#[derive(Clone, Debug)]
pub struct Made {
    /// The stack's path and the logical id.
    pub place: (String, String),
    /// Its type.
    pub r#type: String,
    /// What `Ref` gives.
    pub physical_id: String,
    /// As they were created.
    pub properties: Value,
    /// What `Fn::GetAtt` gives.
    pub attributes: Value,
    /// `Delete`, `Retain` or `Snapshot`; null for the first.
    pub policy: Value,
    /// The same, for when it is replaced.
    pub replace_policy: Value,
}

/// The stacks of a deployment.
#[derive(Clone, Debug)]
pub struct Stacks {
    stacks: Value,
}

/// A stack whose resources are being created.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Where it is among the others: `root`, `Cores/Core1`.
    pub path: String,
    /// `AWS::StackName`.
    pub name: String,
    template: Value,
    names: BTreeMap<String, Value>,
}

impl Stacks {
    /// Reads a deployment of the renderer's.
    #[must_use]
    pub fn of(deployment: &str) -> Self {
        static READ: OnceLock<Mutex<BTreeMap<String, Value>>> = OnceLock::new();
        let mut read = READ.get_or_init(Default::default).lock().unwrap();
        let stacks = read.entry(deployment.to_owned()).or_insert_with(|| rendered(deployment));
        Self { stacks: stacks.clone() }
    }

    /// Returns a parameter of the root.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.stacks["root"]["parameters"][name].as_str()
    }

    /// Returns the parameters of the root.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.stacks["root"]["parameters"].as_object().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// Returns a stack that is about to be created with these parameters.
    #[must_use]
    pub fn stack(&self, path: &str, parameters: &Value) -> Stack {
        let found = &self.stacks[path];
        let pseudo = [
            ("AWS::Region", REGION),
            ("AWS::AccountId", ACCOUNT),
            ("AWS::Partition", "aws"),
            ("AWS::URLSuffix", "amazonaws.com"),
            ("AWS::StackName", found["name"].as_str().unwrap()),
            ("AWS::StackId", found["id"].as_str().unwrap()),
        ];
        let mut names: BTreeMap<_, _> = pseudo.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        for (name, value) in parameters.as_object().into_iter().flatten() {
            names.insert(name.clone(), value.clone());
        }
        let name = found["name"].as_str().unwrap().to_owned();
        Stack { path: path.to_owned(), name, template: found["template"].clone(), names }
    }
}

impl Stack {
    /// Returns the logical ids in an order in which they can be created.
    #[must_use]
    pub fn order(&self) -> Vec<String> {
        let all = self.template["Resources"].as_object().unwrap();
        let mut waiting: BTreeMap<_, _> = all.iter().map(|(id, resource)| (id.clone(), depends_on(resource))).collect();
        for on in waiting.values_mut() {
            on.retain(|id| all.contains_key(id));
        }
        let mut order = Vec::new();
        while let Some(next) = waiting.iter().find(|(_, on)| on.is_empty()).map(|(id, _)| id.clone()) {
            waiting.remove(&next);
            for on in waiting.values_mut() {
                on.remove(&next);
            }
            order.push(next);
        }
        assert!(waiting.is_empty(), "{}: a circle of {waiting:?}", self.path);
        order
    }

    /// Returns a resource as the template has it.
    #[must_use]
    pub fn resource(&self, id: &str) -> &Value {
        &self.template["Resources"][id]
    }

    /// Returns the path of a nested stack.
    #[must_use]
    pub fn nested(&self, id: &str) -> String {
        if self.path == "root" { id.to_owned() } else { format!("{}/{id}", self.path) }
    }

    /// Returns a resource's properties with their references in place.
    #[must_use]
    pub fn properties(&self, id: &str) -> Value {
        self.resolve(&self.resource(id)["Properties"])
    }

    /// Notes what references to a created resource give.
    pub fn created(&mut self, id: &str, physical_id: &str, attributes: &Value) {
        self.names.insert(id.to_owned(), json!(physical_id));
        for (name, value) in attributes.as_object().into_iter().flatten() {
            self.names.insert(format!("{id}.{name}"), value.clone());
        }
    }

    /// Returns the outputs as the attributes of the nested stack.
    #[must_use]
    pub fn outputs(&self) -> Value {
        let all = self.template["Outputs"].as_object().into_iter().flatten();
        Value::Object(all.map(|(name, o)| (format!("Outputs.{name}"), self.resolve(&o["Value"]))).collect())
    }

    fn name(&self, name: &str) -> Value {
        self.names.get(name).unwrap_or_else(|| panic!("{}: nothing gives {name}", self.path)).clone()
    }

    fn resolve(&self, part: &Value) -> Value {
        let map = match part {
            Value::Array(items) => return items.iter().map(|item| self.resolve(item)).collect(),
            Value::Object(map) => map,
            plain => return plain.clone(),
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let only = map.iter().next().filter(|_| map.len() == 1);
        match only.map(|(key, value)| (key.as_str(), value)) {
            Some(("Ref", id)) => self.name(id.as_str().unwrap()),
            Some(("Fn::GetAtt", parts)) => self.name(&format!("{}.{}", text(&parts[0]), text(&parts[1]))),
            Some(("Fn::Sub", Value::String(template))) => json!(fill(template, &|name| text(&self.name(name)))),
            Some(("Fn::Sub", parts)) => {
                let own = self.resolve(&parts[1]);
                let name = |key: &str| own.get(key).map_or_else(|| text(&self.name(key)), text);
                json!(fill(parts[0].as_str().unwrap(), &name))
            }
            Some(("Fn::Join", parts)) => {
                let items: Vec<_> = self.resolve(&parts[1]).as_array().unwrap().iter().map(text).collect();
                json!(items.join(parts[0].as_str().unwrap()))
            }
            Some(("Fn::Split", parts)) => {
                let whole = text(&self.resolve(&parts[1]));
                json!(whole.split(parts[0].as_str().unwrap()).collect::<Vec<_>>())
            }
            Some(("Fn::Select", parts)) => {
                let index = text(&self.resolve(&parts[0])).parse::<usize>().unwrap();
                self.resolve(&parts[1])[index].clone()
            }
            _ => Value::Object(map.iter().map(|(key, value)| (key.clone(), self.resolve(value))).collect()),
        }
    }
}

/// Returns the versions that have been released, whose templates are kept.
#[must_use]
pub fn releases() -> Vec<String> {
    let folders = std::fs::read_dir(root().join("tests/fixtures/releases")).into_iter().flatten().flatten();
    let mut versions: Vec<_> = folders.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    versions.sort();
    versions
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Reads a deployment, after the templates were rendered where they have changed since the last time.
fn rendered(deployment: &str) -> Value {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let (python, folder) = (root().join(".venv/bin/python"), root().join("target/rendered"));
        let run = Command::new(&python).arg(root().join("tests/template/render.py")).arg("--out").arg(&folder).output();
        let run = run.unwrap_or_else(|e| panic!("{}: {e}: run `make tools` first", python.display()));
        assert!(run.status.success(), "the templates cannot be rendered:\n{}", String::from_utf8_lossy(&run.stderr));
        folder
    });
    let path = folder.join(format!("{deployment}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str::<Value>(&text).unwrap()["stacks"].take()
}

/// Returns every name that a resource refers to, or is told to wait for.
fn depends_on(resource: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let explicit = &resource["DependsOn"];
    let explicit = explicit.as_array().cloned().unwrap_or_else(|| vec![explicit.clone()]);
    found.extend(explicit.iter().filter_map(Value::as_str).map(str::to_owned));
    references(&resource["Properties"], &mut found);
    found
}

fn references(part: &Value, found: &mut BTreeSet<String>) {
    let in_text = |text: &str| {
        let names = text.split("${").skip(1).filter_map(|part| part.split_once('}'));
        names.map(|(name, _)| name.split('.').next().unwrap_or(name).to_owned()).collect::<Vec<_>>()
    };
    match part {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(map) => {
            for (key, inner) in map {
                match (key.as_str(), inner) {
                    ("Ref", Value::String(id)) => _ = found.insert(id.clone()),
                    ("Fn::GetAtt", parts) => found.extend(parts[0].as_str().map(str::to_owned)),
                    ("Fn::Sub", Value::String(text)) => found.extend(in_text(text)),
                    ("Fn::Sub", parts) => {
                        found.extend(parts[0].as_str().into_iter().flat_map(in_text));
                        references(&parts[1], found);
                    }
                    _ => references(inner, found),
                }
            }
        }
        _ => {}
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

/// Returns the physical id and the attributes of what the world does not model: names and ARNs alone.
#[must_use]
pub fn made_up(stack: &str, id: &str, r#type: &str, properties: &Value) -> (String, Value) {
    let name = format!("{stack}-{id}");
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}");
    match r#type {
        "AWS::SQS::Queue" => {
            let name = name + if properties["FifoQueue"] == true { ".fifo" } else { "" };
            let url = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}");
            (url, json!({"Arn": arn("sqs", &name), "QueueName": name}))
        }
        "AWS::Lambda::Function" => {
            let name = properties["FunctionName"].as_str().map_or(name, str::to_owned);
            let arn = arn("lambda", &format!("function:{name}"));
            (name, json!({"Arn": arn}))
        }
        "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm" => {
            let name = properties["AlarmName"].as_str().map_or(name, str::to_owned);
            let arn = arn("cloudwatch", &format!("alarm:{name}"));
            (name, json!({"Arn": arn}))
        }
        "AWS::CloudWatch::AlarmMuteRule" => {
            let name = properties["Name"].as_str().map_or(name, str::to_owned);
            let arn = arn("cloudwatch", &format!("alarm-mute-rule:{name}"));
            (arn.clone(), json!({"Arn": arn}))
        }
        "AWS::EC2::SecurityGroup" => {
            let id = format!("sg-{name}");
            (id.clone(), json!({"GroupId": id}))
        }
        _ => (name.clone(), json!({"Arn": arn("made-up", &name)})),
    }
}
