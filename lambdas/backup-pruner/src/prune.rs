//! A run: observe, plan, look at what would go, plan again, delete.

use std::collections::{BTreeMap, BTreeSet};

use cluster_bucket::{AT_ONCE, Keys};
use cluster_core::backup::{Chain, ChainId, Folder, Plan, Removal, plan, waves};
use cluster_lambda::{Failure, Mode, Reconciled, Round};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{Outcome, Pruner, Removed};

/// Everything that one run has seen.
#[derive(Debug, Default)]
struct Seen {
    chains: Vec<Chain>,
    foreign: Vec<String>,
}

impl Pruner {
    pub(crate) async fn prune(&self, round: &Round) -> Reconciled<Outcome> {
        let now = round.began;
        let (outcome, removals) = match self.decide(now).await {
            Ok(decided) => decided,
            Err(failure) => return Err(failure).into(),
        };
        let mut outcome = outcome;
        let mut failures = Vec::new();
        if round.mode == Mode::Act {
            self.apply(&removals, &mut outcome, &mut failures).await;
        }
        let something = outcome.plan.deleted().next().is_some() || !failures.is_empty();
        if something
            && round.mode != Mode::Look
            && let Err(failure) = self.write_report(&mut outcome, round, &failures).await
        {
            failures.push(failure);
        }
        Reconciled { outcome: Some(outcome), failures }
    }

    /// Decides about every chain. What would go is looked at once more, each object of it: then its plan is made again.
    async fn decide(&self, now: Timestamp) -> Result<(Outcome, Vec<Removal>), Failure> {
        let seen = self.observe().await?;
        let first = plan(seen.chains.clone(), &self.config.policy, now);
        let looked = stream::iter(first.candidates.iter().cloned().map(|(database, chain)| async move {
            let folder = self.bucket.folder(&database, chain).await?;
            let holds = self.bucket.holds(&folder).await?;
            Ok::<_, Failure>((folder, holds))
        }));
        let looked: Vec<(Folder, Vec<_>)> = looked.buffered(AT_ONCE).try_collect().await?;
        let mut folders: BTreeMap<(String, ChainId), Folder> = BTreeMap::new();
        let mut chains: BTreeMap<(String, ChainId), Chain> =
            seen.chains.into_iter().map(|chain| ((chain.database.clone(), chain.id), chain)).collect();
        for (folder, holds) in looked {
            let key = (folder.database.clone(), folder.chain);
            chains.insert(key.clone(), Chain { holds: Some(holds), ..Chain::of(&folder) });
            folders.insert(key, folder);
        }
        let plan: Plan = plan(chains.into_values().collect(), &self.config.policy, now);
        let removals = plan.deleted().filter_map(|chain| folders.get(&(chain.database.clone(), chain.id)));
        let removals = removals.map(|folder| Removal::of(folder, &self.config.place.layout)).collect();
        Ok((Outcome { plan, foreign: seen.foreign, removed: Removed::default(), report: None, at: now }, removals))
    }

    async fn observe(&self) -> Result<Seen, Failure> {
        let (databases, foreign) = self.bucket.databases().await?;
        let mut seen = Seen { foreign, ..Seen::default() };
        for database in databases {
            let Keys { folders, manifests, foreign } = self.bucket.keys(&database).await?;
            seen.foreign.extend(foreign);
            let judged = stream::iter(folders.into_values().map(|folder| {
                let has_manifest = manifests.contains(&folder.chain);
                async move {
                    let manifest =
                        if has_manifest { self.bucket.manifest(&folder.database, folder.chain).await? } else { None };
                    Ok::<_, Failure>(Chain::of(&Folder { manifest, ..folder }))
                }
            }));
            let judged: Vec<Chain> = judged.buffered(AT_ONCE).try_collect().await?;
            seen.chains.extend(judged);
        }
        Ok(seen)
    }

    /// Deletes wave after wave. A chain of which one object stays is left alone from there on.
    async fn apply(&self, removals: &[Removal], outcome: &mut Outcome, failures: &mut Vec<Failure>) {
        let mut stopped: BTreeSet<usize> = BTreeSet::new();
        for wave in waves(removals) {
            let wave: Vec<_> = wave.into_iter().filter(|(at, _)| !stopped.contains(at)).collect();
            let keys: Vec<&str> = wave.iter().map(|(_, key)| *key).collect();
            if keys.is_empty() {
                continue;
            }
            let left = match self.bucket.delete(&keys).await {
                Ok(left) => left,
                Err(failure) => {
                    failures.push(failure);
                    return;
                }
            };
            for (at, key) in wave {
                match left.get(key) {
                    None => outcome.removed.objects += 1,
                    Some(why) => {
                        stopped.insert(at);
                        failures.push(Failure::permanent(format!("{key} could not be deleted: {why}")));
                    }
                }
            }
        }
        let gone = removals.iter().enumerate().filter(|(at, _)| !stopped.contains(at));
        outcome.removed.chains = gone.count();
    }

    async fn write_report(&self, outcome: &mut Outcome, round: &Round, failures: &[Failure]) -> Result<(), Failure> {
        let key = self.config.place.layout.report(round.began);
        outcome.report = Some(format!("s3://{}/{key}.txt", self.config.place.bucket));
        let (table, json) = (outcome.table(&self.config, round, failures), outcome.json(&self.config, round, failures));
        self.bucket.put(&format!("{key}.txt"), table, "text/plain; charset=utf-8").await?;
        self.bucket.put(&format!("{key}.json"), json.to_string(), "application/json").await
    }
}
