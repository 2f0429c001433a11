use cluster_core::{
    instance::{Away, Clocks, Notice, NoticeKind},
    neo4j::{
        Down, Memory, Silent,
        monitor::{self, AdminRefused},
    },
};
use cluster_lambda::Kind;

use super::*;

fn at(time: &str) -> Timestamp {
    format!("2026-11-23T{time}Z").parse().unwrap()
}

fn string(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn read(items: &[Item]) -> (Remembered, Vec<bool>) {
    let mut remembered = Remembered::default();
    let readable = items.iter().map(|item| remembered.add(item)).collect();
    (remembered, readable)
}

/// The items as the table holds them.
fn whole(remembered: &Remembered) -> Vec<Item> {
    let items = remembered.items();
    items.into_iter().map(|(sort, item)| key(CLOCKS, &sort).into_iter().chain(item).collect()).collect()
}

#[test]
fn what_is_remembered_survives_a_round_trip_through_its_items() {
    let away = Away { since: at("10:00:00"), seen: at("10:04:00.5") };
    let clocks = Clocks {
        disconnected: [("arn:aws:ecs:eu-west-1:0:container-instance/neo4j/1".into(), away)].into(),
        not_whole: [(2, at("09:30:00")), (3, at("09:31:00.25"))].into(),
        leaving: [("i-0123456789abcdef0".into(), at("09:50:00"))].into(),
        empty: [("i-0123456789abcdef0".into(), at("09:55:00"))].into(),
        notices: [
            ("i-0123456789abcdef0".into(), Notice { since: at("09:58:00"), kind: NoticeKind::Spot }),
            ("i-0123456789abcdef1".into(), Notice { since: at("09:59:00"), kind: NoticeKind::Rebalance }),
        ]
        .into(),
        restarts: [(1, vec![at("03:00:00")]), (2, vec![at("04:00:00"), at("09:00:00.5")])].into(),
    };
    let down = |sweeps| Down { sweeps, seen: at("10:01:00") };
    let neo4j = Memory {
        answered: [("fedcba9876543210".into(), at("10:00:30"))].into(),
        unanswered: [("0123456789abcdef".into(), at("10:00:00"))].into(),
        silent: [
            ("89abcdef01234567".into(), Silent { since: at("09:40:00"), seen: at("09:59:00.5"), alone: None }),
            ("fedcba9876543210".into(), Silent { alone: Some(at("09:45:00")), since: away.since, seen: away.seen }),
        ]
        .into(),
        down: [("sales/2026".into(), down(1)), ("neo4j".into(), down(2))].into(),
        servers: [(1, "25a7efc7-d063-44b8-bdee-f23357f89f01".into())].into(),
        monitor: monitor::Remembered {
            declared: Some(at("09:00:00")),
            admin_refused: Some(AdminRefused { version: "v1".into(), at: at("08:00:00") }),
        },
    };
    let remembered = Remembered { clocks, neo4j };
    assert_eq!(read(&whole(&remembered)), (remembered, vec![true; 18]));
}

#[test]
fn items_have_the_keys_and_the_forms_that_the_table_holds() {
    let seen = at("10:00:00");
    let remembered = Remembered {
        clocks: Clocks {
            disconnected: [("arn:1".into(), Away { since: seen, seen })].into(),
            not_whole: [(2, seen)].into(),
            leaving: [("i-1".into(), seen)].into(),
            empty: [("i-1".into(), seen)].into(),
            notices: [
                ("i-1".into(), Notice { since: seen, kind: NoticeKind::Spot }),
                ("i-2".into(), Notice { since: seen, kind: NoticeKind::Rebalance }),
            ]
            .into(),
            restarts: [(2, vec![seen, seen])].into(),
        },
        neo4j: Memory {
            answered: [("other".into(), seen)].into(),
            unanswered: [("task".into(), seen)].into(),
            silent: [
                ("alone".into(), Silent { since: seen, seen, alone: Some(seen) }),
                ("with its agent".into(), Silent { since: seen, seen, alone: None }),
            ]
            .into(),
            down: [("sales".into(), Down { sweeps: 2, seen })].into(),
            servers: [(3, "id".into())].into(),
            monitor: monitor::Remembered {
                declared: Some(seen),
                admin_refused: Some(AdminRefused { version: "v1".into(), at: seen }),
            },
        },
    };
    let time = string("2026-11-23T10:00:00.000Z");
    let clock = |sort: &str| {
        item(&[("pk", string("clock")), ("sk", string(sort)), ("since", time.clone()), ("seen", time.clone())])
    };
    let two = AttributeValue::N("2".to_owned());
    let down = [("pk", string("clock")), ("sk", string("down/sales")), ("sweeps", two), ("since", time.clone())];
    let server = [("pk", string("clock")), ("sk", string("server/3")), ("id", string("id"))];
    let refused =
        [("pk", string("clock")), ("sk", string("admin-refused")), ("version", string("v1")), ("since", time.clone())];
    let dated = |sort: &str| item(&[("pk", string("clock")), ("sk", string(sort)), ("since", time.clone())]);
    let notice = |sort: &str, kind: &str| {
        item(&[("pk", string("clock")), ("sk", string(sort)), ("kind", string(kind)), ("since", time.clone())])
    };
    let restarts = AttributeValue::L(vec![time.clone(), time.clone()]);
    let expected = vec![
        item(&refused),
        clock("answered/other"),
        clock("disconnected/arn:1"),
        item(&down),
        dated("empty/i-1"),
        dated("leaving/i-1"),
        clock("monitor-declared"),
        clock("not-whole/2"),
        notice("notice/i-1", "spot"),
        notice("notice/i-2", "rebalance"),
        item(&[("pk", string("clock")), ("sk", string("restart/2")), ("at", restarts)]),
        item(&server),
        clock("silent/alone").into_iter().chain([("alone".to_owned(), time.clone())]).collect(),
        clock("silent/with its agent"),
        clock("unanswered/task"),
    ];
    assert_eq!(whole(&remembered), expected);
    let phase = [
        ("pk", string("cluster")),
        ("sk", string("phase")),
        ("phase", string("complete")),
        ("cores", AttributeValue::N("3".to_owned())),
        ("since", time),
    ];
    assert_eq!(phase_item(Phase::Complete, 3, seen), item(&phase));
}

#[test]
fn an_unreadable_clock_is_reported_and_restarts() {
    let with = |since: AttributeValue| item(&[("sk", string("disconnected/arn:1")), ("since", since)]);
    let items = [
        item(&[("sk", string("disconnected/arn:1"))]),
        with(string("yesterday")),
        with(AttributeValue::N("1795428000".to_owned())),
    ];
    assert_eq!(read(&items), (Remembered::default(), vec![false; 3]));
    let server = item(&[("sk", string("server/1")), ("id", string(""))]);
    assert_eq!(read(&[server, item(&[("sk", string("server/2"))])]), (Remembered::default(), vec![false; 2]));
}

#[test]
fn a_notice_of_an_unknown_kind_is_reported_and_forgotten() {
    let notice = |kind| item(&[("sk", string("notice/i-1")), ("since", time(at("10:00:00"))), ("kind", kind)]);
    let items = [notice(string("capacity-block")), notice(AttributeValue::Bool(true))];
    assert_eq!(read(&items), (Remembered::default(), vec![false; 2]));
}

#[test]
fn of_the_times_of_restarts_those_that_are_readable_count() {
    let listed = |at: AttributeValue| item(&[("sk", string("restart/2")), ("at", at)]);
    let times = AttributeValue::L(vec![time(at("10:00:00")), string("yesterday"), time(at("09:00:00"))]);
    let (remembered, readable) = read(&[listed(times)]);
    assert_eq!((&remembered.clocks.restarts[&2], readable), (&vec![at("09:00:00"), at("10:00:00")], vec![false]));
    let items = [listed(string("10:00")), item(&[("sk", string("restart/1"))])];
    assert_eq!(read(&items), (Remembered::default(), vec![false; 2]));
}

#[test]
fn a_clock_without_a_last_sighting_was_last_seen_when_it_started() {
    let since = at("10:00:00");
    for seen in [string("yesterday"), AttributeValue::Null(true)] {
        let clock = item(&[("sk", string("disconnected/arn:1")), ("since", time(since)), ("seen", seen)]);
        assert_eq!(read(&[clock]).0.clocks.disconnected["arn:1"], Away { since, seen: since });
    }
}

#[test]
fn items_with_other_keys_are_ignored() {
    let since = ("since", time(at("10:00:00")));
    let keys = ["", "not-whole/", "not-whole/one", "not-whole/256", "disconnected", "of-a-later-version/1"];
    let items = keys.map(|sort| item(&[("sk", string(sort)), since.clone()]));
    assert_eq!(read(&items).0, Remembered::default());
}

#[test]
fn a_phase_is_read_back_and_any_other_is_refused_by_name() {
    for written in [Phase::Complete, Phase::Deleting] {
        let item = phase_item(written, 5, at("10:00:00"));
        assert_eq!((phase(&item, "state").unwrap(), cores(&item)), (written, Some(5)));
    }
    let table = [("creating", "Some(\"creating\")"), ("Complete", "Some(\"Complete\")"), ("", "Some(\"\")")];
    for (value, name) in table {
        let refused = phase(&item(&[("phase", string(value))]), "state").unwrap_err();
        assert_eq!(refused.kind(), Kind::Permanent);
        let start =
            format!("table state says that the cluster's phase is {name}, but it should be complete or deleting");
        assert!(refused.to_string().starts_with(&start), "{refused}");
    }
    assert!(phase(&item(&[]), "state").unwrap_err().to_string().contains("phase is None"));
}

#[test]
fn an_unreadable_number_of_cores_is_none() {
    for value in [string("3"), AttributeValue::N("-1".to_owned()), AttributeValue::N("300".to_owned())] {
        assert_eq!(cores(&item(&[("cores", value)])), None);
    }
    assert_eq!(cores(&item(&[])), None);
}

#[test]
fn times_compare_as_text_as_they_do_as_times() {
    let times = ["09:59:59.999", "10:00:00", "10:00:00.001", "10:00:00.1", "10:00:01"].map(|text| time(at(text)));
    let texts: Vec<_> = times.iter().map(|time| time.as_s().unwrap()).collect();
    assert!(texts.is_sorted(), "{texts:?}");
}

fn wanted() -> Wanted {
    Wanted {
        core_task_definition: "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:3".into(),
        core_launch_templates: "lt-1:2 lt-2:1 lt-3:1".into(),
        replica_task_definition: "arn:aws:ecs:eu-west-1:0:task-definition/neo4j-replica:1".into(),
        replica_launch_template: "lt-9:4".into(),
    }
}

#[test]
fn a_target_has_the_keys_and_the_form_that_the_table_holds_and_is_read_back() {
    let whole = Target::read(&wanted()).unwrap();
    let item_of_target = item(&[
        ("pk", string("cluster")),
        ("sk", string("target")),
        ("coreTaskDefinition", string("arn:aws:ecs:eu-west-1:0:task-definition/neo4j-core:3")),
        ("coreLaunchTemplates", string("lt-1:2 lt-2:1 lt-3:1")),
        ("replicaTaskDefinition", string("arn:aws:ecs:eu-west-1:0:task-definition/neo4j-replica:1")),
        ("replicaLaunchTemplate", string("lt-9:4")),
        ("since", string("2026-11-23T10:00:00.000Z")),
    ]);
    assert_eq!(target_item(&whole, at("10:00:00")), item_of_target);
    let without = Target { replica: None, ..whole.clone() };
    for written in [whole, without] {
        assert_eq!(target(&target_item(&written, at("10:00:00"))), Ok(written));
    }
}

#[test]
fn an_unreadable_target_says_why() {
    let mut broken = target_item(&Target::read(&wanted()).unwrap(), at("10:00:00"));
    broken.remove("coreTaskDefinition");
    assert!(target(&broken).unwrap_err().starts_with("CoreTaskDefinition is \"\""));
    assert!(target(&item(&[])).is_err());
}

#[tokio::test]
async fn what_a_batch_keeps_leaving_out_is_no_phase() {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
    use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
    use cluster_lambda::stub::{Answers, credentials};

    let cluster = r#"{"pk": {"S": "cluster"}, "sk": {"S": "target"}}"#;
    let left = format!(r#"{{"Responses": {{"t": [{cluster}]}}, "UnprocessedKeys": {{"t": {{"Keys": [{cluster}]}}}}}}"#);
    let answers = Answers::new(&[(200, &left)]);
    let connector = SharedHttpConnector::new(answers.clone());
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials())
        .http_client(http_client_fn(move |_, _| connector.clone()));
    let table = StateTable::new(Client::from_conf(config.build()), "t".into());
    // Without the phase the cluster would pass for one that is being created.
    let failure = table.read_cluster().await.unwrap_err().chain();
    assert!(failure.ends_with("DynamoDB left items out"), "{failure}");
    assert_eq!(answers.requests.lock().unwrap().len(), usize::from(TRIES));
}
