//! The user `monitor`, made through whichever member can.

use cluster_core::neo4j::{Declaration, Kind};
use serde_json::json;

use crate::stub::{ADMIN, MONITOR, Members, Said, address, error, updates};

const GRANTS: [&str; 6] = [
    "CREATE_ROLE",
    "GRANT_ROLE",
    "GRANT_ACCESS",
    "GRANT_SHOW_SERVERS",
    "GRANT_STATUS_CHECK",
    "GRANT_STATUS_CHECK_BOOSTED",
];

fn sent(members: &Members, core: u8) -> Vec<String> {
    members.sent_to(core)
}

#[tokio::test(start_paused = true)]
async fn a_user_is_created_changed_or_left() {
    for (created, password, want, first) in [
        (1, None, Declaration::Created, &["/", "CREATE_USER"][..]),
        (0, None, Declaration::Left, &["/", "CREATE_USER", "SET_PASSWORD", "KEEP_PASSWORD"]),
        (0, Some(updates(1)), Declaration::Changed, &["/", "CREATE_USER", "SET_PASSWORD"]),
    ] {
        let mut members = Members::default().says(1, "CREATE_USER", [updates(created)]);
        if let Some(said) = password {
            members = members.says(1, "SET_PASSWORD", [said]);
        }
        assert_eq!(members.declare(&[1, 2]).await.monitor, Ok(want));
        assert_eq!(sent(&members, 1), [first, &GRANTS[..]].concat());
        assert_eq!(sent(&members, 2), ["/"]);
        for (_, name, body) in members.sent().iter().filter(|(_, name, _)| name != "/") {
            assert_eq!(body["accessMode"], "Write", "{name}");
            assert_eq!(body["parameters"].get("password").is_some(), name.ends_with("USER") || name == "SET_PASSWORD");
        }
        let create = &members.sent()[2].2;
        assert_eq!(create["parameters"], json!({"user": "monitor", "password": MONITOR}));
    }
}

#[tokio::test(start_paused = true)]
async fn the_admins_password_is_sent_to_one_member_alone() {
    for (said, want) in [
        (error(401, "Neo.ClientError.Security.Unauthorized"), Kind::LoginRefused),
        (error(429, "Neo.ClientError.Security.AuthenticationRateLimit"), Kind::Locked),
        (error(400, "Neo.ClientError.Security.CredentialsExpired"), Kind::PasswordExpired),
        (error(403, "Neo.ClientError.Security.Forbidden"), Kind::Forbidden),
        (error(400, "Neo.ClientError.Statement.UnsupportedAdministrationCommand"), Kind::Failed),
        (Said::Nothing, Kind::Silent),
        (Said::Refused, Kind::Unreachable),
    ] {
        let members = Members::default().says(1, "CREATE_USER", [said.clone()]);
        let failed = members.declare(&[1, 2, 3]).await.monitor.unwrap_err();
        assert_eq!(failed.kind, want, "{said:?}");
        assert!(failed.message.starts_with("CREATE_USER: ") && !failed.message.contains(ADMIN), "{failed}");
        assert_eq!((sent(&members, 1), sent(&members, 2)), (vec!["/".into(), "CREATE_USER".into()], vec!["/".into()]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_member_is_tried_where_there_is_no_answer_or_no_leader() {
    let no_leader = || error(400, "Neo.ClientError.Cluster.NotALeader");
    // Core 1 is silent; core 2 has created the user when the leader changes; core 3 goes on.
    let members = Members::default().says(1, "/", [Said::Nothing]).says(2, "CREATE_USER", [updates(1)]).says(
        2,
        "GRANT_ROLE",
        [no_leader()],
    );
    assert_eq!(members.declare(&[1, 2, 3]).await.monitor, Ok(Declaration::Created));
    assert_eq!(sent(&members, 1), ["/"]);
    assert_eq!(sent(&members, 2), ["/", "CREATE_USER", "CREATE_ROLE", "GRANT_ROLE"]);
    assert_eq!(sent(&members, 3), [&["/"][..], &GRANTS[..]].concat());

    let members = Members::default().says(1, "CREATE_USER", [no_leader()]).says(2, "/", [Said::Refused]);
    let failed = members.declare(&[1, 2]).await.monitor.unwrap_err();
    assert_eq!(failed.kind, Kind::Failed);
    for member in [1, 2].map(address) {
        assert!(failed.message.contains(&member.to_string()), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_and_nothing_is_declared() {
    let members = Members::default().says(1, "/", [Said::Nothing]).says(2, "/", [Said::Refused]);
    let failed = members.declare(&[1, 2]).await.monitor.unwrap_err();
    assert_eq!(failed.kind, Kind::Silent);
    assert!(members.sent().iter().all(|(_, name, _)| name == "/"));
}
