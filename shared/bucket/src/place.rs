use cluster_core::backup::Layout;
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};

/// Where the backups of a cluster lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// The account that the bucket must belong to: a bucket of the same name elsewhere is not ours.
    pub owner: String,
    /// Where the cluster's backups lie in it.
    pub layout: Layout,
}

impl Place {
    /// Reads the environment. Refuses the first variable that is missing, by name.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        Ok(Self {
            bucket: env::required(lookup, "BACKUP_BUCKET")?,
            owner: env::required(lookup, "BACKUP_BUCKET_OWNER")?,
            layout: Layout::new(&env::required(lookup, "BACKUP_PREFIX")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] =
        [("BACKUP_BUCKET", "backups"), ("BACKUP_BUCKET_OWNER", "000000000000"), ("BACKUP_PREFIX", "graph/")];

    fn read(without: &str) -> Result<Place, Failure> {
        Place::read(&|asked: &str| {
            let found = GOOD.into_iter().find(|(name, _)| *name == asked && *name != without)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn the_bucket_its_owner_and_the_layout_are_read_and_whatever_is_missing_is_named() {
        let place = read("").unwrap();
        assert_eq!((place.bucket.as_str(), place.owner.as_str()), ("backups", "000000000000"));
        assert_eq!(place.layout.chains(), "graph/chains/");
        for (name, _) in GOOD {
            let text = read(name).unwrap_err().to_string();
            assert_eq!(text, format!("environment variable {name} is missing or empty: set it"));
        }
    }
}
