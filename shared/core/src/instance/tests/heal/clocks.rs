//! The pure decision over every sequence of sweeps up to length 8: the clocks see each, and the decision falls on what
//! they remember.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::neo4j::{Asked, Memory};

/// What a sweep sees of core 2, or what happens between two sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It says nothing, its agent is connected, and its peers call it unavailable.
    Silence,
    /// It answers.
    Answer,
    /// It and its agent say nothing.
    CutOff,
    /// Nobody answers.
    Nobody,
    /// The gateway fails.
    GatewayFails,
    /// It says nothing, and a peer calls it APPLYING.
    Vouched,
    /// Four minutes without a sweep.
    Gap,
    /// ECS has replaced its task.
    NewTask,
}

use Event::{Answer, CutOff, Gap, GatewayFails, NewTask, Nobody, Silence, Vouched};

const EVENTS: [Event; 8] = [Silence, Answer, CutOff, Nobody, GatewayFails, Vouched, Gap, NewTask];

/// How far two sweeps are apart: five of them make the ten minutes, so that eight events tell the whole story.
const STEP: SignedDuration = SignedDuration::from_mins(2);

/// What is remembered from one sweep to the next.
#[derive(Clone, Debug)]
struct Story {
    at: Timestamp,
    memory: Memory,
    clocks: Clocks,
    task: String,
    /// What the model knows: how many sweeps in a row proved that it hangs.
    proofs: usize,
    /// The same of its being cut off.
    cut_offs: usize,
}

impl Story {
    fn new() -> Self {
        let mut memory = Memory::default();
        let (asked, answers) = (asked_of(&task_of(CORE)), answers(&well(), &task_of(CORE)));
        memory.see_answers(&asked, &answers, now());
        memory.see_servers(&asked, &answers);
        let (clocks, task) = (Clocks::default(), task_of(CORE));
        Self { at: now(), memory, clocks, task, proofs: 0, cut_offs: 0 }
    }

    /// Plays an event; what was healed is told.
    fn play(&mut self, event: Event) -> Option<Ill> {
        self.at += if event == Gap { SignedDuration::from_mins(4) } else { STEP };
        match event {
            Gap => {
                (self.proofs, self.cut_offs) = (0, 0);
                return None;
            }
            NewTask => self.task = format!("{}x", self.task),
            _ => {}
        }
        let mut observed = self.observe(event);
        let (asked, answers) = (asked_of(&self.task), answers(&observed, &self.task));
        let answers = if event == GatewayFails { vec![] } else { answers };
        if event != GatewayFails {
            self.memory.see_answers(&asked, &answers, self.at);
        }
        self.clocks.see_connections(&mut observed.container_instances, self.at);
        self.clocks.forget_restarts(self.at);
        let on = |task: &str| {
            observed.container_instances.iter().find(|on| on.tasks.iter().any(|found| found.id == task)).unwrap()
        };
        let connected: BTreeSet<_> = asked.iter().filter(|member| on(&member.task).connected).collect();
        let connected = |task: &str| connected.iter().any(|member| member.task == task);
        self.memory.see_silence(&asked, &answers, connected, self.at);
        heard(&mut observed).answered_before = self.memory.answered.contains_key(&self.task);
        if event == GatewayFails {
            observed.neo4j = Seen::GatewayFailed("it timed out".into());
            observed.quorum_observed.as_mut().unwrap().members.iter_mut().for_each(|member| member.answer = None);
        }
        observed.silent.clone_from(&self.memory.silent);
        observed.restarts.clone_from(&self.clocks.restarts);
        self.proofs = match event {
            Silence | Vouched if self.memory.answered.contains_key(&self.task) => self.proofs + 1,
            _ => 0,
        };
        self.cut_offs = if event == CutOff { self.cut_offs + 1 } else { 0 };
        let ill = super::super::ill(&observed, &three(), CORE, self.at);
        if ill.is_some() {
            self.clocks.see_restart(CORE, self.at);
        }
        ill
    }

    fn observe(&self, event: Event) -> Observed {
        let mut observed = well();
        match event {
            Silence => {
                mute(&mut observed, Kind::Silent);
                call(&mut observed, "UNAVAILABLE");
            }
            Vouched => mute(&mut observed, Kind::Silent),
            CutOff => {
                mute(&mut observed, Kind::Silent);
                call(&mut observed, "UNAVAILABLE");
                found(&mut observed).connected = false;
            }
            Nobody => {
                let fault = Said::new(Kind::Silent, "no answer");
                let Seen::Answers(cores) = &mut observed.neo4j else { panic!("answers") };
                for heard in cores.values_mut() {
                    heard.answer.page = Err(fault.clone());
                }
                (1..=3).for_each(|core| asked(&mut observed).answer(core).page = Err(fault.clone()));
            }
            // A new Neo4j has not answered yet.
            NewTask => mute(&mut observed, Kind::Unreachable),
            Answer | GatewayFails | Gap => {}
        }
        found(&mut observed).tasks[0].id.clone_from(&self.task);
        found(&mut observed).tasks[0].started_at = Some(self.at);
        found(&mut observed).tasks[0].connected_at = None;
        heard(&mut observed).answer.task.clone_from(&self.task);
        observed
    }
}

fn asked_of(task: &str) -> Vec<Asked> {
    let task_of = |core| if core == CORE { task.to_owned() } else { task_of(core) };
    let of =
        |core| Asked { task: task_of(core), core: Some(core), address: [10, 0, core, 10].into(), pages_only: false };
    (1..=3).map(of).collect()
}

fn answers(observed: &Observed, task: &str) -> Vec<crate::neo4j::Answer> {
    let Seen::Answers(cores) = &observed.neo4j else { panic!("answers") };
    let mut answers: Vec<_> = cores.values().map(|heard| heard.answer.clone()).collect();
    answers[usize::from(CORE) - 1].task = task.to_owned();
    answers
}

/// A member hangs once five steps of two minutes lie between the first proof and the last.
const ENOUGH: usize = 6;
/// Four looks of which the first and the last are more than five minutes apart.
const ENOUGH_WITHOUT_AGENT: usize = 4;
/// The longest sequence of events.
const LENGTH: usize = 8;

/// Everything that the rest of a story depends on, by how long ago it was.
type Key = (Vec<[Option<SignedDuration>; 3]>, Vec<SignedDuration>, Vec<SignedDuration>, bool, [usize; 2]);

impl Story {
    fn key(&self) -> Key {
        let ago = |at: &Timestamp| self.at.duration_since(*at);
        let silent = self.memory.silent.values();
        let silent =
            silent.map(|silent| [Some(ago(&silent.since)), Some(ago(&silent.seen)), silent.alone.as_ref().map(ago)]);
        let away = self.clocks.disconnected.values().flat_map(|away| [ago(&away.since), ago(&away.seen)]);
        let restarts = self.clocks.restarts.values().flatten().map(ago);
        let answered = self.memory.answered.contains_key(&self.task);
        (silent.collect(), away.collect(), restarts.collect(), answered, [self.proofs, self.cut_offs])
    }
}

/// Every sequence of eight events, of which those that came to the same are told on only once.
#[test]
fn whatever_happens_nobody_is_restarted_without_ten_minutes_of_proof_in_a_row() {
    let mut stories: Vec<(Story, Vec<Event>)> = vec![(Story::new(), vec![])];
    let mut healed = 0;
    for _ in 0..LENGTH {
        let mut next: BTreeMap<Key, (Story, Vec<Event>)> = BTreeMap::new();
        for (story, told) in &stories {
            for event in EVENTS {
                let (mut story, mut told) = (story.clone(), told.clone());
                told.push(event);
                if let Some(ill) = story.play(event) {
                    healed += 1;
                    // Whom a peer vouches for is left alone.
                    let proven = match ill {
                        Ill::Hanging { .. } => event == Silence && story.proofs >= ENOUGH,
                        Ill::Wedged { .. } => event == CutOff && story.cut_offs >= ENOUGH_WITHOUT_AGENT,
                        Ill::DiskStart { .. } | Ill::DiskRunning { .. } => false,
                    };
                    assert!(proven, "{told:?}: {ill}");
                    assert_eq!(story.clocks.restarts[&CORE].len(), 1, "{told:?}: twice within an hour");
                }
                next.entry(story.key()).or_insert((story, told));
            }
        }
        stories = next.into_values().collect();
    }
    assert!(healed > 0 && stories.len() > 100, "the test has to reach what it is about: {healed}, {}", stories.len());
}

#[test]
fn every_order_of_the_events_of_a_member_that_hangs_needs_its_proof_in_one_piece() {
    // Seven silent sweeps in a row end in a restart, wherever one other event stands that breaks nothing.
    for broken in [Answer, CutOff, Nobody, GatewayFails, Gap, NewTask] {
        for place in 0..=7 {
            let mut events = vec![Silence; 7];
            events.insert(place, broken);
            let mut story = Story::new();
            let healed = events.iter().position(|event| story.play(*event).is_some());
            // Before it, or after it, at least six in a row.
            let expected = (place >= ENOUGH || (7 - place >= ENOUGH && broken != NewTask))
                .then(|| if place >= ENOUGH { ENOUGH - 1 } else { place + ENOUGH });
            assert_eq!(healed, expected, "{events:?}");
        }
    }
    // A peer's word for it does not stop the clock of its silence, and only holds the restart back.
    let mut story = Story::new();
    let events = [Silence, Vouched, Silence, Silence, Silence, Vouched, Silence];
    assert_eq!(events.iter().position(|event| story.play(*event).is_some()), Some(6));
}

#[test]
fn a_drainer_that_was_away_for_three_days_restarts_nobody_on_its_first_sweep() {
    let mut story = Story::new();
    for _ in 0..5 {
        assert_eq!(story.play(Silence), None);
    }
    story.at += SignedDuration::from_hours(72);
    for sweep in 0..5 {
        assert_eq!(story.play(Silence), None, "sweep {sweep}");
    }
    assert!(story.play(Silence).is_some());
}

#[test]
fn a_member_that_goes_on_hanging_is_restarted_once_an_hour_and_three_times_a_day() {
    let mut story = Story::new();
    let mut restarts = Vec::new();
    // Two days, in which no restart helps.
    for _ in 0..2 * 24 * 30 {
        if story.play(Silence).is_some() {
            restarts.push(story.at.duration_since(now()).as_mins());
        }
    }
    assert_eq!(restarts, [12, 72, 132, 1452, 1512, 1572], "minutes");
}
