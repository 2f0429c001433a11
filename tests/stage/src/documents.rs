//! The commands of the documents: which there are, and a shell to run them in, with the real AWS CLI.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
    sync::Mutex,
    time::Duration,
};

use tokio::process::Command;

use crate::{
    narrator::Narrator,
    stage::{Stage, Trouble, root},
};

/// A block of shell: the heading that it is under, and its number there.
pub type Block = (&'static str, usize);

/// Where people find commands: these, and every page under `docs`.
const README: &str = "README.md";
/// The page whose commands in running text and tables are run as well.
const OPERATIONS: &str = "docs/operations.md";

/// The documents' blocks of shell by heading and number under it, and which were taken.
#[derive(Debug)]
pub struct Documents {
    /// The text of [`OPERATIONS`].
    operations: String,
    run: &'static [Block],
    /// By heading and number under it.
    pub blocks: BTreeMap<(String, usize), String>,
    taken: Mutex<BTreeSet<(String, usize)>>,
}

impl Documents {
    /// Reads all documents, of which these blocks will be run. Two that have blocks of shell under the same heading are refused.
    pub fn read(run: &'static [Block]) -> Result<Self, Trouble> {
        let text =
            |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()));
        let folder = std::fs::read_dir(root().join("docs")).map_err(|e| format!("there is no folder docs: {e}"))?;
        let pages = folder.filter_map(|entry| Some(entry.ok()?.path()));
        let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        let mut documents =
            Self { operations: text(&root().join(OPERATIONS))?, run, blocks: BTreeMap::new(), taken: Mutex::default() };
        for path in pages.chain([root().join(README)]) {
            for (key, block) in blocks(&text(&path)?) {
                let (heading, number) = key.clone();
                let twice = documents.blocks.insert(key, block).is_some();
                ensure(!twice, || format!("two documents have a block {number} of sh under «{heading}»"))?;
            }
        }
        Ok(documents)
    }

    /// A block that is listed as run.
    pub fn block(&self, heading: &str, number: usize) -> Result<String, Trouble> {
        if !self.run.contains(&(heading, number)) {
            return Err(format!("block {number} under «{heading}» is not listed as run"));
        }
        let key = (heading.to_owned(), number);
        let block = self.blocks.get(&key).cloned();
        self.taken.lock().map_err(|e| e.to_string())?.insert(key);
        block.ok_or_else(|| format!("no document has a block {number} of sh under «{heading}»"))
    }

    /// One command of a block: the line that has these words, with those that continue it.
    pub fn command(&self, heading: &str, number: usize, words: &str) -> Result<String, Trouble> {
        let block = self.block(heading, number)?;
        let joined = block.replace("\\\n", " ");
        let line = joined.lines().find(|line| line.contains(words)).map(str::to_owned);
        line.ok_or_else(|| format!("block {number} under «{heading}» has no command with {words:?}"))
    }

    /// Refuses that a block is listed, and was not run.
    pub fn all_were_run(&self) -> Result<(), Trouble> {
        let taken = self.taken.lock().map_err(|e| e.to_string())?;
        let run: BTreeSet<_> = self.run.iter().map(|(heading, number)| ((*heading).to_owned(), *number)).collect();
        ensure(*taken == run, || format!("listed as run, but not run: {:?}", run.difference(&taken)))
    }

    /// The command in the running text or a table of [`OPERATIONS`] that begins so.
    pub fn inline(&self, begins: &str) -> Result<String, Trouble> {
        let span = self.operations.split('`').find(|span| span.starts_with(begins));
        span.map(|span| span.replace('\n', " ")).ok_or_else(|| format!("{OPERATIONS} has no `{begins}…`"))
    }
}

/// Returns the blocks of shell of one document.
fn blocks(text: &str) -> BTreeMap<(String, usize), String> {
    let (mut heading, mut open) = (String::new(), None::<(bool, Vec<&str>)>);
    let mut blocks = BTreeMap::new();
    for line in text.lines() {
        let fence = line.trim().strip_prefix("```");
        match (fence, &mut open) {
            (Some(language), None) => open = Some((language == "sh", Vec::new())),
            (Some(_), Some((shell, lines))) => {
                if *shell {
                    let number = blocks.keys().filter(|(under, _)| *under == heading).count();
                    blocks.insert((heading.clone(), number), lines.join("\n"));
                }
                open = None;
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {
                if line.starts_with('#') {
                    line.trim_start_matches('#').trim().clone_into(&mut heading);
                }
            }
        }
    }
    blocks
}

/// Fills in what a command leaves open. Each placeholder has to be there.
pub fn fill(command: &str, values: &[(&str, &str)]) -> Result<String, Trouble> {
    let mut filled = command.to_owned();
    for (open, value) in values {
        let after = |rest: &str| rest.starts_with(|c: char| c.is_whitespace()) || rest.is_empty();
        let found = filled.match_indices(open).find(|(at, _)| after(&filled[at + open.len()..])).map(|(at, _)| at);
        let at = found.ok_or_else(|| format!("nothing leaves {open} open in {command:?}"))?;
        filled.replace_range(at..at + open.len(), value);
    }
    let code = filled.split_once('#').map_or(filled.as_str(), |(code, _)| code);
    if code.contains('…') { Err(format!("something is left open in {code:?}")) } else { Ok(filled) }
}

/// Refuses what does not hold.
pub fn ensure(held: bool, what: impl FnOnce() -> String) -> Result<(), Trouble> {
    if held { Ok(()) } else { Err(what()) }
}

/// Runs commands in bash, and returns what they print. Time passes only as fast as it does, unless told to fly.
pub async fn run(
    stage: &Stage,
    narrator: &mut Narrator,
    prelude: &str,
    command: &str,
    fly: bool,
) -> Result<String, Trouble> {
    let script = format!("set -euo pipefail\n{prelude}\n{command}");
    let child =
        Command::new("bash").args(["-c", &script]).current_dir(root()).stdin(Stdio::null()).kill_on_drop(true).output();
    let ran = async {
        tokio::pin!(child);
        loop {
            match tokio::time::timeout(Duration::from_millis(25), &mut child).await {
                Ok(output) => return output.map_err(|e| format!("bash did not start: {e}")),
                Err(_) if fly => stage.wind(2).await?,
                Err(_) => {}
            }
        }
    };
    let shown: String = command.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(90).collect();
    let output = narrator.work(&shown, ran).await?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success(), || format!("{command}\nended with {}:\n{printed}{errors}", output.status))?;
    Ok(printed.into_owned())
}

/// A command as an output has it: the answer of `DescribeStacks` is XML.
#[must_use]
pub fn unescaped(output: &str) -> String {
    let command = output.replace("&apos;", "'").replace("&#x27;", "'").replace("&quot;", "\"").replace("&gt;", ">");
    command.replace("&lt;", "<").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_filled_and_nothing_else() {
        let filled = fill("aws x --cluster CIDER --ci CI --task TASK   # for …", &[("CI", "arn:1"), ("TASK", "arn:2")]);
        assert_eq!(filled.unwrap(), "aws x --cluster CIDER --ci arn:1 --task arn:2   # for …");
        assert!(fill("aws x", &[("CI", "arn:1")]).unwrap_err().contains("leaves CI open"));
        assert!(fill("aws x --id i-…", &[]).unwrap_err().contains("left open"));
    }
}
