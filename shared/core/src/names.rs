//! The names of tags, attributes, lifecycle hooks and ECS services, defined once for the functions and for the tests of
//! the templates.

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
/// The tag of the groups whose instances are drained without a Neo4j; its value is the name of the ECS cluster.
pub const DRAIN_TAG: &str = "ecs-drain:cluster";
/// The lifecycle hook of these groups that holds an instance on its way out.
pub const DRAIN_HOOK: &str = "ecs-drain";

/// Describes what [`services`] reads.
pub const SERVICES_FORM: &str = "comma-separated names of ECS services, each once, such as core-1,core-2,core-3";

/// Reads the names of ECS services: separated by commas, of 1 to 255 letters, digits, `-` and `_` (API reference of
/// `CreateService`, `serviceName`), and none twice.
#[must_use]
pub fn services(text: &str) -> Option<Vec<String>> {
    let valid = |name: &str| {
        (1..=255).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        if !valid(name) || names.iter().any(|known| known == name) {
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_read_in_their_order_and_what_is_none_is_refused() {
        let read = |text: &str| services(text).map(|names| names.join(" "));
        assert_eq!(read("core-2, core-1,core_3").as_deref(), Some("core-2 core-1 core_3"));
        assert_eq!(read(&"a".repeat(255)).map(|name| name.len()), Some(255));
        for wrong in ["", " ", "core-1,", ",core-1", "core-1,core-1", "arn:aws:ecs:1:2:service/a/b", "core 1", "kern-ü"]
        {
            assert_eq!(services(wrong), None, "{wrong:?}");
        }
        assert_eq!(services(&"a".repeat(256)), None);
    }
}
