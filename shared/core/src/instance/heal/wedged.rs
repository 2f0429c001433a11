//! Whether an instance whose agent is silent is lost with its Neo4j.

use jiff::Timestamp;

use super::{
    super::{ContainerInstance, InstanceStatus, Seen},
    A_DAY, Ill, Judged, NotYet, PATIENCE, Witness, called_by, may_be_wedged,
    patient::Patient,
};
use crate::{neo4j::Kind, quorum::vouched_for};

impl Patient<'_> {
    /// Judges a core whose agent ECS has lost. An agent that crashed leaves its Neo4j serving, so it takes a second witness.
    pub(super) fn cut_off(&self, registrations: &[&ContainerInstance]) -> Judged {
        if !may_be_wedged(self.observed, self.instance, self.now) {
            return Judged::Well;
        }
        let Some(agent) = registrations.iter().filter_map(|found| found.disconnected_since).max() else {
            return Judged::Well;
        };
        match self.instance.status {
            Some(InstanceStatus::NotImpaired) => {}
            None => return Judged::NotYet(NotYet::StatusUnknown { instance: self.instance.id.clone(), agent }),
            // Auto Scaling replaces what EC2 calls impaired.
            Some(InstanceStatus::Impaired | InstanceStatus::Gone) => return Judged::Well,
        }
        let witness = match self.second_witness(registrations, agent) {
            Ok(witness) => witness,
            Err(why) => return Judged::NotYet(why),
        };
        let task = self.tasks().first().map(|(_, task)| task.id.clone());
        let ill = || Ill::Wedged { instance: self.instance.id.clone(), task, agent, witness };
        self.limited(A_DAY, None).map_or_else(|| Judged::Ill(ill()), Judged::NotYet)
    }

    /// Returns who else says that nothing works on an instance whose agent is silent.
    fn second_witness(&self, registrations: &[&ContainerInstance], agent: Timestamp) -> Result<Witness, NotYet> {
        let instance = || self.instance.id.clone();
        let one = |why| NotYet::OneWitness { instance: instance(), agent, why };
        let unlisted: usize = registrations.iter().map(|found| found.unlisted_tasks()).sum();
        let tasks = self.tasks();
        let elsewhere = tasks.iter().any(|(on, _)| on.instance != self.instance.id);
        if unlisted > 0 || elsewhere || tasks.len() > 1 {
            return Err(NotYet::TasksUnclear { instance: instance(), agent });
        }
        if let Some(why) = self.observed.quorum_observed.as_ref().and_then(|asked| vouched_for(asked, self.core)) {
            return Err(one(why.to_string()));
        }
        if let Some((_, task)) = tasks.first() {
            let heard = match &self.observed.neo4j {
                Seen::Answers(heard) => heard.get(&self.core).filter(|heard| heard.answer.task == task.id),
                Seen::NotAsked | Seen::NoGateway | Seen::GatewayFailed(_) => None,
            };
            let Some(heard) = heard else { return Err(one("nobody asked its Neo4j".to_owned())) };
            match &heard.answer.page {
                Ok(_) => return Err(one("its Neo4j answers".to_owned())),
                Err(fault) if !matches!(fault.kind, Kind::Silent | Kind::Unreachable) => {
                    return Err(one(format!("its Neo4j is not silent: {fault}")));
                }
                Err(_) if !heard.answered_before => {
                    return Err(one("its Neo4j has not answered since its start, and may be recovering".to_owned()));
                }
                Err(_) => {}
            }
            let silent = self.observed.silent.get(&task.id).filter(|silent| self.is_fresh(silent.seen));
            let long = silent.filter(|silent| self.now.duration_since(silent.since) >= PATIENCE);
            if let Some(silent) = long {
                return Ok(Witness::Silent(silent.since));
            }
        }
        called_by(self.observed, self.core).map(Witness::Peers).map_err(one)
    }
}
