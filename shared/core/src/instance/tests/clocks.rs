use super::*;

#[test]
fn silence_is_counted_by_our_own_clock_and_a_connection_since_then_ends_it() {
    let at = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    // The task connected forty minutes ago, which proves nothing about how long its agent has been disconnected.
    assert!(!silent(registered(Some("1"), 1), 0).is_silent(now()));
    assert!(silent(registered(Some("1"), 1), 6).is_silent(now()));
    assert!(!ContainerInstance { connected: true, ..silent(registered(Some("1"), 1), 6) }.is_silent(now()));
    // A connection that no round has seen: the clock runs on from an earlier loss.
    let mut back = silent(registered(Some("1"), 2), 90);
    back.tasks[1].connected_at = Some(at(2));
    assert!(!back.is_silent(now()));
    back.tasks[1].connected_at = Some(at(6));
    assert!(back.is_silent(now()));
}

#[test]
fn a_clock_runs_from_the_first_sight_to_the_reconnection() {
    let lost = |arn: &str| ContainerInstance { arn: arn.into(), connected: false, ..registered(Some("1"), 1) };
    let later = now() + SignedDuration::from_mins(2);
    let mut clocks = Clocks::default();
    let mut found = [lost("arn:1"), registered(Some("2"), 1)];
    clocks.see_connections(&mut found, now());
    assert_eq!(found.map(|found| found.disconnected_since), [Some(now()), None]);
    let mut found = [lost("arn:1"), lost("arn:2")];
    clocks.see_connections(&mut found, later);
    assert_eq!(found.map(|found| found.disconnected_since), [Some(now()), Some(later)]);
    assert_eq!(clocks.disconnected["arn:1"], Away { since: now(), seen: later });
    // A second sighting at once is not worth a write.
    let before = clocks.clone();
    clocks.see_connections(&mut [lost("arn:1"), lost("arn:2")], later + SignedDuration::from_secs(30));
    assert_eq!(clocks, before);
    let before_long = later + SignedDuration::from_secs(50);
    clocks.see_connections(&mut [lost("arn:1"), lost("arn:2")], before_long);
    assert_eq!(clocks.disconnected["arn:1"], Away { since: now(), seen: before_long });
    clocks = before;
    // Nobody looked for a while: the agent may have been connected.
    let after = later + SignedDuration::from_secs(181);
    let mut found = [lost("arn:1"), lost("arn:2")];
    clocks.see_connections(&mut found, after);
    assert_eq!(found.map(|found| found.disconnected_since), [Some(after), Some(after)]);
    // One has reconnected, the other is gone.
    clocks.see_connections(&mut [ContainerInstance { connected: true, ..lost("arn:1") }], after);
    assert_eq!(clocks, Clocks::default());
    clocks.see_cores([2].into_iter(), true, now());
    clocks.see_cores([2, 3].into_iter(), true, later);
    assert_eq!(clocks.not_whole, [(2, now()), (3, later)].into());
    clocks.see_cores([3].into_iter(), true, later);
    assert_eq!(clocks.not_whole, [(3, later)].into());
    // Where Neo4j was not asked, a core that looks whole may not be.
    clocks.see_cores([].into_iter(), false, later);
    assert_eq!(clocks.not_whole.keys().collect::<Vec<_>>(), [&3]);
}
