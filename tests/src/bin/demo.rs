//! Plays the whole story for a person: deploys the whole cluster to a local AWS, takes a machine away, and deletes it.

use std::process::ExitCode;

use cluster_tests::{cluster::Build, narrator::Narrator, story};

const HELP: &str = "\
Deploys the real templates and the real functions to a local AWS on this machine: the cluster forms, a machine is lost and
its replacement gets the same volume, another reboots, and all is deleted. DNS is asked after each event.

Usage: make demo

Ends with 0 only if every step held. Logs: target/stage/. All traffic stays on loopback.";

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        println!("{HELP}");
        return if std::env::args().any(|argument| argument == "--help") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    }
    let mut narrator = Narrator::new();
    narrator.title("A cluster, from `sam deploy` to its deletion");
    let told = story::play(Build::Cargo, &mut narrator).await;
    narrator.summary();
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("\n{trouble}");
            ExitCode::FAILURE
        }
    }
}
