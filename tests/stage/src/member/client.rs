//! The official driver, and a browser's HTTP, as `tests/neo4j/client.py` has them.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::PATIENCE;
use crate::stage::{Trouble, root};

/// Somebody who connects: the password of the user neo4j, and the certificates that are trusted.
#[derive(Clone, Debug)]
pub struct Client {
    /// The password.
    pub password: String,
    /// A file of certificates, in the place of the system's.
    pub trusted: Option<PathBuf>,
}

/// Writes numbers, one transaction each, until that fails.
#[derive(Debug)]
pub struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    last: Option<u64>,
}

impl Client {
    fn command(&self, words: &[&str]) -> Command {
        // Else a story could wait for an answer without an end.
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", &PATIENCE.as_secs().to_string()]).arg(root().join(".tools/jdk/bin/python"));
        command.arg(root().join("tests/neo4j/client.py")).args(words).env("PASSWORD", &self.password);
        for variable in ["SSL_CERT_DIR", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(variable);
        }
        if let Some(file) = &self.trusted {
            command.env("SSL_CERT_FILE", file);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn answers(&self, words: &[&str]) -> Result<Vec<Value>, Trouble> {
        let output = self.command(words).output().map_err(|e| format!("the client does not start: {e}"))?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
        let lines = lines.map_err(|e| format!("{words:?}: {e}"))?;
        if output.status.success() {
            return Ok(lines);
        }
        let why = lines.last().and_then(|line| line["error"].as_str());
        Err(format!("{}: {}", words.join(" "), why.unwrap_or("no answer")))
    }

    /// Runs statements at an address of the driver's. Returns the rows of each.
    ///
    /// # Errors
    /// The driver's own.
    pub fn cypher(&self, address: &str, statements: &[&str]) -> Result<Vec<Value>, Trouble> {
        self.answers(&[&["cypher", address], statements].concat())
    }

    /// Does the same, and returns the IPv4 addresses that were tried as well, in their order.
    ///
    /// # Errors
    /// The driver's own.
    pub fn cypher_by(&self, address: &str, statements: &[&str]) -> Result<(Vec<Ipv4Addr>, Vec<Value>), Trouble> {
        let mut answers = self.answers(&[&["cypher-by", address], statements].concat())?;
        let tried = answers.pop().and_then(|last| serde_json::from_value(last).ok());
        Ok((tried.ok_or("the client does not say what it tried")?, answers))
    }

    /// Returns the body of a page.
    ///
    /// # Errors
    /// What HTTP or TLS say, with its status.
    pub fn get(&self, url: &str) -> Result<String, Trouble> {
        self.get_within(url, 20)
    }

    /// Returns the body of a page that answers within so many seconds.
    ///
    /// # Errors
    /// What HTTP or TLS say, with its status.
    pub fn get_within(&self, url: &str, seconds: u32) -> Result<String, Trouble> {
        let answers = self.answers(&["get", url, &seconds.to_string()])?;
        Ok(answers[0]["body"].as_str().unwrap_or_default().to_owned())
    }

    /// Starts to write.
    ///
    /// # Errors
    /// When the client does not start.
    pub fn writer(&self, address: &str) -> Result<Writer, Trouble> {
        self.numbers("write", address)
    }

    /// Begins a transaction, writes in it, and leaves it open.
    ///
    /// # Errors
    /// When the client does not start, or nothing is written.
    pub fn hold(&self, address: &str) -> Result<Writer, Trouble> {
        let mut holder = self.numbers("hold", address)?;
        holder.acknowledged()?.ok_or("no transaction was begun")?;
        Ok(holder)
    }

    fn numbers(&self, word: &str, address: &str) -> Result<Writer, Trouble> {
        let mut process = self.command(&[word, address]).spawn().map_err(|e| e.to_string())?;
        let lines = process.stdout.take().map(|out| BufReader::new(out).lines()).ok_or("no output")?;
        Ok(Writer { process, lines, last: None })
    }
}

impl Writer {
    /// Returns the next number that was acknowledged, or none after the last one.
    ///
    /// # Errors
    /// When the client says something else.
    pub fn acknowledged(&mut self) -> Result<Option<u64>, Trouble> {
        let line = self.lines.next().transpose().map_err(|e| e.to_string())?;
        let number = line.and_then(|line| line.parse().ok());
        self.last = number.or(self.last);
        Ok(number)
    }

    /// Waits until writing fails. Returns the last number that was acknowledged.
    ///
    /// # Errors
    /// When nothing was.
    pub fn last(mut self) -> Result<u64, Trouble> {
        while self.acknowledged()?.is_some() {}
        _ = self.process.wait();
        self.last.ok_or_else(|| "nothing was acknowledged".to_owned())
    }
}
