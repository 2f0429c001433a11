//! DynamoDB: tables of items under a partition and a sort key.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use super::{
    ACCOUNT, Context, REGION, Refusal, World,
    cloudformation::{Change, Operation, Wanted, done},
    page,
    service::{Asked, Service, Target, Touched},
};

/// Items by the values of `pk` and `sk`.
pub type Table = BTreeMap<(String, String), Value>;

/// Tables by name.
#[derive(Clone, Debug, Default)]
pub struct DynamoDb {
    /// What there is.
    pub tables: BTreeMap<String, Table>,
    /// How many of the next calls of `BatchGetItem` leave their last key unprocessed.
    pub cuts: usize,
}

/// How many items `BatchGetItem` takes (API reference of `BatchGetItem`: «as many as 100 items»).
const BATCH: usize = 100;

impl Service for DynamoDb {
    const NAME: &'static str = "dynamodb";
    const TARGET: Target = Target::Json("DynamoDB_20120810");
    const RESOURCES: &'static [&'static str] = &["AWS::DynamoDB::Table"];

    fn asked(_: &World, asked: &Asked<'_>) -> Touched {
        let body = &asked.body;
        if asked.operation == "BatchGetItem" {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            let keys = tables.clone().flat_map(|(_, asked)| asked["Keys"].as_array().into_iter().flatten());
            let leading = keys.filter_map(|key| key["pk"]["S"].as_str().map(str::to_owned)).collect();
            let context = Context::from([("dynamodb:LeadingKeys".to_owned(), leading)]);
            return Touched { context, ..Touched::resources(tables.map(|(name, _)| arn(name)).collect()) };
        }
        let touched = Touched::resources(vec![arn(body["TableName"].as_str().unwrap_or_default())]);
        // Service authorization reference of DynamoDB: the partition keys that a call reaches. Queries here have theirs as `:pk`.
        let leading = match asked.operation.as_str() {
            "PutItem" => &body["Item"]["pk"],
            "Query" => &body["ExpressionAttributeValues"][":pk"],
            _ => &body["Key"]["pk"],
        };
        let Some(leading) = leading["S"].as_str().map(str::to_owned) else { return touched };
        let context = Context::from([("dynamodb:LeadingKeys".to_owned(), BTreeSet::from([leading]))]);
        Touched { context, ..touched }
    }

    fn answer(world: &mut World, asked: &Asked<'_>) -> Result<Value, Refusal> {
        world.answer_dynamodb(&asked.operation, &asked.body)
    }

    fn create(world: &mut World, wanted: &Wanted<'_>) -> Operation {
        let name = world.generated(wanted, "TableName");
        world.dynamodb.tables.entry(name.clone()).or_default();
        done(name.clone(), json!({"Arn": arn(&name)}))
    }

    fn update(_: &mut World, change: &Change<'_>) -> Operation {
        if !change.keeps("TableName") {
            return Ok(None);
        }
        done(change.physical_id, json!({"Arn": arn(change.physical_id)}))
    }

    fn delete(world: &mut World, _: &str, id: &str, _: &Value) -> Result<(), String> {
        world.dynamodb.tables.remove(id);
        Ok(())
    }
}

/// The ARN of a table, by its name or by the ARN that a request may give instead.
#[must_use]
pub fn arn(table: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}", table.rsplit('/').next().unwrap_or(table))
}

/// The key that an item or a request names.
fn key(attributes: &Value) -> Result<(String, String), Refusal> {
    let part = |name: &str| {
        let text = attributes[name]["S"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let message =
            "One of the required keys was not given a value, or the provided key element does not match the schema";
        text.ok_or_else(|| Refusal::new("ValidationException", message))
    };
    Ok((part("pk")?, part("sk")?))
}

/// Whether an item fits the condition of a request: terms in `AND`s, and these in `OR`s, without brackets.
fn fits(item: &Value, body: &Value) -> Result<bool, Refusal> {
    let given = ["ExpressionAttributeNames", "ExpressionAttributeValues"];
    let given = given.iter().flat_map(|kind| body[*kind].as_object().into_iter().flatten());
    let Some(condition) = body["ConditionExpression"].as_str() else {
        // DynamoDB refuses both what no expression uses, and expressions that lack something (developer guide, «Expression attribute
        // values»).
        let message = "Expression attributes can only be specified when using expressions";
        return if given.count() == 0 { Ok(true) } else { Err(Refusal::new("ValidationException", message)) };
    };
    let words: BTreeSet<_> = condition.split(|c: char| !(c.is_alphanumeric() || "_#:".contains(c))).collect();
    for (name, _) in given {
        if !words.contains(name.as_str()) {
            let message = format!("Value provided in ExpressionAttributeValues unused in expressions: {name}");
            return Err(Refusal::new("ValidationException", message));
        }
    }
    let name = |name: &str| body["ExpressionAttributeNames"][name].as_str().unwrap_or(name).to_owned();
    let term = |term: &str| {
        let called = |function: &str| Some(name(term.trim().strip_prefix(function)?.strip_suffix(')')?.trim()));
        if let Some(absent) = called("attribute_not_exists(") {
            return Some(item[absent].is_null());
        }
        if let Some(present) = called("attribute_exists(") {
            return Some(!item[present].is_null());
        }
        let words: Vec<_> = term.split_whitespace().collect();
        let [left, operator, right] = words[..] else { return None };
        let operand = |text: &str| {
            let value =
                if text.starts_with(':') { &body["ExpressionAttributeValues"][text] } else { &item[name(text)] };
            value["S"].as_str().map(str::to_owned)
        };
        let order = operand(left).zip(operand(right)).map(|(left, right)| left.cmp(&right));
        let holds: fn(Ordering) -> bool = match operator {
            "=" => Ordering::is_eq,
            "<>" => Ordering::is_ne,
            "<" => Ordering::is_lt,
            "<=" => Ordering::is_le,
            ">" => Ordering::is_gt,
            ">=" => Ordering::is_ge,
            _ => return None,
        };
        // What is not there compares with nothing.
        Some(order.is_some_and(holds))
    };
    let terms = condition.split(" OR ").map(|all| all.split(" AND ").map(term).collect::<Option<Vec<_>>>());
    let terms = terms.collect::<Option<Vec<_>>>();
    let wrong = || format!("Invalid ConditionExpression: the world reads no {condition:?}");
    let terms = terms.ok_or_else(|| Refusal::new("ValidationException", wrong()))?;
    Ok(terms.iter().any(|all| all.iter().all(|holds| *holds)))
}

impl World {
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>: what there is comes in no
    /// promised order, an item that is absent is left out, and of a part that could not be read the keys come back. That the same
    /// key twice is refused, boto3#4131 says.
    fn batch_get_item(&mut self, body: &Value) -> Result<Value, Refusal> {
        let asked = body["RequestItems"].as_object().into_iter().flatten();
        let keys = |asked: &Value| asked["Keys"].as_array().cloned().unwrap_or_default();
        let count: usize = asked.clone().map(|(_, asked)| keys(asked).len()).sum();
        if !(1..=BATCH).contains(&count) {
            let message = "Too many items requested for the BatchGetItem call, or none";
            return Err(Refusal::new("ValidationException", message));
        }
        // The response must bring at least one item along, or the call fails.
        let cut = usize::from(self.dynamodb.cuts > 0 && count > 1);
        self.dynamodb.cuts = self.dynamodb.cuts.saturating_sub(1);
        let mut room = self.page.max(1).min(count - cut);
        let (mut found, mut left) = (json!({}), json!({}));
        for (name, asked) in asked {
            let short = name.rsplit('/').next().unwrap_or_default();
            let absent = || Refusal::new("ResourceNotFoundException", "Requested resource not found");
            let table = self.dynamodb.tables.get(short).ok_or_else(absent)?;
            let (all, mut seen) = (keys(asked), BTreeSet::new());
            let read = room.min(all.len());
            room -= read;
            let mut items = Vec::new();
            for (place, attributes) in all.iter().enumerate() {
                let key = key(attributes)?;
                items.extend(table.get(&key).filter(|_| place < read).cloned());
                if !seen.insert(key) {
                    let message = "Provided list of item keys contains duplicates";
                    return Err(Refusal::new("ValidationException", message));
                }
            }
            // Tables are read in their order; a later one in the next call.
            items.reverse();
            found[name] = json!(items);
            if read < all.len() {
                left[name] = asked.clone();
                left[name]["Keys"] = all.into_iter().skip(read).collect();
            }
        }
        Ok(json!({"Responses": found, "UnprocessedKeys": left}))
    }

    fn answer_dynamodb(&mut self, operation: &str, body: &Value) -> Result<Value, Refusal> {
        if operation == "BatchGetItem" {
            return self.batch_get_item(body);
        }
        let name = body["TableName"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let absent = || Refusal::new("ResourceNotFoundException", "Requested resource not found");
        let table = self.dynamodb.tables.get_mut(name).ok_or_else(absent)?;
        match operation {
            "GetItem" => {
                let item = table.get(&key(&body["Key"])?);
                Ok(item.map_or_else(|| json!({}), |item| json!({"Item": item})))
            }
            // API reference of Query. Without brackets, functions and a sort key: `pk = :pk`.
            "Query" => {
                let wrong = |what: &str| Refusal::new("ValidationException", format!("the world reads no {what}"));
                let condition = body["KeyConditionExpression"].as_str().unwrap_or_default();
                let value = condition.strip_prefix("pk = ").ok_or_else(|| wrong("other KeyConditionExpression"))?;
                let partition = body["ExpressionAttributeValues"][value]["S"].as_str();
                let partition = partition.ok_or_else(|| wrong("key condition without its value"))?;
                let from = body["ExclusiveStartKey"]["sk"]["S"].as_str();
                let items: Vec<_> = table
                    .iter()
                    .filter(|((pk, sk), _)| pk == partition && from.is_none_or(|from| sk.as_str() > from))
                    .map(|(_, item)| item.clone())
                    .collect();
                let (shown, next) = page(&items, None, self.page);
                let mut answer = json!({"Items": shown, "Count": shown.len(), "ScannedCount": shown.len()});
                if let (Some(_), Some(last)) = (next, shown.last()) {
                    answer["LastEvaluatedKey"] = json!({"pk": last["pk"], "sk": last["sk"]});
                }
                Ok(answer)
            }
            "DeleteItem" => {
                let key = key(&body["Key"])?;
                if !fits(table.get(&key).unwrap_or(&Value::Null), body)? {
                    let message = "The conditional request failed";
                    return Err(Refusal::new("ConditionalCheckFailedException", message));
                }
                table.remove(&key);
                Ok(json!({}))
            }
            "PutItem" => {
                let key = key(&body["Item"])?;
                if !fits(table.get(&key).unwrap_or(&Value::Null), body)? {
                    let message = "The conditional request failed";
                    return Err(Refusal::new("ConditionalCheckFailedException", message));
                }
                table.insert(key, body["Item"].clone());
                Ok(json!({}))
            }
            _ => Err(Refusal::new("UnknownOperationException", format!("the world has no dynamodb:{operation}"))),
        }
    }
}
