//! The configuration as written: Java properties syntax, every line kept with its number.
//!
//! Syntax as in `java.util.Properties.load`: comments begin with `#` or `!`; a key ends at the first unescaped `=`,
//! `:` or blank; a backslash at the end of a line joins the next one; `\t \n \r \f \uXXXX` mean what they mean in
//! Java and a backslash before anything else vanishes. Keys and values are then trimmed, as ZooKeeper does.
//! One difference: a file that is valid UTF-8 is read as such and only else as ISO-8859-1.

use super::defaults;
use super::fault::{Fault, Origin};
use super::keys;

/// One `key=value`, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

/// Everything that was given, in the order of the layers: nothing is decided yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The file's name as the operator typed it: messages begin with it.
    pub(super) name: Option<String>,
    pub(super) file: Vec<Setting>,
    pub(super) environment: Vec<Setting>,
    pub(super) command_line: Vec<Setting>,
    /// What couldn't be read as a setting.
    pub(super) faults: Vec<Fault>,
    /// Environment variables which look as if they were meant for us.
    pub(super) strangers: Vec<String>,
}

impl Raw {
    /// The content of a configuration file called `name`.
    pub fn parse(name: &str, content: &[u8]) -> Raw {
        let mut raw = Raw { name: Some(name.to_owned()), ..Raw::default() };
        let text = decode(content);
        for (line, logical) in LogicalLines::new(&text) {
            let origin = Origin::File { name: name.to_owned(), line };
            match split(&logical) {
                Ok((key, _)) if key.is_empty() => raw.faults.push(Fault {
                    origin,
                    key: String::new(),
                    value: None,
                    problem: "no key before the separator; allowed: key=value".to_owned(),
                }),
                Ok((key, value)) => raw.file.push(Setting { key, value, origin }),
                Err(problem) => raw.faults.push(Fault { origin, key: String::new(), value: None, problem }),
            }
        }
        raw
    }

    /// What `ringkeeper server` without a file means: loopback, data below the working directory.
    pub fn built_in() -> Raw {
        let setting = |key: &str, value: &str| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: Origin::BuiltIn,
        };
        Raw {
            file: vec![
                setting("clientPort", defaults::CLIENT_PORT),
                setting("clientPortAddress", defaults::CLIENT_PORT_ADDRESS),
                setting("dataDir", defaults::DATA_DIR),
                setting("admin.serverAddress", defaults::CLIENT_PORT_ADDRESS),
            ],
            ..Raw::default()
        }
    }

    /// No file at all: everything comes from the command line.
    pub fn empty() -> Raw {
        Raw::default()
    }

    /// A setting as written in the layer that wins, unchecked: for who must get along with a configuration at fault.
    pub fn given(&self, name: &str) -> Option<&str> {
        let layers = [&self.command_line, &self.environment, &self.file];
        let found = layers
            .into_iter()
            .find_map(|layer| layer.iter().rev().find(|setting| keys::short(&setting.key) == name));
        found.map(|setting| setting.value.as_str())
    }

    /// Numbers and texts of the server lines, unchecked.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &str)> {
        let layers = [&self.command_line, &self.environment, &self.file];
        let lines = layers.into_iter().flatten();
        lines.filter_map(|line| Some((keys::short(&line.key).strip_prefix("server.")?, line.value.as_str())))
    }

    /// The lines of the file, without comments, and without what must stay secret. `None`: there is no file.
    pub(super) fn without_secrets(&self) -> Option<String> {
        self.name.as_ref()?;
        let is_secret = |key: &str| {
            let key = key.to_ascii_lowercase();
            key.contains("superdigest") || key.contains("password") && !key.ends_with("path")
        };
        let line = |setting: &Setting| {
            let value = if is_secret(&setting.key) { "***" } else { &setting.value };
            format!("{}={value}\n", setting.key)
        };
        Some(self.file.iter().map(line).collect())
    }

    /// A positional argument of `ringkeeper server PORT DATADIR …`.
    pub fn argument(&mut self, key: &str, value: &str) {
        self.command_line.push(Setting {
            key: key.to_owned(),
            value: value.trim().to_owned(),
            origin: Origin::Argument,
        });
    }

    /// What stands after `-D`: `name=value`.
    pub fn property(&mut self, property: &str) {
        match property.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => self.command_line.push(Setting {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                origin: Origin::Property,
            }),
            _ => self.faults.push(Fault {
                origin: Origin::Property,
                key: property.to_owned(),
                value: None,
                problem: "not a property; allowed: -Dname=value".to_owned(),
            }),
        }
    }
}

/// UTF-8 where it is, else ISO-8859-1, in which every byte is the character of its number.
pub(super) fn decode(content: &[u8]) -> String {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    match std::str::from_utf8(content) {
        Ok(text) => text.to_owned(),
        Err(_) => content.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Lines joined where a backslash says so, without comments and blank lines, each with the number of its first line.
struct LogicalLines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<NaturalLines<'a>>>,
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a str) -> Self {
        LogicalLines { lines: NaturalLines { rest: text }.enumerate().peekable() }
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<(usize, String)> {
        loop {
            let (index, line) = self.lines.next()?;
            let line = line.trim_start_matches(is_blank);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mut logical = line.to_owned();
            while is_continued(&logical) {
                logical.pop();
                match self.lines.next() {
                    Some((_, next)) => logical.push_str(next.trim_start_matches(is_blank)),
                    None => break,
                }
            }
            if !logical.is_empty() {
                return Some((index + 1, logical));
            }
        }
    }
}

/// An odd number of backslashes at the end: the last one is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1
}

/// Lines that end with `\n`, `\r` or `\r\n`.
struct NaturalLines<'a> {
    rest: &'a str,
}

impl<'a> Iterator for NaturalLines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r'])).unwrap_or(rest);
        Some(line)
    }
}

/// Key and value of a logical line, unescaped and trimmed.
fn split(line: &str) -> Result<(String, String), String> {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
            escaped = !escaped && c == '\\';
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Ok((unescape(key)?.trim().to_owned(), unescape(rest)?.trim().to_owned()))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => out.push(unicode(&mut chars)?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

/// What follows `\u`: four hex digits, and a second such escape where the first is half a surrogate pair.
fn unicode(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    let first = unit(chars)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) && chars.as_str().starts_with("\\u") {
        chars.next();
        chars.next();
        units.push(unit(chars)?);
    }
    match char::decode_utf16(units).collect::<Result<Vec<char>, _>>() {
        Ok(decoded) if decoded.len() == 1 => Ok(decoded[0]),
        _ => Err(format!(
            "\\u{first:04x} is half a surrogate pair; allowed: both halves, or the character itself"
        )),
    }
}

fn unit(chars: &mut std::str::Chars<'_>) -> Result<u16, String> {
    let digits: String = chars.take(4).collect();
    let hex = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
    match u16::from_str_radix(&digits, 16) {
        Ok(unit) if hex => Ok(unit),
        _ => Err(format!(
            "malformed escape \\u{}; allowed: \\u and four hexadecimal digits",
            digits.escape_debug()
        )),
    }
}

#[cfg(test)]
#[path = "raw_test.rs"]
mod tests;
