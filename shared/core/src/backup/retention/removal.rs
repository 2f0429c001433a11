use super::super::{ChainId, Folder, Layout, chain::in_order_of_removal};

/// The most keys that one `DeleteObjects` takes.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>.
const BATCH: usize = 1000;

/// The keys of a chain in the order in which they are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Removal {
    /// The database.
    pub database: String,
    /// The chain.
    pub chain: ChainId,
    /// Differentials from the newest to the oldest, then the full backup, then the manifest: wherever this ends, what is left
    /// can be restored, and the next run knows what it is.
    pub keys: Vec<String>,
}

impl Removal {
    /// Puts the keys of a folder in order.
    pub fn of(folder: &Folder, layout: &Layout) -> Self {
        let at = layout.folder(&folder.database, folder.chain);
        let files = in_order_of_removal(folder).into_iter().map(|file| format!("{at}{file}"));
        let manifest = folder.manifest.is_some().then(|| layout.manifest(&folder.database, folder.chain));
        Self { database: folder.database.clone(), chain: folder.chain, keys: files.chain(manifest).collect() }
    }
}

/// Returns which keys are deleted together, by the place of their chain among the removals. S3 deletes those of one call in
/// any order, so no two of a chain are in one call; and whoever sees one fail leaves the rest of that chain.
pub fn waves(removals: &[Removal]) -> impl Iterator<Item = Vec<(usize, &str)>> {
    let longest = removals.iter().map(|removal| removal.keys.len()).max().unwrap_or_default();
    (0..longest).flat_map(move |rank| {
        let keys =
            removals.iter().enumerate().filter_map(move |(at, removal)| Some((at, removal.keys.get(rank)?.as_str())));
        let keys: Vec<_> = keys.collect();
        keys.chunks(BATCH).map(<[_]>::to_vec).collect::<Vec<_>>()
    })
}
