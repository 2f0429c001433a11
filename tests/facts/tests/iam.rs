//! IAM's decisions on the rendered policies of a function's role.

use std::collections::{BTreeMap, BTreeSet};

use cluster_facts::template::{read, render, resources};
use cluster_world::{Call, Context, World};
use serde_json::{Value, json};

/// What IAM is asked: may this be done to that, in these circumstances?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) context: Context,
}

/// A statement that allows something.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) actions: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) condition: Value,
}

impl Statement {
    pub(crate) fn allows(&self, question: &Question) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        any(&self.actions, &question.action) && any(&self.resources, &question.resource) && self.holds(question)
    }

    fn holds(&self, question: &Question) -> bool {
        self.condition.as_object().into_iter().flatten().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, values)| {
                let said = question.context.get(key.as_str());
                match operator.as_str() {
                    "ForAllValues:StringEquals" => {
                        let said = said.unwrap_or_else(|| panic!("nobody says {key}"));
                        said.iter().all(|value| strings(values).contains(value))
                    }
                    // What is not said equals nothing.
                    "StringEquals" | "ArnEquals" | "Bool" => {
                        said.is_some_and(|said| said.len() == 1 && said.iter().all(|one| strings(values).contains(one)))
                    }
                    other => panic!("an operator that is not known here: {other}"),
                }
            })
        })
    }
}

/// IAM's wildcard.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    text.strip_prefix(head).is_some_and(|tail| (0..=tail.len()).any(|n| matches(rest, &tail[n..])))
}

/// One text, or a list of them.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    let one = value.as_str().map(|text| vec![text.to_owned()]);
    one.unwrap_or_else(|| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect())
}

/// Every statement of a function's role, wherever its template keeps it.
pub(crate) fn rights(path: &str, function: &str, names: &BTreeMap<String, String>) -> Vec<Statement> {
    let template = read(path);
    let role = template["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0].as_str().unwrap().to_owned();
    let inline = template["Resources"][&role]["Properties"].clone();
    assert!(inline["ManagedPolicyArns"].is_null(), "what a managed policy allows is not proven here");
    let mut documents: Vec<Value> =
        inline["Policies"].as_array().unwrap().iter().map(|policy| policy["PolicyDocument"].clone()).collect();
    for (id, resource) in resources(&template) {
        match resource["Type"].as_str().unwrap() {
            "AWS::IAM::RolePolicy" if resource["Properties"]["RoleName"]["Ref"] == json!(role) => {
                documents.push(resource["Properties"]["PolicyDocument"].clone());
            }
            kind => assert!(!kind.contains("Policy") || !kind.starts_with("AWS::IAM"), "{id} is not proven here"),
        }
    }
    let statements = documents.iter().flat_map(|document| document["Statement"].as_array().unwrap().clone());
    let rendered = statements.map(|statement| render(&statement, &template, names));
    rendered
        .map(|statement| {
            let keys: BTreeSet<_> = statement.as_object().unwrap().keys().map(String::as_str).collect();
            let known = BTreeSet::from(["Action", "Condition", "Effect", "Resource"]);
            assert!(keys.is_subset(&known) && statement["Effect"] == "Allow", "not known here: {statement}");
            Statement {
                actions: strings(&statement["Action"]),
                resources: strings(&statement["Resource"]),
                condition: statement["Condition"].clone(),
            }
        })
        .collect()
}

/// What IAM was asked by each call so far.
pub(crate) fn questions(world: &World) -> Vec<Vec<Question>> {
    let of = |call: &Call| {
        assert!(!call.resources.is_empty(), "nobody says what {} touches", call.action);
        let ask = |(resources, context): (Vec<&str>, Context)| {
            let action = call.action.clone();
            let question = move |resource: &str| Question {
                action: action.clone(),
                resource: resource.to_owned(),
                context: context.clone(),
            };
            resources.into_iter().map(question).collect::<Vec<_>>()
        };
        call.questions().into_iter().flat_map(ask).collect()
    };
    world.calls.iter().map(of).collect()
}
