//! Measures what is deployed, beside a hello-world of the same runtime and profile.

use std::{env, path::PathBuf, process::ExitCode};

use cluster_stage::bench;

const HELP: &str = "\
Starts released functions again and again, feeds them events, and prints what a start and an event cost.

Usage: make bench, or bench HELLO_WORLD FUNCTION...

The first binary is the yardstick; of the others each gets a column. All traffic stays on loopback.";

#[tokio::main]
async fn main() -> ExitCode {
    let binaries: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let Some((hello, functions)) = binaries.split_first().filter(|(hello, functions)| {
        hello.is_file() && !functions.is_empty() && functions.iter().all(|function| function.is_file())
    }) else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    bench::run(hello, functions).await;
    ExitCode::SUCCESS
}
