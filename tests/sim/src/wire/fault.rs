//! What happens to calls: faults that are planned, and who else looks at them or writes.

use std::{collections::BTreeMap, sync::Arc};

use cluster_world::{Kind, Request, World};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The service answers that there were too many.
    Throttle,
    /// The service answers 503.
    ServerError,
    /// The service answers that the caller may not.
    Denied,
    /// The answer says that no page follows, whether one does or not.
    CutPage,
    /// The connection breaks before the service has seen the request.
    Reset,
    /// The service does its work, then the connection breaks.
    ResetAfterEffect,
    /// No answer ever comes.
    Hang,
    /// This call and the two after it fail: more than the SDK retries.
    Outage,
    /// A read answers what was true when the world was last remembered.
    Stale,
    /// Route 53 refuses the batch.
    Refuse,
    /// Another writer, with the same aims, writes just before this batch arrives.
    SecondWriter,
    /// The function's process dies with the request on its way.
    Kill,
    /// The function's process dies when the service has done its work.
    KillAfterEffect,
}

impl Fault {
    /// Whether it can do to such a call what another fault could not.
    #[must_use]
    pub fn suits(self, kind: Kind) -> bool {
        let after_effect = matches!(self, Self::ResetAfterEffect | Self::KillAfterEffect);
        self.meets(kind) && (!after_effect || matches!(kind, Kind::Write | Kind::Batch))
    }

    /// What a server outside of AWS answers instead of what AWS does.
    pub(super) fn outside(self) -> Option<u16> {
        match self {
            Self::Throttle => Some(429),
            Self::Denied => Some(403),
            Self::Refuse => Some(400),
            _ => None,
        }
    }

    /// Whether it can happen to such a call at all.
    pub(super) fn meets(self, kind: Kind) -> bool {
        match self {
            Self::Refuse | Self::SecondWriter => kind == Kind::Batch,
            Self::Stale => matches!(kind, Kind::List | Kind::Read),
            Self::CutPage => kind == Kind::List,
            _ => true,
        }
    }
}

/// Says what is wrong with a write, given the world that it is about to reach.
pub type Guard = Arc<dyn Fn(&World, &Request) -> Result<(), String> + Send + Sync>;

/// What another writer would write.
pub type Writer = fn(&mut World);

#[derive(Default)]
pub(super) struct Faults {
    /// The calls that have come.
    pub(super) calls: Vec<Kind>,
    /// By the number of the call, counted from 1.
    pub(super) planned: BTreeMap<usize, Fault>,
    /// By host outside of AWS.
    pub(super) of_hosts: BTreeMap<&'static str, Fault>,
    /// By action: for how many calls.
    pub(super) of_actions: BTreeMap<String, (usize, Fault)>,
    /// What made a difference, and to which call.
    pub(super) struck: Vec<(usize, Fault)>,
    /// What stale reads see.
    pub(super) past: Option<World>,
    /// What another writer would write now.
    pub(super) writer: Option<Writer>,
    /// Who looks at every write before it reaches the world.
    pub(super) guard: Option<Guard>,
    /// What the guard found wrong first.
    pub(super) wrong: Option<String>,
}

impl Faults {
    /// Takes the fault that is planned for the action of a request.
    pub(super) fn of_action(&mut self, request: &Request) -> Option<Fault> {
        if let Some(fault) = self.of_hosts.get(request.host.as_str()) {
            return Some(*fault);
        }
        if self.of_actions.is_empty() {
            return None;
        }
        let (times, fault) = self.of_actions.get_mut(&cluster_world::read(request)?.0)?;
        *times = times.checked_sub(1)?;
        Some(*fault)
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("planned", &self.planned).field("struck", &self.struck).finish_non_exhaustive()
    }
}
