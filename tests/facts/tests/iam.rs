//! IAM's decisions by the rendered policies of a function's role.

use std::collections::BTreeSet;

use cluster_facts::template::{rendered, resources};
use cluster_world::{Call, Context, World};
use serde_json::{Value, json};

/// A question to IAM: is this action allowed on that resource, in this context?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) context: Context,
}

/// A statement that allows something, or denies it.
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
                let given = question.context.get(key.as_str());
                match operator.as_str() {
                    "ForAllValues:StringEquals" => {
                        let given = given.unwrap_or_else(|| panic!("the question has no {key}"));
                        given.iter().all(|value| strings(values).contains(value))
                    }
                    // A key that is not given equals nothing.
                    "StringEquals" | "ArnEquals" | "Bool" => given
                        .is_some_and(|given| given.len() == 1 && given.iter().all(|one| strings(values).contains(one))),
                    "StringLike" => given.is_some_and(|given| {
                        let likes = |one: &String| strings(values).iter().any(|pattern| matches(pattern, one));
                        given.len() == 1 && given.iter().all(likes)
                    }),
                    other => panic!("an operator that is not known here: {other}"),
                }
            })
        })
    }
}

/// Whether a pattern with IAM's wildcard matches.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    text.strip_prefix(head).is_some_and(|tail| (0..=tail.len()).any(|n| matches(rest, &tail[n..])))
}

/// Returns one text, or a list of them, as a list.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    let one = value.as_str().map(|text| vec![text.to_owned()]);
    one.unwrap_or_else(|| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect())
}

/// The stack of a function in a rendered deployment.
pub(crate) struct Rendered {
    stack: Value,
    /// The logical id of the function.
    function: String,
}

impl Rendered {
    pub(crate) fn of(deployment: &str, path: &str) -> Self {
        let stack = rendered(deployment)["stacks"][path].take();
        let functions: Vec<_> = resources(&stack["live"]).into_iter().filter(|(_, r)| r["Type"] == FUNCTION).collect();
        let [(function, _)] = &functions[..] else { panic!("{path} has {} functions", functions.len()) };
        Self { function: function.clone(), stack }
    }

    /// Returns a variable of the function.
    pub(crate) fn variable(&self, name: &str) -> String {
        let variables = &self.stack["live"]["Resources"][&self.function]["Properties"]["Environment"]["Variables"];
        variables[name].as_str().unwrap_or_else(|| panic!("{} has no variable {name}", self.function)).to_owned()
    }

    /// Returns a resource of the stack.
    pub(crate) fn resource(&self, id: &str) -> &Value {
        &self.stack["live"]["Resources"][id]
    }

    /// Returns a parameter of the stack.
    pub(crate) fn parameter(&self, name: &str) -> String {
        self.stack["parameters"][name].as_str().unwrap_or_else(|| panic!("no parameter {name}")).to_owned()
    }

    /// Returns every statement of the function's role that allows something, wherever the template has it. Names of the
    /// deployment are replaced by those of a world.
    pub(crate) fn rights(&self, names: &[(String, String)]) -> Vec<Statement> {
        self.statements("Allow", names)
    }

    /// Returns those that deny something, whatever another one allows.
    pub(crate) fn denials(&self, names: &[(String, String)]) -> Vec<Statement> {
        self.statements("Deny", names)
    }

    fn statements(&self, effect: &str, names: &[(String, String)]) -> Vec<Statement> {
        let (template, live) = (&self.stack["template"]["Resources"], &self.stack["live"]["Resources"]);
        let role = template[&self.function]["Properties"]["Role"]["Fn::GetAtt"][0].as_str().unwrap();
        let inline = &live[role]["Properties"];
        assert!(inline["ManagedPolicyArns"].is_null(), "what a managed policy allows is not proven here");
        let mut documents: Vec<&Value> =
            inline["Policies"].as_array().unwrap().iter().map(|policy| &policy["PolicyDocument"]).collect();
        for (id, resource) in template.as_object().unwrap() {
            match resource["Type"].as_str().unwrap() {
                "AWS::IAM::RolePolicy" if resource["Properties"]["RoleName"]["Ref"] == json!(role) => {
                    documents.push(&live[id]["Properties"]["PolicyDocument"]);
                }
                kind => assert!(!kind.contains("Policy") || !kind.starts_with("AWS::IAM"), "{id} is not proven here"),
            }
        }
        let text = serde_json::to_string(&documents).unwrap();
        let text = names.iter().fold(text, |text, (deployed, here)| {
            assert!(text.contains(deployed), "the rights do not name {deployed}");
            text.replace(deployed, here)
        });
        let documents: Vec<Value> = serde_json::from_str(&text).unwrap();
        let statements = documents.iter().flat_map(|document| document["Statement"].as_array().unwrap());
        statements.filter(|statement| statement["Effect"] == effect).map(statement).collect()
    }
}

const FUNCTION: &str = "AWS::Lambda::Function";

fn statement(statement: &Value) -> Statement {
    let keys: BTreeSet<_> = statement.as_object().unwrap().keys().map(String::as_str).collect();
    let known = BTreeSet::from(["Action", "Condition", "Effect", "Resource"]);
    assert!(keys.is_subset(&known), "not known here: {statement}");
    Statement {
        actions: strings(&statement["Action"]),
        resources: strings(&statement["Resource"]),
        condition: statement["Condition"].clone(),
    }
}

/// The ARNs of the queues around a function, and of its log streams.
pub(crate) struct Around {
    pub(crate) triggers: String,
    /// Of the function that has one.
    pub(crate) spot_endings: Option<String>,
    pub(crate) dead_letters: String,
    pub(crate) undelivered: String,
    pub(crate) log_streams: String,
}

impl Around {
    pub(crate) fn of(deployment: &str, path: &str) -> Self {
        let nested = if path == "root" { "Queues".to_owned() } else { format!("{path}/Queues") };
        let queues = rendered(deployment)["stacks"][&nested].take();
        let given = |name: &str| queues["live"]["Outputs"][name]["Value"].as_str().map(str::to_owned);
        let output = |name: &str| given(name).unwrap();
        let log = queues["parameters"]["LogGroup"].as_str().unwrap();
        Self {
            triggers: output("TriggersArn"),
            spot_endings: given("SpotEndingsArn"),
            dead_letters: output("DeadLettersArn"),
            undelivered: output("UndeliveredArn"),
            log_streams: format!("arn:aws:logs:eu-west-1:000000000000:log-group:{log}:log-stream:*"),
        }
    }
}

/// Returns what IAM was asked by each call so far.
pub(crate) fn questions(world: &World) -> Vec<Vec<Question>> {
    let of = |call: &Call| {
        assert!(!call.resources.is_empty(), "{} has no resources", call.action);
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
