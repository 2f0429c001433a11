//! Route 53 takes a batch whole or not at all, and keeps its rules for each name.

use cluster_world::route53::{RecordSet, Zone};

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
        (
            one(RecordSet::simple("core.neo4j.service", "A", 10, &["10.0.1.2"])),
            "RRSet with DNS name core.neo4j.service., type A cannot be created as other RRSets exist with the same name",
        ),
        (
            one(RecordSet::weighted("core.neo4j.service", "w", "10.0.1.2")),
            "type A, SetIdentifier w cannot be created as a non-weighted set exists with the same name and type.",
        ),
        (
            one(RecordSet::simple("core.neo4j.service", "CNAME", 10, &["x.y"])),
            "[RRSet of type CNAME with DNS name core.neo4j.service. is not permitted as it conflicts with other records \
             with the same DNS name in zone neo4j.service.]",
        ),
        (refused(&[]), "Number of changes"),
    ] {
        assert!(text.contains(rule), "{text}");
    }
    let many: Vec<_> = (0..100).map(|n| ("CREATE", core(&format!("b/{n}"), &format!("10.1.0.{n}")))).collect();
    assert!(refused(&many).contains("exceeds 100"));
    zone().change(&many[..99]).unwrap();
}

/// Route 53 developer guide, «Supported DNS record types»: a CNAME allows no other record under its name. «Choosing a
/// routing policy»: one policy for a name and type, others for other types.
#[test]
fn what_stands_under_a_name_decides_what_goes_beside_it() {
    const NAME: &str = "replica.neo4j.service";
    let member = || RecordSet::multivalue(NAME, "a/1", "10.0.2.1");
    let simple = |kind, value| RecordSet::simple(NAME, kind, 10, &[value]);
    for (there, refusal) in [
        (
            simple("CNAME", "core.neo4j.service"),
            Some(
                "[RRSet of type A with DNS name replica.neo4j.service. is not permitted because a conflicting RRSet of \
                 type CNAME with the same DNS name already exists in zone neo4j.service.]",
            ),
        ),
        (
            RecordSet::weighted(NAME, "w", "10.9.9.1"),
            Some(
                "[RRSet with DNS name replica.neo4j.service., type A, SetIdentifier a/1 cannot be created because a non \
                 multivalue answer rrset exists with the same name and type.]",
            ),
        ),
        (
            simple("A", "10.9.9.1"),
            Some(
                "[RRSet with DNS name replica.neo4j.service., type A, SetIdentifier a/1 cannot be created because a non \
                 multivalue answer rrset exists with the same name and type.]",
            ),
        ),
        (RecordSet::multivalue(NAME, "b/1", "10.9.9.1"), None),
        (simple("AAAA", "fd00::1"), None),
        (simple("TXT", "\"theirs\""), None),
    ] {
        let mut zone = zone();
        zone.change(&[("CREATE", there.clone())]).unwrap();
        let before = zone.records.clone();
        let other = RecordSet::multivalue("core.neo4j.service", "a/2", "10.0.1.2");
        let said = zone.change(&[("CREATE", other), ("CREATE", member())]).err().map(|refusal| refusal.message);
        assert_eq!(said.as_deref(), refusal, "{there:?}");
        assert_eq!(zone.records == before, refusal.is_some(), "the other name's record goes with the batch");
    }
}

#[test]
fn a_zone_of_cloud_map_takes_no_writes() {
    let mut zone = Zone::new("discovery.neo4j.service", Some("arn:ns".into()));
    let set = RecordSet::multivalue("core.discovery.neo4j.service", "a/1", "10.0.1.1");
    let refusal = zone.change(&[("CREATE", set)]).unwrap_err();
    assert_eq!(refusal.code, "AccessDenied");
    assert!(refusal.message.contains("can only be managed through AWS Cloud Map"));
}
