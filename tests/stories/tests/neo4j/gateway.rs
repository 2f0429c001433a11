//! Nobody is heard, since the gateway fails: everything else goes on.

use std::sync::Arc;

use cluster_sim::{
    cluster::Cluster,
    time::{minutes, play, seconds, within},
    wire::{Fault, Invocable},
};
use serde_json::{Value, json};

use super::{figures, hang, look, safe, settled, whole};

/// What is remembered of Neo4j.
fn remembered(cluster: &Cluster) -> Vec<Value> {
    let world = cluster.wire.world();
    let table = &world.dynamodb.tables[cluster.variable("STATE_TABLE")];
    let of_neo4j =
        |sk: &str| ["answered/", "server/", "not-whole/2", "monitor"].iter().any(|start| sk.starts_with(start));
    table.iter().filter(|((_, sk), _)| of_neo4j(sk)).map(|(_, item)| item.clone()).collect()
}

/// Breaks the gateway in one way.
fn break_gateway(cluster: &Cluster, how: &str) {
    let name = cluster.variable("GATEWAY_FUNCTION").to_owned();
    let fault = |fault| cluster.wire.plan_for("lambda:InvokeFunction", usize::MAX, fault);
    match how {
        "deleted" => _ = cluster.wire.world().lambda.functions.remove(&name),
        "out of time" => {
            let run = Arc::new(|_: &_, _| -> cluster_sim::wire::Invocation { Box::pin(std::future::pending()) });
            cluster.wire.add_function(&name, Invocable { timeout: seconds(9), run });
        }
        "denied" => fault(Fault::Denied),
        "throttled" => fault(Fault::Throttle),
        "down" => fault(Fault::ServerError),
        "silent" => fault(Fault::Hang),
        _ => fault(Fault::ResetAfterEffect),
    }
}

#[test]
fn whatever_befalls_the_gateway_the_round_goes_on_and_says_so_and_forgets_nothing() {
    for (how, said) in [
        ("deleted", "Function not found"),
        ("out of time", "Task timed out after 9.00 seconds"),
        ("denied", "not authorized"),
        ("throttled", "Rate exceeded"),
        ("down", "503"),
        ("silent", "12"),
        ("answer lost", "connection reset"),
    ] {
        play(async {
            let cluster = settled(3).await;
            hang(&cluster, 2, true);
            cluster.live(minutes(3)).await;
            let (known, lasts) = (remembered(&cluster), cluster.metric("CoreNotWholeSeconds", None).unwrap());
            assert_eq!(known.len(), 3 + 3 + 1 + 1, "{known:?}");
            break_gateway(&cluster, how);
            cluster.live(minutes(5)).await;
            assert_eq!(cluster.metric("MembersAnswering", None), Some(0.0), "{how}");
            assert!(cluster.metric("CoreNotWholeSeconds", None).unwrap() >= lasts + 240.0, "{how}: its clock is kept");
            assert_eq!(remembered(&cluster), known, "{how}");
            let seen = look(&cluster).await;
            assert!(seen["neo4j"]["gateway"].as_str().unwrap().contains(said), "{how}: {}", seen["neo4j"]["gateway"]);
            assert_eq!((safe(&seen), &seen["neo4j"]["margin"]), (vec![], &json!(null)), "{how}: {seen}");
            let refused = cluster.metric_beside("MembersAnswering", "MonitorLoginsRefused", None);
            assert_eq!(refused, Some(0.0), "{how}: nobody refuses");

            // A core is lost all the same, and comes back.
            let lost = cluster.serving(3).unwrap();
            cluster.wire.world().fell_instance(&lost);
            let replaced = |cluster: &Cluster| cluster.is_replaced(3, &lost);
            cluster.until("it is replaced", within(minutes(12)), replaced).await;
        });
    }
}

#[test]
fn a_gateway_that_answers_again_is_believed_at_once() {
    play(async {
        let cluster = settled(3).await;
        cluster.wire.plan_for("lambda:InvokeFunction", 3, Fault::Hang);
        cluster.live(minutes(3)).await;
        assert_eq!(figures(&cluster)[2], Some(0.0));
        cluster.live(minutes(1)).await;
        let seen = look(&cluster).await;
        assert_eq!(figures(&cluster), [Some(1.0), Some(0.0), Some(3.0)]);
        assert_eq!(
            (safe(&seen), whole(&seen), &seen["neo4j"]["gateway"]),
            (vec![1, 2, 3], vec![1, 2, 3], &json!(null))
        );
    });
}
