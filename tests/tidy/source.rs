//! A source file as the rules look at it: its text, the same without comments and literals, and which lines are tests.
//!
//! No parser: a scanner that knows comments, literals and braces is enough for rules about words, and fails on nothing.

use std::collections::BTreeSet;

/// The one room outside of `src`.
pub const BENCH: &str = "bench/load/";
const BENCH_PROGRAM: &str = "bench/load/main.rs";

/// One file of the repository.
#[derive(Debug)]
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// `text` with comments and the insides of literals blanked: same bytes per line, same lines.
    pub code: String,
    /// Per line: is it compiled for tests only.
    test_lines: Vec<bool>,
}

impl Source {
    /// `test_only`: the whole file is compiled for tests only.
    pub fn new(path: &str, text: &str, test_only: bool) -> Source {
        let code = without_comments_and_literals(text);
        let test_lines = if test_only { vec![true; text.lines().count()] } else { test_lines(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, test_lines }
    }

    /// The room it belongs to: `src/io/uring.rs` and `src/io.rs` are in `io`, and what is in `bench/load` is in `bench`, but for
    /// the program there.
    pub fn room(&self) -> Option<&str> {
        if self.path.starts_with(BENCH) && self.path != BENCH_PROGRAM {
            return Some("bench");
        }
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs"))
    }

    /// Whether the line, counted from 1, is compiled for tests only.
    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// Places of `word` in the code, as bytes from its start. A word ends where an identifier ends.
    pub fn code_words(&self, word: &str) -> Vec<usize> {
        words(&self.code, word)
    }

    /// The line of a byte of `code` or `text`, counted from 1.
    pub fn line_of(&self, text: &str, at: usize) -> usize {
        1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Places where `word` stands in `text` and is not a part of a longer identifier.
pub fn words(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let open_start = !is_part(word.as_bytes().first());
    let open_end = !is_part(word.as_bytes().last());
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| open_start || *at == 0 || !is_part(bytes.get(at - 1)))
        .filter(|at| open_end || !is_part(bytes.get(at + word.len())))
        .collect()
}

/// Names of files that `text` (a file at `path`) declares as modules for tests only, from the root of the repository.
pub fn test_only_modules(path: &str, text: &str) -> BTreeSet<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    // Where plain `mod name;` looks: beside a mod.rs, lib.rs or main.rs, else in the folder named like the file.
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    let children =
        if matches!(stem, "mod" | "lib" | "main") { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = BTreeSet::new();
    let (mut for_tests, mut named) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[cfg(") && !words(line, "test").is_empty() {
            for_tests = true;
        } else if let Some(rest) = line.strip_prefix("#[path = \"") {
            named = rest.split('"').next().map(str::to_owned);
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let declared = line.trim_start_matches("pub ").strip_prefix("mod ");
            if let (true, Some(name)) = (for_tests, declared.and_then(|rest| rest.strip_suffix(';'))) {
                found.insert(match &named {
                    Some(file) => format!("{folder}/{file}"),
                    None => format!("{children}/{name}.rs"),
                });
            }
            (for_tests, named) = (false, None);
        }
    }
    found
}

/// Lines of blocks behind `#[cfg(test)]`-like attributes and `#[test]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marked = vec![false; code.lines().count()];
    let mut line_starts = vec![0];
    line_starts.extend(code.match_indices('\n').map(|(at, _)| at + 1));
    let line_at = |at: usize| line_starts.partition_point(|start| *start <= at) - 1;
    for (at, _) in code.match_indices("#[") {
        let Some(close) = code[at..].find(']').map(|end| at + end) else { continue };
        let attribute = &code[at..close];
        let for_tests = attribute == "#[test" || attribute.starts_with("#[cfg(");
        let negated = attribute.contains("not(test");
        if !for_tests || negated || words(attribute, "test").is_empty() {
            continue;
        }
        let rest = &code[close..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|semicolon| brace < semicolon) => {
                block_end(code, close + brace)
            }
            (_, Some(semicolon)) => close + semicolon,
            _ => code.len() - 1,
        };
        for line in &mut marked[line_at(at)..=line_at(end)] {
            *line = true;
        }
    }
    marked
}

/// The brace that closes the one at `open`; the end of the code where there is none.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

/// Blanks comments and the insides of string and character literals; line breaks stay.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'/')) => line_end(bytes, at),
            (b'/', Some(b'*')) => comment_end(bytes, at),
            (b'"', _) => string_end(bytes, at),
            (b'r', Some(b'"' | b'#')) if !follows_identifier(bytes, at) => raw_string_end(bytes, at),
            (b'\'', _) => character_end(bytes, at),
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole literals and comments were replaced by spaces")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0usize, start);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"` and `r#"…"#`; nothing where it is none (a raw identifier).
fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start;
    }
    let mut at = open + 1;
    while at < bytes.len() {
        if bytes[at] == b'"' && bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count() >= hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

/// `b` as in `br"…"` belongs to the literal; other letters make `r` the end of a name.
fn follows_identifier(bytes: &[u8], at: usize) -> bool {
    let part = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    match at {
        0 => false,
        1 => part(0) && bytes[0] != b'b',
        _ => part(at - 1) && (bytes[at - 1] != b'b' || part(at - 2)),
    }
}

/// A character literal's end; a lifetime is left alone.
fn character_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let from = start + 3; // the character behind the backslash may be a quote
        return bytes
            .get(from..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\''))
            .map_or(start, |length| from + length + 1);
    }
    // One character, of up to four bytes, and a quote.
    let width = match bytes.get(start + 1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if bytes.get(start + 1 + width) == Some(&b'\'') { start + width + 2 } else { start }
}
