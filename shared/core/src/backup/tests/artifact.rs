use super::{
    super::{Artifact, Evidence, Unreadable, read_inspected},
    bucket::{ID, at},
};

/// As the manual prints it, but for the column that only 2025.06 and later have.
const OF_5_26: &str = "
|                                             FILE | DATABASE |                          DATABASE ID |          TIME (UTC) |  FULL | COMPRESSED | LOWEST TX | HIGHEST TX |
| s3://b/chains/m/malmo-2024-10-07T16-00-50.backup |    malmo | 62d1820c-3ac6-4b15-a0b3-bf7e7becc8d0 | 2024-10-07T16:00:50 | false |       true |         0 |          0 |
| s3://b/chains/m/malmo-2024-10-07T16-00-44.backup |    malmo | 62d1820c-3ac6-4b15-a0b3-bf7e7becc8d0 | 2024-10-07T16:00:44 | false |       true |         7 |          7 |
";

#[test]
fn the_table_of_both_series_is_read() {
    let read = read_inspected(OF_5_26.lines()).unwrap();
    assert_eq!(read.len(), 2);
    assert!(read[0].is_empty() && !read[1].is_empty());
    assert_eq!((read[1].lowest, read[1].highest, read[1].recovered), (7, 7, None));
    assert_eq!(
        (read[0].file.as_str(), read[0].taken),
        ("malmo-2024-10-07T16-00-50.backup", at("2024-10-07T16:00:50Z"))
    );

    let later = "| FILE | RECOVERED | DATABASE | DATABASE ID | TIME (UTC) | FULL | COMPRESSED | LOWEST TX | HIGHEST TX |
| file:///backups/neo4j-2024-10-07T16-05-37.backup | true | neo4j | 7dcb1d0c-4374-4476-b8ae-d3c3f124683f | 2024-10-07T16:05:37 | true | true | 1 | 3 |";
    let artifact = Artifact {
        file: "neo4j-2024-10-07T16-05-37.backup".to_owned(),
        database: "neo4j".to_owned(),
        database_id: ID.to_owned(),
        taken: at("2024-10-07T16:05:37Z"),
        full: true,
        lowest: 1,
        highest: 3,
        recovered: Some(true),
    };
    assert_eq!(read_inspected(later.lines()), Ok(vec![artifact]));
}

#[test]
fn what_is_not_as_documented_is_refused_by_name() {
    let refused = |from: &str, to: &str| read_inspected(OF_5_26.replacen(from, to, 1).lines()).unwrap_err();
    assert_eq!(read_inspected(["no table"]), Err(Unreadable::NoHeadings));
    assert_eq!(read_inspected([]), Err(Unreadable::NoHeadings));
    assert_eq!(refused("DATABASE ID", "ID"), Unreadable::NoColumn("DATABASE ID"));
    assert_eq!(refused("2024-10-07T16:00:50", "yesterday").to_string(), "inspect printed \"yesterday\" as TIME (UTC)");
    assert_eq!(refused("false", "maybe"), Unreadable::Cell { column: "FULL", value: "maybe".to_owned() });
    assert_eq!(refused("       7 |          7 |", "       7 |"), Unreadable::NoColumn("HIGHEST TX"));
    assert_eq!(
        refused("         0 |          0", "        -1 |          0").to_string(),
        "inspect printed \"-1\" as LOWEST TX"
    );
    assert_eq!(
        refused("malmo-2024-10-07T16-00-50.backup", ""),
        Unreadable::Cell { column: "FILE", value: "s3://b/chains/m/".to_owned() }
    );
}

#[test]
fn only_lines_with_the_nonce_are_the_jobs_own_word() {
    let mut lines: Vec<String> =
        OF_5_26.lines().filter(|line| !line.is_empty()).map(|line| format!("n1 inspect {line}")).collect();
    lines.insert(0, "2026-11-30 01:00:00.000+0000 INFO  [c.n.b.BackupStrategy] 40 % n1 end".to_owned());
    lines.push("other end".to_owned());
    lines.push("n2 checked".to_owned());
    let read = |lines: &[String]| Evidence::read("n1", lines.iter().map(String::as_str));
    let cut = read(&lines);
    assert_eq!((cut.artifacts.as_ref().map(Vec::len), cut.checked, cut.ended), (Ok(2), false, false));
    lines.extend(["n1 checked".to_owned(), "n1 end".to_owned()]);
    let whole = read(&lines);
    assert!(whole.checked && whole.ended);
    assert!(read(&["n1 endless".to_owned(), "n1".to_owned()]).artifacts.is_err());
}
