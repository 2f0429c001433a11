//! Every story that faults are tried in.

use super::{
    Scenario,
    steps::Step::{
        self, Away, Busy, Cron, Delete, Empty, Fill, Free, Grow, Hang, Hear, Impair, Kill, Live, Lose, Mute, Rebalance,
        Refuse, Silence, Spot, Stop, Theirs, TheirsDone, Unhealthy,
    },
};

pub(super) const MINUTE: u64 = 60;
pub(super) const SCENARIOS: &[Scenario<Step>] = &[
    Scenario { name: "boot", page: 2, steps: &[Live(MINUTE)] },
    Scenario { name: "loss", page: 100, steps: &[Lose(2), Away(70), Live(MINUTE)] },
    // Through the gate.
    Scenario { name: "drain", page: 100, steps: &[Unhealthy(2), Live(90)] },
    // Nobody answers, so its hook runs out, and it is kept until the gate opens.
    Scenario {
        name: "retained",
        page: 100,
        steps: &[Mute(true), Unhealthy(2), Away(20), Live(5), Away(31 * MINUTE), Live(5), Mute(false), Live(MINUTE)],
    },
    // While another core is drained.
    Scenario { name: "spot", page: 100, steps: &[Unhealthy(1), Away(20), Spot(3), Live(3 * MINUTE)] },
    Scenario { name: "rebalance", page: 100, steps: &[Rebalance(2), Live(2 * MINUTE)] },
    // Silence is counted only as long as somebody looks at least every three minutes.
    Scenario {
        name: "hang",
        page: 100,
        steps: &[
            Hang(2),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
        ],
    },
    Scenario {
        name: "theirs",
        page: 100,
        steps: &[Theirs(2), Unhealthy(2), Away(20), Live(5), TheirsDone(2), Live(MINUTE)],
    },
    Scenario { name: "emptied", page: 2, steps: &[Empty(2), Away(20), Unhealthy(2), Live(MINUTE)] },
    // Silence is counted only as long as somebody looks at least every three minutes.
    Scenario {
        name: "dead",
        page: 100,
        steps: &[Silence(2), Impair(2), Live(20), Away(110), Live(5), Away(110), Live(5), Away(110), Live(2 * MINUTE)],
    },
    Scenario { name: "two", page: 2, steps: &[Lose(1), Away(20), Lose(3), Away(45), Live(MINUTE)] },
    Scenario { name: "leftover", page: 100, steps: &[Silence(2), Away(20), Lose(2), Away(70), Live(MINUTE)] },
    Scenario {
        name: "busy",
        page: 100,
        steps: &[Busy(2), Lose(2), Refuse, Away(70), Live(MINUTE), Free(2), Live(MINUTE)],
    },
    Scenario {
        name: "silent",
        page: 100,
        steps: &[
            Unhealthy(2),
            Silence(2),
            Live(20),
            Away(110),
            Live(5),
            Away(110),
            Live(5),
            Away(110),
            Live(MINUTE),
            Hear(2),
            Live(20),
        ],
    },
    // Equal volumes fill up together, and one parameter makes all of them larger.
    Scenario {
        name: "full",
        page: 100,
        steps: &[
            Fill(1),
            Fill(2),
            Fill(3),
            Away(110),
            Live(5),
            Grow(1),
            Grow(2),
            Grow(3),
            Away(110),
            Live(5),
            Away(170),
            Live(5),
            Away(170),
            Live(5),
            Away(150),
            Live(5),
            Away(110),
            Live(MINUTE),
        ],
    },
    // It never opened a port, and ECS takes it for healthy.
    Scenario {
        name: "stuck",
        page: 100,
        steps: &[
            Fill(2),
            Kill(2),
            Away(170),
            Live(5),
            Away(170),
            Live(5),
            Grow(2),
            Away(170),
            Live(5),
            Away(170),
            Live(5),
            Away(170),
            Live(5),
            Away(110),
            Live(2 * MINUTE),
        ],
    },
    // In the midst of its drain somebody terminates it in EC2, past its hook.
    Scenario { name: "terminated", page: 100, steps: &[Unhealthy(2), Away(20), Live(5), Lose(2), Live(90)] },
    // In the midst of the drain of one core somebody stops the task of another, and terminates the instance of that one.
    Scenario {
        name: "console",
        page: 100,
        steps: &[Unhealthy(1), Away(20), Live(5), Stop(3), Live(30), Lose(3), Live(MINUTE)],
    },
    // Somebody's own task outlives the member.
    Scenario { name: "cron", page: 100, steps: &[Cron(2), Unhealthy(2), Away(20), Live(MINUTE)] },
    // While another one is away.
    Scenario {
        name: "beside",
        page: 100,
        steps: &[
            Unhealthy(1),
            Away(20),
            Live(5),
            Hang(2),
            Away(170),
            Live(5),
            Away(170),
            Live(5),
            Away(170),
            Live(MINUTE),
        ],
    },
    Scenario { name: "gone", page: 100, steps: &[Unhealthy(2), Away(20), Delete] },
];
