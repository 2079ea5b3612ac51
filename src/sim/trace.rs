//! A hash over everything that passes between the world and the server, and the last lines of it as text.
//!
//! Two runs of one plan must end with the same hash: what makes them differ is a clock, a hash order or a random number
//! that slipped into a pure room.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Lines kept for the report of a failure.
const LINES_MAX: usize = 60;

pub struct Trace {
    hasher: SipHasher13,
    lines: VecDeque<String>,
    /// Text is made only where somebody will read it.
    text: bool,
    print: bool,
}

impl Trace {
    pub fn new(text: bool, print: bool) -> Trace {
        Trace { hasher: SipHasher13::new_with_keys(1, 2), lines: VecDeque::new(), text, print }
    }

    /// One event: a word that says what, and numbers.
    pub fn note(&mut self, word: &'static str, numbers: &[u64]) {
        self.hasher.write(word.as_bytes());
        for number in numbers {
            self.hasher.write_u64(*number);
        }
        if self.text {
            self.line(format_args!("{word} {numbers:x?}"));
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.write_u64(bytes.len() as u64);
        self.hasher.write(bytes);
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.print {
            tracing::info!(target: "sim", "{line}");
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_string());
    }

    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
