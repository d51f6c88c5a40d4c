//! `agent/docs/evasions.md`: the prose is written by hand, and each table by one test.

use std::env;
use std::fs;
use std::path::Path;

use crate::harness::in_guest;

/// Compares the rows of the table under a heading, if they are all of them, or writes them with `UPDATE_EXPECT=1`.
pub(super) fn check_table(heading: &str, rows: &[String], is_whole: bool) {
    if in_guest() {
        eprintln!("{heading}: the page was not compared, for a guest has no sources");
        return;
    }
    if !is_whole {
        eprintln!("{heading}: the page was not compared, for something was left out");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evasions.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, table, after) = parts(&page, heading);
    let wanted: String = rows.iter().map(|row| format!("{row}\n")).collect();
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, [before, &wanted, after].concat()).unwrap();
        return;
    }
    assert_eq!(
        table,
        wanted,
        "{heading} in {} (UPDATE_EXPECT=1 writes it)",
        path.display()
    );
}

/// What stands before the rows under that heading, the rows, and what stands behind.
fn parts<'a>(page: &'a str, heading: &str) -> (&'a str, &'a str, &'a str) {
    const RULE: &str = "---|\n";
    let section = page.find(&format!("\n## {heading}\n"));
    let section = section.unwrap_or_else(|| panic!("the page has a section {heading}"));
    let rule = page[section..].find(RULE).expect("the section has a table");
    let start = section + rule + RULE.len();
    let rows = page[start..].split_inclusive('\n');
    let length: usize = rows
        .take_while(|line| line.starts_with('|'))
        .map(str::len)
        .sum();
    let (rest, after) = page.split_at(start + length);
    let (before, rows) = rest.split_at(start);
    (before, rows, after)
}
