//! What free space over time proves of a core.

use super::*;

#[test]
fn a_start_that_hung_on_a_full_disk_is_restarted_once_there_is_room() {
    let said = [
        said(&hung_in_its_start(60, 10)),
        said(&hung_in_its_start(60, 9)),
        said(&hung_in_its_start(60, -1)),
        said(&hung_in_its_start(9, 4)),
        after(hung_in_its_start(60, 30), |o| o.disks.clear()),
        after(hung_in_its_start(60, 30), |o| {
            let core = o.disks.remove(&CORE).unwrap();
            o.disks.insert(3, core);
        }),
        after(hung_in_its_start(60, 30), |o| o.disks.get_mut(&CORE).unwrap().retain(|(at, _)| *at < ago(4))),
        after(hung_in_its_start(60, 30), |o| mute(o, Kind::Silent)),
        after(hung_in_its_start(60, 30), |o| call(o, "REPLICATING")),
        after(hung_in_its_start(60, 30), |o| o.quorum_observed = None),
        after(hung_in_its_start(70, 30), |o| o.restarts = [(CORE, vec![ago(1)])].into()),
        after(hung_in_its_start(70, 30), |o| o.restarts = [(CORE, vec![ago(2)])].into()),
        after(hung_in_its_start(50, 30), |o| o.restarts = [(CORE, vec![ago(51); 9])].into()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    ill: its Neo4j (task 2a5c0ffee0000000) hung in its start at 2026-11-23T09:00:00Z, when 0.25 % of its disk was free; 46 % is free now
    not yet: its disk was full, and has had room since 2026-11-23T09:51:00Z: 46 % is free; after ten minutes its Neo4j is restarted
    not yet: its disk was full, and 0.25 % of it is free: raise the parameter DataVolumeSize; the file system grows by itself, and with more than 20 % free for ten minutes its Neo4j is restarted
    well
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since its start at 2026-11-23T09:00:00Z: it may be recovering, which is never interrupted; look at its log, and at the free space of its volume, and stop the task only if it stands still
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since its start at 2026-11-23T09:00:00Z: it may be recovering, which is never interrupted; look at its log, and at the free space of its volume, and stop the task only if it stands still
    not yet: its disk was full, and it is not known whether it has room now: the metric DataDiskFreePercent of core 2 ends at 2026-11-23T09:55:00Z; look at its container debug-log, or restart the core once its volume has room
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since its start at 2026-11-23T09:00:00Z: it may be recovering, which is never interrupted; look at its log, and at the free space of its volume, and stop the task only if it stands still
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since its start, and its disk was full then, but core 1 calls its copy of database neo4j REPLICATING: it is not restarted; look at its log
    not yet: its Neo4j (task 2a5c0ffee0000000) has not answered since its start at 2026-11-23T09:00:00Z: it may be recovering, which is never interrupted; look at its log, and at the free space of its volume, and stop the task only if it stands still
    not yet: its task 2a5c0ffee0000000 was to be stopped at 2026-11-23T09:59:00Z, but ECS still wants it to run: that is tried again at 2026-11-23T10:01:00Z; look at the log of instance-drainer
    ill: its Neo4j (task 2a5c0ffee0000000) hung in its start at 2026-11-23T08:50:00Z, when 0.25 % of its disk was free; 46 % is free now
    ill: its Neo4j (task 2a5c0ffee0000000) hung in its start at 2026-11-23T09:10:00Z, when 0.25 % of its disk was free; 46 % is free now
    ");
}

#[test]
fn a_recovery_is_not_taken_for_a_start_on_a_full_disk() {
    // (how much was free around the start, whether that explains that it never ended)
    let (full, room) = (0.99, 1.0);
    for (free, explains) in [
        (vec![(61, full), (59, full)], true),
        (vec![(59, full)], true),
        (vec![(60, full)], true),
        (vec![(57, full)], true),
        (vec![(64, room), (59, full)], true),
        (vec![(56, full)], false),
        (vec![(61, full)], false),
        (vec![(61, full), (59, room), (58, full)], false),
        (vec![(61, room), (59, full)], false),
        (vec![(59, f64::NAN)], false),
        (vec![], false),
    ] {
        let mut observed = hung_in_its_start(60, 30);
        let values = observed.disks.get_mut(&CORE).unwrap();
        values.retain(|(at, _)| *at >= ago(15));
        values.splice(0..0, free.iter().map(|(minute, free)| (ago(*minute), *free)));
        assert_eq!(ill(&observed).is_some(), explains, "{free:?}: {}", said(&observed));
    }
}

#[test]
fn a_disk_has_room_only_if_every_value_of_ten_minutes_says_so() {
    let with = |change: fn(&mut Vec<(Timestamp, f64)>)| {
        let mut observed = met_full_disk(30);
        change(observed.disks.get_mut(&CORE).unwrap());
        ill(&observed).is_some()
    };
    assert!(with(|_| ()));
    assert!(with(|values| values.retain(|(at, _)| *at <= ago(4))));
    assert!(!with(|values| values.retain(|(at, _)| *at <= ago(5))), "too old");
    assert!(with(|values| values.retain(|(at, _)| *at >= ago(10))));
    assert!(!with(|values| values.retain(|(at, _)| *at > ago(10))), "too short");
    assert!(with(|values| values.retain(|(at, _)| *at >= ago(4) || *at <= ago(7))));
    assert!(!with(|values| values.retain(|(at, _)| *at >= ago(4) || *at <= ago(8))), "a gap");
    for (free, enough) in [(20.01, true), (20.0, false), (f64::NAN, false), (f64::INFINITY, false)] {
        for minute in [0, 5, 10] {
            let mut observed = met_full_disk(30);
            let values = observed.disks.get_mut(&CORE).unwrap();
            values.iter_mut().filter(|(at, _)| *at == ago(minute)).for_each(|(_, value)| *value = free);
            assert_eq!(ill(&observed).is_some(), enough, "{free} {minute} minutes ago: {}", said(&observed));
        }
    }
    assert!(!with(|values| values.push((ago(-5), 50.0))), "a clock that runs ahead");
}

#[test]
fn a_running_member_that_met_a_full_disk_is_restarted_once_there_is_room() {
    let with = |message: &'static str| {
        after(met_full_disk(30), |o| {
            let view = heard(o).answer.view.as_mut().unwrap();
            let copies = view.databases.iter_mut().flat_map(|row| &mut row.copies);
            copies.filter(|copy| !copy.message.is_empty()).for_each(|copy| copy.message = message.into());
        })
    };
    let said = [
        said(&met_full_disk(10)),
        said(&met_full_disk(9)),
        said(&met_full_disk(-1)),
        after(met_full_disk(30), |o| o.disks.clear()),
        after(met_full_disk(30), |o| o.restarts = [(CORE, vec![ago(59)])].into()),
        after(met_full_disk(30), |o| o.restarts = [(CORE, vec![ago(60); 9])].into()),
        with("Disk quota exceeded"),
        with("Server is unavailable"),
        after(met_full_disk(30), |o| {
            // What others report of a copy is not its own word.
            heard(o).answer.view.as_mut().unwrap().server = Some("server-1".into());
        }),
        after(met_full_disk(30), |o| heard(o).answer.view = Err(Said::new(Kind::Silent, ""))),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    ill: its Neo4j (task 2a5c0ffee0000000) refuses database neo4j since its disk was full («java.io.IOException: No space left on device»); 46 % is free now
    not yet: its disk was full, and has had room since 2026-11-23T09:51:00Z: 46 % is free; after ten minutes its Neo4j is restarted
    not yet: its disk was full, and 0.25 % of it is free: raise the parameter DataVolumeSize; the file system grows by itself, and with more than 20 % free for ten minutes its Neo4j is restarted
    not yet: its disk was full, and it is not known whether it has room now: the metric DataDiskFreePercent of core 2 has no value; look at its container debug-log, or restart the core once its volume has room
    not yet: it was restarted at 2026-11-23T09:01:00Z, and is ill again: it is not restarted before 2026-11-23T10:01:00Z; look at its log
    ill: its Neo4j (task 2a5c0ffee0000000) refuses database neo4j since its disk was full («java.io.IOException: No space left on device»); 46 % is free now
    ill: its Neo4j (task 2a5c0ffee0000000) refuses database neo4j since its disk was full («Disk quota exceeded»); 46 % is free now
    well
    well
    well
    ");
}

#[test]
fn a_disk_is_read_where_its_core_is_silent_or_says_that_something_is_wrong() {
    let doubtful = |observed: &Observed| doubtful_disks(observed, &three(), now());
    let of_core = |started: i64| [(CORE, ago(started))].into();
    assert_eq!(doubtful(&well()), [].into());
    assert_eq!(doubtful(&met_full_disk(30)), of_core(40));
    assert_eq!(doubtful(&hangs(1)), of_core(40), "before it has been silent for ten minutes");
    assert_eq!(doubtful(&hung_in_its_start(10, 0)), of_core(10));
    assert_eq!(doubtful(&hung_in_its_start(9, 0)), [].into(), "it may be starting");
    let without = |change: fn(&mut Observed)| {
        let mut observed = met_full_disk(30);
        change(&mut observed);
        doubtful(&observed)
    };
    assert_eq!(without(|o| found(o).tasks[0].id = "another".into()), [].into(), "it has no task any more");
    assert_eq!(without(|o| found(o).tasks[0].started_at = None), [].into());
    assert_eq!(without(|o| o.neo4j = Seen::NotAsked), [].into());
    // What others report of a copy is not its own word.
    let others = without(|o| heard(o).answer.view.as_mut().unwrap().server = Some("server-1".into()));
    assert_eq!(others, [].into());
}
