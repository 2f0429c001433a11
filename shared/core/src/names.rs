//! The names of tags, attributes and lifecycle hooks, defined once for the functions and for the tests of the
//! templates.

/// The tag of the cluster's groups and volumes; its value is the cluster's name.
pub const CLUSTER_TAG: &str = "neo4j:cluster";
/// The tag of a core's group and volume; its value is the core's number.
pub const CORE_TAG: &str = "neo4j:core";
/// The tag of a core's group; its value is the id of the core's data volume.
pub const VOLUME_TAG: &str = "neo4j:volume";
/// The attribute of a core's container instance; its value is the core's number.
pub const CORE_ATTRIBUTE: &str = "neo4j.core";
/// The lifecycle hook of every group that holds an instance on its way in.
pub const LAUNCH_HOOK: &str = "neo4j-launch";
/// The lifecycle hook of every group that holds an instance on its way out.
pub const TERMINATE_HOOK: &str = "neo4j-terminate";
