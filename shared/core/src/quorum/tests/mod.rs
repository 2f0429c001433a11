use super::*;
use crate::neo4j::{Fault, Kind};

use cluster::{Alter, Hosted, healthy};

mod back;
pub(crate) mod cluster;
mod excused;
mod gate;
mod model;
mod peers;
mod properties;
mod states;
mod table;

type Change = Box<dyn FnOnce(&mut Observed)>;

const NEO4J: Hosted<'static> = ("neo4j", &[1, 2, 3]);

/// Returns what the gate says of each core, one line a core, or of all if it says the same of each.
fn said(observed: &Observed) -> String {
    let quorum = Quorum::of(observed);
    let of = |core| {
        let reasons: Vec<_> = quorum.unsafe_to_stop(core).iter().map(ToString::to_string).collect();
        if reasons.is_empty() { "safe".to_owned() } else { reasons.join(" | ") }
    };
    let lines: Vec<_> = (1..=observed.cores).map(of).collect();
    if lines.iter().all(|line| *line == lines[0]) {
        return format!("all: {}", lines[0]);
    }
    (1..).zip(lines).map(|(core, line): (u8, _)| format!("{core}: {line}")).collect::<Vec<_>>().join("\n")
}

/// Returns what the gate says after a change.
fn after(cores: u8, databases: &[Hosted<'_>], change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = healthy(cores, databases);
    change(&mut observed);
    said(&observed)
}

/// Returns the cores that may be stopped after a change.
fn safe(cores: u8, databases: &[Hosted<'_>], change: impl FnOnce(&mut Observed)) -> Vec<u8> {
    let mut observed = healthy(cores, databases);
    change(&mut observed);
    let quorum = Quorum::of(&observed);
    (1..=cores).filter(|core| quorum.unsafe_to_stop(*core).is_empty()).collect()
}

fn silence(observed: &mut Observed, core: u8) {
    observed.answer(core).page = Err(Fault::new(Kind::Silent, "no answer within 3 s"));
}

fn full_disk(observed: &mut Observed, core: u8, database: &str) {
    observed.break_copy(core, database, "online", "No space left on device");
}
