use super::{cluster::server, *};

/// Returns who calls core 1 unavailable after a change, or why not.
fn said(cores: u8, change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = healthy(cores, &[NEO4J]);
    change(&mut observed);
    match called_unavailable(&observed, 1) {
        Ok(by) => format!("unavailable by {by:?}"),
        Err(why) => why.to_string(),
    }
}

/// Core 1 stands still: it says nothing, and nobody can reach it.
fn hang(observed: &mut Observed) {
    silence(observed, 1);
    observed.status(1, "system", "UNAVAILABLE");
    observed.status(1, "neo4j", "UNAVAILABLE");
}

#[test]
fn a_core_is_called_unavailable_only_where_every_other_one_that_answers_says_so_of_every_database() {
    let after = |change: fn(&mut Observed)| {
        said(3, |observed| {
            hang(observed);
            change(observed);
        })
    };
    let of_five = said(5, |observed| {
        hang(observed);
        silence(observed, 4);
        silence(observed, 5);
    });
    let said = [
        said(3, |_| ()),
        after(|_| ()),
        of_five,
        after(|observed| observed.status(1, "neo4j", "APPLYING")),
        after(|observed| observed.status(1, "system", "REPLICATING")),
        after(|observed| observed.answer(3).check.as_mut().unwrap().retain(|row| row.server != server(1))),
        after(|observed| observed.answer(3).check = Err(Fault::new(Kind::Silent, "no answer within 3 s"))),
        after(|observed| observed.answer(2).view = Err(Fault::new(Kind::LoginRefused, "the login was refused"))),
        after(|observed| silence(observed, 3)),
        after(|observed| observed.members.retain(|member| member.core == Some(1))),
        after(|observed| observed.members.retain(|member| member.core != Some(1))),
        after(|observed| {
            observed.servers.remove(&1);
        }),
        after(|observed| {
            observed.servers.insert(1, "server-0".into());
        }),
        after(|observed| {
            observed.servers.insert(2, "another".into());
        }),
        after(|observed| {
            let answer = observed.answer(2);
            answer.page.as_mut().unwrap().version = "5.20.0".into();
            answer.check = Err(Fault::new(Kind::Failed, "Neo.ClientError.Procedure.ProcedureNotFound"));
        }),
        after(|observed| {
            let mut twin = observed.members[2].clone();
            twin.task = "twin".into();
            observed.members.push(twin);
        }),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    core 2 calls its copy of database neo4j APPLYING
    unavailable by [2, 3]
    unavailable by [2, 3]
    core 2 calls its copy of database neo4j APPLYING
    core 2 calls its copy of database system REPLICATING
    the status check of core 3 leaves it out
    core 3 answers, but cannot be asked about it: its Neo4j gave no answer to the status check: no answer within 3 s
    core 2 answers, but cannot be asked about it: its Neo4j gave no answer to SHOW DATABASES: the login was refused
    1 of the other cores answers, and two must agree
    0 of the other cores answer, and two must agree
    unavailable by [2, 3]
    it is not known which server core 1 is
    the status check of core 2 leaves it out
    core 2 answers, but cannot be asked about it: its Neo4j is server server-2, but this core was server another: it has lost its data, or its address is somebody else's now
    core 2 has no status check: use Neo4j 5.24 or later
    core 3 answers, but cannot be asked about it: several of its tasks answer: 3a5c0ffee0000000, twin
    ");
}

#[test]
fn whoever_takes_part_in_replication_by_anybodys_word_is_vouched_for() {
    let mut observed = healthy(3, &[NEO4J]);
    assert_eq!(vouched_for(&observed, 1).unwrap().to_string(), "core 2 calls its copy of database neo4j APPLYING");
    hang(&mut observed);
    assert_eq!(vouched_for(&observed, 1), None);
    // One word is enough, whatever else that core does not say.
    let rows = observed.answer(3).check.as_mut().unwrap();
    rows.iter_mut().filter(|row| row.server == server(1)).for_each(|row| row.status = Some("REPLICATING".into()));
    observed.answer(3).view = Err(Fault::new(Kind::Silent, ""));
    assert_eq!(vouched_for(&observed, 1).unwrap().to_string(), "core 3 calls its copy of database neo4j REPLICATING");
    observed.servers.remove(&1);
    assert_eq!(vouched_for(&observed, 1), None);
    let mut own = healthy(3, &[NEO4J]);
    own.members.retain(|member| member.core == Some(1));
    assert_eq!(vouched_for(&own, 1), None, "its own word is none about whether others reach it");
}
