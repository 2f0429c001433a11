//! The job that takes a backup, as its definition in `infra/backup-job.yaml` has it: run by the image's entry point, on real
//! dumps. A stand-in takes and inspects backups, which Community does not; the consistency check is the real Neo4j's.

pub mod batch;

use std::{collections::BTreeSet, net::Ipv4Addr};

use cluster_core::backup::{Backup, ChainId, Ended, Evidence, Kind, Manifest, Task, Verdict, judge};
use jiff::{SignedDuration, Timestamp};

use self::batch::{Batch, Definition, Done};
use super::{Series, ensure, network::Network};
use crate::{narrator::Narrator, stage::Trouble};

const DATABASE: &str = "neo4j";
const DATABASE_ID: &str = "7dcb1d0c-4374-4476-b8ae-d3c3f124683f";
const NONCE: &str = "4f0c7a";
/// The memory of a job in the place of the definition's: this machine is small.
const MEMORY: &str = "1024";
/// Makes a store and three dumps of it: a good one, one whose relationship 20 leads nowhere, and one that was cut off.
const DUMPS: &str = r#"
cd /tmp
{ echo id:ID && seq 200; } > /tmp/nodes
{ echo :START_ID,:END_ID,:TYPE && seq 199 | while read -r n; do echo "$n,$((n + 1)),NEXT"; done; } > /tmp/relationships
neo4j-admin database import full neo4j --nodes=Node=/tmp/nodes --relationships=/tmp/relationships
mkdir /tmp/good /tmp/broken
neo4j-admin database dump neo4j --to-path=/tmp/good
printf '\x7f\x7f' | dd of=/data/databases/neo4j/neostore.relationshipstore.db bs=1 seek=686 conv=notrunc
neo4j-admin database dump neo4j --to-path=/tmp/broken
cp /tmp/good/neo4j.dump /member/good
cp /tmp/broken/neo4j.dump /member/broken
head -c 2000 /member/good > /member/cut
"#;

/// A backup that a job takes, and what must become of it.
struct Case {
    what: &'static str,
    kind: Kind,
    /// The dump that is in the artifact.
    store: &'static str,
    /// Its first and last transaction.
    transactions: (u64, u64),
    /// A command that fails.
    fails: &'static str,
    /// A command in whose middle the job is told to stop.
    stopped_in: &'static str,
    code: i32,
    verdict: Verdict,
    /// Whether the check has found nothing.
    checked: bool,
    /// Whether the new artifact is in the log.
    inspected: bool,
    /// What people must find in the log.
    says: &'static str,
}

const GOOD: Case = Case {
    what: "a full backup",
    kind: Kind::Full,
    store: "good",
    transactions: (1, 7),
    fails: "",
    stopped_in: "",
    code: 0,
    verdict: Verdict::Good,
    checked: true,
    inspected: true,
    says: "checking the consistency",
};
const FAILED: Case = Case { verdict: Verdict::Failed, checked: false, ..GOOD };

/// Each opens a chain, or joins the chain of the case before it.
const CASES: [Case; 9] = [
    GOOD,
    Case {
        what: "a differential",
        kind: Kind::Differential,
        transactions: (8, 9),
        checked: false,
        says: "DIFF backup of neo4j",
        ..GOOD
    },
    Case {
        what: "a differential in which nothing has happened",
        kind: Kind::Differential,
        transactions: (0, 0),
        checked: false,
        says: "DIFF backup of neo4j",
        ..GOOD
    },
    Case { what: "an inconsistent store", store: "broken", code: 1, says: "Inconsistencies found", ..FAILED },
    Case { what: "an artifact that was cut off", store: "cut", code: 70, says: "Loading dump from", ..FAILED },
    Case {
        what: "a backup that fails",
        fails: "database backup",
        code: 1,
        inspected: false,
        says: "as the test wants it",
        ..FAILED
    },
    Case {
        what: "a folder that cannot be read",
        fails: "backup inspect",
        code: 1,
        inspected: false,
        says: "as the test wants it",
        ..FAILED
    },
    Case {
        what: "a job that is stopped in its backup",
        stopped_in: "database backup",
        code: 143,
        inspected: false,
        says: "in the middle of database backup",
        ..FAILED
    },
    Case {
        what: "a job that is stopped in its check",
        stopped_in: "database check",
        code: 143,
        says: "in the middle of database check",
        ..FAILED
    },
];

/// Tells what becomes of backups that are good, broken, failed and stopped, and of calls that Neo4j does not know.
///
/// # Errors
/// The first thing that does not hold.
pub fn tell(network: &Network, narrator: &Narrator, series: Series) -> Result<(), Trouble> {
    let definition = Definition::read()?;
    let mut batch = Batch::new(network, series, Ipv4Addr::new(10, 0, 4, 1))?;
    // Neo4j's own configuration opens this to itself.
    let opens = [("NEO4J_server_jvm_additional".to_owned(), "--add-opens=java.base/java.nio=ALL-UNNAMED".to_owned())];
    let words = ["bash", "-euc", DUMPS].map(str::to_owned);
    let made = batch.run("dumps", &definition, &words, opens.into(), None)?;
    ensure(made.code == 0, || format!("no dumps can be made: {}", made.code))?;

    let slot: Timestamp = "2026-11-30T01:00:00Z".parse().map_err(|e: jiff::Error| e.to_string())?;
    let (mut chain, mut opened) = (Manifest::new(DATABASE, ChainId::new(slot, 1)), 0);
    for (number, case) in (0..).zip(&CASES) {
        if case.kind == Kind::Full {
            opened += 1;
            chain = Manifest::new(DATABASE, ChainId::new(slot, opened));
        }
        let at = slot + SignedDuration::from_mins(number);
        let done = play(&mut batch, &definition, case, &chain, at)?;
        chain.record(holds(case, &done, &chain, at).map_err(|trouble| format!("{}: {trouble}", case.what))?);
        narrator.note(&format!("{}: {}", case.what, case.verdict));
    }
    calls(&mut batch)?;
    wrong_calls(&mut batch, &definition, series, narrator)
}

fn play(
    batch: &mut Batch<'_>,
    definition: &Definition,
    case: &Case,
    chain: &Manifest,
    at: Timestamp,
) -> Result<Done, Trouble> {
    let (lowest, highest) = case.transactions;
    batch.lay("metadata", &format!("{DATABASE_ID} {} {lowest} {highest}", at.strftime("%Y-%m-%dT%H:%M:%S")))?;
    batch.store(case.store)?;
    batch.lay("fails", case.fails)?;
    batch.lay("hangs", case.stopped_in)?;
    let told = [
        ("DATABASE", DATABASE.to_owned()),
        ("TYPE", case.kind.flag().to_owned()),
        ("FROM", "10.0.1.11:6362".to_owned()),
        ("TO", folder(chain)),
        ("NONCE", NONCE.to_owned()),
    ];
    let told = told.into_iter().map(|(name, value)| (format!("BACKUP_{name}"), value));
    let stop = (!case.stopped_in.is_empty()).then_some(case.says);
    let name = case.what.replace(' ', "-");
    batch.run(&name, definition, &definition.command, told.collect(), stop)
}

fn folder(chain: &Manifest) -> String {
    format!("s3://backups/neo4j/chains/{}/{}/", chain.database, chain.chain)
}

/// Compares what a job has left with what it should, and returns what the manifest says of it.
fn holds(case: &Case, done: &Done, chain: &Manifest, at: Timestamp) -> Result<Backup, Trouble> {
    let evidence = Evidence::read(NONCE, done.console.lines());
    let is_so = (done.code, evidence.checked, evidence.ended);
    let should = (case.code, case.checked, case.code == 0);
    ensure(is_so == should, || format!("exit code, checked, ended are {is_so:?}, not {should:?}"))?;
    ensure(done.console.contains(case.says), || format!("the log does not say {:?}", case.says))?;
    ensure(done.scratch.is_empty(), || format!("{:?} is left on the disk", done.scratch))?;
    let listed = evidence.artifacts.as_deref().map_or(0, <[_]>::len);
    let before = chain.backups.len();
    let inspected = if case.inspected { before + 1 } else { 0 };
    ensure(listed == inspected, || format!("{listed} artifacts are in the log, not {inspected}"))?;

    let task = Task {
        job: case.what.to_owned(),
        database: DATABASE.to_owned(),
        chain: chain.chain,
        kind: case.kind,
        slot: at,
        source: "core-1".to_owned(),
    };
    let sizes = Some(done.bucket.clone());
    let ended = Ended { at, exit_code: Some(done.code), reason: String::new(), sizes };
    let judged = judge(&task, &ended, &evidence, chain, at).ok_or("the log of a job that has ended is awaited")?;
    ensure(judged.verdict == case.verdict, || format!("it is {}: {:?}", judged.verdict, judged.reasons))?;
    if case.verdict == Verdict::Good {
        let artifact = judged.artifact.as_ref().ok_or("a good backup has no artifact")?;
        let transactions = (artifact.lowest, artifact.highest);
        ensure(transactions == case.transactions, || format!("the transactions are {transactions:?}"))?;
        ensure(artifact.is_empty() == (case.transactions == (0, 0)), || format!("{artifact:?}"))?;
    }
    Ok(judged)
}

/// Every command is the user 7474's, and has a heap that leaves room for the rest.
fn calls(batch: &mut Batch<'_>) -> Result<(), Trouble> {
    let calls = batch.calls()?;
    let all: BTreeSet<_> = calls.iter().map(|call| call.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect();
    let should = ["backup inspect", "database backup", "database check"].map(|command| format!("7474 256m {command}"));
    ensure(all == should.into(), || format!("the calls are {all:?}"))
}

/// A script that calls Neo4j wrongly ends otherwise than on a broken backup, and never with an end in its log.
fn wrong_calls(
    batch: &mut Batch<'_>,
    definition: &Definition,
    series: Series,
    narrator: &Narrator,
) -> Result<(), Trouble> {
    const FOLDER: &str = "--from-path=\"$BACKUP_TO\"";
    const OTHER: &str = "--from-path=\"${BACKUP_TO}other/\"";
    const FILE: &str = "--from-path=\"${BACKUP_TO}neo4j-2026-11-30T01-00-00.backup\"";
    // What the script says, what instead, the exit code, and what the log then says.
    let of_both = [
        ("an option of the check that is not", "--max-off-heap-memory=", "--max-heap=", 64, "Unknown option"),
        ("an option of inspect that is not", "--empty", "--empties", 64, "Unknown option"),
        ("a variable that is not passed", "from $BACKUP_FROM", "from $BACKUP_SOURCE", 1, "BACKUP_SOURCE: unbound"),
    ];
    let of_lts = [
        ("an option of later versions", "--verbose", "--skip-recovery", 64, "Unknown option"),
        // With the exit code of a broken backup. The words differ.
        ("another folder", FOLDER, OTHER, 70, "Could not find a valid database"),
        // The reason why the check is told the folder: before 2025.09 it takes no file.
        ("a file", FOLDER, FILE, 70, "Could not find a valid database"),
    ];
    let wrong = of_both.into_iter().chain(of_lts.into_iter().filter(|_| series == Series::Lts));
    let slot: Timestamp = "2026-11-30T01:00:00Z".parse().map_err(|e: jiff::Error| e.to_string())?;
    for (number, (what, old, new, code, says)) in (101..).zip(wrong) {
        let altered = definition.altered(old, new)?;
        let chain = Manifest::new(DATABASE, ChainId::new(slot, number));
        let case = Case { what, ..GOOD };
        let done = play(batch, &altered, &case, &chain, slot)?;
        let ended = Evidence::read(NONCE, done.console.lines()).ended;
        ensure((done.code, ended) == (code, false), || format!("{what}: exit code {}, ended: {ended}", done.code))?;
        ensure(done.console.contains(says), || format!("{what}: the log does not say {says:?}"))?;
    }
    narrator.note("what Neo4j does not know ends with 64, what it cannot read with 70, an inconsistent store with 1");
    Ok(())
}
