//! A cluster that is well, for tests to take something from.

use crate::{
    neo4j::{Answer, Check, Copy, Database, Page, Raft, Server, View},
    quorum::{Member, Observed},
};

/// A database with the cores that host it as primaries.
pub(crate) type Hosted<'a> = (&'a str, &'a [u8]);

pub(crate) fn server(core: u8) -> String {
    format!("server-{core}")
}

pub(super) fn raft_id(core: u8) -> String {
    format!("raft-{core}")
}

fn hosts<'a>(cores: u8, databases: &[Hosted<'a>]) -> Vec<(&'a str, Vec<u8>)> {
    let on_all = |name| (name, (1..=cores).collect());
    let mut hosts = vec![on_all("system")];
    hosts.extend(databases.iter().map(|(name, on)| (*name, on.to_vec())));
    // A member that sees nothing but `system` lacks rights.
    hosts.extend(databases.is_empty().then(|| on_all("wide")));
    hosts
}

/// Returns what every core answers in a cluster in which each of these databases, and `system`, is well. Without any there
/// is one on every core.
pub(crate) fn healthy(cores: u8, databases: &[Hosted<'_>]) -> Observed {
    let hosts = hosts(cores, databases);
    Observed {
        cores,
        members: (1..=cores).map(|core| member(core, Some(answer(core, cores, &hosts)))).collect(),
        servers: (1..=cores).map(|core| (core, server(core))).collect(),
        down_before: Default::default(),
    }
}

pub(super) fn member(core: u8, answer: Option<Answer>) -> Member {
    let address = Some([10, 0, core, 10].into());
    Member { core: Some(core), task: format!("{core}a5c0ffee0000000"), address, answer, going: None }
}

/// Returns a replica that answers.
pub(crate) fn replica(number: u8, databases: &[&str]) -> Member {
    let own = format!("replica-{number}");
    let database = |name: &&str| {
        let copy = Copy { role: Some("secondary".into()), ..copy(0, &own) };
        Database { copies: vec![copy], ..row(name, 3) }
    };
    let view = View { server: Some(own.clone()), servers: vec![], databases: databases.iter().map(database).collect() };
    let not_asked = || Err(crate::neo4j::Fault::new(crate::neo4j::Kind::NotAsked, "it is asked of cores only"));
    let address = [10, 0, number, 20].into();
    let task = format!("{number}e9b1ca00000000");
    let answer = Answer {
        task: task.clone(),
        address,
        page: Ok(page()),
        raft: not_asked(),
        view: Ok(view),
        check: Err(crate::neo4j::Fault::new(crate::neo4j::Kind::NotAsked, "it is asked of cores only")),
        millis: 12,
    };
    Member { core: None, task, address: Some(address), answer: Some(answer), going: None }
}

pub(super) fn page() -> Page {
    Page { version: "2026.08.1".into(), edition: "enterprise".into() }
}

fn copy(leader: u8, of: &str) -> Copy {
    let writer = of == server(leader);
    Copy {
        server: Some(of.into()),
        role: Some("primary".into()),
        writer,
        status: "online".into(),
        message: String::new(),
    }
}

fn row(name: &str, primaries: usize) -> Database {
    Database {
        name: name.into(),
        id: Some(format!("id-{name}")),
        kind: if name == "system" { "system" } else { "standard" }.into(),
        requested_status: "online".into(),
        requested_primaries: u32::try_from(primaries).ok(),
        requested_secondaries: Some(0),
        current_primaries: u32::try_from(primaries).ok(),
        age: Some(86_400),
        copies: vec![],
    }
}

fn answer(core: u8, cores: u8, databases: &[(&str, Vec<u8>)]) -> Answer {
    let leader = |on: &[u8]| *on.iter().min().expect("a host");
    let own = databases.iter().filter(|(_, on)| on.contains(&core));
    let raft = own.clone().map(|(name, on)| Raft {
        database: (*name).into(),
        member: Some(raft_id(core)),
        leader: Some(raft_id(leader(on))),
        voters: on.iter().copied().map(raft_id).collect(),
        applied: Some(1_000),
        participating: Some(true),
        healthy: Some(true),
    });
    let shown = databases.iter().map(|(name, on)| {
        let copies = on.iter().map(|host| copy(leader(on), &server(*host))).collect();
        Database { copies, ..row(name, on.len()) }
    });
    let hosted =
        |host: u8| databases.iter().filter(|(_, on)| on.contains(&host)).map(|(name, _)| (*name).to_owned()).collect();
    let servers = (1..=cores).map(|host| Server {
        id: server(host),
        address: Some(format!("10.0.{host}.10:7687")),
        state: "Enabled".into(),
        health: "Available".into(),
        hosting: hosted(host),
        requested: hosted(host),
        version: Some(page().version),
    });
    // «It does not run on singles or secondaries.»
    let checks = own.filter(|(_, on)| on.len() > 1).flat_map(|(name, on)| {
        on.iter().map(|host| Check {
            database: (*name).into(),
            server: server(*host),
            replicated: Some(true),
            status: Some("APPLYING".into()),
            leader: Some(server(leader(on))),
            requester: *host == core,
            error: None,
        })
    });
    Answer {
        task: format!("{core}a5c0ffee0000000"),
        address: [10, 0, core, 10].into(),
        page: Ok(page()),
        raft: Ok(raft.collect()),
        view: Ok(View { server: Some(server(core)), servers: servers.collect(), databases: shown.collect() }),
        check: Ok(checks.collect()),
        millis: 40,
    }
}

/// Changes a cluster.
pub(crate) trait Alter {
    fn answer(&mut self, core: u8) -> &mut Answer;
    fn raft(&mut self, core: u8, database: &str) -> &mut Raft;
    /// Returns the row of a database as one core sees it.
    fn row(&mut self, core: u8, database: &str) -> &mut Database;
    /// Changes a copy in everybody's view.
    fn copy(&mut self, host: u8, database: &str, change: impl Fn(&mut Copy));
    /// Changes what everybody's status check says of a member.
    fn status(&mut self, host: u8, database: &str, status: &str);
    /// Changes a database in everybody's view.
    fn rows(&mut self, database: &str, change: impl Fn(&mut Database));
    /// Takes what a broken copy takes: its page and its checks leave it out, and the others call it unavailable.
    fn break_copy(&mut self, host: u8, database: &str, status: &str, message: &str);
}

impl Alter for Observed {
    fn answer(&mut self, core: u8) -> &mut Answer {
        let member = self.members.iter_mut().find(|member| member.core == Some(core)).expect("a member");
        member.answer.as_mut().expect("an answer")
    }

    fn raft(&mut self, core: u8, database: &str) -> &mut Raft {
        let raft = self.answer(core).raft.as_mut().expect("a status page");
        raft.iter_mut().find(|raft| raft.database == database).expect("a group")
    }

    fn row(&mut self, core: u8, database: &str) -> &mut Database {
        let view = self.answer(core).view.as_mut().expect("a view");
        view.databases.iter_mut().find(|row| row.name == database).expect("a row")
    }

    fn copy(&mut self, host: u8, database: &str, change: impl Fn(&mut Copy)) {
        self.rows(database, |row| {
            row.copies.iter_mut().filter(|copy| copy.server.as_deref() == Some(&server(host))).for_each(&change);
        });
    }

    fn status(&mut self, host: u8, database: &str, status: &str) {
        for answer in self.members.iter_mut().filter_map(|member| member.answer.as_mut()) {
            let checks = answer.check.iter_mut().flatten();
            checks
                .filter(|check| check.database == database && check.server == server(host))
                .for_each(|check| check.status = Some(status.into()));
        }
    }

    fn rows(&mut self, database: &str, change: impl Fn(&mut Database)) {
        let answers = self.members.iter_mut().filter_map(|member| member.answer.as_mut());
        let views = answers.filter_map(|answer| answer.view.as_mut().ok());
        views.flat_map(|view| &mut view.databases).filter(|row| row.name == database).for_each(change);
    }

    fn break_copy(&mut self, host: u8, database: &str, status: &str, message: &str) {
        self.copy(host, database, |copy| (copy.status, copy.message) = (status.into(), message.into()));
        self.status(host, database, "UNAVAILABLE");
        let answer = self.answer(host);
        answer.raft.as_mut().expect("a status page").retain(|raft| raft.database != database);
        answer.check.as_mut().expect("a status check").retain(|check| check.database != database);
    }
}
