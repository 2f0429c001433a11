use std::fmt;

/// A DNS name as Route 53 returns it: lower case, with a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Normalizes a name in any case, with or without its trailing dot.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(format!("{}.", name.trim_end_matches('.').to_ascii_lowercase()))
    }

    /// Returns the name with its trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end_matches('.'))
    }
}

/// One multivalue A record set, exactly as it is in the zone: Route 53 deletes only what matches in every field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordSet {
    /// The name that clients resolve.
    pub name: Name,
    /// The identifier that distinguishes the record sets of one name; ours begin with the owner.
    pub set_identifier: String,
    /// The time to live, in seconds.
    pub ttl: u32,
    /// The addresses as text. We write exactly one.
    pub values: Vec<String>,
    /// A Route 53 health check. We write none, but somebody may have attached one by hand.
    pub health_check: Option<String>,
}

impl fmt::Display for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} A {} ({})", self.name, self.values.join(","), self.set_identifier)
    }
}

/// The records under one name in the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The multivalue A record sets, our own and those of others.
    pub multivalue: Vec<RecordSet>,
    /// What rules out multivalue A records there, if anything does.
    pub occupant: Option<Occupant>,
}

/// Somebody else's record set that rules out multivalue A records of the same name. Record sets of every other type may
/// stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Occupant {
    /// A CNAME record allows no other record under its name.
    ///
    /// Source: «Supported DNS record types», CNAME, Amazon Route 53 developer guide.
    #[error("a CNAME record stands under it, and Route 53 allows no other record there: remove the CNAME record")]
    Cname,
    /// An A record with another routing policy: simple, as every alias without an identifier is, weighted, or another.
    /// All records of one name and type share one policy.
    ///
    /// Source: «Choosing a routing policy» and «Values specific for multivalue answer records», the same guide.
    #[error(
        "an A record of another routing policy stands under it, which Route 53 does not mix with multivalue: remove it"
    )]
    OtherPolicy,
}

/// The owner of record sets: a replicator changes only those whose set identifier is `<owner>/<member>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// The greatest length that leaves room for a member id in the 128 characters of a set identifier.
    pub const MAX_LENGTH: usize = 64;
    /// Describes what [`Self::new`] accepts.
    pub const FORM: &str = "1 to 64 letters, digits, '-', '_' or '.'";

    /// Accepts 1 to [`Self::MAX_LENGTH`] letters, digits, `-`, `_` or `.`. With a `/` allowed, `a` would own what `a/b`
    /// wrote.
    #[must_use]
    pub fn new(owner: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let valid = (1..=Self::MAX_LENGTH).contains(&owner.len()) && owner.chars().all(allowed);
        valid.then(|| Self(owner.to_owned()))
    }

    /// Returns the owner's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the set identifier of `member`'s record.
    #[must_use]
    pub fn set_identifier(&self, member: &str) -> String {
        format!("{}/{member}", self.0)
    }

    /// Returns the member in a set identifier; nothing when the record set belongs to somebody else.
    #[must_use]
    pub fn member<'a>(&self, set_identifier: &'a str) -> Option<&'a str> {
        set_identifier.strip_prefix(self.0.as_str())?.strip_prefix('/').filter(|member| !member.is_empty())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_route53_writes_them_and_shown_without_the_dot() {
        let name = Name::new("Core.Neo4j.Service");
        assert_eq!(name, Name::new("core.neo4j.service."));
        assert_eq!((name.as_str(), name.to_string().as_str()), ("core.neo4j.service.", "core.neo4j.service"));
    }

    #[test]
    fn an_owner_is_shown_by_its_name() {
        let owner = Owner::new("neo4j").unwrap();
        assert_eq!((owner.as_str(), owner.to_string().as_str()), ("neo4j", "neo4j"));
    }
}
