use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest;
use cluster_core::instance::Phase;
use cluster_lambda::{
    Aws, Failure, Frame, Function, Reconciled, Round, SWEEP, client,
    env::Lookup,
    query::{EC2, Query},
    queue::Trigger,
    telemetry::{Metric, MetricSet},
};
use cluster_members::ContainerInstances;
use cluster_state::StateTable;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Config, Outcome,
    custom_resources::{DATA_VOLUME_ORIGINS, PHASE, TARGET},
    disks::Disks,
    groups::Groups,
    neo4j::{LOGINS_REFUSED, MEMBERS_ANSWERING, MEMBERS_MISSING, Neo4j, Neo4jOutcome, QUORUM_MARGIN, RIGHTS_MISSING},
    statuses::Statuses,
    volumes::Volumes,
};

const LAUNCH_FAILED: (&str, &str) = ("aws.autoscaling", "EC2 Instance Launch Unsuccessful");

/// EC2 takes a Spot instance in two minutes (EC2 user guide, «Spot Instance interruption notices»).
pub(crate) const SPOT: (&str, &str) = ("aws.ec2", "EC2 Spot Instance Interruption Warning");
/// EC2 may take a Spot instance soon.
pub(crate) const REBALANCE: (&str, &str) = ("aws.ec2", "EC2 Instance Rebalance Recommendation");
/// A task of the ECS cluster has stopped.
pub(crate) const TASK: (&str, &str) = ("aws.ecs", "ECS Task State Change");

const ABANDONED: &str = "DrainsAbandoned";
const ADMITTED: &str = "InstancesAdmitted";
const ATTACHED: &str = "VolumesAttached";
const ATTACH_SECONDS: &str = "VolumeAttachSeconds";
const CORES_NOT_WHOLE: &str = "CoresNotWhole";
const DRAIN_SECONDS: &str = "DrainSeconds";
const DRAIN_WAIT_SECONDS: &str = "DrainWaitSeconds";
const LAUNCHES_ABANDONED: &str = "LaunchesAbandoned";
const NOT_WHOLE_SECONDS: &str = "CoreNotWholeSeconds";
const RELEASE_LAG: &str = "ReleaseLagMs";
const RESTARTED: &str = "MembersRestarted";
const RETAINED: &str = "InstancesRetained";
const STOPS_WITHOUT_QUORUM: &str = "StopsWithoutQuorum";
const STUCK: &str = "InstancesStuck";
const WAIT_SECONDS: &str = "WaitSeconds";
const WAITING: &str = "InstancesWaiting";

/// The function: its configuration and its clients.
#[derive(Debug)]
pub struct Drainer {
    pub(crate) config: Config,
    pub(crate) groups: Groups,
    pub(crate) container_instances: ContainerInstances,
    pub(crate) volumes: Volumes,
    pub(crate) statuses: Statuses,
    pub(crate) state: StateTable,
    pub(crate) disks: Disks,
    pub(crate) neo4j: Option<Neo4j>,
}

impl Function for Drainer {
    const NAME: &'static str = "instance-drainer";
    const WAKES: &'static [(&'static str, &'static str)] = &[
        ("aws.autoscaling", "EC2 Instance-launch Lifecycle Action"),
        ("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action"),
        ("aws.autoscaling", "EC2 Instance Terminate Successful"),
        LAUNCH_FAILED,
        ("aws.ecs", "ECS Container Instance State Change"),
        TASK,
        SPOT,
        REBALANCE,
        SWEEP,
    ];
    const CUSTOM_RESOURCES: &'static [&'static str] = &[PHASE, TARGET, DATA_VOLUME_ORIGINS];
    const METRICS: &'static [&'static str] = &[
        ABANDONED,
        ADMITTED,
        ATTACHED,
        ATTACH_SECONDS,
        CORES_NOT_WHOLE,
        DRAIN_SECONDS,
        DRAIN_WAIT_SECONDS,
        LAUNCHES_ABANDONED,
        LOGINS_REFUSED,
        MEMBERS_ANSWERING,
        MEMBERS_MISSING,
        NOT_WHOLE_SECONDS,
        QUORUM_MARGIN,
        RELEASE_LAG,
        RESTARTED,
        RETAINED,
        RIGHTS_MISSING,
        STOPS_WITHOUT_QUORUM,
        STUCK,
        WAIT_SECONDS,
        WAITING,
    ];
    const ABSENT_AT_ZERO: &'static [&'static str] = &[
        ABANDONED,
        ADMITTED,
        ATTACHED,
        DRAIN_WAIT_SECONDS,
        LAUNCHES_ABANDONED,
        LOGINS_REFUSED,
        RESTARTED,
        RETAINED,
        RIGHTS_MISSING,
        STOPS_WITHOUT_QUORUM,
        STUCK,
    ];

    type Outcome = Outcome;

    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let config = Config::read(lookup)?;
        let ec2 = Query::new(EC2, lookup, aws)?;
        Ok(Self {
            groups: Groups::new(client!(aws_sdk_autoscaling, aws), config.scope()),
            disks: Disks::new(config.cluster.name.clone(), lookup, aws)?,
            container_instances: ContainerInstances::new(client!(aws_sdk_ecs, aws), config.cluster.ecs.clone()),
            volumes: Volumes::new(ec2.clone()),
            statuses: Statuses::new(ec2.clone()),
            neo4j: config.asks.as_ref().map(|asks| Neo4j::new(asks, ec2, lookup, aws)).transpose()?,
            state: StateTable::new(client!(aws_sdk_dynamodb, aws), config.cluster.state_table.clone()),
            config,
        })
    }

    fn cluster(&self) -> &str {
        &self.config.cluster.name
    }

    /// Reads a little of what each round reads, with the same calls and rights.
    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        let (groups, state, cluster) =
            tokio::join!(self.groups.all(), self.state.read(), self.container_instances.all());
        vec![groups.map(drop), state.map(drop), cluster.map(drop)]
    }

    fn log(&self, trigger: &Trigger) {
        if [SWEEP, TASK].contains(&trigger.kind()) {
            return;
        }
        let instance = ["EC2InstanceId", "ec2InstanceId", "instance-id"].iter().find_map(|key| trigger.text(key));
        let instance = instance.unwrap_or("unknown");
        let (what, group) = (&trigger.detail_type, trigger.text("AutoScalingGroupName").unwrap_or("unknown"));
        if trigger.kind() == LAUNCH_FAILED {
            let why = trigger.text("StatusMessage").unwrap_or("unknown");
            tracing::warn!(group, why, "Auto Scaling could not launch an instance");
        } else {
            tracing::info!(instance, group, what, "instance changed");
        }
    }

    async fn reconcile(&self, round: &Round) -> Reconciled<Outcome> {
        self.reconcile_in(None, round).await
    }

    fn answer(&self, outcome: &Outcome) -> Value {
        outcome.answer()
    }

    /// Returns the metrics of a round. `InstancesWaiting` is among those of each: the alarm on silence watches for its absence.
    fn metrics(&self, _: &Round, reconciled: &Reconciled<Outcome>, now: Timestamp) -> Vec<MetricSet> {
        let Some(outcome) = reconciled.outcome.as_ref().filter(|outcome| outcome.looked) else { return Vec::new() };
        let (tally, held) = (&outcome.tally, outcome.plan.held());
        let mut metrics = vec![
            Metric::count(WAITING, held.waiting + tally.put_off),
            Metric::count(STUCK, held.stuck + tally.stuck),
            Metric::count(RETAINED, held.retained),
            Metric::count(LAUNCHES_ABANDONED, tally.refused),
            Metric::count(ATTACHED, tally.attached),
            Metric::count(ADMITTED, tally.admitted),
            Metric::count(ABANDONED, tally.abandoned),
            Metric::count(RESTARTED, tally.restarted),
            Metric::count(STOPS_WITHOUT_QUORUM, tally.stopped_without_quorum),
            Metric::seconds(DRAIN_WAIT_SECONDS, outcome.waits.values().copied().max().unwrap_or_default()),
            Metric::seconds(NOT_WHOLE_SECONDS, outcome.not_whole_for(now)),
            Metric::count(CORES_NOT_WHOLE, outcome.cores.iter().filter(|(_, since)| since.is_some()).count()),
        ];
        // While a cluster forms nobody answers yet, and alarms look back at what was before they were created.
        let formed = outcome.neo4j.iter().filter(|_| outcome.phase == Phase::Complete);
        metrics.extend(formed.flat_map(Neo4jOutcome::metrics));
        metrics.extend(tally.attach_seconds.map(|seconds| Metric::seconds(ATTACH_SECONDS, seconds)));
        metrics.extend(tally.drains.iter().flat_map(|drain| {
            let lag = drain.release_lag.map(|lag| Metric::milliseconds(RELEASE_LAG, lag));
            [Metric::seconds(DRAIN_SECONDS, drain.seconds)].into_iter().chain(lag)
        }));
        let waits = outcome.waits.iter().map(|(reason, seconds)| MetricSet {
            dimensions: vec![("Reason", (*reason).to_owned())],
            metrics: vec![Metric::seconds(WAIT_SECONDS, *seconds)],
        });
        std::iter::once(MetricSet { dimensions: Vec::new(), metrics }).chain(waits).collect()
    }

    async fn custom_resource(
        &self,
        frame: &Frame<Self>,
        request: &CloudFormationCustomResourceRequest,
    ) -> Result<(String, Value), Failure> {
        self.answer_for(frame, request).await
    }
}
