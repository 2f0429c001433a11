//! A real Neo4j, started by what the templates say.

use cluster_stage::{
    member::{Series, backup_job, connect, definition::Shape, disk, life, network::apart, refusals, settings, tasks},
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

#[test]
fn clients_connect_as_the_readme_says() {
    apart("clients_connect_as_the_readme_says", |network, narrator| {
        connect::tell(network, narrator, Series::Calendar, false)
    });
}

#[test]
fn clients_connect_with_tls_as_the_readme_says() {
    apart("clients_connect_with_tls_as_the_readme_says", |network, narrator| {
        connect::tell(network, narrator, Series::Lts, true)
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    apart("what_does_not_fit_is_refused", |network, narrator| refusals::tell(network, narrator, Series::Calendar));
}

#[test]
fn a_full_disk_is_healed_by_room_and_a_restart() {
    apart("a_full_disk_is_healed_by_room_and_a_restart", |network, narrator| {
        disk::tell(network, narrator, Series::Calendar)
    });
}

#[test]
fn lts_is_backed_up() {
    apart("lts_is_backed_up", |network, narrator| backup_job::tell(network, narrator, Series::Lts));
}

#[test]
fn calendar_is_backed_up() {
    apart("calendar_is_backed_up", |network, narrator| backup_job::tell(network, narrator, Series::Calendar));
}

#[test]
fn lts_is_drained() {
    apart("lts_is_drained", |network, narrator| tasks::is_drained(network, narrator, Series::Lts));
}

#[test]
fn calendar_is_drained() {
    apart("calendar_is_drained", |network, narrator| tasks::is_drained(network, narrator, Series::Calendar));
}

#[test]
fn what_never_ends_is_killed() {
    apart("what_never_ends_is_killed", |network, narrator| {
        tasks::is_killed_on_a_full_disk(network, narrator, Series::Calendar)
    });
}

#[test]
fn what_stands_still_is_healed() {
    apart("what_stands_still_is_healed", |network, narrator| tasks::stands_still(network, narrator, Series::Lts));
}

/// The test of settings notices a misspelt name, a value that Neo4j refuses, and one that the manual does not allow.
#[test]
fn a_misspelt_setting_is_named() {
    let shape = Shape::core(Series::Lts, true);
    let broken = [
        ("server.bolt.tls_level", "server.bolt.tls_mode", "REQUIRED"),
        ("server.bolt.tls_level", "server.bolt.tls_level", "REQUIRE"),
        ("initial.server.mode_constraint", "initial.server.mode_constraint", "NON"),
        ("server.panic.shutdown_on_panic", "server.panic.shutdown_on_error", "true"),
    ];
    for (number, (name, written, value)) in broken.into_iter().enumerate() {
        let mut settings = settings::of(shape);
        assert!(settings.remove(name).is_some(), "{name} is no setting of a core");
        settings.insert(written.to_owned(), value.to_owned());
        let home = root().join(format!("target/stage/members/misspelt-{number}"));
        let findings = settings::validate(shape.series, &settings, &home).unwrap();
        let wrong = settings::wrong(shape, &settings, &findings);
        assert!(wrong.iter().any(|line| line.contains(written)), "{written}={value} is not noticed: {wrong:?}");
    }
}
