//! What the stage asks the local AWS.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use serde_json::{Value, json};

use super::{LOOK, PATIENCE, Stage, Trouble, trouble};

impl Stage {
    async fn cloudformation(&self, action: &str, stack: &str) -> Result<String, Trouble> {
        let form = [("Action", action), ("StackName", stack), ("Version", "2010-05-15")];
        let form = reqwest::Url::parse_with_params(&self.gateway, form).map_err(|e| trouble("no form")(&e))?;
        let body = form.query().unwrap_or_default().to_owned();
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let response = self.ask_aws("cloudformation", "/", &kind, body).await?;
        response.text().await.map_err(|e| trouble("CloudFormation's answer broke off")(&e))
    }

    /// Makes a topic, and returns its ARN.
    pub async fn make_topic(&self, name: &str) -> Result<String, Trouble> {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let form = format!("Action=CreateTopic&Version=2010-03-31&Name={name}");
        let response = self.ask_aws("sns", "/", &kind, form).await?;
        let text = response.text().await.map_err(|e| trouble("SNS's answer broke off")(&e))?;
        let arn = text.split_once("<TopicArn>").and_then(|(_, rest)| rest.split_once("</TopicArn>"));
        arn.map(|(arn, _)| arn.to_owned()).ok_or_else(|| format!("SNS made no topic: {text}"))
    }

    /// The alarms, as CloudWatch words them.
    pub async fn alarms(&self) -> Result<String, Trouble> {
        let target = ("X-Amz-Target", "GraniteServiceVersion20100801.DescribeAlarms");
        let headers = [("Content-Type", "application/x-amz-json-1.0"), target];
        let response = self.ask_aws("monitoring", "/", &headers, "{}".to_owned()).await?;
        response.text().await.map_err(|e| trouble("CloudWatch's answer broke off")(&e))
    }

    /// A request to a service that speaks JSON.
    async fn ask_json(&self, service: &str, target: &str, body: &Value) -> Result<Value, Trouble> {
        let headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target)];
        let response = self.ask_aws(service, "/", &headers, body.to_string()).await?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(|e| trouble(&format!("{target} answers no JSON"))(&e))?;
        if status.is_success() { Ok(answer) } else { Err(format!("{target} failed: {answer}")) }
    }

    /// Makes a secret that no stack has, under one ARN for whoever reads it and for the tasks of the world.
    pub async fn make_secret(&self, name: &str, value: &str) -> Result<String, Trouble> {
        let secret = json!({"Name": name, "SecretString": value, "ClientRequestToken": format!("{name:0>32}")});
        let made = self.ask_json("secretsmanager", "secretsmanager.CreateSecret", &secret).await?;
        let arn = made["ARN"].as_str().ok_or_else(|| format!("the secret {name} has no ARN: {made}"))?;
        self.live.world().put_secret(arn, name, value.to_owned());
        Ok(arn.to_owned())
    }

    /// The latest value of each metric in the lines that a function has written. CloudWatch makes metrics of them, the
    /// emulator does not. What a function leaves out at 0 is 0 as of its next line without it.
    pub async fn metrics(&self, log_group: &str) -> Result<BTreeMap<String, f64>, Trouble> {
        let mut question = json!({"logGroupName": log_group, "filterPattern": "CloudWatchMetrics"});
        let mut metrics = BTreeMap::new();
        loop {
            let page = self.ask_json("logs", "Logs_20140328.FilterLogEvents", &question).await?;
            let events = page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
            for line in events.filter_map(|message| serde_json::from_str::<Value>(message.trim()).ok()) {
                let named = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
                let named = named.flat_map(|directive| directive["Metrics"].as_array().into_iter().flatten());
                let values = named.filter_map(|metric| metric["Name"].as_str());
                if line["MembersAnswering"].is_number() {
                    metrics.retain(|name: &String, _| !name.starts_with("Monitor"));
                }
                metrics.extend(values.filter_map(|name| Some((name.to_owned(), line[name].as_f64()?))));
            }
            match page.get("nextToken").filter(|token| token.is_string()) {
                Some(token) => question["nextToken"] = token.clone(),
                None => return Ok(metrics),
            }
        }
    }

    /// Returns the lines that a function wrote last, but for those that hold metrics: why something does not come.
    pub async fn last_lines(&self, log_group: &str, count: usize) -> Result<String, Trouble> {
        let (mut lines, mut question) = (Vec::new(), json!({"logGroupName": log_group}));
        loop {
            let page = self.ask_json("logs", "Logs_20140328.FilterLogEvents", &question).await?;
            let events = page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
            let told = events.filter(|line| !line.contains("CloudWatchMetrics"));
            lines.extend(told.map(|line| line.trim().to_owned()));
            match page.get("nextToken").filter(|token| token.is_string()) {
                Some(token) => question["nextToken"] = token.clone(),
                None => break,
            }
        }
        Ok(lines.split_off(lines.len().saturating_sub(count)).join("\n"))
    }

    /// A signed request, as the account's root.
    async fn ask_aws(
        &self,
        service: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<reqwest::Response, Trouble> {
        let url = format!("{}{path}", self.gateway);
        let identity = Credentials::new("test", "test", None, None, "stage").into();
        #[expect(clippy::disallowed_methods, reason = "a signature says when it was made")]
        let now = SystemTime::now();
        let scope = SigningParams::builder().identity(&identity).region("eu-west-1").name(service).time(now);
        let scope = scope.settings(SigningSettings::default()).build().map_err(|e| trouble("no signature")(&e))?;
        let signable = SignableRequest::new("POST", &url, std::iter::empty(), SignableBody::Bytes(body.as_bytes()));
        let signable = signable.map_err(|e| trouble("no signature")(&e))?;
        let signed = sign(signable, &scope.into()).map_err(|e| trouble("no signature")(&e))?;
        let request = http::Request::post(&url);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(body).map_err(|e| trouble("no request")(&e))?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        let request = reqwest::Request::try_from(request).map_err(|e| trouble("no request")(&e))?;
        self.http.execute(request).await.map_err(|e| trouble(&format!("{service} did not answer"))(&e))
    }

    /// The outputs of a stack.
    pub async fn outputs(&self, stack: &str) -> Result<BTreeMap<String, String>, Trouble> {
        let text = self.cloudformation("DescribeStacks", stack).await?;
        let between = |text: &str, tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once(&format!("</{tag}>"))?.0.to_owned())
        };
        let outputs = between(&text, "Outputs").ok_or_else(|| format!("stack {stack} has no outputs: {text}"))?;
        let members = outputs.split("<member>").skip(1);
        Ok(members.filter_map(|m| Some((between(m, "OutputKey")?, between(m, "OutputValue")?))).collect())
    }

    /// Deletes a stack and waits until it is gone, while time flies.
    pub async fn delete_stack(&self, stack: &str) -> Result<(), Trouble> {
        self.cloudformation("DeleteStack", stack).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.cloudformation("DescribeStacks", stack).await?;
            if text.contains("does not exist") || text.contains("DELETE_COMPLETE") {
                return Ok(());
            }
            if text.contains("DELETE_FAILED") {
                return Err(format!("stack {stack} could not be deleted: {}", self.reasons(stack).await?.join("; ")));
            }
            if Instant::now() > deadline {
                return Err(format!("stack {stack} was not deleted within {} s", PATIENCE.as_secs()));
            }
            // Hooks, agents and schedules go on meanwhile.
            self.wind(1).await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Why operations on a stack and on those nested in it failed.
    async fn reasons(&self, stack: &str) -> Result<Vec<String>, Trouble> {
        let (mut reasons, mut open, mut seen) = (Vec::new(), vec![stack.to_owned()], BTreeSet::new());
        while let Some(stack) = open.pop() {
            let events = self.cloudformation("DescribeStackEvents", &stack).await?;
            let all = |tag: &str| -> Vec<String> {
                let tag = format!("<{tag}>");
                let parts = events.split(&tag).skip(1).filter_map(|part| part.split_once('<'));
                parts.map(|(text, _)| text.to_owned()).filter(|text| !text.is_empty()).collect()
            };
            reasons.extend(all("ResourceStatusReason"));
            let nested = all("PhysicalResourceId").into_iter().filter(|id| id.starts_with("arn:aws:cloudformation:"));
            open.extend(nested.filter(|id| seen.insert(id.clone())));
        }
        Ok(reasons)
    }

    /// Invokes a function, as a person would.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Trouble> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let kind = [("Content-Type", "application/json")];
        let response = self.ask_aws("lambda", &path, &kind, event.to_string()).await?;
        let failed = response.headers().contains_key("x-amz-function-error");
        let answer: Value = response.json().await.map_err(|e| trouble("the function's answer is no JSON")(&e))?;
        if failed { Err(format!("{function} failed: {answer}")) } else { Ok(answer) }
    }
}
