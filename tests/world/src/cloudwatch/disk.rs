//! The metric that each task of a member writes about its disk.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::World;

/// The namespace of the metric.
pub(super) const NAMESPACE: &str = "Neo4jCluster";
/// Its name.
pub(super) const FREE: &str = "DataDiskFreePercent";
/// How much of a disk is free when nobody said otherwise.
pub const ROOM: f64 = 60.0;

/// The time in which a task reports, and of what.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) dimensions: BTreeMap<String, String>,
    pub(crate) disk: String,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

impl Report {
    /// Whether these are dimensions of a metric that it writes: with the core, and without.
    pub(super) fn is_of(&self, dimensions: &BTreeMap<String, String>) -> bool {
        let core = dimensions.contains_key("Core") || !self.dimensions.contains_key("Core");
        let shown = self.dimensions.iter().filter(|(name, _)| core || *name != "Core");
        shown.eq(dimensions.iter())
    }
}

impl World {
    /// A task of a member begins to report: at once, and then once a minute.
    pub(crate) fn begin_report(&mut self, task: &str, dimensions: BTreeMap<String, String>, disk: &str) {
        let (disk, from) = (disk.to_owned(), self.now);
        self.cloudwatch.reports.insert(task.to_owned(), Report { dimensions, disk, from, until: None });
    }

    /// It ends.
    pub(crate) fn end_report(&mut self, task: &str) {
        let now = self.now;
        if let Some(report) = self.cloudwatch.reports.get_mut(task) {
            report.until.get_or_insert(now);
        }
    }
}
