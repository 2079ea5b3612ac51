//! The options of a command, taken apart as Apache's shell does it with commons-cli, whose messages users know.
//!
//! Options may stand anywhere behind the command; `--` ends them; `-sw` is `-s -w`; `-v3`, `-v=3` and `-v 3` are the same;
//! a negative number is an argument and not an option.

use std::fmt;

/// One option of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: &'static str,
    /// Whether a value follows it.
    pub takes_value: bool,
    pub about: &'static str,
}

pub const fn flag(name: &'static str, about: &'static str) -> Spec {
    Spec { name, takes_value: false, about }
}

pub const fn value(name: &'static str, about: &'static str) -> Spec {
    Spec { name, takes_value: true, about }
}

/// All options of a command, and how they go together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Set {
    pub options: &'static [Spec],
    /// At most one of them may be given.
    pub exclusive: bool,
    /// And one has to be.
    pub required: bool,
}

/// What is wrong with the options: the exception of commons-cli, and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Unrecognized(String),
    MissingArgument(String),
    /// One of these was wanted, as commons-cli lists them.
    MissingOption(String),
    AlreadySelected {
        given: String,
        before: String,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("org.apache.commons.cli.")?;
        match self {
            Wrong::Unrecognized(token) => {
                write!(f, "UnrecognizedOptionException: Unrecognized option: {token}")
            }
            Wrong::MissingArgument(name) => {
                write!(f, "MissingArgumentException: Missing argument for option: {name}")
            }
            Wrong::MissingOption(list) => {
                write!(f, "MissingOptionException: Missing required option: [{list}]")
            }
            Wrong::AlreadySelected { given, before } => write!(
                f,
                "AlreadySelectedException: The option '{given}' was specified but an option from this group has already \
                 been selected: '{before}'"
            ),
        }
    }
}

/// The words of a command, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    options: Vec<(&'static str, Option<String>)>,
    /// What isn't an option; the command itself is the first.
    pub arguments: Vec<String>,
}

impl Parsed {
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// The value of an option: the first one, if it was given twice.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().filter(|(given, _)| *given == name).find_map(|(_, value)| value.as_deref())
    }

    /// The nth argument; the command is the 0th.
    pub fn argument(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).map(String::as_str)
    }
}

impl Set {
    pub fn parse(&self, words: &[String]) -> Result<Parsed, Wrong> {
        let mut parsed = Parsed::default();
        // The option whose value must come next.
        let mut open: Option<&'static Spec> = None;
        let mut over = false;
        for word in words {
            if over {
                parsed.arguments.push(word.clone());
            } else if word == "--" {
                over = true;
            } else if let (Some(spec), true) = (open, self.is_argument(word)) {
                parsed.options.push((spec.name, Some(unquoted(word).to_owned())));
                open = None;
            } else if word.starts_with('-') && word.len() > 1 {
                self.option(word, &mut parsed, &mut open)?;
            } else {
                parsed.arguments.push(word.clone());
            }
        }
        if let Some(spec) = open {
            return Err(Wrong::MissingArgument(spec.name.to_owned()));
        }
        if self.required && parsed.options.is_empty() {
            let list: Vec<String> =
                self.options.iter().map(|spec| format!("-{} {}", spec.name, spec.about)).collect();
            return Err(Wrong::MissingOption(list.join(", ")));
        }
        Ok(parsed)
    }

    fn find(&self, name: &str) -> Option<&'static Spec> {
        self.options.iter().find(|spec| spec.name == name)
    }

    /// Whether a word can be the value of an option: what begins with an option's name can't.
    fn is_argument(&self, word: &str) -> bool {
        let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else { return true };
        if word.parse::<f64>().is_ok() {
            return true;
        }
        let name = name.split('=').next().unwrap_or(name);
        let first = name.chars().next().map(String::from);
        self.find(name).is_none() && first.is_none_or(|first| self.find(&first).is_none())
    }

    fn option(&self, word: &str, parsed: &mut Parsed, open: &mut Option<&'static Spec>) -> Result<(), Wrong> {
        let unknown = || Wrong::Unrecognized(word.to_owned());
        let Some(name) = word.strip_prefix('-').filter(|name| !name.starts_with('-')) else {
            return Err(unknown());
        };
        if let Some((name, text)) = name.split_once('=') {
            let spec = self.find(name).filter(|spec| spec.name.len() == 1 && spec.takes_value);
            let spec = spec.ok_or_else(unknown)?;
            self.take(spec, parsed, open)?;
            parsed.options.push((spec.name, Some(unquoted(text).to_owned())));
            *open = None;
            return Ok(());
        }
        if let Some(spec) = self.find(name) {
            return self.take(spec, parsed, open);
        }
        for (at, letter) in name.char_indices() {
            let spec = self.find(letter.encode_utf8(&mut [0; 4])).ok_or_else(unknown)?;
            self.take(spec, parsed, open)?;
            let behind = &name[at + letter.len_utf8()..];
            if spec.takes_value && !behind.is_empty() {
                parsed.options.push((spec.name, Some(unquoted(behind).to_owned())));
                *open = None;
                break;
            }
        }
        Ok(())
    }

    fn take(
        &self,
        spec: &'static Spec,
        parsed: &mut Parsed,
        open: &mut Option<&'static Spec>,
    ) -> Result<(), Wrong> {
        if let Some(waiting) = open {
            return Err(Wrong::MissingArgument(waiting.name.to_owned()));
        }
        let before = parsed.options.first().map(|(name, _)| *name).filter(|name| *name != spec.name);
        if let Some(before) = before.filter(|_| self.exclusive) {
            return Err(Wrong::AlreadySelected { given: spec.name.to_owned(), before: before.to_owned() });
        }
        if spec.takes_value {
            *open = Some(spec);
        } else {
            parsed.options.push((spec.name, None));
        }
        Ok(())
    }

    /// The table below a usage line, and behind it an empty line: how commons-cli prints it.
    pub fn table(&self) -> String {
        let mut specs: Vec<&Spec> = self.options.iter().collect();
        specs.sort_by_key(|spec| (spec.name.to_lowercase(), spec.name));
        let left = |spec: &Spec| format!(" -{}{}", spec.name, if spec.takes_value { " <arg>" } else { "" });
        let width = specs.iter().map(|spec| left(spec).len()).max().unwrap_or(0);
        let lines = specs.iter().map(|spec| format!("{:width$}   {}\n", left(spec), spec.about));
        lines.collect()
    }
}

/// Without one pair of double quotes around it.
fn unquoted(text: &str) -> &str {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('"') => inner,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Set = Set {
        options: &[flag("s", "stat"), flag("w", "watch"), value("v", "version"), value("file", "path")],
        exclusive: false,
        required: false,
    };
    const QUOTA: Set = Set {
        options: &[value("n", "num soft quota"), value("b", "bytes soft quota")],
        exclusive: true,
        required: true,
    };

    fn parse(set: Set, line: &str) -> Result<Parsed, String> {
        set.parse(&super::super::line::words(line)).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn options_stand_anywhere_and_in_heaps() {
        for line in ["get -s -w /a", "get /a -s -w", "get -sw /a", "get -s /a -w"] {
            let parsed = parse(SET, line).expect(line);
            assert_eq!(parsed.arguments, ["get", "/a"], "{line}");
            assert!(parsed.has("s") && parsed.has("w") && !parsed.has("v"), "{line}");
        }
        for line in ["x -v 3", "x -v3", "x -v=3", "x -sv3", "x -v 3 -v 4", "x -v \"3\""] {
            assert_eq!(parse(SET, line).expect(line).value("v"), Some("3"), "{line}");
        }
        assert_eq!(parse(SET, "x -v -1").expect("a number").value("v"), Some("-1"));
        assert_eq!(parse(SET, "x -file p").expect("a value").value("file"), Some("p"));
        assert_eq!(parse(SET, "x -- -s").expect("arguments").arguments, ["x", "-s"]);
        assert_eq!(parse(SET, "x -").expect("arguments").arguments, ["x", "-"]);
    }

    #[test]
    fn wrong_options_are_told_in_the_words_of_commons_cli() {
        let error = |set, line: &str| parse(set, line).expect_err(line);
        let prefix = "org.apache.commons.cli.";
        assert_eq!(
            error(SET, "x -z"),
            format!("{prefix}UnrecognizedOptionException: Unrecognized option: -z")
        );
        assert_eq!(
            error(SET, "x --s"),
            format!("{prefix}UnrecognizedOptionException: Unrecognized option: --s")
        );
        for line in ["x -v", "x -v -s"] {
            assert_eq!(
                error(SET, line),
                format!("{prefix}MissingArgumentException: Missing argument for option: v")
            );
        }
        assert_eq!(
            error(QUOTA, "setquota /a"),
            format!(
                "{prefix}MissingOptionException: Missing required option: [-n num soft quota, -b bytes soft quota]"
            )
        );
        assert!(error(QUOTA, "setquota -n 1 -b 2 /a").ends_with("already been selected: 'n'"));
    }
}
