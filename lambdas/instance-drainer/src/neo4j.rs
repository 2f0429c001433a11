use std::collections::BTreeMap;

use cluster_core::{
    ids::InstanceId,
    instance::{ContainerInstance, Notice, NoticeKind, Phase, Policy, Seen},
    neo4j::{
        Answer, Answers, Asked, Declaration, DeclareUsers, Memory,
        monitor::{self, Decision, Trouble},
    },
    quorum::{self, Going, Member, Observed, Quorum},
};
use cluster_gateway::{Gateway, Logins, Versioned};
use cluster_lambda::{Aws, Failure, env::Lookup, query::Query, telemetry::Metric};
use cluster_members::{Addresses, asked, core_of, going, tasks};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::Asks;

pub(crate) const LOGINS_REFUSED: &str = "MonitorLoginsRefused";
pub(crate) const MEMBERS_ANSWERING: &str = "MembersAnswering";
pub(crate) const MEMBERS_MISSING: &str = "MembersMissing";
pub(crate) const QUORUM_MARGIN: &str = "QuorumMargin";
pub(crate) const RIGHTS_MISSING: &str = "MonitorRightsMissing";

/// What Neo4j's members are asked by.
#[derive(Clone, Debug)]
pub(crate) struct Neo4j {
    gateway: Gateway,
    logins: Logins,
    addresses: Addresses,
    admin_secret: String,
    monitor_secret: String,
}

/// What a round heard of Neo4j.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The members that were asked.
    pub asked: Vec<Asked>,
    /// All members, with what they answered.
    pub members: Vec<Member>,
    /// Why nobody was heard, if the gateway failed.
    pub gateway: Option<String>,
    /// Why members could not be asked in Cypher, if the monitor's secret could not be read.
    pub monitor: Option<String>,
}

impl Neo4j {
    /// Makes the clients. Refuses where no endpoint is known.
    pub(crate) fn new(asks: &Asks, ec2: Query, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self {
            gateway: Gateway::new(asks.gateway.clone(), lookup, aws)?,
            logins: Logins::new(lookup, aws)?,
            addresses: Addresses::new(ec2),
            admin_secret: asks.admin_secret.clone(),
            monitor_secret: asks.monitor_secret.clone(),
        })
    }

    /// Asks every member that runs. Whatever fails leaves members unheard, and nothing else undone.
    pub(crate) async fn listen(
        &self,
        found: &[ContainerInstance],
        policy: &Policy,
        memory: &Memory,
        now: Timestamp,
    ) -> Heard {
        let tasks: Vec<_> = tasks(found, policy).collect();
        let (addresses, login) = tokio::join!(
            biased;
            async {
                let instances: Vec<_> = tasks.iter().map(|(on, _)| &on.instance).collect();
                self.addresses.of(&instances).await
            },
            self.logins.of(&self.monitor_secret, now)
        );
        let failed = |failure: &Failure| {
            tracing::error!("{}", failure.chain());
            failure.chain()
        };
        let (addresses, mut gateway) = match addresses {
            Ok(addresses) => (addresses, None),
            Err(failure) => (BTreeMap::new(), Some(failed(&failure))),
        };
        let (login, monitor) = match login {
            Ok(Versioned { login, .. }) => (Some(login), None),
            Err(failure) => (None, Some(failed(&failure))),
        };
        let asked = asked(&tasks, &addresses, policy, memory, now);
        let mut answers = BTreeMap::new();
        if !asked.is_empty() {
            match self.gateway.observe(asked.clone(), login).await {
                Ok(heard) => answers.extend(heard.into_iter().map(|answer| (answer.task.clone(), answer))),
                Err(failure) => gateway = Some(failed(&failure)),
            }
        }
        if answers.values().any(|answer| matches!(monitor::trouble(answer), Some(Trouble::LoginRefused))) {
            // It may have been rotated.
            self.logins.forget(&self.monitor_secret);
        }
        let members = tasks.into_iter().map(|(on, task)| Member {
            core: core_of(task, policy),
            task: task.id.clone(),
            address: addresses.get(&on.instance).copied(),
            answer: answers.remove(&task.id),
            going: going(on, task),
        });
        let members = members.collect();
        Heard { asked, members, gateway, monitor }
    }

    /// Decides whether the user that asks has to be declared. The administrator's secret is read only where something is
    /// wrong with that user.
    pub(crate) async fn decide(&self, heard: &Heard, phase: Phase, memory: &Memory, now: Timestamp) -> Monitor {
        let answers = Answers { members: heard.answers() };
        if answers.logins_refused() + answers.rights_missing() == 0 {
            return Monitor::default();
        }
        // It may have been rotated, or corrected.
        self.logins.forget(&self.admin_secret);
        match self.logins.of(&self.admin_secret, now).await {
            Ok(admin) => {
                let decision = monitor::decide(&answers, phase, &memory.monitor, &admin.version, now);
                let declares = matches!(decision, Decision::Declare { .. });
                // The decision knows only the secret's version.
                let refused = matches!(decision, Decision::AdminRefused { .. });
                let failure = refused.then(|| format!("{decision}; the secret is {}", self.admin_secret));
                Monitor { decision: Some(decision), admin: declares.then_some(admin), failure }
            }
            Err(failure) => Monitor { failure: Some(failure.chain()), ..Monitor::default() },
        }
    }

    /// Declares the user that asks the members, in the name of the administrator, and remembers what came of it.
    pub(crate) async fn declare(
        &self,
        heard: &Heard,
        admin: Versioned,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Declaration, String> {
        let monitor = self.logins.of(&self.monitor_secret, now).await.map_err(|failure| failure.chain())?.login;
        let user = admin.login.username.clone();
        let wanted = DeclareUsers { members: heard.asked.clone(), admin: admin.login, monitor };
        let declared = self.gateway.declare_users(wanted).await.map_err(|failure| failure.chain())?.monitor;
        memory.monitor.see(&declared, &admin.version, now);
        let refused = memory.monitor.admin_refused.as_ref().is_some_and(|refused| refused.at == now);
        let secret = &self.admin_secret;
        declared.map_err(|fault| {
            if refused {
                format!("{fault}: put the password that the user {user} has into the secret {secret}")
            } else {
                fault.to_string()
            }
        })
    }
}

/// What is to be done about the user that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    /// The decision; nothing when nothing is wrong.
    pub decision: Option<Decision>,
    /// The administrator's login, if the user is to be declared.
    pub(crate) admin: Option<Versioned>,
    /// Why nothing can be done, or what was tried failed.
    pub failure: Option<String>,
}

/// What came of asking Neo4j.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neo4jOutcome {
    /// What was heard.
    pub heard: Heard,
    /// What follows from it is decided by.
    pub observed: Observed,
    /// Which core may be stopped.
    pub quorum: Quorum,
    /// What is to be done about the user that asks.
    pub monitor: Monitor,
}

impl Neo4jOutcome {
    /// Returns whether the gateway answered at all.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.heard.gateway.is_none()
    }

    /// Returns what the function answers about Neo4j.
    #[must_use]
    pub fn answer(&self) -> Value {
        let lags = quorum::lags(&self.observed);
        let members = self.observed.members.iter().map(|member| {
            let page = member.answer.as_ref().map(|answer| &answer.page);
            let version = page.and_then(|page| page.as_ref().ok()).map(|page| &page.version);
            let why = match page {
                Some(Ok(_)) => None,
                Some(Err(fault)) => Some(fault.to_string()),
                None => Some("it was not asked".to_owned()),
            };
            json!({
                "member": member.name(),
                "task": member.task,
                "address": member.address,
                "version": version,
                "answers": why.is_none(),
                "why": why,
                "databases": quorum::roles(member),
                "lag": lags.get(member.task.as_str()),
                "going": member.going.as_ref().map(ToString::to_string),
            })
        });
        json!({
            "margin": self.quorum.margin(),
            "missing": self.quorum.missing(),
            "warnings": self.quorum.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "gateway": self.heard.gateway,
            "monitor": self.monitor(),
            "members": members.collect::<Vec<_>>(),
        })
    }

    /// Returns what is wrong with the user that asks, and what is done about it; nothing when nothing is.
    #[must_use]
    pub fn monitor(&self) -> Option<String> {
        let Monitor { decision, failure, .. } = &self.monitor;
        failure.clone().or(decision.as_ref().map(ToString::to_string)).or(self.heard.monitor.clone())
    }

    /// Returns the metrics. The margin is absent when it is not known.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let members = &self.heard.members;
        let answers = Answers { members: self.heard.answers() };
        // Without a login nobody can be asked in Cypher.
        let refused = if self.heard.monitor.is_some() { self.heard.asked.len() } else { answers.logins_refused() };
        let mut metrics = vec![
            Metric::count(MEMBERS_ANSWERING, members.iter().filter(|member| member.answers()).count()),
            Metric::count(MEMBERS_MISSING, self.quorum.missing().len()),
            Metric::count(LOGINS_REFUSED, refused),
            Metric::count(RIGHTS_MISSING, answers.rights_missing()),
        ];
        metrics.extend(self.quorum.margin().map(|margin| Metric::signed(QUORUM_MARGIN, margin)));
        metrics
    }
}

impl Heard {
    /// Returns the answers.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.members.iter().filter_map(|member| member.answer.clone()).collect()
    }

    /// Returns what decides which core may be stopped.
    pub(crate) fn observed(&self, cores: u8, memory: &Memory, now: Timestamp) -> Observed {
        Observed {
            cores,
            members: self.members.clone(),
            servers: memory.servers.clone(),
            down_before: memory.down_before(now),
        }
    }

    /// Forgets nothing that was heard, and takes from a later observation which members there are, and who is about to go.
    pub(crate) fn later(self, observed: &cluster_core::instance::Observed, policy: &Policy) -> Self {
        let before: BTreeMap<_, _> = self.members.into_iter().map(|member| (member.task.clone(), member)).collect();
        let members = tasks(&observed.container_instances, policy).map(|(on, task)| {
            let known = before.get(&task.id);
            Member {
                core: core_of(task, policy),
                task: task.id.clone(),
                address: known.and_then(|known| known.address),
                answer: known.and_then(|known| known.answer.clone()),
                going: going(on, task),
            }
        });
        Self { members: members.collect(), ..self }
    }

    /// Adds what EC2 has announced about the instances of members that go for no other reason.
    pub(crate) fn announce(
        &mut self,
        found: &[ContainerInstance],
        notices: &BTreeMap<InstanceId, Notice>,
        events: &BTreeMap<InstanceId, String>,
    ) {
        for member in self.members.iter_mut().filter(|member| member.going.is_none()) {
            let on = found.iter().find(|on| on.tasks.iter().any(|task| task.id == member.task));
            let Some(instance) = on.map(|on| &on.instance) else { continue };
            let spot = notices.get(instance).is_some_and(|notice| notice.kind == NoticeKind::Spot);
            let event = events.get(instance).map(|code| Going::Event(code.clone()));
            member.going = spot.then_some(Going::Spot).or(event);
        }
    }

    /// Returns what says whether cores are whole.
    pub(crate) fn seen(&self, memory: &Memory) -> Seen {
        if let Some(why) = &self.gateway {
            return Seen::GatewayFailed(why.clone());
        }
        // Where a core has two tasks, the one that stays comes last.
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|member| member.going != Some(Going::NotWanted));
        let heard = members.into_iter().filter_map(|member| {
            let (core, answer) = (member.core?, member.answer.clone()?);
            let answered_before = memory.answered.contains_key(&member.task);
            let pages_only = self.asked.iter().any(|asked| asked.task == member.task && asked.pages_only);
            Some((core, cluster_core::instance::Heard { answer, answered_before, pages_only }))
        });
        Seen::Answers(heard.collect())
    }
}
