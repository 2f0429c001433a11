//! Reads the payload of an invocation.
//!
//! The words of `serde` are never shown: they quote what they do not expect, and that may be a password.

use std::{collections::BTreeSet, net::Ipv4Addr};

use cluster_core::neo4j::Request;
use cluster_lambda::Failure;
use serde_json::{Map, Value};

/// Reads a request. Refuses one that is wrong, naming the field.
pub(crate) fn read(payload: Value) -> Result<Request, Failure> {
    check(&payload).map_err(|why| Failure::permanent(format!("the request is wrong: {why}")))?;
    serde_json::from_value(payload)
        .map_err(|_| Failure::permanent("the request is wrong: a field has another form than documented"))
}

const KNOWN: &str = "observe or declareUsers";

fn check(payload: &Value) -> Result<(), String> {
    let requests = payload.as_object().ok_or_else(|| format!("it is no object with {KNOWN}"))?;
    let mut requests = requests.iter();
    let (Some((name, body)), None) = (requests.next(), requests.next()) else {
        return Err(format!("it has to have exactly one field, {KNOWN}"));
    };
    let logins: &[(&str, bool)] = match name.as_str() {
        "observe" => &[("monitor", false)],
        "declareUsers" => &[("admin", true), ("monitor", true)],
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(format!("nobody knows a request {shown:?}: ask for {KNOWN}"));
        }
    };
    let body = body.as_object().ok_or_else(|| format!("{name} is no object"))?;
    members(name, body)?;
    for (login, required) in logins {
        let path = format!("{name}.{login}");
        match body.get(*login) {
            None | Some(Value::Null) if !required => {}
            None | Some(Value::Null) => return Err(format!("{path} is missing")),
            Some(Value::Object(login)) => {
                for field in ["username", "password"] {
                    text(&path, login, field)?;
                }
            }
            Some(_) => return Err(format!("{path} is no object with username and password")),
        }
    }
    Ok(())
}

fn members(request: &str, body: &Map<String, Value>) -> Result<(), String> {
    let path = format!("{request}.members");
    let members = match body.get("members") {
        None => return Err(format!("{path} is missing")),
        Some(members) => members.as_array().ok_or_else(|| format!("{path} is no list"))?,
    };
    if members.is_empty() {
        return Err(format!("{path} is empty: name at least one member"));
    }
    let (mut tasks, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (number, member) in members.iter().enumerate() {
        let path = format!("{path}[{number}]");
        let member = member.as_object().ok_or_else(|| format!("{path} is no object"))?;
        let task = text(&path, member, "task")?;
        if !tasks.insert(task) {
            return Err(format!("{path}.task is {task:?}, as that of another member: name each once"));
        }
        let address = text(&path, member, "address")?;
        let parsed: Ipv4Addr =
            address.parse().map_err(|_| format!("{path}.address is {address:?}, but should be an IPv4 address"))?;
        if !addresses.insert(parsed) {
            return Err(format!("{path}.address is {address}, as that of another member: name each once"));
        }
        match member.get("core") {
            None | Some(Value::Null) => {}
            Some(core) if core.as_u64().is_some_and(|core| u8::try_from(core).is_ok()) => {}
            Some(_) => return Err(format!("{path}.core is no number of a core")),
        }
        if !member.get("pagesOnly").is_none_or(Value::is_boolean) {
            return Err(format!("{path}.pagesOnly is neither true nor false"));
        }
    }
    Ok(())
}

fn text<'a>(path: &str, of: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    match of.get(field) {
        None | Some(Value::Null) => Err(format!("{path}.{field} is missing")),
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) => Err(format!("{path}.{field} is empty")),
        Some(_) => Err(format!("{path}.{field} is no text")),
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::neo4j::{Asked, DeclareUsers, Login, Observe, Secret};
    use serde_json::json;

    use super::*;

    fn login(name: &str) -> Login {
        Login { username: name.to_owned(), password: Secret::new(format!("p4ss-{name}")) }
    }

    fn asked() -> Asked {
        Asked { task: "t1".into(), core: Some(1), address: [10, 0, 1, 11].into(), pages_only: true }
    }

    #[test]
    fn what_the_callers_send_is_read() {
        for request in [
            Request::Observe(Observe { members: vec![asked()], monitor: None }),
            Request::Observe(Observe { members: vec![asked()], monitor: Some(login("monitor")) }),
            Request::DeclareUsers(DeclareUsers {
                members: vec![Asked { core: None, pages_only: false, ..asked() }],
                admin: login("neo4j"),
                monitor: login("monitor"),
            }),
        ] {
            assert_eq!(read(serde_json::to_value(&request).unwrap()).unwrap(), request);
        }
    }

    #[test]
    fn a_wrong_request_is_refused_by_the_name_of_the_field_and_without_a_password() {
        let member = json!({"task": "t1", "address": "10.0.1.11"});
        let two = |other: Value| json!({"observe": {"members": [member, other]}});
        let login = json!({"username": "neo4j", "password": "p4ssword"});
        for (payload, why) in [
            (json!("p4ssword"), "it is no object with observe or declareUsers"),
            (json!({}), "exactly one field"),
            (json!({"observe": {}, "declareUsers": {}}), "exactly one field"),
            (json!({"seed": {}}), "nobody knows a request \"seed\": ask for observe or declareUsers"),
            (json!({"observe": []}), "observe is no object"),
            (json!({"observe": {}}), "observe.members is missing"),
            (json!({"observe": {"members": {}}}), "observe.members is no list"),
            (json!({"observe": {"members": []}}), "observe.members is empty"),
            (json!({"observe": {"members": ["t1"]}}), "observe.members[0] is no object"),
            (json!({"observe": {"members": [{"task": "t1"}]}}), "observe.members[0].address is missing"),
            (json!({"observe": {"members": [{"address": "10.0.1.11"}]}}), "observe.members[0].task is missing"),
            (json!({"observe": {"members": [{"task": 1, "address": "10.0.1.11"}]}}), "members[0].task is no text"),
            (json!({"observe": {"members": [{"task": "", "address": "10.0.1.11"}]}}), "members[0].task is empty"),
            (two(json!({"task": "t2", "address": "core-2"})), "observe.members[1].address is \"core-2\""),
            (
                two(json!({"task": "t1", "address": "10.0.1.12"})),
                "observe.members[1].task is \"t1\", as that of another",
            ),
            (two(json!({"task": "t2", "address": "10.0.1.11"})), "members[1].address is 10.0.1.11, as that of another"),
            (two(json!({"task": "t2", "address": "10.0.1.12", "core": 300})), "members[1].core is no number"),
            (two(json!({"task": "t2", "address": "10.0.1.12", "pagesOnly": 1})), "members[1].pagesOnly is neither"),
            (json!({"observe": {"members": [member], "monitor": "p4ssword"}}), "observe.monitor is no object"),
            (json!({"observe": {"members": [member], "monitor": {"username": "m"}}}), "monitor.password is missing"),
            (
                json!({"observe": {"members": [member], "monitor": {"username": "m", "password": ["p4ssword"]}}}),
                "observe.monitor.password is no text",
            ),
            (json!({"declareUsers": {"members": [member], "admin": login}}), "declareUsers.monitor is missing"),
            (json!({"declareUsers": {"members": [member], "monitor": login}}), "declareUsers.admin is missing"),
        ] {
            let refused = read(payload.clone()).unwrap_err();
            assert!(refused.to_string().contains(why), "{payload}: {refused}");
            assert!(!refused.chain().contains("p4ss") && !format!("{refused:?}").contains("p4ss"), "{refused:?}");
        }
    }
}
