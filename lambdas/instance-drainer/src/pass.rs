use std::collections::BTreeMap;

use cluster_core::instance::{self, Action, Group, Host, Life, Plan, Reading, State, Step};
use cluster_lambda::Failure;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Drainer, groups::End, volumes::Attached};

/// How many instances fit into one filter of ECS with ease.
const ASKED_AT_ONCE: usize = 50;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How far the cluster's life has come; nothing when nothing waited for a plan.
    pub life: Option<Life>,
    /// What was planned.
    pub plan: Plan,
    /// What came of it.
    pub tally: Tally,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
}

impl Outcome {
    /// What the function answers to whoever asked.
    #[must_use]
    pub fn answer(&self) -> Value {
        json!({
            "life": self.life.map(|life| life.to_string()),
            "steps": self.plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applied": self.tally.applied,
            "dryRun": self.dry_run,
        })
    }
}

/// How many steps of a plan have come to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that changed something. A heartbeat changes nothing.
    pub applied: usize,
    /// Volumes that are being attached.
    pub attached: usize,
    /// Instances that went into service.
    pub admitted: usize,
    /// Instances whose launch was abandoned.
    pub refused: usize,
    /// Attachments that have to wait for the next pass.
    pub put_off: usize,
    /// Those among them that only people can bring about.
    pub no_room: usize,
    /// The longest time from the attachment of a volume to the admission of its instance.
    pub attach_seconds: Option<i64>,
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applied {
    /// It changed something.
    Yes,
    /// There was nothing to change, or nothing any more.
    No,
    /// It is left to the next pass.
    PutOff,
    /// It waits for people.
    NoRoom,
}

impl Drainer {
    /// Does what can be done now for every instance that Auto Scaling holds: reads everything, plans, carries out.
    pub async fn pass(&self, dry_run: bool) -> Result<Outcome, Failure> {
        let (outcome, failed) = self.attempt(dry_run, None).await?;
        failed.map_or(Ok(outcome), Err)
    }

    /// A pass, and the first failure of a step, if one failed: the trouble of one instance must not stop the others. Whoever
    /// knows how far the cluster's life has come need not ask the state table.
    pub(crate) async fn attempt(
        &self,
        dry_run: bool,
        life: Option<Life>,
    ) -> Result<(Outcome, Option<Failure>), Failure> {
        let now = self.now();
        let Some(reading) = self.observe(life).await? else {
            return Ok((Outcome { dry_run, ..Outcome::default() }, None));
        };
        let plan = instance::plan(&reading, &self.config.policy(), now);
        log(&plan, dry_run);
        let mut outcome = Outcome { life: Some(reading.life), plan, tally: Tally::default(), dry_run };
        let mut failed = None;
        if !dry_run {
            for step in &outcome.plan.steps {
                match self.apply(step).await {
                    Ok(applied) => outcome.tally.add(step, applied, &reading, now),
                    Err(failure) => {
                        tracing::error!(%step, "{}", failure.chain());
                        failed.get_or_insert(failure);
                    }
                }
            }
        }
        Ok((outcome, failed))
    }

    /// Reads a little of what a pass reads, with the pass's own calls and rights, so that connections are there when the
    /// first event comes. What it reads is not believed: by then it may be old.
    pub async fn touch(&self) -> [Result<(), Failure>; 2] {
        let (groups, life) = tokio::join!(self.groups.of(&self.config.cluster), self.life.read());
        [groups.map(drop), life.map(drop)]
    }

    /// Reads what a plan needs, or nothing more than the groups and the life when nothing waits for one.
    async fn observe(&self, life: Option<Life>) -> Result<Option<Reading>, Failure> {
        let cluster = &self.config.cluster;
        let life = async {
            match life {
                Some(life) => Ok(life),
                None => self.life.read().await,
            }
        };
        let (groups, life) = tokio::try_join!(biased; self.groups.of(cluster), life)?;
        if !Reading::is_needed(life, &groups) {
            return Ok(None);
        }
        let volumes = async {
            if Reading::needs_volumes(&groups) { self.volumes.of(cluster).await } else { Ok(BTreeMap::new()) }
        };
        let (hosts, volumes) = tokio::try_join!(biased; self.hosts.all(), volumes)?;
        let hosts = match hosts {
            Some(hosts) => self.looked_at_closely(hosts, &groups).await?,
            // The ECS cluster went before its instances did.
            None if life == Life::Deleting => BTreeMap::new(),
            None => {
                let cluster = &self.config.ecs_cluster;
                return Err(Failure::permanent(format!(
                    "there is no ECS cluster {cluster}: was it deleted outside of the stack?"
                )));
            }
        };
        Ok(Some(Reading { life, groups, volumes, hosts }))
    }

    /// Makes sure of what instances are let go by. One that is to be terminated and that the list leaves out is asked for
    /// by its id, since absence from a list is no proof; of one without tasks it is asked which of them are still being
    /// stopped; and of any whose agent is away, since when.
    async fn looked_at_closely(
        &self,
        mut hosts: BTreeMap<String, Host>,
        groups: &[Group],
    ) -> Result<BTreeMap<String, Host>, Failure> {
        let instances = groups.iter().flat_map(|group| &group.instances);
        let leaving = instances.filter(|instance| matches!(instance.state, State::TerminatingWait | State::Retained));
        let leaving: Vec<_> = leaving.map(|instance| instance.id.as_str()).collect();
        let missing: Vec<_> = leaving.iter().copied().filter(|id| !hosts.contains_key(*id)).collect();
        for missing in missing.chunks(ASKED_AT_ONCE) {
            hosts.extend(self.hosts.of(missing).await?.unwrap_or_default());
        }
        for (id, host) in hosts.iter_mut().filter(|(_, host)| host.tasks == 0) {
            if !host.connected || leaving.contains(&id.as_str()) {
                host.tasks = self.hosts.stopping(host).await?;
            }
        }
        for host in hosts.values_mut().filter(|host| !host.connected && host.tasks > 0) {
            host.silent_since = self.hosts.silent_since(host).await?;
        }
        Ok(hosts)
    }

    /// Carries out one step.
    async fn apply(&self, step: &Step) -> Result<Applied, Failure> {
        let Step { group, instance, state, action, .. } = step;
        let changed = match action {
            Action::Wait { heartbeat: false } => false,
            Action::Wait { heartbeat: true } => {
                self.groups.heartbeat(group, instance, state).await?;
                false
            }
            Action::Attach { volume } => match self.volumes.attach(volume, instance).await? {
                Attached::Asked => true,
                Attached::Taken => {
                    tracing::info!(%step, "the volume is not free any more: the next pass looks again");
                    return Ok(Applied::PutOff);
                }
                Attached::NotNow(why) => {
                    tracing::warn!(%step, why, "not possible right now: the next pass looks again");
                    return Ok(Applied::PutOff);
                }
                Attached::NoRoom(why) => {
                    tracing::error!(%step, why, "the instance takes no more volumes: choose another instance type");
                    return Ok(Applied::NoRoom);
                }
            },
            Action::Admit | Action::Release => self.groups.complete(group, instance, state, End::Continue).await?,
            Action::Refuse => self.groups.complete(group, instance, state, End::Abandon).await?,
            Action::Drain { host } => {
                self.hosts.drain(host).await?;
                true
            }
            Action::Forsake { host } => {
                self.hosts.forsake(host).await?;
                true
            }
            Action::Terminate => self.groups.terminate(instance).await?,
        };
        Ok(if changed { Applied::Yes } else { Applied::No })
    }
}

impl Tally {
    fn add(&mut self, step: &Step, applied: Applied, reading: &Reading, now: Timestamp) {
        match applied {
            Applied::No => return,
            Applied::PutOff => self.put_off += 1,
            Applied::NoRoom => (self.put_off, self.no_room) = (self.put_off + 1, self.no_room + 1),
            Applied::Yes => self.applied += 1,
        }
        match &step.action {
            Action::Attach { .. } if applied == Applied::Yes => self.attached += 1,
            Action::Refuse => self.refused += 1,
            Action::Admit => {
                self.admitted += 1;
                let since = reading.attached_since(&step.instance);
                // The clocks of EC2 and of this function differ a little.
                let took = since.map(|since| now.duration_since(since).as_secs().max(0));
                self.attach_seconds = self.attach_seconds.max(took);
            }
            _ => {}
        }
    }
}

/// One line for each step, louder for what asks for people.
fn log(plan: &Plan, dry_run: bool) {
    for step in &plan.steps {
        match step.action {
            Action::Wait { .. } if step.why.is_stuck() || step.state == State::Retained => {
                tracing::warn!(%step, dry_run, "waits for people");
            }
            Action::Wait { .. } => tracing::info!(%step, dry_run, "left as it is"),
            Action::Refuse | Action::Forsake { .. } => tracing::warn!(%step, dry_run, "planned"),
            _ => tracing::info!(%step, dry_run, "planned"),
        }
    }
}
