//! The real template and the real binaries on a local AWS: a world on loopback, the emulator beside it, DNS over both.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use cluster_world::{Request, World};
use hickory_proto::rr::RecordType;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, UdpSocket},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{dns, serve::Live};

/// How often somebody looks whether what they wait for has come, and how often events are handed on.
const LOOK: Duration = Duration::from_millis(25);
/// How long anything may take before the story has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// The services that the world stands for, as the AWS CLI and the SDKs name them in `AWS_ENDPOINT_URL_…`:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html>
const MODELLED: [&str; 5] = ["AUTO_SCALING", "EC2", "ECS", "ROUTE_53", "SERVICEDISCOVERY"];

/// What went wrong, for people.
pub type Trouble = String;

/// A running local AWS.
#[derive(Debug)]
pub struct Stage {
    /// What stands for EC2, Auto Scaling, ECS, Cloud Map and Route 53.
    pub live: Live,
    /// Where DNS is answered.
    pub dns: SocketAddr,
    root: PathBuf,
    gateway: String,
    world: String,
    door: String,
    http: reqwest::Client,
    launcher: Child,
    tasks: Vec<JoinHandle<()>>,
    /// Builds and logs of two runs in one folder would mix.
    _lock: std::fs::File,
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

fn trouble(what: &str) -> impl Fn(&dyn std::error::Error) -> Trouble {
    move |error| format!("{what}: {error}")
}

impl Stage {
    /// Starts everything on free ports of loopback.
    pub async fn open() -> Result<Self, Trouble> {
        let root = root();
        let lock = log_file(&root, "lock")?;
        lock.try_lock().map_err(|_| "another run is under way in this folder: wait for its end".to_owned())?;
        let python = root.join(".venv/bin/python");
        if !python.exists() {
            return Err(format!("{} is missing: run `make tools` first", python.display()));
        }
        #[expect(clippy::disallowed_methods, reason = "the world begins now")]
        let live = Live::new(World::new(Timestamp::now(), 1));
        let api = TcpListener::bind("127.0.0.1:0").await.map_err(|e| trouble("no port for the world")(&e))?;
        let world_url = format!("http://{}", api.local_addr().map_err(|e| trouble("no address")(&e))?);
        let names = UdpSocket::bind("127.0.0.1:0").await.map_err(|e| trouble("no port for DNS")(&e))?;
        let dns = names.local_addr().map_err(|e| trouble("no address")(&e))?;
        let resolver = live.clone();
        let mut tasks = vec![
            tokio::spawn({
                let live = live.clone();
                async move { _ = live.serve(api).await }
            }),
            tokio::spawn(async move {
                let mut server = dns::serve(names, resolver);
                _ = server.block_until_done().await;
            }),
        ];

        let (port, door) = (free_port().await?, free_port().await?);
        let log = log_file(&root, "local-aws.log")?;
        let mut launcher = Command::new(&python)
            .arg(root.join("tests/local-aws/launch.py"))
            .args(["--port", &port.to_string(), "--door", &door.to_string(), "--world", &world_url])
            .envs(MODELLED.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), world_url.clone())))
            // Functions inherit it: neo4j-gateway reaches the members of the world, whose addresses nobody has here.
            .env("HTTP_PROXY", &world_url)
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // What a terminal's Ctrl-C means for it is ours to say.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| trouble("the local AWS did not start")(&e))?;
        let ready = launcher.stdout.take().map(|out| BufReader::new(out).lines());
        let mut ready = ready.ok_or("the local AWS has no output")?;
        let first = tokio::time::timeout(PATIENCE, ready.next_line()).await;
        let Ok(Ok(Some(_))) = first else {
            return Err("the local AWS did not get ready: see target/stage/local-aws.log".to_owned());
        };
        let http = reqwest::Client::builder().no_proxy().build().map_err(|e| trouble("no HTTP client")(&e))?;
        let door = format!("http://127.0.0.1:{door}");
        live.obey(http.clone(), format!("{door}/rights"));
        tasks.push(tokio::spawn(hand_on_events(live.clone(), http.clone(), door.clone())));
        Ok(Self {
            live,
            dns,
            root,
            gateway: format!("http://127.0.0.1:{port}"),
            world: world_url,
            door,
            http,
            launcher,
            tasks,
            _lock: lock,
        })
    }

    /// Builds the functions as the tests are built, so that nothing is compiled twice, and puts them and the templates into
    /// a folder as they lie in the repository, with a binary in the place of each function's sources. Returns the options
    /// by which `sam deploy` finds a template there.
    pub async fn build(&self, template: &str) -> Result<Vec<String>, Trouble> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--workspace", "--bins", "--quiet", "--message-format=json-render-diagnostics"])
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| trouble("cargo did not start")(&e))?;
        if !built.status.success() {
            return Err(format!("the functions cannot be built:\n{}", String::from_utf8_lossy(&built.stderr)));
        }
        let messages = String::from_utf8_lossy(&built.stdout);
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let binary = |message: Value| {
            let path = message["executable"].as_str()?.to_owned();
            Some((message["target"]["name"].as_str()?.to_owned(), path))
        };
        let binaries: BTreeMap<_, _> = messages.filter_map(binary).collect();
        let folder = self.root.join("target/stage/build");
        lay_out(&self.root, &folder, &binaries).map_err(|e| trouble("the functions cannot be laid out")(&e))?;
        // SAM looks for its settings beside the template.
        let (template, settings) = (folder.join("infra").join(template), self.root.join("samconfig.toml"));
        let of = |path: PathBuf| path.to_string_lossy().into_owned();
        Ok(vec!["--template-file".into(), of(template), "--config-file".into(), of(settings)])
    }

    /// Runs `sam` with the project's configuration. Its output goes to `target/stage/<log>.log`.
    pub async fn sam(&self, log: &str, arguments: &[&str]) -> Result<(), Trouble> {
        let path = self.root.join(".venv/bin");
        let paths = crate::path_with(&path);
        let output = log_file(&self.root, &format!("{log}.log"))?;
        let errors = output.try_clone().map_err(|e| trouble("no log file")(&e))?;
        let status = Command::new(path.join("sam"))
            .args(arguments)
            .current_dir(&self.root)
            .env("PATH", paths)
            .env("AWS_ENDPOINT_URL", &self.gateway)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("SAM_CLI_TELEMETRY", "0")
            .env("NO_PROXY", "127.0.0.1,localhost")
            // The release profile takes minutes and changes nothing that is told here.
            .env("SAM_BUILD_MODE", "debug")
            // cargo-lambda's own flags would make every other build start anew.
            .env("CARGO_TARGET_DIR", self.root.join("target/lambda"))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|e| trouble("sam did not start")(&e))?;
        if status.success() {
            return Ok(());
        }
        let text = std::fs::read_to_string(self.root.join(format!("target/stage/{log}.log"))).unwrap_or_default();
        let tail: Vec<_> = text.lines().rev().take(25).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        Err(format!("sam {} failed:\n{}", arguments.join(" "), tail.join("\n")))
    }

    async fn cloudformation(&self, action: &str, stack: &str) -> Result<String, Trouble> {
        let form = [("Action", action), ("StackName", stack), ("Version", "2010-05-15")];
        let form = reqwest::Url::parse_with_params(&self.gateway, form).map_err(|e| trouble("no form")(&e))?;
        let body = form.query().unwrap_or_default().to_owned();
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let response = self.ask_aws("cloudformation", "/", &kind, body).await?;
        response.text().await.map_err(|e| trouble("CloudFormation's answer broke off")(&e))
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
    /// emulator does not.
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

    /// What a shell needs so that the AWS CLI speaks to this AWS, as the root of its account.
    #[must_use]
    pub fn exports(&self) -> String {
        let mut lines = vec![format!("export AWS_ENDPOINT_URL={}", self.gateway)];
        lines.extend(MODELLED.map(|service| format!("export AWS_ENDPOINT_URL_{service}={}", self.world)));
        let tools = self.root.join(".venv/bin");
        lines.extend([
            "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test".to_owned(),
            "export AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 AWS_PAGER= NO_PROXY=127.0.0.1".to_owned(),
            "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_IGNORE_CONFIGURED_ENDPOINT_URLS".to_owned(),
            format!("export PATH=\"$PATH:{}\"   # has an AWS CLI, if you have none", tools.display()),
            // <https://github.com/aws/aws-cli/blob/develop/awscli/customizations/overridesslcommonname.py>
            "# Version 1 sends calls to SQS to AWS whatever the variables say.".to_owned(),
            "aws() { [ \"$1\" = sqs ] && set -- --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; command aws \"$@\"; }"
                .to_owned(),
        ]);
        lines.join("\n")
    }

    /// Every denial so far: of a call, a delivery, a poll.
    pub async fn denied(&self) -> Result<Vec<String>, Trouble> {
        let answer = self.http.post(format!("{}/denied", self.door)).send().await;
        let answer: Value = answer.map_err(|e| trouble("the door is shut")(&e))?.json().await.unwrap_or_default();
        serde_json::from_value(answer["denied"].clone()).map_err(|e| trouble("no list of denials")(&e))
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

    /// Winds time forward, for the world and for the emulator's schedules.
    pub async fn wind(&self, seconds: u64) -> Result<(), Trouble> {
        self.live.wind(Duration::from_secs(seconds));
        let request = self.http.post(format!("{}/wind", self.door)).json(&json!({"seconds": seconds}));
        request.send().await.map_err(|e| trouble("the clock of the schedules could not be wound")(&e))?;
        Ok(())
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

    /// Tells Auto Scaling to terminate an instance, whose group wants another one then, as people do.
    pub fn terminate(&self, instance: &str) -> Result<(), Trouble> {
        let form = format!(
            "Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId={instance}\
             &ShouldDecrementDesiredCapacity=false"
        );
        let (method, path, query) = ("POST".to_owned(), "/".to_owned(), String::new());
        let request = Request { method, path, query, body: form.into_bytes(), ..Request::default() };
        let answer = self.live.world().answer(&request);
        if answer.status == 200 { Ok(()) } else { Err(format!("{instance} cannot be terminated: {}", answer.body)) }
    }

    /// Asks DNS.
    pub async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<String>, Trouble> {
        let answer = tokio::time::timeout(Duration::from_secs(5), dns::ask(self.dns, name, kind)).await;
        answer.map_err(|_| format!("DNS did not answer for {name}"))?.map_err(|e| trouble("DNS")(&e))
    }

    /// Waits until `look` is content, and says how long that took.
    pub async fn until<F, R>(&self, what: &str, mut look: F) -> Result<Duration, Trouble>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<bool, Trouble>>,
    {
        let began = Instant::now();
        while !look().await? {
            if began.elapsed() > PATIENCE {
                return Err(format!("waited {} s in vain until {what}", PATIENCE.as_secs()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(began.elapsed())
    }

    /// Ends everything that was started. However well a story was told, it fails when anybody was denied anything.
    pub async fn end(self, told: Result<(), Trouble>) -> Result<(), Trouble> {
        let denied = self.denied().await;
        self.close().await;
        match (told, denied?) {
            (told, denied) if denied.is_empty() => told,
            (told, denied) => {
                let told = told.err().map(|why| format!("{why}\n")).unwrap_or_default();
                Err(format!("{told}denied by IAM:\n  {}", denied.join("\n  ")))
            }
        }
    }

    async fn close(mut self) {
        drop(self.launcher.stdin.take());
        if tokio::time::timeout(Duration::from_secs(10), self.launcher.wait()).await.is_err() {
            _ = self.launcher.kill().await;
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn free_port() -> Result<u16, Trouble> {
    let socket = TcpListener::bind("127.0.0.1:0").await.map_err(|e| trouble("no free port")(&e))?;
    Ok(socket.local_addr().map_err(|e| trouble("no address")(&e))?.port())
}

/// Copies the templates of `root`, and puts the binary of each function where its template looks for it.
fn lay_out(root: &Path, folder: &Path, binaries: &BTreeMap<String, String>) -> std::io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let templates = folder.join("infra");
    std::fs::create_dir_all(&templates)?;
    for template in std::fs::read_dir(root.join("infra"))? {
        let template = template?;
        std::fs::copy(template.path(), templates.join(template.file_name()))?;
    }
    for function in std::fs::read_dir(root.join("lambdas"))? {
        let name = function?.file_name();
        let absent = || std::io::Error::other(format!("cargo built no binary {}: is it a [[bin]]?", name.display()));
        let binary = binaries.get(&*name.to_string_lossy()).ok_or_else(absent)?;
        let place = folder.join("lambdas").join(&name);
        std::fs::create_dir_all(&place)?;
        std::fs::copy(binary, place.join("bootstrap"))?;
    }
    Ok(())
}

fn log_file(root: &Path, name: &str) -> Result<std::fs::File, Trouble> {
    let folder = root.join("target/stage");
    std::fs::create_dir_all(&folder).map_err(|e| trouble("no folder for logs")(&e))?;
    std::fs::File::create(folder.join(name)).map_err(|e| trouble("no log file")(&e))
}

/// Brings the world's events to EventBridge, as AWS's services do.
async fn hand_on_events(live: Live, http: reqwest::Client, door: String) {
    loop {
        let events = live.take_events();
        if !events.is_empty() {
            // A lost event is made good by the next sweep, on AWS as here.
            _ = http.post(format!("{door}/events")).json(&events).send().await;
        }
        tokio::time::sleep(LOOK).await;
    }
}
