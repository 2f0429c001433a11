//! Whatever stands in the environment is taken or refused by name, never a panic; what is taken is fit to write with.
#![no_main]

use dns_replicator::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let names = ["CLUSTER_NAME", "DOMAIN", "HOSTED_ZONE_ID", "ECS_CLUSTER", "CORE_ECS_SERVICES", "CORE_CLOUD_MAP_SERVICE"];
    let more = ["REPLICA_ECS_SERVICES", "REPLICA_CLOUD_MAP_SERVICE", "RECORD_TTL", "REQUIRE_HEALTHY"];
    let mut values = std::collections::HashMap::new();
    for name in names.into_iter().chain(more) {
        values.insert(name, lines.next().unwrap_or_default().to_owned());
    }
    match Config::read(&|name: &str| values.get(name).cloned()) {
        Ok(config) => {
            let owner = config.target.owner.set_identifier(&"f".repeat(36));
            assert!(owner.len() <= 128 && config.target.tiers.iter().all(|tier| tier.name.as_str().len() <= 255));
        }
        Err(failure) => assert!(failure.to_string().starts_with("environment variable ")),
    }
});
