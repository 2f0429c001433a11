//! What a core's tasks report about its disk, and how it is read.

use cluster_sim::{
    cluster::{CLUSTER, Cluster},
    time::{minutes, play, within},
};
use cluster_world::World;

use super::post;

/// Asks for the free disk of a core in the last so many minutes, and returns the values, the latest first.
fn free(world: &mut World, core: &str, last: i64, period: i64, rest: &str) -> String {
    let (end, start) = (world.now, world.now - jiff::SignedDuration::from_mins(last));
    let of_metric = "MetricDataQueries.member.1.MetricStat";
    let dimension = |n: usize, name: &str, value: &str| {
        let key = format!("{of_metric}.Metric.Dimensions.member.{n}");
        format!("&{key}.Name={name}&{key}.Value={value}")
    };
    let dimensions =
        [dimension(1, "Core", core), dimension(2, "Tier", "core"), dimension(3, "Cluster", CLUSTER)].concat();
    let form = format!(
        "Action=GetMetricData&Version=2010-08-01&StartTime={start}&EndTime={end}&MetricDataQueries.member.1.Id=m1\
         &{of_metric}.Metric.Namespace=Neo4jCluster&{of_metric}.Metric.MetricName=DataDiskFreePercent&{of_metric}.Period={period}\
         &{of_metric}.Stat=Minimum{dimensions}{rest}"
    );
    world.answer(&post(&form.replace(':', "%3A"))).body
}

fn values(body: &str) -> Vec<f64> {
    let (_, list) = body.split_once("<Values>").unwrap();
    let list = list.split_once("</Values>").unwrap().0;
    list.split("</member>").filter_map(|one| one.strip_prefix("<member>")?.parse().ok()).collect()
}

#[test]
fn a_core_reports_its_disk_each_minute_as_long_as_its_task_runs() {
    play(async {
        let cluster = Cluster::formed(3).quiet().only(&[]);
        let volume = cluster.nodes[1].volume.clone();
        cluster.wire.sleep(600).await;
        let asked = |last, period| values(&free(&mut cluster.wire.world(), "2", last, period, ""));
        assert_eq!(asked(5, 60), [60.0; 5]);
        cluster.wire.world().set_room(&volume, 7.5);
        cluster.wire.sleep(120).await;
        assert_eq!(asked(5, 60), [7.5, 7.5, 60.0, 60.0, 60.0]);
        cluster.wire.world().fill_disk(&volume);
        cluster.wire.sleep(60).await;
        assert_eq!(asked(2, 60), [0.0, 7.5]);
        let fives = asked(60, 300);
        assert!(fives.len() >= 3 && fives[0] <= 7.5 && fives.last() == Some(&60.0), "{fives:?}");
        cluster.wire.world().free_disk(&volume);
        let task = cluster.task(&cluster.serving(2).unwrap()).unwrap();
        let stops = cluster.wire.world().now;
        cluster.wire.world().stop(&cluster.ecs_cluster, &task);
        cluster.wire.sleep(20).await;
        assert!(asked(1, 60).len() <= 1, "it has ended");
        let back = |cluster: &Cluster| {
            cluster.serving(2).is_some_and(|instance| cluster.task(&instance) != Some(task.clone()))
        };
        cluster.until("its successor reports", within(minutes(5)), back).await;
        let body = free(&mut cluster.wire.world(), "2", 1, 60, "");
        assert_eq!(values(&body).first(), Some(&60.0), "at once: {body}");
        assert!(cluster.wire.world().now > stops);
    });
}

#[test]
fn what_nobody_wrote_has_no_values_and_what_is_late_is_not_there_yet() {
    play(async {
        let cluster = Cluster::formed(3).quiet().only(&[]);
        cluster.wire.sleep(600).await;
        let mut world = cluster.wire.world();
        let none = free(&mut world, "9", 60, 60, "");
        assert!(none.contains("<StatusCode>Complete</StatusCode>") && !none.contains("<Values><member>"), "{none}");
        assert_eq!(values(&free(&mut world, "1", 3, 60, "")).len(), 3);
        world.cloudwatch.lag = 90;
        assert!(values(&free(&mut world, "1", 3, 60, "")).len() < 3);
        let rising = free(&mut world, "1", 10, 60, "&ScanBy=TimestampAscending");
        let times: Vec<_> = rising.split("<member>").filter(|part| part.starts_with("2026-")).collect();
        assert!(times.is_sorted() && times.len() > 5, "{rising}");
        let call = world.calls.last().unwrap();
        assert_eq!(
            (call.action.as_str(), &call.resources[..], call.write),
            ("cloudwatch:GetMetricData", &["*".to_owned()][..], false)
        );
        let wrong = free(&mut world, "1", 10, 90, "");
        assert!(wrong.contains("<Code>ValidationError</Code>"), "{wrong}");
    });
}
