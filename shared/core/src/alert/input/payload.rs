//! Payloads, read tolerantly: whatever is missing or of another type is absent.

use jiff::Timestamp;
use serde_json::Value;

use super::super::form::fnv;

/// How much of a payload an alert carries.
const RAW: usize = 2000;

/// Returns the first of these fields that is there and not null. Services write one field in several cases.
pub(super) fn field<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().map(|name| &value[*name]).find(|found| !found.is_null()).unwrap_or(&Value::Null)
}

/// Returns the first of these fields as a text that is not blank.
pub(super) fn text<'a>(value: &'a Value, names: &[&str]) -> Option<&'a str> {
    field(value, names).as_str().filter(|text| !text.trim().is_empty())
}

/// Returns the entries of a list; of anything else, none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns named texts, however they are written: as an object, or as a list of objects with a name and a value.
pub(super) fn pairs(value: &Value) -> Vec<(String, String)> {
    if let Some(object) = value.as_object() {
        return object.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    }
    let pair = |entry| {
        let name = text(entry, &["Key", "key", "Name", "name"])?;
        let value = field(entry, &["Value", "value"]).as_str()?;
        Some((name.to_owned(), value.to_owned()))
    };
    list(value).iter().filter_map(pair).collect()
}

/// Reads a time: RFC 3339, also with the offset `+0000` that CloudWatch writes, or milliseconds since 1970 as Batch and SQS
/// write them.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    let milliseconds = |number: i64| Timestamp::from_millisecond(number).ok();
    match value {
        Value::Number(number) => milliseconds(number.as_i64()?),
        Value::String(text) => match text.parse() {
            Ok(number) => milliseconds(number),
            Err(_) => {
                text.strip_suffix("+0000").map(|start| format!("{start}Z")).as_deref().unwrap_or(text).parse().ok()
            }
        },
        _ => None,
    }
}

/// Cuts a text to so many characters, and says how many are missing.
pub(super) fn cut(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    format!("{}… ({} more characters)", text.chars().take(limit).collect::<String>(), length - limit)
}

/// Writes a payload as it came, cut.
pub(super) fn raw(value: &Value) -> String {
    cut(&value.as_str().map_or_else(|| value.to_string(), str::to_owned), RAW)
}

/// Names a payload that carries no id: the same one by the same name.
pub(super) fn digest(value: &Value) -> String {
    format!("~{:016x}", fnv(value.to_string().as_bytes()))
}
