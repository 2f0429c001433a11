//! The model refuses what AWS refuses: otherwise a story against it would prove nothing.

use cluster_tests::world::route53::{RecordSet, Zone};

fn zone() -> Zone {
    let mut zone = Zone::new("neo4j.service", None);
    zone.put(RecordSet::multivalue("core.neo4j.service", "a/1", "10.0.1.1"));
    zone
}

fn refused(changes: &[(&str, RecordSet)]) -> String {
    let mut zone = zone();
    let before = zone.records.clone();
    let refusal = zone.change(changes).unwrap_err();
    assert_eq!(zone.records, before, "a refused batch changes nothing");
    refusal.to_string()
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let new = RecordSet::multivalue("core.neo4j.service", "a/2", "10.0.1.2");
    let gone = RecordSet::multivalue("core.neo4j.service", "a/9", "10.0.1.9");
    let text = refused(&[("CREATE", new.clone()), ("DELETE", gone)]);
    assert_eq!(
        text,
        "InvalidChangeBatch: [Tried to delete resource record set [name='core.neo4j.service.', type='A', \
         set-identifier='a/9'] but it was not found]"
    );
    zone().change(&[("CREATE", new)]).unwrap();
}

#[test]
fn each_rule_of_route_53_is_kept() {
    let one = |set| refused(&[("CREATE", set)]);
    let core = |id: &str, address: &str| RecordSet::multivalue("core.neo4j.service", id, address);
    for (text, rule) in [
        (one(core("a/1", "10.0.1.1")), "already exists"),
        (refused(&[("DELETE", core("a/1", "10.0.1.2"))]), "do not match the current values"),
        (one(RecordSet::multivalue("core.other.service", "a/1", "10.0.1.1")), "not permitted in zone"),
        (one(core("a/2", "core")), "Invalid Resource Record"),
        (one(RecordSet::simple("core.neo4j.service", "A", 10, &["10.0.1.2"])), "another routing policy"),
        (one(RecordSet::simple("core.neo4j.service", "CNAME", 10, &["x.y"])), "conflicts with other records"),
        (refused(&[]), "Number of changes"),
    ] {
        assert!(text.contains(rule), "{text}");
    }
    let many: Vec<_> = (0..100).map(|n| ("CREATE", core(&format!("b/{n}"), &format!("10.1.0.{n}")))).collect();
    assert!(refused(&many).contains("exceeds 100"));
    zone().change(&many[..99]).unwrap();
}

#[test]
fn a_zone_of_cloud_map_takes_no_writes() {
    let mut zone = Zone::new("discovery.neo4j.service", Some("arn:ns".into()));
    let set = RecordSet::multivalue("core.discovery.neo4j.service", "a/1", "10.0.1.1");
    let refusal = zone.change(&[("CREATE", set)]).unwrap_err();
    assert_eq!(refusal.code, "AccessDenied");
    assert!(refusal.message.contains("can only be managed through AWS Cloud Map"));
}
