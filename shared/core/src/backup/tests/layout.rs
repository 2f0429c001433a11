use super::{
    super::{ChainId, Key, Layout},
    bucket::at,
};

fn layout() -> Layout {
    Layout::new("/graph/")
}

#[test]
fn names_are_read_as_they_are_written_and_sort_by_time() {
    let chain = ChainId::new(at("2026-11-30T01:00:00.5Z"), 1);
    assert_eq!(chain.to_string(), "20261130T010000Z-1");
    assert_eq!(chain.to_string().parse(), Ok(chain));
    assert_eq!(chain.opened(), at("2026-11-30T01:00:00Z"));
    let next = ChainId::new(at("2026-11-30T01:00:00Z"), 2);
    assert!(chain < next && chain.to_string() < next.to_string());
    for wrong in [
        "",
        "20261130T010000Z",
        "20261130T010000Z-",
        "20261130T010000Z-x",
        "20261130T010000-1",
        "20261131T010000Z-1",
        "20261130T010000Z-01",
        "20261130T010000Z-300",
    ] {
        assert_eq!(wrong.parse::<ChainId>(), Err(()), "{wrong:?}");
    }
}

#[test]
fn every_key_is_read_back_and_what_is_not_ours_is_foreign() {
    let (layout, chain) = (layout(), ChainId::new(at("2026-11-30T01:00:00Z"), 1));
    let artifact = format!("{}neo4j-2026-11-30T01-02-00.backup", layout.folder("neo4j", chain));
    assert_eq!(artifact, "graph/chains/neo4j/20261130T010000Z-1/neo4j-2026-11-30T01-02-00.backup");
    let database = || "neo4j".to_owned();
    let file = "neo4j-2026-11-30T01-02-00.backup".to_owned();
    assert_eq!(layout.read(&artifact), Key::Artifact { database: database(), chain, file });
    assert_eq!(layout.read(&layout.manifest("neo4j", chain)), Key::Manifest { database: database(), chain });
    assert_eq!(layout.read(&format!("{}.json", layout.report(at("2026-11-30T05:00:00Z")))), Key::Report);
    let stranger = format!("{}latest.backup", layout.folder("neo4j", chain));
    assert_eq!(layout.read(&stranger), Key::Stranger { database: database(), chain });
    // Of another database than its folder.
    let other = format!("{}other-2026-11-30T01-02-00.backup", layout.folder("neo4j", chain));
    assert_eq!(layout.read(&other), Key::Stranger { database: database(), chain });
    for foreign in [
        "",
        "graph",
        "graph/",
        "graph/chains/neo4j/today/neo4j-2026-11-30T01-02-00.backup",
        "graph/chains/neo4j/20261130T010000Z-1/deep/neo4j-2026-11-30T01-02-00.backup",
        "graph/chains/Neo4j/20261130T010000Z-1/Neo4j-2026-11-30T01-02-00.backup",
        "graph/manifests/neo4j/20261130T010000Z-1.json.bak",
        "graph/notes.txt",
        "graphs/chains/neo4j/20261130T010000Z-1/neo4j-2026-11-30T01-02-00.backup",
        "other/chains/neo4j/20261130T010000Z-1/neo4j-2026-11-30T01-02-00.backup",
    ] {
        assert_eq!(layout.read(foreign), Key::Foreign, "{foreign:?}");
    }
}

#[test]
fn a_bucket_of_its_own_needs_no_prefix() {
    let chain = ChainId::new(at("2026-11-30T01:00:00Z"), 1);
    assert_eq!(Layout::new("").folder("system", chain), "chains/system/20261130T010000Z-1/");
    assert_eq!(Layout::new("a/b").chains(), "a/b/chains/");
}
