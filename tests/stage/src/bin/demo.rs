//! Plays the whole story for a person: deploys the whole cluster to a local AWS, takes an instance away, and deletes it.

use std::process::ExitCode;

use cluster_stage::{alert_story, backup_story, cluster::Build, narrator::Narrator, story};

const HELP: &str = "\
Deploys the real templates and the real functions to a local AWS on this machine: the cluster forms, a machine is lost and
its replacement gets the same volume, another reboots, a third is drained and replaced, and all is deleted. DNS is asked after
each event, and each second of the drain. Then three days of backups and an hour of alarms pass in seconds, on virtual time.

Usage: make demo [KEEP=1]

With KEEP=1 (`demo --keep`) it stops when the cluster has formed, prints what to export so that the AWS CLI speaks to this
local AWS, and ends on Enter, on the end of its input or on Ctrl-C.

Ends with 0 only if every step held. Logs: target/stage/. All traffic stays on loopback.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut narrator = Narrator::new();
    let told = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            narrator.title("A cluster, from `sam deploy` to its deletion");
            let told = match story::play(Build::Cargo, &mut narrator).await {
                Ok(()) => backup_story::play(&mut narrator).await,
                Err(trouble) => Err(trouble),
            };
            let told = match told {
                Ok(()) => alert_story::play(&mut narrator).await,
                Err(trouble) => Err(trouble),
            };
            narrator.summary();
            told
        }
        ["--keep"] => {
            narrator.title("A cluster for you, on a local AWS");
            story::keep(&mut narrator, asked_to_end()).await
        }
        ["--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("demo takes --keep or nothing, not {}\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("\n{trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for a line, the end of the input, or Ctrl-C.
async fn asked_to_end() {
    let (told, mut line) = tokio::sync::mpsc::channel(1);
    // Not tokio's standard input, whose thread would hold up the end until a line comes.
    std::thread::spawn(move || {
        _ = std::io::stdin().read_line(&mut String::new());
        _ = told.blocking_send(());
    });
    tokio::select! {
        _ = line.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
