//! What CloudFormation asks of every service: (type, properties) to (physical id, attributes).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{SERVICES, World, service::Entry};

/// A created resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// What `Ref` gives.
    pub physical_id: String,
    /// What `Fn::GetAtt` gives.
    pub attributes: Value,
}

/// A finished operation, one that is under way, or a refusal.
pub type Operation = Result<Option<Resource>, String>;

/// A resource that a stack wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) stack: &'a str,
    pub(crate) r#type: &'a str,
    pub(crate) logical_id: &'a str,
    pub(crate) properties: &'a Value,
}

/// A resource that a stack wants to be different.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) r#type: &'a str,
    pub(crate) physical_id: &'a str,
    pub(crate) properties: &'a Value,
    pub(crate) old: &'a Value,
}

impl Wanted<'_> {
    /// The name that a property gives, or the logical id.
    pub(crate) fn name(&self, key: &str) -> String {
        let given = text(self.properties, key);
        if given.is_empty() { self.logical_id.to_owned() } else { given }
    }
}

impl Change<'_> {
    /// Whether a property stays as it is.
    pub(crate) fn keeps(&self, key: &str) -> bool {
        text(self.properties, key) == text(self.old, key)
    }
}

pub(crate) fn text(properties: &Value, key: &str) -> String {
    match &properties[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(crate) fn number(properties: &Value, key: &str) -> Option<u32> {
    text(properties, key).parse().ok()
}

/// The tags among properties.
pub(crate) fn tags(properties: &Value) -> BTreeMap<String, String> {
    let tags = properties["Tags"].as_array().into_iter().flatten();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "one form for every outcome")]
pub(crate) fn done(physical_id: impl Into<String>, attributes: Value) -> Operation {
    Ok(Some(Resource { physical_id: physical_id.into(), attributes }))
}

/// The last part of a name or ARN.
pub(crate) fn short(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// The service that makes resources of a type.
fn maker(r#type: &str) -> Result<&'static Entry, String> {
    let found = SERVICES.iter().find(|service| service.resources.contains(&r#type));
    found.ok_or_else(|| format!("the world has no {type}"))
}

impl World {
    /// Creates a resource of no stack in particular.
    pub fn create(&mut self, r#type: &str, logical_id: &str, properties: &Value) -> Operation {
        self.create_in("", r#type, logical_id, properties)
    }

    /// Creates a resource of a stack, which names it where the properties do not.
    pub fn create_in(&mut self, stack: &str, r#type: &str, logical_id: &str, properties: &Value) -> Operation {
        (maker(r#type)?.create)(self, &Wanted { stack, r#type, logical_id, properties })
    }

    /// Updates a resource of a stack in place, or creates its replacement, which has another physical id.
    pub fn update_in(
        &mut self,
        stack: &str,
        r#type: &str,
        logical_id: &str,
        physical_id: &str,
        properties: &Value,
        old: &Value,
    ) -> Operation {
        match (maker(r#type)?.update)(self, &Change { r#type, physical_id, properties, old })? {
            Some(updated) => Ok(Some(updated)),
            None => self.create_in(stack, r#type, logical_id, properties),
        }
    }

    /// Deletes a resource, or begins to.
    pub fn delete(&mut self, r#type: &str, physical_id: &str, properties: &Value) -> Operation {
        (maker(r#type)?.delete)(self, r#type, physical_id, properties)?;
        self.status(r#type, physical_id)
    }

    /// Returns whether a deletion is finished.
    pub fn status(&mut self, r#type: &str, physical_id: &str) -> Operation {
        if (maker(r#type)?.is_leaving)(self, r#type, physical_id) { Ok(None) } else { done(physical_id, json!({})) }
    }

    /// Returns a name like CloudFormation's: of the stack, the logical id, and something random.
    pub(crate) fn generated(&mut self, wanted: &Wanted<'_>, key: &str) -> String {
        let given = text(wanted.properties, key);
        if !given.is_empty() {
            return given;
        }
        let random = self.id(12).to_ascii_uppercase();
        let parts = [wanted.stack, wanted.logical_id, &random];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }
}
