//! Dialogues with a shell, as files: `shells/*.txt`.
//!
//! ```text
//! # a comment, up to the next empty line's end
//! > create /a data
//! Created /a
//! ! type:NodeCreated path:/a
//! ```
//! `> ` begins a command; the lines below it are what it prints, with `*` for any run of characters. `! ` is a watch event,
//! which a shell may print before or after the command's own lines. `{port}` is the server's port.

use crate::support::Server;

#[derive(Debug)]
pub struct Step {
    pub command: String,
    pub expected: Vec<String>,
    pub events: Vec<String>,
}

pub fn parse(text: &str, server: &Server) -> Vec<Step> {
    let text = text.replace("{port}", &server.port.to_string());
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("> ") {
            steps.push(Step { command: command.to_owned(), expected: Vec::new(), events: Vec::new() });
            continue;
        }
        let step = steps.last_mut().expect("a transcript begins with a command");
        match line.strip_prefix("! ") {
            Some(event) => step.events.push(event.to_owned()),
            None => step.expected.push(line.to_owned()),
        }
    }
    steps
}

/// Whether a line is as expected; `*` in the pattern stands for anything.
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What stands between the prompts (the first part is the greeting), and the events.
pub fn cut(output: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut replies, mut events) = (Vec::new(), Vec::new());
    for (index, part) in output.split("[zk: ").enumerate() {
        let text = if index == 0 { part } else { part.split_once("] ").map_or("", |(_, text)| text) };
        let mut lines = Vec::new();
        for line in text.lines() {
            if let Some(event) = line.strip_prefix("WatchedEvent ") {
                events.push(event.to_owned());
            } else if !line.trim().is_empty() && line != "WATCHER::" {
                lines.push(line.to_owned());
            }
        }
        replies.push(lines);
    }
    (replies, events)
}

#[test]
fn a_star_stands_for_anything_and_nothing_else_does() {
    assert!(matches("cZxid = 0x*", "cZxid = 0x1f"));
    assert!(matches("a*b*c", "a-b-b-c"));
    assert!(matches("*", ""));
    assert!(!matches("a*b", "a-b-c"));
    assert!(!matches("a", "ab"));
    assert!(!matches("a*b*b", "a-b"));
}
