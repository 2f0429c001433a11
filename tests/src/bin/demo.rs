//! Plays the whole story for a person: deploys the real template to a local AWS and watches DNS.

use std::process::ExitCode;

use cluster_tests::{narrator::Narrator, story};

const HELP: &str = "\
Deploys the real template and the real functions to a local AWS on this machine, lets members join, fail, be replaced
and leave, asks DNS after each event, and deletes everything.

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
    narrator.title("A cluster's names, from `sam deploy` to a DNS answer");
    let told = story::play(&mut narrator).await;
    narrator.summary();
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("\n{trouble}");
            ExitCode::FAILURE
        }
    }
}
