use super::*;

fn zones() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).into()
}

fn snapshots(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("snap-{number}")).collect()
}

#[test]
fn a_physical_id_remembers_snapshots_zones_and_key() {
    let origins = Origins::new(3, snapshots(3), &zones(), "arn:key").unwrap();
    let id = origins.to_string();
    assert_eq!(id, "snapshots=snap-1,snap-2,snap-3;zones=a,b,c;key=arn:key");
    let remembered = Origins::remembered(&id);
    assert_eq!(remembered.to_string(), id);
    let by_core: Vec<_> = remembered.snapshots_by_core().collect();
    let want = [(1, "snap-1"), (2, "snap-2"), (3, "snap-3"), (4, ""), (5, ""), (6, ""), (7, "")];
    assert_eq!(by_core, want);
}

#[test]
fn blank_volumes_and_foreign_ids_remember_no_snapshot() {
    // CloudFormation passes an empty list as one empty string.
    let blank = Origins::new(5, vec![String::new()], &zones(), "").unwrap();
    assert_eq!(blank.to_string(), "snapshots=;zones=a,b,c;key=");
    for origins in [blank, Origins::remembered("snapshots=;zones=a,b,c;key="), Origins::remembered("something")] {
        assert!(origins.snapshots_by_core().all(|(_, snapshot)| snapshot.is_empty()));
    }
}

#[test]
fn snapshots_are_one_for_each_core_or_none() {
    for count in [1, 2, 4] {
        let refused = Origins::new(3, snapshots(count), &zones(), "").unwrap_err();
        assert_eq!(refused, OriginsRefused::SnapshotCount { snapshots: count, cores: 3 });
        let text = format!("RestoreSnapshotIds names {count} snapshots for 3 cores: name one for each core, or none");
        assert_eq!(refused.to_string(), text);
    }
}

#[test]
fn another_place_is_refused_and_more_cores_are_not() {
    let made = Origins::remembered("snapshots=snap-1,snap-2,snap-3;zones=a,b,c;key=");
    let wanted = |cores, zones: &[String], key| Origins::new(cores, vec![], zones, key).unwrap();
    for (known, cores) in [(3, 3), (3, 5), (5, 5), (5, 7), (7, 7)] {
        assert_eq!(made.refuse_change(&wanted(cores, &zones(), ""), Some(known)), Ok(()), "{cores}");
    }
    assert_eq!(made.refuse_change(&wanted(7, &zones(), ""), None), Ok(()), "nothing has been deployed");
    let other = ["a", "b", "d"].map(str::to_owned);
    for wanted in [wanted(3, &other, ""), wanted(3, &zones(), "arn:key")] {
        let refused = made.refuse_change(&wanted, Some(3)).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("created with zones=a,b,c;key=, and this update requests zones=a,b,"), "{text}");
    }
}

#[test]
fn fewer_cores_are_refused_where_it_is_known_how_many_there_are() {
    let made = Origins::remembered("snapshots=;zones=a,b,c;key=");
    let wanted = Origins::new(3, vec![], &zones(), "").unwrap();
    let refused = made.refuse_change(&wanted, Some(5)).unwrap_err();
    assert_eq!(refused, OriginsRefused::FewerCores { known: 5, wanted: 3 });
    assert_eq!(made.refuse_change(&wanted, None), Ok(()));
}

#[test]
fn new_cores_stay_a_minority() {
    let made = Origins::remembered("snapshots=;zones=a,b,c;key=");
    let wanted = Origins::new(7, vec![], &zones(), "").unwrap();
    let refused = made.refuse_change(&wanted, Some(3)).unwrap_err();
    assert_eq!(refused, OriginsRefused::TooManyAtOnce { known: 3, wanted: 7 });
    assert!(refused.to_string().contains("Set CoreCount to 5, and go on"), "{refused}");
}

#[test]
fn the_larger_number_of_cores_is_expected() {
    for (configured, deployed, want) in [(3, None, 3), (3, Some(3), 3), (5, Some(3), 5), (3, Some(5), 5)] {
        assert_eq!(expected_cores(configured, deployed), want, "{configured} {deployed:?}");
    }
}
