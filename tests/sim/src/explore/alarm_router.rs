//! alarm-router: alarms go off, stay and end, destinations fail, and the router dies.

use std::collections::BTreeMap;

use cluster_world::cloudwatch::State;
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{
    Depth, Explored, Scenario, Wrong, invoke,
    rounds::{Hours, Woken},
    triggers,
};
use crate::{
    alerts::{self, PAGERDUTY, Told, WEBHOOK, add_alarm, lease, set},
    cluster::Cluster,
    functions::ALARM_ROUTER,
    wire::Fault,
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// An alarm goes off, ends, or lacks data.
    Set(usize, State),
    /// A destination is away, or back.
    Away(&'static str, bool),
    /// A core is stopped on purpose, or none is.
    Drain(bool),
    /// The calls that Lambda has taken and not made yet are lost.
    Lose,
    /// Seconds pass.
    Live(u64),
}
use Step::{Away, Drain, Live, Lose, Set};

const MINUTE: u64 = 60;
const FIRE: State = State::Alarm;
const OVER: State = State::Ok;
/// The alarms, and their tags: one that wakes, one that is held for five minutes, and one that a drain causes.
const ALARMS: [(&str, &[(&str, &str)]); 3] = [
    ("Quorum", &[("severity", "critical")]),
    ("Slow", &[("severity", "warning")]),
    ("Fewer", &[("severity", "critical"), ("planned", "drain")]),
];
const ROUTES: &str = r#"{"to": ["pagerduty", "webhook"], "repeatMinutes": 30,
    "routes": [{"match": {"severity": "warning"}, "to": ["webhook"], "holdMinutes": 5}]}"#;
const SCENARIOS: &[Scenario<Step>] = &[
    Scenario { name: "alarm", page: 100, steps: &[Set(0, FIRE), Live(2 * MINUTE), Set(0, OVER), Live(MINUTE)] },
    Scenario {
        name: "two",
        page: 2,
        steps: &[Set(0, FIRE), Set(1, FIRE), Live(6 * MINUTE), Set(0, OVER), Set(1, OVER), Live(MINUTE)],
    },
    Scenario {
        name: "outage",
        page: 100,
        steps: &[Away(PAGERDUTY, true), Set(0, FIRE), Live(3 * MINUTE), Away(PAGERDUTY, false), Live(2 * MINUTE)],
    },
    Scenario {
        name: "flapping",
        page: 100,
        steps: &[
            Set(0, FIRE),
            Live(5),
            Set(0, OVER),
            Set(0, FIRE),
            Live(5),
            Set(0, OVER),
            Set(0, FIRE),
            Live(2 * MINUTE),
        ],
    },
    Scenario {
        name: "muted",
        page: 100,
        steps: &[Drain(true), Live(5), Set(2, FIRE), Set(0, FIRE), Live(2 * MINUTE), Drain(false), Live(2 * MINUTE)],
    },
    Scenario {
        name: "lost",
        page: 100,
        steps: &[Set(0, FIRE), Lose, Live(11 * MINUTE), Set(0, OVER), Lose, Live(MINUTE)],
    },
    Scenario { name: "repeat", page: 100, steps: &[Set(0, FIRE), Live(33 * MINUTE), Set(0, OVER), Live(MINUTE)] },
];

/// How many minutes all takes that waits for a clock: Lambda's retries, a claim, a hold, a drain.
const PATIENCE: u64 = 40;
/// How often what stays is told, with a sweep and a claim that a dead invocation left.
const REPEAT: SignedDuration = SignedDuration::from_mins(34);

/// The world of a schedule, with what must hold in it.
pub(super) struct Alerts {
    cluster: Cluster,
    hours: Hours,
}

impl Explored for Alerts {
    type Step = Step;
    const FUNCTION: &'static str = ALARM_ROUTER;
    const SCENARIOS: &'static [Scenario<Step>] = SCENARIOS;
    const PAIRED: &'static [&'static str] = &[];
    const DEPTH: Depth = Depth::Turns;
    const EVERY: usize = 11;
    const STRIDE: usize = 31;
    const SEEDS: u64 = 60;

    fn open(_: Option<&'static Scenario<Step>>, page: usize) -> Self {
        let mut cluster = alerts::stage();
        cluster.set("ROUTES", ROUTES);
        for (name, tags) in ALARMS {
            add_alarm(&cluster, name, tags);
        }
        let hours = Hours::open(&cluster, page, |_, _| Ok(()));
        Self { cluster, hours }
    }

    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn step(&mut self, step: Step) -> Result<(), Wrong> {
        match step {
            Set(nth, state) => {
                // No alarm changes twice at one time.
                self.cluster.wire.sleep(1).await;
                set(&self.cluster, ALARMS[nth].0, state);
            }
            Away(host, away) => self.cluster.wire.world().server(host).status = if away { 503 } else { 202 },
            Drain(core) => lease(&self.cluster, core.then_some(2)),
            Lose => self.cluster.wire.world().lambda.invocations.clear(),
            Live(seconds) => {
                for _ in 0..seconds.div_ceil(5) {
                    self.deliver().await;
                    self.tick().await?;
                }
            }
        }
        self.holds()
    }

    fn draw(draw: &mut fastrand::Rng) -> Step {
        let states = [FIRE, FIRE, OVER, OVER, State::InsufficientData];
        match draw.u8(..13) {
            0..=6 => Set(draw.usize(..ALARMS.len()), *draw.choice(&states).unwrap_or(&FIRE)),
            7 => Away(if draw.bool() { PAGERDUTY } else { WEBHOOK }, draw.bool()),
            8 => Drain(draw.bool()),
            9 => Lose,
            _ => Live(draw.u64(1..900)),
        }
    }

    /// Lambda calls twice, late, and in any order. What loses calls is a step.
    async fn jumble(&mut self, draw: &mut fastrand::Rng) -> Result<(), Wrong> {
        self.cluster.wire.sleep(draw.u64(1..20)).await;
        {
            let mut world = self.cluster.wire.world();
            let calls = &mut world.lambda.invocations;
            draw.shuffle(calls);
            let again: Vec<_> = calls.iter().filter(|_| draw.u8(..5) == 0).cloned().collect();
            calls.extend(again);
            let kept: Vec<_> = (0..calls.len()).map(|_| draw.u8(..3) == 0).collect();
            let now = world.now;
            for (call, _) in world.lambda.invocations.iter_mut().zip(kept).filter(|(_, kept)| *kept) {
                call.due = call.due.max(now + SignedDuration::from_secs(draw.i64(1..120)));
            }
        }
        self.deliver().await;
        if draw.u8(..4) == 0 {
            self.reconcile(&[]).await?;
        }
        self.holds()
    }

    /// Each destination knows the truth, what stays was told lately, and a round with nothing to do writes nothing.
    async fn converges(&mut self, _: &[Step]) -> Result<(), Wrong> {
        for host in [PAGERDUTY, WEBHOOK] {
            self.cluster.wire.world().server(host).status = 202;
        }
        for _ in 0..(PATIENCE * MINUTE).div_ceil(5) {
            self.tick().await?;
            self.deliver().await;
        }
        let given_up = self.cluster.wire.world().messages.len();
        if given_up > 0 {
            // It is in the queue of what was not delivered, whose alarm goes past the router. No fault here lasts so long.
            return Err(format!("{given_up} calls were given up"));
        }
        for (nth, (name, _)) in ALARMS.iter().enumerate() {
            let state = self.cluster.wire.world().alarm_state(name);
            let told = [("pagerduty", alerts::pagerduty(&self.cluster)), ("webhook", alerts::webhook(&self.cluster))];
            for (to, told) in told.into_iter().filter(|(to, _)| nth != 1 || *to == "webhook") {
                self.knows(name, state, to, &told)?;
            }
        }
        // What stays is told again in some round: where all is over, nothing is.
        for (name, _) in ALARMS {
            set(&self.cluster, name, OVER);
        }
        for _ in 0..(5 * MINUTE).div_ceil(5) {
            self.deliver().await;
            self.tick().await?;
        }
        self.writes_nothing().await.map(drop)
    }
}

impl Alerts {
    /// Lambda makes its calls, all at once, with a sweep among them where there are several, and keeps what fails.
    async fn deliver(&self) {
        let router = self.cluster.function_arn(ALARM_ROUTER).to_owned();
        let due = self.cluster.wire.world().take_invocations(&router);
        let sweep = (due.len() > 1).then(|| triggers(&self.cluster, &[]));
        let calls = due.into_iter().map(async |invocation| {
            if !invoke(&self.cluster, invocation.payload.clone()).await {
                self.cluster.wire.world().failed(invocation, "it failed");
            }
        });
        let swept = async {
            if let Some(sweep) = sweep {
                _ = invoke(&self.cluster, sweep).await;
            }
        };
        tokio::join!(join_all(calls), swept);
    }

    /// What the state table has of an alarm.
    fn remembered(&self, name: &str) -> String {
        let world = self.cluster.wire.world();
        let mut items = world.dynamodb.tables[self.cluster.variable("STATE_TABLE")].iter();
        let item = items.find(|((partition, sort), _)| partition == "incident" && sort.ends_with(&format!(":{name}")));
        item.map_or_else(|| "nothing".to_owned(), |(_, item)| item["incident"]["S"].to_string())
    }

    /// Checks that a destination knows how an alarm is.
    fn knows(&self, name: &str, state: Option<State>, to: &str, told: &[Told]) -> Result<(), Wrong> {
        let now = self.cluster.wire.world().now;
        let last = told.iter().rfind(|told| told.key.ends_with(&format!(":{name}")));
        let wrong = |why: &str| {
            let remembered = self.remembered(name);
            Err(format!("{to} of {name}, which is {state:?}: {why}: {told:?}; it remembers {remembered}"))
        };
        match (state, last) {
            (Some(FIRE), None) => wrong("it was never told"),
            (Some(FIRE), Some(told)) if told.over => wrong("it was told that it is over"),
            (Some(FIRE), Some(told)) if now.duration_since(told.at) > REPEAT => wrong("it was not told again"),
            (Some(OVER), Some(told)) if !told.over => wrong("it was not told that it is over"),
            _ => Ok(()),
        }
    }
}

impl Woken for Alerts {
    fn hours(&mut self) -> &mut Hours {
        &mut self.hours
    }

    /// Nobody is told the same twice within the time of repetition, and of an end only after the beginning, but where the router died
    /// while it told, or got no answer.
    fn holds(&self) -> Result<(), Wrong> {
        let died =
            |fault: &Fault| !matches!(fault, Fault::Throttle | Fault::ServerError | Fault::CutPage | Fault::Stale);
        let excused = self.cluster.wire.struck().iter().filter(|(_, fault)| died(fault)).count();
        for (to, told) in [("pagerduty", alerts::pagerduty(&self.cluster)), ("webhook", alerts::webhook(&self.cluster))]
        {
            let (mut last, mut again) = (BTreeMap::<String, Told>::new(), 0);
            for one in told {
                let before = last.insert(one.key.clone(), one.clone());
                match &before {
                    None if one.over => again += 1,
                    Some(before) if before.over == one.over => {
                        let repeated = !one.over && one.at.duration_since(before.at) >= SignedDuration::from_mins(30);
                        again += usize::from(!repeated);
                    }
                    _ => {}
                }
            }
            if again > excused {
                return Err(format!(
                    "{to}: told {again} times what it need not know, and {excused} faults excuse that"
                ));
            }
        }
        Ok(())
    }
}
