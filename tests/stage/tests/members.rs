//! A real Neo4j, started by what the templates say.

use cluster_stage::{
    member::{Series, life, network::apart, settings},
    stage::root,
};

#[test]
fn every_setting_is_known_to_neo4j_or_listed() {
    let wrong = settings::check(&root().join("target/stage/members/settings")).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lts_lives() {
    apart("lts_lives", |network, narrator| life::tell(network, narrator, Series::Lts, false));
}

#[test]
fn lts_lives_with_tls() {
    apart("lts_lives_with_tls", |network, narrator| life::tell(network, narrator, Series::Lts, true));
}

#[test]
fn calendar_lives() {
    apart("calendar_lives", |network, narrator| life::tell(network, narrator, Series::Calendar, false));
}

#[test]
fn calendar_lives_with_tls() {
    apart("calendar_lives_with_tls", |network, narrator| life::tell(network, narrator, Series::Calendar, true));
}
