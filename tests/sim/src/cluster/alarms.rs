//! The alarms of a cluster's stacks, and whom they invoke.

use cluster_world::cloudwatch::State;
use serde_json::json;

use super::Cluster;

/// Whether the world makes resources of a type once it has alarms: a dashboard is a name.
pub(super) fn is_alarm(r#type: &str) -> bool {
    matches!(r#type, "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm" | "AWS::CloudWatch::AlarmMuteRule")
}

impl Cluster {
    /// Returns the same cluster with the alarms of its stacks, which are new: CloudWatch hears the lines of functions from now on,
    /// and evaluates each alarm once a minute. Before they are there each function has been woken once: a rate begins at once, and
    /// the stack of the alarms comes last.
    pub async fn with_alarms(self) -> Self {
        self.wire.world().cloudwatch.listens = true;
        for schedule in self.deployed.schedules.iter().filter(|schedule| schedule.sweeps()) {
            if self.running().contains(&schedule.function) {
                _ = self.sweep_function(&schedule.function).await;
            }
        }
        self.put_alarms();
        self
    }

    /// Creates the alarms and mute rules that the stacks have, or changes those that are there.
    pub(super) fn put_alarms(&self) {
        let mut world = self.wire.world();
        for made in self.deployed.made.iter().filter(|made| is_alarm(&made.r#type)) {
            let (mut properties, name) = (made.properties.clone(), made.physical_id.rsplit(':').next().unwrap());
            // A topic that is named is there.
            for key in ["AlarmActions", "OKActions", "InsufficientDataActions"] {
                let topics = properties[key].as_array().into_iter().flatten().filter_map(|arn| arn.as_str());
                for topic in topics.filter(|arn| arn.contains(":sns:")) {
                    world.sns.topics.entry(topic.to_owned()).or_default();
                }
            }
            let key = if made.r#type == "AWS::CloudWatch::AlarmMuteRule" { "Name" } else { "AlarmName" };
            properties[key] = json!(name);
            let created = world.create(&made.r#type, name, &properties);
            created.unwrap_or_else(|why| panic!("{:?}: {why}", made.place));
        }
    }

    /// Returns the name in CloudWatch of the alarm that a template calls by this logical id; of several, the one whose stack is
    /// named by the path before it, such as `Monitoring/Silence/SilenceAlarm`.
    #[must_use]
    pub fn alarm_name(&self, id: &str) -> String {
        let alarms = self.deployed.made.iter().filter(|made| is_alarm(&made.r#type));
        let is = |made: &&crate::stacks::Made| {
            let whole = format!("{}/{}", made.place.0, made.place.1);
            whole == id || whole.ends_with(&format!("/{id}"))
        };
        let found: Vec<_> = alarms.filter(is).collect();
        match &found[..] {
            [one] => one.physical_id.clone(),
            other => panic!("{id}: {} alarms of the stacks are called so", other.len()),
        }
    }

    /// Returns the ARN of a function.
    #[must_use]
    pub fn function_arn(&self, name: &str) -> &str {
        let found = self.deployed.arns.iter().find(|(_, function)| *function == name);
        found.map_or_else(|| panic!("there is no function {name}"), |(arn, _)| arn)
    }

    /// Returns the state of an alarm of the stacks, by its logical id.
    #[must_use]
    pub fn alarm(&self, id: &str) -> State {
        self.wire.world().alarm_state(&self.alarm_name(id)).unwrap_or_else(|| panic!("{id}: use with_alarms first"))
    }

    /// Returns the alarms of the stacks that are in ALARM, by their names in CloudWatch.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let world = self.wire.world();
        let all = world.cloudwatch.alarms.iter().filter(|(_, alarm)| alarm.now.state == State::Alarm);
        all.map(|(name, _)| name.clone()).collect()
    }

    /// Invokes functions that are due to be invoked asynchronously. What fails is given back to Lambda.
    pub(super) async fn deliver(&self) {
        {
            let world = self.wire.world();
            assert_eq!(world.cloudwatch.faults, Vec::<String>::new());
            if world.lambda.invocations.is_empty() {
                return;
            }
        }
        let running = self.running();
        for (arn, function) in self.deployed.arns.iter().filter(|(_, function)| running.contains(*function)) {
            let due = self.wire.world().take_invocations(arn);
            for invocation in due {
                if let Err(failure) = self.invoke_function(function, invocation.payload.clone()).await {
                    self.wire.world().failed(invocation, &failure.chain());
                }
            }
        }
    }
}
