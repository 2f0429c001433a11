//! Which faults are tried at which call.

use cluster_world::Kind;

use crate::wire::Fault;

/// Every fault that a single call may meet.
pub const FAULTS: &[Fault] = &[
    Fault::Throttle,
    Fault::ServerError,
    Fault::Denied,
    Fault::Reset,
    Fault::ResetAfterEffect,
    Fault::Hang,
    Fault::Outage,
    Fault::CutPage,
    Fault::Stale,
    Fault::Refuse,
    Fault::SecondWriter,
    Fault::Kill,
    Fault::KillAfterEffect,
];

/// One for each thing that can become of a call, for pairs: what the SDK's retries mend is no different from nothing, and
/// a function that dies before anything was written is no different from one that gives up.
pub(super) const DISTINCT: &[Fault] = &[
    Fault::ResetAfterEffect,
    Fault::Outage,
    Fault::CutPage,
    Fault::Stale,
    Fault::Refuse,
    Fault::SecondWriter,
    Fault::KillAfterEffect,
];

/// Faults of a read that come to the same: the SDK tries again.
const MENDED: &[Fault] = &[Fault::Throttle, Fault::ServerError, Fault::Reset];
/// Faults of a read that come to the same: the invocation ends there, whatever it says.
const ENDS: &[Fault] = &[Fault::Denied, Fault::Outage, Fault::Hang, Fault::Kill];

/// Which of the faults that suit a call are tried there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every one.
    Whole,
    /// Of those that come to the same for a read, one: they take turns from call to call.
    Turns,
}

impl Depth {
    pub(super) fn tries(self, fault: Fault, call: usize, kind: Kind) -> bool {
        let turn = |of: &[Fault]| of.iter().position(|one| *one == fault).is_none_or(|place| call % of.len() == place);
        // What the SDK mends by another try is hardly a fault: one of three calls is enough.
        let mended = |place: usize| call.is_multiple_of(MENDED.len()) && call / MENDED.len() % MENDED.len() == place;
        let mended = MENDED.iter().position(|one| *one == fault).is_none_or(mended);
        let writes = !matches!(kind, Kind::List | Kind::Read | Kind::Invoke);
        fault.suits(kind) && (self == Self::Whole || writes || (mended && turn(ENDS)))
    }
}
