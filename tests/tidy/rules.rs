//! The rules about one file, each a function from a file to its faults. `rules_test.rs` shows that each can fail.

use std::fmt;

use crate::source::{Source, words};

/// Where a rule is broken and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    pub line: usize,
    pub message: String,
}

impl Fault {
    /// `at`: bytes from the start of the file.
    pub fn new(file: &Source, at: usize, message: String) -> Fault {
        Fault { path: file.path.clone(), line: file.line_of(&file.code, at), message }
    }

    pub fn on_line(file: &Source, line: usize, message: String) -> Fault {
        Fault { path: file.path.clone(), line, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// What a file may be long without being listed.
pub const LINES_AIM: usize = 500;
/// What no file may be longer than.
pub const LINES_MAX: usize = 1000;
/// A listed file that became shorter by more than this has to have its number lowered.
const LINES_SLACK: usize = 25;
/// rustfmt stops at 110 but does not break comments.
pub const COLUMNS_MAX: usize = 140;

/// The words are joined here so that this file doesn't hold them.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// `listed`: the lines at which this file stands in the ratchet list, if it does.
pub fn length(file: &Source, listed: Option<usize>) -> Vec<Fault> {
    let lines = file.text.lines().count();
    let message = match listed {
        _ if lines > LINES_MAX => format!("{lines} lines; no file may have more than {LINES_MAX}: split it"),
        None if lines > LINES_AIM => {
            format!("{lines} lines; more than {LINES_AIM}: split it at its second reason to change")
        }
        Some(listed) if lines > listed => {
            format!("{lines} lines; its entry in LONG_FILES says {listed}, and may only shrink")
        }
        Some(_) if lines <= LINES_AIM => format!("{lines} lines: take it out of LONG_FILES in tests/tidy.rs"),
        Some(listed) if lines + LINES_SLACK < listed => {
            format!("{lines} lines: lower its entry in LONG_FILES of tests/tidy.rs from {listed}")
        }
        _ => return Vec::new(),
    };
    vec![Fault::on_line(file, lines, message)]
}

pub fn columns(file: &Source) -> Vec<Fault> {
    let long = |(_, line): &(usize, &str)| line.chars().count() > COLUMNS_MAX;
    file.text
        .lines()
        .enumerate()
        .filter(long)
        .map(|(index, _)| Fault::on_line(file, index + 1, format!("longer than {COLUMNS_MAX} columns")))
        .collect()
}

pub fn header(file: &Source) -> Vec<Fault> {
    if file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Fault::on_line(file, 1, "a file starts with `//! ` and what it is for".to_owned())]
}

/// Macros and words that have no place anywhere.
pub fn unfinished(file: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for word in ["todo!", "unimplemented!", "dbg!"] {
        for at in file.code_words(word) {
            faults.push(Fault::new(file, at, format!("`{word}` is no code")));
        }
    }
    for word in UNFINISHED {
        for at in words(&file.text, word) {
            let behind = &file.text[at + word.len()..];
            let numbered =
                behind.strip_prefix("(#").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if !numbered {
                let line = file.line_of(&file.text, at);
                faults.push(Fault::on_line(
                    file,
                    line,
                    format!("`{word}` without an issue: write `{word}(#12)`"),
                ));
            }
        }
    }
    faults
}

/// Behind a `cfg` that is off in `cargo test`, code is neither compiled nor tested.
pub fn conditional(file: &Source) -> Vec<Fault> {
    let dense: String = file.code.chars().filter(|c| *c != ' ').collect();
    let mut faults = Vec::new();
    for (word, message) in [
        ("cfg(feature", "no features: what is behind one is what plain `cargo test` forgets"),
        ("cfg!(test", "production code does not ask whether it is being tested"),
    ] {
        for (at, _) in dense.match_indices(word) {
            faults.push(Fault::on_line(file, file.line_of(&dense, at), message.to_owned()));
        }
    }
    faults
}

pub fn unwraps(file: &Source) -> Vec<Fault> {
    let message = "`unwrap()` outside tests: an error, or `expect(\"why this cannot fail\")`";
    outside_tests(file, ".unwrap()", message)
}

/// Rooms in which `unsafe` is allowed.
pub fn unsafe_code(file: &Source) -> Vec<Fault> {
    if matches!(file.room(), Some("io" | "lockfree")) {
        return Vec::new();
    }
    file.code_words("unsafe")
        .into_iter()
        .map(|at| Fault::new(file, at, "`unsafe` outside rooms io and lockfree".to_owned()))
        .collect()
}

/// The server speaks through `tracing`; only programs print.
pub fn printing(file: &Source) -> Vec<Fault> {
    if file.room().is_none() || matches!(file.room(), Some("cli" | "main")) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for word in ["println!", "eprintln!", "print!", "eprint!"] {
        faults.extend(outside_tests(file, word, "printing outside cli, main and tests: use `tracing`"));
    }
    faults
}

/// `allowed`: how many places of this file may sleep.
pub fn sleeps(file: &Source, allowed: usize) -> Vec<Fault> {
    let python = file.path.ends_with(".py");
    let text = if python { &file.text } else { &file.code };
    // A method of that name is somebody's own; in Rust the one that sleeps is a function.
    let is_sleep = |at: &usize| python || !(text[..*at].ends_with('.') || text[..*at].ends_with("fn "));
    let found: Vec<usize> = words(text, "sleep(")
        .into_iter()
        .filter(is_sleep)
        .filter(|at| file.path.starts_with("tests/") || file.is_test(file.line_of(text, *at)))
        .collect();
    let message = |allowed: usize| match allowed {
        0 => "a test waits for a condition with a bound and never sleeps".to_owned(),
        _ => format!("more than the {allowed} sleeps that SLEEPS in tests/tidy.rs allows here"),
    };
    if found.len() < allowed {
        return vec![Fault::on_line(
            file,
            1,
            "sleeps less often than SLEEPS in tests/tidy.rs says: lower it".to_owned(),
        )];
    }
    found
        .into_iter()
        .skip(allowed)
        .map(|at| Fault::on_line(file, file.line_of(text, at), message(allowed)))
        .collect()
}

fn outside_tests(file: &Source, word: &str, message: &str) -> Vec<Fault> {
    file.code_words(word)
        .into_iter()
        .filter(|at| !file.is_test(file.line_of(&file.code, *at)))
        .map(|at| Fault::new(file, at, message.to_owned()))
        .collect()
}

/// What `clippy.toml` must ban, so that the lints which hold the pure rooms pure can't be lost.
pub const CLIPPY_BANS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::process::exit",
    "std::collections::HashMap",
    "std::collections::HashSet",
];

/// The settings of `Cargo.toml` that other rules rely on: lints denied, and abort on panic in release.
pub const CARGO_SETTINGS: &[&str] = &[
    "unsafe_code = \"deny\"",
    "undocumented_unsafe_blocks = \"deny\"",
    "disallowed_methods = \"deny\"",
    "disallowed_types = \"deny\"",
    "unwrap_used = \"deny\"",
    "panic = \"abort\"",
];

/// Those of `needed` that are not in `text`. In clippy.toml a ban is a quoted path.
pub fn missing<'a>(text: &str, needed: &[&'a str]) -> Vec<&'a str> {
    let active: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    needed.iter().copied().filter(|name| !active.contains(name)).collect()
}
