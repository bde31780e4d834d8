//! Every row comes to what is written beside it, to the last state.

use sim::exhaust::{Expected, Row, rows};

/// Searches the rows that are chosen; the complaints about those that are not as expected.
fn complaints(choose: impl Fn(&Row) -> bool) -> Vec<String> {
    let chosen: Vec<Row> = rows().into_iter().filter(choose).collect();
    assert!(!chosen.is_empty(), "a test of no rows tests nothing");
    chosen
        .iter()
        .filter_map(|row| row.judge(&row.search()).err().map(|reason| format!("{}: {reason}", row.name)))
        .collect()
}

fn holds(row: &Row) -> bool {
    matches!(row.expected, Expected::Holds { .. })
}

#[test]
fn rows_that_must_hold_hold_in_every_state() {
    assert_eq!(complaints(|row| holds(row) && !row.long), [""; 0]);
}

#[test]
fn broken_rows_are_caught_by_the_shortest_way() {
    assert_eq!(complaints(|row| !holds(row) && !row.long), [""; 0]);
}

#[test]
fn long_rows_too() {
    if std::env::var_os("ATOMIC_KV_EXHAUST_ALL").is_none() {
        let skipped: Vec<&str> = rows().iter().filter(|row| row.long).map(|row| row.name).collect();
        eprintln!(
            "SKIPPED: {}; set ATOMIC_KV_EXHAUST_ALL, or run `cargo sim exhaust --all`",
            skipped.join(", ")
        );
        return;
    }
    assert_eq!(complaints(|row| row.long), [""; 0]);
}

/// The counter-example that everybody should have seen once, as it is printed.
#[test]
fn a_get_without_write_back_tells_its_story() {
    let row = rows().into_iter().find(|row| row.name == "BL1").expect("there is such a row");
    let (_, example) = row.search().violation.expect("it is broken");
    let story = [
        "Set a asks A, which holds nothing",
        "Set a asks B, which holds nothing; it sends a=1@n1.1",
        "Get c asks A, which holds nothing",
        "a=1@n1.1 reaches B",
        "Get c asks B, which holds a=1@n1.1; Get c returns a",
        "Get d asks A, which holds nothing",
        "Get d asks C, which holds nothing; Get d returns nothing",
    ];
    assert_eq!(example.steps, story);
    assert_eq!(example.history, "Set a is open; Get c returns a; Get d returns nothing (after Get c)");
}

/// The page lists every row with what it comes to.
#[test]
fn the_page_is_up_to_date() {
    let page = include_str!("../../../docs/testing-exhaust.md");
    for row in rows() {
        assert!(page.contains(&row.line()), "it lacks the line\n{}", row.line());
    }
}
