//! Plays one schedule again, or explores for longer than the tests do.

use std::{process::ExitCode, time::Instant};

use cluster_sim::explore::{self, Depth, SUBJECTS, Schedule};

const HELP: &str = "\
Plays the functions against the modelled AWS with faults, and checks what must never happen.

Usage: explore SCHEDULE        play one schedule again, such as: restart 7:Kill 12:Stale
                               or: random instance-drainer 42
       explore --all SCENARIO  every single fault in one scenario
       explore --soak [SEEDS]  of every function every single fault, every pair, and random orders from so many seeds (50000)
       explore --help";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("--help") => println!("{HELP}"),
        Some("--soak") => soak(arguments.get(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(50_000)),
        Some("--all") => match arguments.iter().skip(1).cloned().collect::<Vec<_>>().join(" ").parse::<Schedule>() {
            Ok(Schedule::Planned(name, _)) => {
                let began = Instant::now();
                println!("{}", explore::scenario(name, Depth::Whole, 1, 0).line(name, began));
            }
            other => {
                eprintln!("{other:?} is no scenario\n\n{HELP}");
                return ExitCode::from(2);
            }
        },
        Some(_) => match arguments.join(" ").parse::<Schedule>() {
            Ok(schedule) => {
                let played = explore::run(&schedule);
                println!("{schedule}: held, {} calls, struck: {:?}", played.calls.len(), played.struck);
            }
            Err(wrong) => {
                eprintln!("{wrong}\n\n{HELP}");
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

fn soak(seeds: u64) {
    for subject in SUBJECTS {
        println!("{}", subject.function);
        let began = Instant::now();
        let all = explore::singles(subject, Depth::Whole, 1, |name, own| {
            println!("{}", own.line(&format!("  {name}"), began));
        });
        println!("{}", all.line("every fault at every call", began));
        for name in subject.paired {
            let began = Instant::now();
            println!("{}", explore::pairs(name, 1).line(&format!("every pair in {name}"), began));
        }
    }
    for thousand in 0..seeds.div_ceil(1_000) {
        for subject in SUBJECTS {
            let began = Instant::now();
            let range = thousand * 1_000..((thousand + 1) * 1_000).min(seeds);
            let what = format!("{}: random {}..{}", subject.function, range.start, range.end);
            println!("{}", explore::orders(subject, range).line(&what, began));
        }
    }
}
