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

fn groups(states: &[(&str, &str)]) -> Vec<Group> {
    states.iter().map(|(id, state)| group(1, vec![instance(id, State::from(*state))])).collect()
}

#[test]
fn an_instance_is_on_its_way_out_from_first_sight_until_it_is_gone_or_stays() {
    let (later, mut clocks) = (now() + SignedDuration::from_mins(1), Clocks::default());
    clocks.see_leaving(&groups(&[("i-1", "Terminating:Wait"), ("i-2", "InService"), ("i-3", "Pending:Wait")]), now());
    assert_eq!(clocks.leaving, [("i-1".into(), now())].into());
    // Whatever comes after the hook is the same way out.
    let all = ["Terminating:Retained", "Terminating:Proceed", "Terminating", "Terminated", "Detaching"];
    for state in all {
        let before = clocks.clone();
        clocks.see_leaving(&groups(&[("i-1", state)]), later);
        assert_eq!(clocks, before, "{state}");
    }
    clocks.see_leaving(&groups(&[("i-1", "Terminating"), ("i-2", "Terminating:Wait")]), later);
    assert_eq!(clocks.leaving, [("i-1".into(), now()), ("i-2".into(), later)].into());
    clocks.see_leaving(&groups(&[("i-2", "InService")]), later);
    assert_eq!(clocks, Clocks::default());
}

#[test]
fn a_notice_is_kept_while_its_instance_is_in_a_group() {
    let notice = |seconds, kind| Notice { since: now() + SignedDuration::from_secs(seconds), kind };
    let (spot, rebalance) = (|at| notice(at, NoticeKind::Spot), |at| notice(at, NoticeKind::Rebalance));
    let ours = groups(&[("i-1", "InService"), ("i-2", "Terminating:Wait")]);
    let mut clocks = Clocks::default();
    clocks.see_notices([("i-1".into(), rebalance(5)), ("i-2".into(), spot(9)), ("i-foreign".into(), spot(0))], &ours);
    assert_eq!(clocks.notices, [("i-1".into(), rebalance(5)), ("i-2".into(), spot(9))].into());
    // (what comes after a recommendation of second 5, what counts then)
    for (next, counts) in
        [(rebalance(6), rebalance(5)), (rebalance(4), rebalance(4)), (spot(60), spot(60)), (spot(0), spot(0))]
    {
        let mut clocks = clocks.clone();
        clocks.see_notices([("i-1".into(), next)], &ours);
        assert_eq!(clocks.notices["i-1"], counts, "{next:?}");
    }
    // The same after an interruption of second 9: its end is two minutes after the first event.
    for (next, counts) in [(rebalance(60), spot(9)), (rebalance(0), spot(9)), (spot(10), spot(9)), (spot(8), spot(8))] {
        let mut clocks = clocks.clone();
        clocks.see_notices([("i-2".into(), next)], &ours);
        assert_eq!(clocks.notices["i-2"], counts, "{next:?}");
    }
    let before = clocks.clone();
    clocks.see_notices([], &ours);
    assert_eq!(clocks, before, "nothing new, nothing written");
    clocks.see_notices([], &groups(&[("i-2", "Terminated")]));
    assert_eq!(clocks.notices.len(), 1);
    clocks.see_notices([], &[]);
    assert_eq!(clocks, Clocks::default());
}

#[test]
fn restarts_are_remembered_for_a_day() {
    let at = |hours| now() + SignedDuration::from_hours(hours);
    let mut clocks = Clocks::default();
    for (core, hours) in [(1, 0), (2, 1), (1, 5)] {
        clocks.see_restart(core, at(hours));
    }
    let before = clocks.clone();
    clocks.forget_restarts(at(24) - SignedDuration::from_secs(1));
    assert_eq!(clocks, before);
    clocks.forget_restarts(at(24));
    assert_eq!(clocks.restarts, [(1, vec![at(5)]), (2, vec![at(1)])].into());
    clocks.forget_restarts(at(25));
    assert_eq!(clocks.restarts, [(1, vec![at(5)])].into());
    clocks.forget_restarts(at(30));
    assert_eq!(clocks, Clocks::default());
}
