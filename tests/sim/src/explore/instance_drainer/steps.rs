//! What happens to the cluster, one thing at a time.

use cluster_world::auto_scaling::{Hook, TERMINATING};

use super::Instances;
use crate::cluster::ZONES;

/// A hook of somebody else's on our groups.
pub(super) const THEIRS: &str = "theirs";

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Step {
    /// The instance of a core ends without asking anybody.
    Lose(usize),
    /// Somebody says that the instance of a core is unhealthy: its group replaces it.
    Unhealthy(usize),
    /// People empty the instance of a core: DRAINING.
    Empty(usize),
    /// The agent of a core's instance goes silent.
    Silence(usize),
    /// It speaks again.
    Hear(usize),
    /// EC2's status check of a core's instance fails.
    Impair(usize),
    /// A core's volume stays busy when its instance has gone.
    Busy(usize),
    /// It is free after all.
    Free(usize),
    /// The next calls of `AttachVolume` are refused.
    Refuse,
    /// A zone has no room, or room again.
    Room(usize, bool),
    /// AWS takes the instance of a core in two minutes.
    Spot(usize),
    /// AWS recommends to replace it.
    Rebalance(usize),
    /// The Neo4j of a core stands still.
    Hang(usize),
    /// The process of a core's Neo4j dies.
    Kill(usize),
    /// People stop the task of a core in the console.
    Stop(usize),
    /// Somebody's own task runs on the instance of a core.
    Cron(usize),
    /// The disk of a core is full.
    Fill(usize),
    /// People have made it larger.
    Grow(usize),
    /// A hook of somebody else's holds the instance of a core on its way out, besides ours.
    Theirs(usize),
    /// Whoever that is is done with it.
    TheirsDone(usize),
    /// Nobody may ask Neo4j, or somebody may again.
    Mute(bool),
    /// People delete the stack.
    Delete,
    /// Seconds pass.
    Live(u64),
    /// Seconds pass, and nothing wakes the function.
    Away(u64),
}

impl Instances {
    /// Lets one thing happen that takes no time.
    pub(super) fn happens(&mut self, step: Step) {
        let cluster = self.cluster.clone();
        let holder = |core: usize| cluster.holder(core);
        let task = |core: usize| holder(core).and_then(|instance| cluster.task(&instance));
        let volume = |core: usize| cluster.nodes[core - 1].volume.clone();
        match step {
            Step::Lose(core) => _ = holder(core).map(|instance| cluster.wire.world().lose_instance(&instance)),
            Step::Unhealthy(core) => _ = holder(core).map(|instance| cluster.wire.world().mark_unhealthy(&instance)),
            Step::Silence(core) => _ = holder(core).map(|instance| cluster.wire.world().silence(&instance)),
            Step::Hear(core) => _ = holder(core).map(|instance| cluster.wire.world().hear(&instance)),
            Step::Impair(core) => _ = holder(core).map(|instance| cluster.wire.world().impair(&instance)),
            Step::Busy(core) => cluster.wire.world().stick(&volume(core)),
            Step::Free(core) => {
                if let Some(volume) = cluster.wire.world().ec2.volumes.get_mut(&volume(core)) {
                    volume.attachment.take_if(|held| held.state == "busy");
                }
            }
            Step::Refuse => {
                let refusals = ["AttachmentLimitExceeded", "IncorrectState"];
                cluster.wire.world().ec2.attach_errors.extend(refusals);
            }
            Step::Room(core, false) => _ = cluster.wire.world().ec2.no_capacity.insert(ZONES[core - 1].to_owned()),
            Step::Room(core, true) => _ = cluster.wire.world().ec2.no_capacity.remove(ZONES[core - 1]),
            // As the runbook says.
            Step::Empty(core) => _ = holder(core).map(|_| cluster.empty(core)),
            Step::Spot(core) => _ = holder(core).map(|instance| cluster.wire.world().interrupt(&instance)),
            Step::Rebalance(core) => {
                self.rebalanced = true;
                _ = holder(core).map(|instance| cluster.wire.world().recommend_rebalance(&instance));
            }
            Step::Hang(core) => _ = task(core).map(|task| cluster.wire.world().hang_member(&task, true)),
            Step::Kill(core) => _ = task(core).map(|task| cluster.wire.world().kill_member(&task)),
            Step::Stop(core) => _ = task(core).map(|task| cluster.wire.world().stop(&cluster.ecs_cluster, &task)),
            Step::Cron(core) => {
                let instance = holder(core);
                let mut world = cluster.wire.world();
                let registered = instance.and_then(|instance| world.registered(&instance));
                _ = registered.map(|(_, address)| world.run_task(&cluster.ecs_cluster, "cron", address));
            }
            Step::Fill(core) => cluster.wire.world().fill_disk(&volume(core)),
            Step::Grow(core) => cluster.wire.world().free_disk(&volume(core)),
            Step::Theirs(core) => {
                let hook = Hook { transition: TERMINATING.to_owned(), heartbeat: 3600, continues: true };
                cluster.wire.world().put_hook(&cluster.nodes[core - 1].group, THEIRS, hook);
            }
            Step::TheirsDone(core) => {
                let waits = cluster.states(core).into_keys();
                waits.for_each(|instance| cluster.wire.world().complete_hook(&instance, THEIRS, true));
            }
            Step::Mute(true) => {
                let names = std::mem::take(&mut cluster.wire.world().lambda.functions);
                self.muted.extend(names);
            }
            Step::Mute(false) => cluster.wire.world().lambda.functions.extend(std::mem::take(&mut self.muted)),
            Step::Delete | Step::Live(_) | Step::Away(_) => {}
        }
    }
}
