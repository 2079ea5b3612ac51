//! What is wrong with a configuration, and where.

use std::fmt;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, counted from 1.
    File { name: String, line: usize },
    /// An environment variable.
    Environment { variable: String },
    /// `-Dname=value`.
    Property,
    /// A positional argument of `ringkeeper server`.
    Argument,
    /// `ringkeeper server` without a file.
    BuiltIn,
    /// Nobody gave it, and that is the point.
    Absent { name: Option<String> },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Environment { variable } => write!(f, "environment variable {variable}"),
            Origin::Property => write!(f, "-D on the command line"),
            Origin::Argument => write!(f, "command line"),
            Origin::BuiltIn => write!(f, "built-in configuration"),
            Origin::Absent { name: Some(name) } => write!(f, "{name}"),
            Origin::Absent { name: None } => write!(f, "configuration"),
        }
    }
}

impl Origin {
    /// As it reads within a sentence: "line 3", "-D on the command line".
    pub(super) fn within(&self) -> String {
        match self {
            Origin::File { line, .. } => format!("line {line}"),
            other => other.to_string(),
        }
    }
}

/// One reason not to start. Prints as one line: place, setting, what is wrong, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub origin: Origin,
    /// As written; empty where the line has no key.
    pub key: String,
    /// As written; `None` where the fault is that there is none, or where the value is a secret.
    pub value: Option<String>,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (&self.value, self.key.is_empty()) {
            (_, true) => {}
            (Some(value), false) => write!(f, "{}={}: ", printable(&self.key), printable(value))?,
            (None, false) => write!(f, "{}: ", printable(&self.key))?,
        }
        f.write_str(&self.problem)
    }
}

/// How loudly a warning is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing: the setting has nothing to set here.
    Info,
    Warning,
    /// The server starts, but surely not as its operator meant.
    Error,
}

/// Something the operator should know; the server starts all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub severity: Severity,
    pub origin: Origin,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// Text from outside on its way to a terminal: without control characters, and not endless.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut out: String = text.chars().take(CHARS_MAX).flat_map(escape).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}
