//! Job queues and job definitions as CloudFormation makes them.

use serde_json::{Value, json};

use super::{
    super::{
        World,
        cloudformation::{Change, Operation, Wanted, done, text},
    },
    Definition, Queue, arn, short,
};

impl World {
    /// Template references of `AWS::Batch::JobQueue` and `AWS::Batch::JobDefinition`: `Ref` is the ARN, of a definition with its
    /// revision.
    pub(super) fn create_for_jobs(&mut self, wanted: &Wanted<'_>) -> Operation {
        if wanted.r#type == "AWS::Batch::JobQueue" {
            let name = self.generated(wanted, "JobQueueName");
            self.batch.queues.insert(name.clone(), Queue::default());
            let arn = arn("job-queue", &name);
            return done(arn.clone(), json!({"JobQueueArn": arn}));
        }
        let name = self.generated(wanted, "JobDefinitionName");
        self.register(&name, wanted.properties)
    }

    /// A changed definition is another revision; a changed queue is the same one, unless it has another name.
    pub(super) fn update_for_jobs(&mut self, change: &Change<'_>) -> Operation {
        let (named, kind) = match change.r#type {
            "AWS::Batch::JobQueue" => ("JobQueueName", "job-queue"),
            _ => ("JobDefinitionName", "job-definition"),
        };
        if !change.keeps(named) {
            return Ok(None);
        }
        let name = short(kind, change.physical_id);
        if kind == "job-queue" {
            return done(change.physical_id, json!({"JobQueueArn": change.physical_id}));
        }
        self.register(name.split(':').next().unwrap_or(name), change.properties)
    }

    pub(super) fn delete_for_jobs(&mut self, r#type: &str, id: &str) {
        if r#type == "AWS::Batch::JobQueue" {
            self.batch.queues.remove(short("job-queue", id));
        }
    }

    fn register(&mut self, name: &str, properties: &Value) -> Operation {
        let container = &properties["ContainerProperties"];
        let environment = container["Environment"].as_array().into_iter().flatten();
        let options = &container["LogConfiguration"]["Options"];
        let option = |key: &str| Some(text(options, key)).filter(|text| !text.is_empty());
        let definition = Definition {
            environment: environment.map(|pair| (text(pair, "Name"), text(pair, "Value"))).collect(),
            timeout: text(&properties["Timeout"], "AttemptDurationSeconds").parse().ok(),
            log_group: option("awslogs-group"),
            stream_prefix: option("awslogs-stream-prefix"),
        };
        let revisions = self.batch.definitions.entry(name.to_owned()).or_default();
        revisions.push(definition);
        let arn = arn("job-definition", &format!("{name}:{}", revisions.len()));
        done(arn.clone(), json!({"JobDefinitionArn": arn}))
    }

    /// Puts a job queue there that no stack made, and returns its ARN.
    pub fn put_job_queue(&mut self, name: &str, queue: Queue) -> String {
        self.batch.queues.insert(name.to_owned(), queue);
        arn("job-queue", name)
    }

    /// Registers a revision of a job definition that no stack made, and returns its ARN.
    pub fn put_job_definition(&mut self, name: &str, definition: Definition) -> String {
        let revisions = self.batch.definitions.entry(name.to_owned()).or_default();
        revisions.push(definition);
        arn("job-definition", &format!("{name}:{}", revisions.len()))
    }
}
