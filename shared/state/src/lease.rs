//! The item of the lease of voluntary disruptions.

use super::{Item, StateTable, key, text, time};
use aws_sdk_dynamodb::types::AttributeValue;
use cluster_core::instance::{Cause, Holder, Lease};
use cluster_lambda::{Failure, is_refusal};

/// Its key. No function has permission to delete it: a lease that is lost is one that anybody may claim.
pub(super) const LEASE: (&str, &str) = ("cluster", "lease");

impl StateTable {
    /// Gives the lease to a holder, or to nobody, if it is still as it was read. Returns it as whoever reads it now sees it:
    /// the table has times in milliseconds. Nothing when somebody else was quicker.
    pub async fn pass_lease(&self, before: &Lease, holder: Option<Holder>) -> Result<Option<Lease>, Failure> {
        let table = &self.table;
        let (written, passed) = passed(before, holder, table);
        let asked = self.client.put_item().table_name(table).set_item(Some(written));
        let asked = match before.fence {
            0 => asked.condition_expression("attribute_not_exists(fence)"),
            fence => asked
                .condition_expression("fence = :read")
                .expression_attribute_values(":read", AttributeValue::S(fence.to_string())),
        };
        let Err(error) = asked.send().await else { return Ok(Some(passed)) };
        if is_refusal(&error, &["ConditionalCheckFailedException"]) {
            return Ok(None);
        }
        Err(Failure::call(&format!("write the lease into table {table}"), error))
    }
}

/// Returns the item that gives a lease to a holder, and the lease as whoever reads that item sees it.
fn passed(before: &Lease, holder: Option<Holder>, table: &str) -> (Item, Lease) {
    let written = item(&Lease { fence: before.fence.saturating_add(1), holder });
    let passed = read(&written, table);
    (written, passed)
}

fn item(lease: &Lease) -> Item {
    let mut item = key(LEASE.0, LEASE.1);
    item.insert("fence".to_owned(), AttributeValue::S(lease.fence.to_string()));
    if let Some(Holder { core, task, cause, since }) = &lease.holder {
        item.extend([
            ("core".to_owned(), AttributeValue::N(core.to_string())),
            ("task".to_owned(), AttributeValue::S(task.clone())),
            ("cause".to_owned(), AttributeValue::S(cause.word().to_owned())),
            ("since".to_owned(), time(*since)),
        ]);
    }
    item
}

/// Reads the lease. One that is unreadable is held by nobody's core, so that nobody is stopped on purpose.
pub(super) fn read(item: &Item, table: &str) -> Lease {
    readable(item).unwrap_or_else(|| {
        tracing::error!(
            table,
            ?item,
            "the lease in the state table is unreadable, so no core is stopped on purpose: when every core is whole, delete the \
             item cluster/lease"
        );
        let fence = text(item, "fence").and_then(|fence| fence.parse().ok()).unwrap_or(u64::MAX - 1);
        Lease { fence, holder: Some(Holder::nobody()) }
    })
}

fn readable(item: &Item) -> Option<Lease> {
    let fence = text(item, "fence")?.parse().ok()?;
    let Some(core) = item.get("core") else { return Some(Lease { fence, holder: None }) };
    let holder = Holder {
        core: core.as_n().ok()?.parse().ok()?,
        task: text(item, "task")?.to_owned(),
        cause: Cause::read(text(item, "cause")?)?,
        since: text(item, "since")?.parse().ok()?,
    };
    Some(Lease { fence, holder: Some(holder) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_back_and_an_unreadable_one_is_nobodys() {
        let since = "2026-11-23T10:00:00.25Z".parse().unwrap();
        for cause in ["drain", "hang", "wedged", "disk-start", "disk", "rebalance"] {
            let cause = Cause::read(cause).unwrap();
            let held = Lease { fence: 7, holder: Some(Holder { core: 2, task: "task-1".into(), cause, since }) };
            assert_eq!(read(&item(&held), "state"), held);
            for attribute in ["fence", "task", "cause", "since"] {
                let mut broken = item(&held);
                broken.remove(attribute);
                assert_eq!(read(&broken, "state").core(), Some(0), "{attribute}");
            }
            let mut broken = item(&held);
            broken.insert("core".to_owned(), AttributeValue::S("two".to_owned()));
            assert_eq!(read(&broken, "state").core(), Some(0));
        }
        let free = Lease { fence: 8, holder: None };
        assert_eq!(read(&item(&free), "state"), free);
    }

    #[test]
    fn what_is_passed_is_what_is_read_back_under_a_clock_that_is_finer_than_the_table() {
        let since = "2026-11-23T10:00:00.123456789Z".parse().unwrap();
        let holder = Holder { core: 2, task: "task-1".into(), cause: Cause::Drain, since };
        for holder in [Some(holder), None] {
            let (written, passed) = passed(&Lease { fence: 7, holder: None }, holder, "state");
            assert_eq!((read(&written, "state"), passed.fence), (passed.clone(), 8));
        }
    }
}
