//! What all events of EventBridge have (EventBridge event reference, "AWS service event metadata").

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::Link,
    console::{self, is_region},
    payload::{digest, instant, list, text},
};

/// An event, without what is particular to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    payload: &'a Value,
    pub(super) kind: &'a str,
    pub(super) detail: &'a Value,
}

impl<'a> Event<'a> {
    /// Reads an event of this source.
    pub(super) fn of(payload: &'a Value, source: &str) -> Option<Self> {
        let kind = payload["detail-type"].as_str()?;
        (payload["source"] == source && payload["detail"].is_object()).then(|| Self {
            payload,
            kind,
            detail: &payload["detail"],
        })
    }

    pub(super) fn id(&self) -> String {
        text(self.payload, &["id"]).map_or_else(|| digest(self.payload), str::to_owned)
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        instant(&self.payload["time"])
    }

    pub(super) fn account(&self) -> &'a str {
        text(self.payload, &["account"]).unwrap_or_default()
    }

    pub(super) fn region(&self) -> Option<&'a str> {
        text(self.payload, &["region"]).filter(|region| is_region(region))
    }

    /// Returns the first resource whose ARN holds this.
    pub(super) fn resource(&self, part: &str) -> Option<&'a str> {
        list(&self.payload["resources"]).iter().filter_map(Value::as_str).find(|arn| arn.contains(part))
    }

    /// Returns the labels that every alert of an event has.
    pub(super) fn labels(&self, source: &str) -> BTreeMap<String, String> {
        labels(source, self.account(), self.region())
    }

    /// Links to a page of the console, which gets the region into its query.
    pub(super) fn link(&self, title: &str, page: impl FnOnce(&str) -> String) -> Option<Link> {
        let region = self.region()?;
        console::link(title, region, console::partition(region), &page(region))
    }

    /// Links to a log stream.
    pub(super) fn log(&self, group: &str, stream: &str) -> Option<Link> {
        let region = self.region()?;
        console::log(region, console::partition(region), group, stream)
    }

    /// Returns the options of a command that begin with the region, where it is known.
    pub(super) fn options<'b>(&self, options: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)>
    where
        'a: 'b,
    {
        self.region().map(|region| ("region", region)).into_iter().chain(options.iter().copied()).collect()
    }
}

/// Returns the labels that every alert has, as far as they are known.
pub(super) fn labels(source: &str, account: &str, region: Option<&str>) -> BTreeMap<String, String> {
    let known = [("source", source), ("account", account), ("region", region.unwrap_or_default())];
    known.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| ((*name).into(), (*value).into())).collect()
}
