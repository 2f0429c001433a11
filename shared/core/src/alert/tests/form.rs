use super::super::{Key, Severity};

#[test]
fn a_long_key_is_cut_and_stays_itself() {
    let (one, other) = ("a".repeat(300), "a".repeat(299) + "b");
    assert_eq!(Key::new(&one).as_str().chars().count(), 255);
    assert_eq!(Key::new(&one), Key::new(&one));
    assert_ne!(Key::new(&one), Key::new(&other));
    assert_eq!(Key::new("arn:aws:cloudwatch:alarm").to_string(), "arn:aws:cloudwatch:alarm");
    assert_eq!(Key::new(&"é".repeat(300)).as_str().chars().count(), 255);
}

#[test]
fn severities_are_ordered_and_read_back() {
    assert!(Severity::Info < Severity::Warning && Severity::Error < Severity::Critical);
    for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
        assert_eq!(severity.to_string().parse(), Ok(severity));
    }
    assert_eq!("CRITICAL".parse(), Ok(Severity::Critical));
    assert_eq!("urgent".parse::<Severity>(), Err(()));
}
