//! The real template and the real binaries on a local AWS: a world on loopback, the emulator beside it, DNS over both.

mod asks;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
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
const MODELLED: [&str; 6] = ["AUTO_SCALING", "BATCH", "EC2", "ECS", "ROUTE_53", "SERVICEDISCOVERY"];
/// Those of which functions ask the world and people the emulator: it has what `sam deploy` uploads, and the functions' logs; the
/// world has the backups, and the logs of their jobs.
const OF_FUNCTIONS: [&str; 2] = ["CLOUDWATCH_LOGS", "S3"];

/// What went wrong, for people.
pub type Trouble = String;

/// A running local AWS.
#[derive(Debug)]
pub struct Stage {
    /// What stands for EC2, Auto Scaling, ECS, Cloud Map, Route 53, S3 and Batch.
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
            .envs(OF_FUNCTIONS.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), world_url.clone())))
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

    /// Winds time forward, for the world and for the emulator's schedules.
    pub async fn wind(&self, seconds: u64) -> Result<(), Trouble> {
        self.live.wind(Duration::from_secs(seconds));
        let request = self.http.post(format!("{}/wind", self.door)).json(&json!({"seconds": seconds}));
        request.send().await.map_err(|e| trouble("the clock of the schedules could not be wound")(&e))?;
        Ok(())
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
