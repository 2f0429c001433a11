//! Every story that faults are tried in.

use super::{
    Scenario,
    Step::{self, Delete, Fail, Leak, Occupy, Reconcile, Restart, Scale, Stop, Vacate, Wait},
};

pub(super) const SCENARIOS: &[Scenario<Step>] = &[
    Scenario { name: "join", page: 100, steps: &[Scale("core", 3), Wait(20), Reconcile, Wait(30), Reconcile] },
    Scenario {
        name: "replace",
        page: 100,
        steps: &[
            Scale("core", 3),
            Wait(60),
            Reconcile,
            Fail("core"),
            Reconcile,
            Wait(20),
            Reconcile,
            Wait(60),
            Reconcile,
        ],
    },
    Scenario {
        name: "grow",
        page: 2,
        steps: &[Scale("core", 3), Wait(60), Reconcile, Scale("core", 5), Scale("replica", 3), Wait(60), Reconcile],
    },
    Scenario {
        name: "restart",
        page: 2,
        steps: &[
            Scale("core", 3),
            Wait(60),
            Reconcile,
            Restart("core"),
            Reconcile,
            Wait(15),
            Reconcile,
            Wait(60),
            Reconcile,
        ],
    },
    Scenario {
        name: "shrink",
        page: 100,
        steps: &[
            Scale("core", 3),
            Scale("replica", 2),
            Wait(60),
            Reconcile,
            Stop("core"),
            Scale("replica", 0),
            Reconcile,
            Wait(30),
            Reconcile,
            Scale("core", 0),
            Reconcile,
        ],
    },
    // The tier has two services: when one of them ends, what the other wants keeps the name.
    Scenario {
        name: "several",
        page: 100,
        steps: &[
            Scale("core", 2),
            Scale("core-spare", 1),
            Wait(60),
            Reconcile,
            Scale("core", 0),
            Restart("core-spare"),
            Wait(30),
            Reconcile,
            Wait(60),
            Reconcile,
        ],
    },
    Scenario {
        name: "occupied",
        page: 100,
        steps: &[
            Occupy,
            Scale("core", 3),
            Scale("replica", 1),
            Wait(60),
            Reconcile,
            Stop("core"),
            Reconcile,
            Wait(60),
            Reconcile,
            Vacate,
            Reconcile,
        ],
    },
    Scenario {
        name: "delete",
        page: 100,
        steps: &[Scale("core", 2), Wait(60), Reconcile, Leak, Scale("core", 0), Wait(30), Delete],
    },
];
