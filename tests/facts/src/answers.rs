//! What Neo4j answers, as `tests/fixtures/neo4j/answers.json` has it: the requests in their order, and what must come back.
//! The real Neo4j and its model are held against the same list.
//!
//! A case asks for a page (`get`), puts one of the product's statements (`statement`) or another one (`cypher`), or posts any
//! text (`raw`). `login` is `none`, `admin`, a user of the list, or `user:password`; a page is asked with none and a statement
//! as `admin` unless it says otherwise. Then come `status`, the path of `location`, and what the body is like:
//! `code` (and `message`) of the one error; `rows` with the shape of each column, of at `least` and at `most` so many;
//! `fields`, the columns that come before an error; `updates`, how often `system` was changed; or the shape of a whole `body`.
//!
//! A shape is `text`, `whole` (a number) or `truth`, with a `?` where null may stand; `=` and the text itself; `{"each": …}`
//! for a list; or an object with at least these keys.

use cluster_core::neo4j::statement::{self, Access};
use serde_json::{Value, json};

use crate::root;

/// The requests and what must come back.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The users that have to be there first, besides the administrator.
    pub users: Vec<User>,
    /// The cases, in their order.
    pub cases: Vec<Case>,
}

/// A user that has to be there.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Whether it has to change that first.
    pub change_required: bool,
}

/// A request and what must come back.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where the answer comes from: `real`, or a page of the manual.
    pub source: String,
    /// Whether the model can answer it, which parses no Cypher.
    pub is_for_the_model: bool,
    /// The request.
    pub request: Request,
    want: Value,
}

/// A request over HTTP.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The header `Accept`.
    pub accept: String,
    /// The header `Content-Type`, where there is a body.
    pub content_type: String,
    /// The body.
    pub body: Option<String>,
}

impl Answers {
    /// Reads the list, for a member whose administrator has this password.
    ///
    /// # Panics
    /// When the list is wrong.
    #[must_use]
    pub fn read(admin: &str) -> Self {
        let text = std::fs::read_to_string(root().join("tests/fixtures/neo4j/answers.json")).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let user = |user: &Value| User {
            username: text(&user["username"]),
            password: text(&user["password"]),
            change_required: user["changeRequired"].as_bool().unwrap(),
        };
        let users: Vec<_> = list["users"].as_array().unwrap().iter().map(user).collect();
        let case = |case: &Value| Case {
            name: text(&case["name"]),
            source: text(&case["source"]),
            is_for_the_model: case["world"] != false,
            request: request(case, admin, &users),
            want: case.clone(),
        };
        Self { cases: list["cases"].as_array().unwrap().iter().map(case).collect(), users }
    }
}

fn request(case: &Value, admin: &str, users: &[User]) -> Request {
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let get = text("get");
    let default = if get.is_some() { "none" } else { "admin" };
    let login = match case["login"].as_str().unwrap_or(default) {
        "none" => None,
        "admin" => Some(("neo4j".to_owned(), admin.to_owned())),
        login => Some(match login.split_once(':') {
            Some(("admin", password)) => ("neo4j".to_owned(), password.to_owned()),
            Some((user, password)) => (user.to_owned(), password.to_owned()),
            None => {
                let user = users.iter().find(|user| user.username == login).unwrap();
                (user.username.clone(), user.password.clone())
            }
        }),
    };
    let known = text("statement").map(|name| {
        let found = statement::ALL.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("nobody knows the statement {name}")).1
    });
    let cypher = known.map(|known| known.text.to_owned()).or_else(|| text("cypher"));
    let writes = known.is_some_and(|known| known.access == Access::Write);
    let query = cypher.map(|cypher| {
        let access = text("access").unwrap_or_else(|| if writes { "Write" } else { "Read" }.to_owned());
        let parameters = if case["parameters"].is_null() { json!({}) } else { case["parameters"].clone() };
        // As the gateway sends it, but with time for a machine that does other things as well.
        json!({"statement": cypher, "parameters": parameters, "accessMode": access, "maxExecutionTime": 30, "includeCounters": writes})
            .to_string()
    });
    let database = text("database").unwrap_or_else(|| "system".to_owned());
    Request {
        method: if get.is_some() { "GET" } else { "POST" },
        path: get.unwrap_or_else(|| format!("/db/{database}/query/v2")),
        login,
        accept: text("accept").unwrap_or_else(|| "application/json".to_owned()),
        content_type: text("contentType").unwrap_or_else(|| "application/json".to_owned()),
        body: text("raw").or(query),
    }
}

impl Case {
    /// Says whether the answer was seen on the real Neo4j.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.source == "real"
    }

    /// Returns how an answer differs from what must come back, if it does.
    #[must_use]
    pub fn difference(&self, status: u16, location: Option<&str>, body: &[u8]) -> Option<String> {
        let found = self.differs(status, location, body)?;
        Some(format!("{}: {found} ({status}, {})", self.name, String::from_utf8_lossy(body)))
    }

    fn differs(&self, status: u16, location: Option<&str>, body: &[u8]) -> Option<String> {
        let want = &self.want;
        if want["status"] != status {
            return Some(format!("the status is {status}, not {}", want["status"]));
        }
        if let Some(path) = want["location"].as_str() {
            let leads = location.is_some_and(|location| location.ends_with(path));
            return (!leads).then(|| format!("it leads to {location:?}, not to {path}"));
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Some("the body is no JSON".to_owned()) };
        if !want["body"].is_null() {
            return unlike(&body, &want["body"], "body");
        }
        let errors = body["errors"].as_array().map_or(0, Vec::len);
        if errors != usize::from(want["code"].is_string()) {
            return Some(format!("there are {errors} errors"));
        }
        unlike(&body, &self.shape(), "body").or_else(|| self.differs_in_rows(&body["data"]))
    }

    /// Returns what the body of a statement has to be like, besides its rows.
    fn shape(&self) -> Value {
        let (want, mut shape) = (&self.want, json!({}));
        if let Some(code) = want["code"].as_str() {
            let message = want["message"].as_str().map_or("text".to_owned(), |message| format!("={message}"));
            shape["errors"] = json!({"each": {"code": format!("={code}"), "message": message}});
        } else {
            shape["bookmarks"] = json!({"each": "text"});
        }
        match &want["updates"] {
            Value::Null => {}
            Value::String(updates) => shape["counters"] = json!({"systemUpdates": updates}),
            updates => shape["counters"] = json!({"systemUpdates": format!("={updates}")}),
        }
        shape
    }

    fn differs_in_rows(&self, data: &Value) -> Option<String> {
        let want = &self.want;
        let names: Vec<_> = data["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if let Some(fields) = want["fields"].as_array() {
            let fields: Vec<_> = fields.iter().filter_map(Value::as_str).collect();
            return (names != fields).then(|| format!("the columns are {names:?}, not {fields:?}"));
        }
        let columns = want["rows"].as_object()?;
        if names.len() != columns.len() || !names.iter().all(|name| columns.contains_key(*name)) {
            return Some(format!("the columns are {names:?}, not {:?}", columns.keys().collect::<Vec<_>>()));
        }
        let Some(rows) = data["values"].as_array() else { return Some("there is no list of rows".to_owned()) };
        let number = |key: &str| want[key].as_u64().and_then(|number| usize::try_from(number).ok());
        if rows.len() < number("least").unwrap_or(0) || rows.len() > number("most").unwrap_or(usize::MAX) {
            return Some(format!("there are {} rows", rows.len()));
        }
        rows.iter().enumerate().find_map(|(number, row)| {
            let values = row.as_array().filter(|values| values.len() == names.len());
            let Some(values) = values else { return Some(format!("row {number} has not as many values as columns")) };
            names
                .iter()
                .zip(values)
                .find_map(|(name, value)| unlike(value, &columns[*name], &format!("row {number}, {name}")))
        })
    }
}

/// Returns where a value differs from a shape.
fn unlike(value: &Value, shape: &Value, at: &str) -> Option<String> {
    let holds = match shape {
        Value::String(word) => {
            let (word, may_be_null) = word.strip_suffix('?').map_or((word.as_str(), false), |word| (word, true));
            let is = |holds: bool| holds || (may_be_null && value.is_null());
            match word {
                "text" => is(value.is_string()),
                "whole" => is(value.is_i64()),
                "truth" => is(value.is_boolean()),
                _ => {
                    let literal = word.strip_prefix('=').unwrap_or_else(|| panic!("nobody knows the shape {word}"));
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned) == literal
                }
            }
        }
        Value::Object(keys) => match keys.get("each") {
            Some(each) => match value.as_array() {
                Some(list) => {
                    let each = |(n, one)| unlike(one, each, &format!("{at}[{n}]"));
                    return list.iter().enumerate().find_map(each);
                }
                None => false,
            },
            None if value.is_object() => {
                return keys.iter().find_map(|(key, shape)| unlike(&value[key], shape, &format!("{at}.{key}")));
            }
            None => false,
        },
        other => panic!("{other} is no shape"),
    };
    (!holds).then(|| format!("{at} is {value}, not {shape}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn case(name: &str) -> Case {
        let cases = Answers::read("admin-password").cases;
        cases.into_iter().find(|case| case.name == name).unwrap()
    }

    #[test]
    fn every_statement_has_an_answer_and_every_answer_a_source() {
        let answers = Answers::read("admin-password");
        let text = std::fs::read_to_string(root().join("tests/fixtures/neo4j/answers.json")).unwrap();
        for (name, _) in statement::ALL {
            assert!(text.contains(&format!("\"statement\": \"{name}\"")), "{name} is not on the list");
        }
        let names: BTreeSet<_> = answers.cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), answers.cases.len(), "a name stands twice");
        for case in &answers.cases {
            assert!(
                case.is_real() || case.source.starts_with("https://neo4j.com/docs/"),
                "{}: {}",
                case.name,
                case.source
            );
        }
    }

    #[test]
    fn a_request_is_what_the_gateway_sends() {
        let Request { method, path, login, body, .. } = case("databases").request;
        assert_eq!((method, path.as_str()), ("POST", "/db/system/query/v2"));
        assert_eq!(login, Some(("neo4j".to_owned(), "admin-password".to_owned())));
        let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!((&body["statement"], &body["accessMode"]), (&json!(statement::DATABASES.text), &json!("Read")));
        assert_eq!(case("the first page wants no login").request.login, None);
        let locked = case("the fourth wrong password").request.login;
        assert_eq!(locked, Some(("locked".to_owned(), "wrong-password".to_owned())));
    }

    #[test]
    fn differences_are_named() {
        let ended = case("the end of a transaction that has ended");
        let answer =
            |fields: Value, values: Value| json!({"data": {"fields": fields, "values": values}, "bookmarks": ["FB:"]});
        let good = answer(
            json!(["transactionId", "message"]),
            json!([["neo4j-transaction-999999", "Transaction not found."]]),
        );
        let says = |status: u16, body: &Value| ended.difference(status, None, body.to_string().as_bytes());
        assert_eq!(says(202, &good), None);
        for (status, body, why) in [
            (200, good.clone(), "the status is 200, not 202"),
            (202, json!([]), "body is [], not"),
            (202, answer(json!(["transactionId"]), json!([])), "the columns are"),
            (202, answer(json!(["transactionId", "message"]), json!([])), "there are 0 rows"),
            (202, answer(json!(["transactionId", "message"]), json!([["x"]])), "row 0 has not as many"),
            (202, answer(json!(["transactionId", "message"]), json!([["x", "y"]])), "row 0, transactionId is \"x\""),
            (202, json!({"data": good["data"], "bookmarks": [1]}), "body.bookmarks[0] is 1"),
            (202, json!({"data": good["data"], "bookmarks": [], "errors": [{"code": "x"}]}), "there are 1 errors"),
        ] {
            let found = says(status, &body).unwrap_or_default();
            assert!(found.contains(why), "{body}: {found:?}");
        }
        let updates = |count: u64| json!({"data": {"fields": [], "values": []}, "bookmarks": [], "counters": {"systemUpdates": count}});
        let new = case("a new user");
        assert_eq!(new.difference(202, None, updates(1).to_string().as_bytes()), None);
        assert!(new.difference(202, None, updates(0).to_string().as_bytes()).is_some());
        let refused = case("the password that stands already");
        let error = json!({"errors": [{"code": "Neo.ClientError.Statement.ArgumentError", "message": "No."}]});
        assert!(refused.difference(400, None, error.to_string().as_bytes()).unwrap().contains("No."));
        let away = case("a browser is sent away");
        assert_eq!(away.difference(303, Some("http://h:7474/browser/"), b""), None);
        assert!(away.difference(303, None, b"").is_some());
    }
}
