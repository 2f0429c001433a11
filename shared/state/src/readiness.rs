//! What dns-replicator remembers of whether members answer.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use cluster_core::dns::{Heard, Silent};
use cluster_lambda::Failure;
use jiff::Timestamp;

use super::{CLOCKS, Item, StateTable, key, text, time};

/// The sort key of its item.
pub(super) const READINESS: &str = "dns-readiness";

impl StateTable {
    /// Reads what is remembered of whether members answer. An unreadable item is forgotten.
    pub async fn read_heard(&self) -> Result<Heard, Failure> {
        let item = self.item((CLOCKS, READINESS), "members that answer").await?;
        Ok(item.map(|item| heard(&item)).unwrap_or_default())
    }

    /// Writes it, or deletes it when there is nothing to remember. If nothing has changed, it makes no call.
    pub async fn save_heard(&self, before: &Heard, after: &Heard) -> Result<(), Failure> {
        if before == after {
            return Ok(());
        }
        let step = || format!("write into table {} which members answer", self.table);
        if *after == Heard::default() {
            let asked = self.client.delete_item().table_name(&self.table);
            let answer = asked.set_key(Some(key(CLOCKS, READINESS))).send().await;
            return answer.map(drop).map_err(|error| Failure::call(&step(), error));
        }
        let answer = self.client.put_item().table_name(&self.table).set_item(Some(item(after))).send().await;
        answer.map(drop).map_err(|error| Failure::call(&step(), error))
    }
}

fn item(heard: &Heard) -> Item {
    let unheard = heard.unheard.iter().cloned().map(AttributeValue::S).collect();
    let mut item: Item = key(CLOCKS, READINESS);
    item.insert("unheard".to_owned(), AttributeValue::L(unheard));
    if let Some(Silent { since, seen }) = heard.silent {
        item.extend([("since", since), ("seen", seen)].map(|(name, at)| (name.to_owned(), time(at))));
    }
    item
}

fn heard(item: &HashMap<String, AttributeValue>) -> Heard {
    let at = |name: &str| -> Option<Timestamp> { text(item, name)?.parse().ok() };
    let silent = at("since").map(|since| Silent { since, seen: at("seen").unwrap_or(since) });
    let unheard = item.get("unheard").and_then(|value| value.as_l().ok()).into_iter().flatten();
    let unheard: BTreeSet<_> = unheard.filter_map(|member| member.as_s().ok().cloned()).collect();
    Heard { silent, unheard }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_read_back_and_an_unreadable_part_is_forgotten() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let silent = Silent { since: at("2026-11-23T10:00:00Z"), seen: at("2026-11-23T10:04:00.5Z") };
        for written in [
            Heard { silent: Some(silent), unheard: ["a".into(), "b".into()].into() },
            Heard { silent: None, unheard: ["a".into()].into() },
            Heard { silent: Some(silent), unheard: BTreeSet::new() },
        ] {
            assert_eq!(heard(&item(&written)), written);
        }
        let mut broken = item(&Heard { silent: Some(silent), unheard: ["a".into()].into() });
        assert_eq!((text(&broken, "pk"), text(&broken, "sk")), (Some("clock"), Some("dns-readiness")));
        broken.insert("since".to_owned(), AttributeValue::S("yesterday".to_owned()));
        broken.insert("unheard".to_owned(), AttributeValue::S("a".to_owned()));
        assert_eq!(heard(&broken), Heard::default());
    }
}
