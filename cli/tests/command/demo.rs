//! The demo plays to its end.

use crate::process::start;

#[test]
fn the_demo_shows_two_takeovers_and_leaves_no_file() {
    let end = start(&["demo"]).finish();
    assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{end:#?}");
    let count = |what: &str| end.rest.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("has taken over: one bus again"), 2, "{end:#?}");
    assert_eq!(count("The directory is empty."), 1, "{end:#?}");
}
