//! Every Cypher statement of the product. The tests put each to the parsers of both series.
//!
//! Parameters stand for all values, so nothing is ever pasted into a statement.

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To the member that is asked, and nowhere else (Query API, `accessMode`).
    Read,
    /// To the writer of the database, wherever that is.
    Write,
}

/// A statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text.
    pub text: &'static str,
    /// How it is sent.
    pub access: Access,
    /// The names of its parameters.
    pub parameters: &'static [&'static str],
}

/// Begins every statement that the gateway sends, so that its left-overs are known by it.
pub const MARK: &str = "CYPHER 5 /* neo4j-gateway */ ";

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $access:ident [$($parameter:literal),*] $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Statement = Statement {
            text: concat!("CYPHER 5 /* neo4j-gateway */ ", $text),
            access: Access::$access,
            parameters: &[$($parameter),*],
        };)*

        /// All statements, by name.
        pub const ALL: &[(&str, Statement)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    /// The servers as the asked member knows them.
    SERVERS: Read [] "SHOW SERVERS YIELD serverId, address, state, health, hosting, requestedHosting, version";
    /// The databases with all copies. Only columns that the asked member knows by itself: `lastCommittedTxn`,
    /// `replicationLag` and `YIELD *` ask the other servers. The age is by the member's own clock.
    DATABASES: Read [] "SHOW DATABASES YIELD name, type, databaseID, serverID, address, role, writer, requestedStatus, \
        currentStatus, statusMessage, currentPrimariesCount, requestedPrimariesCount, requestedSecondariesCount, creationTime \
        RETURN name, type, databaseID, serverID, address, role, writer, requestedStatus, currentStatus, statusMessage, \
        currentPrimariesCount, requestedPrimariesCount, requestedSecondariesCount, \
        duration.inSeconds(creationTime, datetime()).seconds AS age";
    /// Replicates an entry in every database of which the asked member is a primary.
    STATUS_CHECK: Read ["timeout"] "CALL dbms.cluster.statusCheck([], $timeout) YIELD database, serverId, \
        replicationSuccessful, memberStatus, recognisedLeader, requester, error \
        RETURN database, serverId, replicationSuccessful, memberStatus, recognisedLeader, requester, error";
    /// The user's own transactions: everybody may see theirs.
    LEFT_OVERS: Read ["user"] "SHOW TRANSACTIONS YIELD transactionId, username, currentQuery, elapsedTime \
        WHERE username = $user RETURN transactionId, currentQuery, elapsedTime.milliseconds AS millis";
    /// Ends transactions by id.
    END_TRANSACTIONS: Read ["ids"] "TERMINATE TRANSACTIONS $ids YIELD transactionId, message";
    /// Creates the user, if there is none of its name.
    CREATE_USER: Write ["user", "password"] "CREATE USER $user IF NOT EXISTS SET PASSWORD $password CHANGE NOT REQUIRED";
    /// Sets the password of the user. The one that it has already is refused.
    SET_PASSWORD: Write ["user", "password"] "ALTER USER $user SET PASSWORD $password CHANGE NOT REQUIRED";
    /// Lets the user keep its password, which it would otherwise have to change before anything else.
    KEEP_PASSWORD: Write ["user"] "ALTER USER $user SET PASSWORD CHANGE NOT REQUIRED";
    /// Creates the role of the user.
    CREATE_ROLE: Write ["role"] "CREATE ROLE $role IF NOT EXISTS";
    /// Gives the user its role.
    GRANT_ROLE: Write ["role", "user"] "GRANT ROLE $role TO $user";
    /// Without access to a database nobody sees it in `SHOW DATABASES`.
    GRANT_ACCESS: Write ["role"] "GRANT ACCESS ON DATABASE * TO $role";
    /// Lets the role see servers.
    GRANT_SHOW_SERVERS: Write ["role"] "GRANT SHOW SERVERS ON DBMS TO $role";
    /// Lets the role call the status check, which is a procedure of administrators.
    GRANT_STATUS_CHECK: Write ["role"] "GRANT EXECUTE PROCEDURE dbms.cluster.statusCheck ON DBMS TO $role";
    /// Lets the status check do more than the role may.
    GRANT_STATUS_CHECK_BOOSTED: Write ["role"] "GRANT EXECUTE BOOSTED PROCEDURE dbms.cluster.statusCheck ON DBMS TO $role";
}

/// The role that the user gets.
pub const MONITOR_ROLE: &str = "neo4j_cluster_monitor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_the_mark_and_names_its_parameters() {
        for (name, statement) in ALL {
            let rest = statement.text.strip_prefix(MARK).unwrap_or_else(|| panic!("{name} has no mark"));
            let used = rest.split('$').skip(1).map(|part| {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
                &part[..end]
            });
            assert_eq!(used.collect::<Vec<_>>(), statement.parameters, "{name}");
        }
    }
}
