//! The rules of this code base that no compiler checks: imports between rooms, length of files, headers, banned words.
//!
//! Reads the sources as text; needs nothing built. A fault is `file:line: what and how to mend it`, all at once. The
//! rules are in `tidy/rules.rs` and `tidy/imports.rs`; `tidy/rules_test.rs` feeds each of them with something bad.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/rules_test.rs"]
mod rules_test;
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rules::Fault;
use source::Source;

/// Files above 500 lines, with their length. Numbers go down, names go away; nothing is added.
const LONG_FILES: &[(&str, usize)] = &[("src/io/event_loop_test.rs", 714), ("src/io/table.rs", 551)];

/// Files that may sleep, and how often: the pauses between looks at a condition, with a bound; the pace of a load.
const SLEEPS: &[(&str, usize)] = &[("tests/support/wait.rs", 1), ("tests/ensemble/history.rs", 1)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` with one of these endings, in order.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if endings.iter().any(|ending| path.extension().is_some_and(|found| found == *ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The sources, by their path from the root.
fn sources() -> Vec<Source> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for folder in ["src", "tests", "bench", "perf", "tuning"] {
        for path in files(folder, &["rs", "py"]) {
            let name = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            texts.insert(name, read(&path));
        }
    }
    let mut test_only = BTreeSet::new();
    for (path, text) in &texts {
        test_only.extend(source::test_only_modules(path, text));
    }
    let for_tests =
        |path: &str| path.starts_with("tests/") || path.ends_with("_test.rs") || test_only.contains(path);
    texts.iter().map(|(path, text)| Source::new(path, text, for_tests(path))).collect()
}

fn rust_sources() -> Vec<Source> {
    let sources: Vec<Source> = sources().into_iter().filter(|source| source.path.ends_with(".rs")).collect();
    assert!(sources.len() > 50, "only {} sources were found below {}", sources.len(), root().display());
    sources
}

fn assert_none(faults: Vec<Fault>) {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(lines.is_empty(), "{} faults\n{}", lines.len(), lines.join("\n"));
}

fn assert_rule(rule: impl Fn(&Source) -> Vec<Fault>) {
    assert_none(rust_sources().iter().flat_map(rule).collect());
}

#[test]
fn rooms_import_what_the_table_allows() {
    let table = imports::table(&read(&root().join("src/lib.rs"))).unwrap_or_else(|error| panic!("{error}"));
    assert_rule(|source| imports::imports(source, &table));
}

#[test]
fn every_room_is_on_the_map_and_every_row_is_a_room() {
    let lib = read(&root().join("src/lib.rs"));
    let table = imports::table(&lib).unwrap_or_else(|error| panic!("{error}"));
    let rooms: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rows: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(rooms, rows, "left: modules of src/lib.rs, right: rows of its table");
}

#[test]
fn files_are_short() {
    let listed: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    let sources = rust_sources();
    assert_none(
        sources
            .iter()
            .flat_map(|source| rules::length(source, listed.get(source.path.as_str()).copied()))
            .collect(),
    );
    for (path, _) in LONG_FILES {
        assert!(
            sources.iter().any(|source| source.path == *path),
            "{path} is gone: take it out of LONG_FILES"
        );
    }
}

#[test]
fn lines_are_short() {
    assert_rule(rules::columns);
}

#[test]
fn files_start_with_what_they_are_for() {
    assert_rule(rules::header);
}

#[test]
fn nothing_is_left_unfinished() {
    assert_none(sources().iter().flat_map(rules::unfinished).collect());
}

#[test]
fn nothing_hides_behind_a_feature_or_asks_whether_it_is_tested() {
    assert_rule(rules::conditional);
}

#[test]
fn no_unwrap_outside_tests() {
    assert_rule(rules::unwraps);
}

#[test]
fn unsafe_only_in_io_and_lockfree() {
    assert_rule(rules::unsafe_code);
}

#[test]
fn only_programs_print() {
    assert_rule(rules::printing);
}

#[test]
fn tests_do_not_sleep() {
    let allowed: BTreeMap<&str, usize> = SLEEPS.iter().copied().collect();
    let sources = sources();
    let faults = sources
        .iter()
        .flat_map(|source| rules::sleeps(source, allowed.get(source.path.as_str()).copied().unwrap_or(0)))
        .collect();
    assert_none(faults);
    for (path, _) in SLEEPS {
        assert!(sources.iter().any(|source| source.path == *path), "{path} is gone: take it out of SLEEPS");
    }
}

#[test]
fn the_lints_that_hold_the_rules_are_on() {
    assert_eq!(
        rules::missing(&read(&root().join("clippy.toml")), rules::CLIPPY_BANS),
        Vec::<&str>::new(),
        "in clippy.toml"
    );
    assert_eq!(
        rules::missing(&read(&root().join("Cargo.toml")), rules::CARGO_SETTINGS),
        Vec::<&str>::new(),
        "in Cargo.toml"
    );
}
