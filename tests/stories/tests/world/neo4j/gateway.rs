//! The real gateway asks the members of the world.

use cluster_core::neo4j::{Answer, Answers, Asked, DeclareUsers, Declared, Kind, Login, Observe, Request, Secret};
use cluster_sim::time::{minutes, play};
use cluster_world::neo4j::Fault;
use serde_json::{Value, json};

use super::Asking;

fn login(username: &str, password: &str) -> Login {
    Login { username: username.to_owned(), password: Secret::new(password.to_owned()) }
}

impl Asking {
    fn asked(&self) -> Vec<Asked> {
        let cores = 1..=u8::try_from(self.cluster.nodes.len()).unwrap();
        let asked = |core: u8| {
            let task = self.task(usize::from(core));
            let address = self.cluster.wire.world().ecs.clusters[&self.cluster.ecs_cluster].tasks[&task].address;
            Asked { task, core: Some(core), address, pages_only: false }
        };
        cores.map(asked).collect()
    }

    async fn invoke(&self, request: &Request) -> Value {
        let name = self.cluster.wire.world().lambda.functions.first().unwrap().clone();
        let request = cluster_world::Request {
            method: "POST".to_owned(),
            path: format!("/2015-03-31/functions/{name}/invocations"),
            body: serde_json::to_vec(request).unwrap(),
            ..cluster_world::Request::default()
        };
        let answer = self.cluster.wire.send(&request).await.unwrap();
        assert!(answer.status == 200 && answer.headers.is_empty(), "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    async fn observe(&self) -> Vec<Answer> {
        self.observe_as("watcher").await
    }

    async fn observe_as(&self, user: &str) -> Vec<Answer> {
        let monitor = Some(login(user, "watcher-password"));
        let answer = self.invoke(&Request::Observe(Observe { members: self.asked(), monitor })).await;
        serde_json::from_value::<Answers>(answer).unwrap().members
    }
}

#[test]
fn it_sees_a_formed_cluster_whole() {
    play(async {
        let asking = Asking::formed(3);
        for answer in asking.observe().await {
            let (page, raft) = (answer.page.unwrap(), answer.raft.unwrap());
            assert_eq!((page.edition.as_str(), raft.len()), ("enterprise", 2));
            assert!(raft.iter().all(|raft| raft.voters.len() == 3 && raft.healthy == Some(true)));
            let (view, check) = (answer.view.unwrap(), answer.check.unwrap());
            let core =
                usize::from(asking.asked().iter().find(|asked| asked.address == answer.address).unwrap().core.unwrap());
            assert_eq!(view.server, Some(asking.member(core).server));
            assert_eq!((view.servers.len(), view.databases.len(), check.len()), (3, 2, 6));
            assert!(view.databases.iter().all(|database| database.copies.len() == 3 && database.age.is_some()));
            assert!(check.iter().all(|row| row.replicated == Some(true) && row.status.as_deref() == Some("APPLYING")));
        }
    });
}

#[test]
fn it_declares_the_monitor_through_any_member() {
    play(async {
        let asking = Asking { cluster: cluster_sim::cluster::Cluster::formed(3) };
        let password = {
            let world = asking.cluster.wire.world();
            let arn = world.secrets_manager.secrets.keys().find(|arn| arn.contains("Admin")).unwrap();
            world.secrets_manager.field(arn, "password").unwrap()
        };
        let declare = || {
            let (admin, monitor) = (login("neo4j", &password), login("monitor", "watcher-password"));
            Request::DeclareUsers(DeclareUsers { members: asking.asked(), admin, monitor })
        };
        let refused = asking.observe_as("monitor").await.remove(0);
        assert_eq!(refused.view.unwrap_err().kind, Kind::LoginRefused);
        let declared: Declared = serde_json::from_value(asking.invoke(&declare()).await).unwrap();
        assert!(declared.monitor.is_ok(), "{declared:?}");
        assert!(asking.observe_as("monitor").await.iter().all(|answer| answer.check.is_ok()));
    });
}

#[test]
fn a_silent_member_costs_its_time_and_hides_nobody() {
    play(async {
        let asking = Asking::formed(3);
        asking.hang(1, true);
        asking.cluster.live(minutes(1)).await;
        let began = asking.cluster.wire.world().now;
        let answers = asking.observe().await;
        assert!(asking.cluster.wire.world().now.duration_since(began).as_secs() <= 8);
        assert_eq!(answers[0].page.as_ref().unwrap_err().kind, Kind::Silent);
        assert!(answers[1..].iter().all(|answer| answer.check.is_ok()), "{answers:?}");
        asking.hang(1, false);
        for (fault, kind) in [
            (Fault::Refused, Kind::Unreachable),
            (Fault::Status(404), Kind::NotFound),
            (Fault::Html, Kind::Unreadable),
            (Fault::Huge, Kind::TooLarge),
            (Fault::HalfClosed, Kind::Silent),
        ] {
            let address = asking.member(2).address;
            asking.cluster.wire.world().add_fault(address, fault.clone());
            let answers = asking.observe().await;
            assert_eq!(answers[1].page.as_ref().unwrap_err().kind, kind, "{fault:?}");
            asking.cluster.wire.world().heal(address);
        }
        let answer = asking.invoke(&Request::Observe(Observe { members: asking.asked(), monitor: None })).await;
        assert_eq!(answer["members"][0]["view"]["Err"]["kind"], json!("not-asked"));
    });
}
