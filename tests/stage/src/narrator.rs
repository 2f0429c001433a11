//! Tells a story as a timeline, and sums it up in a table: in colour and with a running clock on a terminal, plain
//! otherwise.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::stage::Trouble;

/// How long nothing may be said.
const STILL: Duration = Duration::from_secs(5);
/// What lines that belong together begin with.
const INDENT: &str = "           ";

/// Prints as the story goes.
#[derive(Debug)]
pub struct Narrator {
    began: Instant,
    colour: bool,
    rows: Vec<Row>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What happened.
    pub event: &'static str,
    /// What the world answered to it.
    pub answer: String,
    /// Whether that is as it should be.
    pub held: bool,
    /// From the event to the right answer.
    pub took: Option<Took>,
    /// Calls to AWS since the event.
    pub calls: usize,
    /// How many of them wrote.
    pub writes: usize,
}

/// How long something took, and by which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Of real time: what the functions themselves take.
    Real(Duration),
    /// Of the world's time: what instances take to boot, volumes to attach, schedules to come.
    Modelled(Duration),
}

impl Took {
    fn shown(self) -> String {
        match self {
            Self::Real(took) => format!("{} ms", took.as_millis()),
            Self::Modelled(took) => format!("{} s modelled", took.as_secs()),
        }
    }
}

impl Narrator {
    /// Begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { began: Instant::now(), colour: std::io::stdout().is_terminal(), rows: Vec::new() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn clock(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        self.paint("2", &format!("{:>3}:{:04.1}", (seconds / 60.0).floor(), seconds % 60.0))
    }

    /// A heading.
    pub fn title(&self, text: &str) {
        println!("{}", self.paint("1", text));
    }

    /// Something worth knowing.
    pub fn note(&self, text: &str) {
        println!("{}   {}", self.clock(), self.paint("2", text));
    }

    /// Lines that belong together, indented. Not even a narrow terminal wraps them: it cuts them off.
    pub fn lines(&self, text: &str) {
        // DECAWM: <https://vt100.net/docs/vt510-rm/DECAWM.html>
        let (cut, wrap) = if self.colour { ("\x1b[?7l", "\x1b[?7h") } else { ("", "") };
        print!("{cut}");
        for line in text.lines() {
            println!("{}", format!("{INDENT}{line}").trim_end());
        }
        print!("{wrap}");
        _ = std::io::stdout().flush();
    }

    /// Waits for some work; on a terminal the clock runs meanwhile, elsewhere a line tells from time to time that it does.
    pub async fn work<T>(&mut self, what: &str, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let began = Instant::now();
        tokio::pin!(work);
        let (look, clear) = if self.colour { (Duration::from_millis(100), "\r\x1b[K") } else { (STILL, "") };
        let result = loop {
            if self.colour {
                print!("{clear}{} … {what}", self.clock());
                _ = std::io::stdout().flush();
            }
            if let Ok(result) = tokio::time::timeout(look, &mut work).await {
                print!("{clear}");
                break result;
            }
            if !self.colour {
                println!("{} … {what}", self.clock());
            }
        };
        let took = began.elapsed().as_secs_f64();
        match &result {
            Ok(_) => println!(
                "{} {} {what} {}",
                self.clock(),
                self.paint("32", "✓"),
                self.paint("2", &format!("({took:.1} s)"))
            ),
            Err(_) => println!("{} {} {what}", self.clock(), self.paint("31", "✗")),
        }
        result
    }

    /// Takes down what came of an event; one that did not hold ends the story.
    pub fn row(&mut self, row: Row) -> Result<(), Trouble> {
        println!("{}   {}", self.clock(), self.paint("36", &row.answer));
        let (held, event, answer) = (row.held, row.event, row.answer.clone());
        self.rows.push(row);
        if held { Ok(()) } else { Err(format!("{event}: expected «{answer}»")) }
    }

    /// The table.
    pub fn summary(&self) {
        let width = self.rows.iter().map(|row| row.event.chars().count()).max().unwrap_or(0);
        println!();
        self.title(&format!("{:<width$}  answer right  event → answer  calls  writes", "event"));
        for Row { event, held, took, calls, writes, .. } in &self.rows {
            let took = took.map_or("—".to_owned(), Took::shown);
            let held = if *held {
                self.paint("32", &format!("{:<12}", "yes"))
            } else {
                self.paint("31", &format!("{:<12}", "NO"))
            };
            println!("{event:<width$}  {held}  {took:>14}  {calls:>5}  {writes:>6}");
        }
    }
}

impl Default for Narrator {
    fn default() -> Self {
        Self::new()
    }
}
