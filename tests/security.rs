//! That SECURITY.md tells the truth: each test it names is there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

const SECURITY: &str = include_str!("../SECURITY.md");

#[test]
fn every_test_that_security_md_names_is_there() {
    let mut named = 0;
    let rows = SECURITY.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.skip(2).map(|row| row.rsplit('|').next().unwrap());
    for cell in cells {
        let mut file = String::new();
        // What stands in backticks: a file, then the tests in it.
        for word in cell.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word);
                file = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{word}: {error}"));
                continue;
            }
            // The fuzz targets are listed for a macro.
            let is_there =
                file.contains(&format!("fn {word}(")) || file.contains("each!(") && file.contains(word);
            assert!(is_there, "{word} is not where {cell} says");
            named += 1;
        }
        assert!(!file.is_empty(), "no test in {cell}");
    }
    assert!(named > 40, "{named}");
}
