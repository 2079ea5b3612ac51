//! Settings by name: which of several wins, which names are none of ours, and what was found wrong on the way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::effective::Given;
use super::fault::{Fault, Origin, Severity, Warning, printable};
use super::keys::{self, Standing};
use super::raw::{Raw, Setting};
use super::values;

/// The winning settings under their canonical names, and the findings so far.
pub struct Settings {
    file: Option<String>,
    effective: Given,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl Settings {
    pub fn new(raw: Raw) -> Settings {
        let mut settings =
            Settings { file: raw.name, effective: BTreeMap::new(), faults: raw.faults, warnings: Vec::new() };
        for layer in [raw.file, raw.environment, raw.command_line] {
            settings.lay(layer);
        }
        settings
    }

    /// Puts a layer over those below it. Within one layer the last of a name counts, as in Java.
    fn lay(&mut self, layer: Vec<Setting>) {
        let mut mine: BTreeMap<String, Setting> = BTreeMap::new();
        for setting in layer {
            let Some(name) = self.canonical(&setting) else { continue };
            if let Some(earlier) = mine.insert(name.clone(), setting) {
                let text =
                    format!("{name} is given again; the value of {} is ignored", earlier.origin.within());
                self.warn(Severity::Warning, mine[&name].origin.clone(), text);
            }
        }
        for (name, setting) in mine {
            let origin = setting.origin.clone();
            let value = setting.value.clone();
            if let Some(below) = self.effective.insert(name.clone(), setting)
                && below.value != value
                && below.origin != Origin::BuiltIn
            {
                // ZooKeeper lets the file win over most properties, so that this may surprise.
                let text = format!("{name} overrides {}", below.origin.within());
                self.warn(Severity::Info, origin, text);
            }
        }
    }

    /// The name under which `checked` asks for a setting; `None`, with a finding, where nobody will.
    fn canonical(&mut self, setting: &Setting) -> Option<String> {
        let written = printable(&setting.key);
        let short = keys::short(&setting.key);
        let origin = setting.origin.clone();
        if let Some(id) = short.strip_prefix("server.")
            && !matches!(id, "principal" | "realm")
        {
            return self.numbered(
                setting,
                "server",
                id,
                "no server number; allowed: server.N with a whole number N",
            );
        }
        // Without the dot too: to ignore a slip in these would change what a quorum is.
        if let Some(group) = short.strip_prefix("group") {
            let problem = "no group number; allowed: group.G with a whole number G";
            return self.numbered(setting, "group", group.strip_prefix('.').unwrap_or_default(), problem);
        }
        if let Some(id) = short.strip_prefix("weight") {
            let problem = "no server number; allowed: weight.N with a whole number N";
            return self.numbered(setting, "weight", id.strip_prefix('.').unwrap_or_default(), problem);
        }
        let Some((name, standing)) = keys::find(&setting.key) else {
            self.unknown(setting);
            return None;
        };
        let is_harmless =
            |harmless: &[&str]| harmless.iter().any(|value| value.eq_ignore_ascii_case(&setting.value));
        match standing {
            Standing::Honoured
            | Standing::Ensemble
            | Standing::EnsembleOnly
            | Standing::EnsembleNotBuilt { .. }
            | Standing::EnsembleRefused { .. } => return Some(name.to_owned()),
            Standing::NotBuilt { harmless } if is_harmless(harmless) => {}
            Standing::NotBuilt { .. } => {
                self.warn(Severity::Warning, origin, format!("`{written}` is not built yet, ignored"));
            }
            Standing::Protects { harmless } if is_harmless(harmless) => {}
            Standing::Protects { harmless } => {
                let problem = format!(
                    "not built yet, and to ignore it would admit clients that it is to keep out; allowed: {}",
                    harmless[0]
                );
                self.fault(setting, problem);
            }
            Standing::NoMeaning { harmless, .. } if is_harmless(harmless) => {}
            Standing::NoMeaning { why, .. } => {
                self.warn(Severity::Warning, origin, format!("`{written}` has no meaning here: {why}"));
            }
            Standing::Foreign => {
                let text = format!("`{written}` tunes what this server doesn't have, ignored");
                self.warn(Severity::Info, origin, text);
            }
        }
        None
    }

    /// `server.7` of `server.07`, so that a number is one key however it is written.
    fn numbered(&mut self, setting: &Setting, kind: &str, number: &str, problem: &str) -> Option<String> {
        match number.trim().parse::<i64>() {
            Ok(number) => Some(format!("{kind}.{number}")),
            Err(_) => {
                self.fault(setting, problem.to_owned());
                None
            }
        }
    }

    /// The lines of the dynamic file, over all others: it holds members and nothing else.
    pub fn lay_dynamic(&mut self, raw: Raw) {
        self.faults.extend(raw.faults);
        let mut lines = Vec::new();
        for setting in raw.file {
            if MEMBERSHIP.iter().any(|kind| setting.key.starts_with(kind)) {
                lines.push(setting);
                continue;
            }
            let problem = match setting.key.as_str() {
                "version" => "the version is in the name of the file; take this line out",
                _ => "not a setting of a dynamic file; allowed: server.N, group.G, weight.N",
            };
            self.fault(&setting, problem.to_owned());
        }
        self.lay(lines);
    }

    /// What was found elsewhere than among the settings, and where.
    pub fn note(&mut self, key: &str, value: String, origin: Origin) {
        self.effective.insert(key.to_owned(), Setting { key: key.to_owned(), value, origin });
    }

    /// The lines which say who is a member and what is a quorum.
    pub fn membership_lines(&self) -> Vec<(String, String)> {
        let lines =
            self.effective.iter().filter(|(key, _)| MEMBERSHIP.iter().any(|kind| key.starts_with(kind)));
        lines.map(|(key, setting)| (key.clone(), setting.value.clone())).collect()
    }

    /// Findings on those settings for members of ensembles that nobody here reads. Asked of members only: Apache's lone
    /// server ignores them too.
    pub fn judge_ensemble_keys(&mut self) {
        for (name, setting) in self.effective.clone() {
            let harmless =
                |values: &[&str]| values.iter().any(|value| value.eq_ignore_ascii_case(&setting.value));
            let written = printable(&setting.key);
            match keys::find(&name).map(|(_, standing)| standing) {
                Some(Standing::EnsembleOnly) => {
                    let text = format!("`{written}` tunes what this server doesn't have, ignored");
                    self.warn(Severity::Info, setting.origin.clone(), text);
                }
                Some(Standing::EnsembleNotBuilt { harmless: values }) if !harmless(values) => {
                    let text = format!("`{written}` is not built yet, ignored");
                    self.warn(Severity::Warning, setting.origin.clone(), text);
                }
                Some(Standing::EnsembleRefused { harmless: values, why }) if !harmless(values) => {
                    let allowed = values.first().copied().filter(|value| !value.is_empty());
                    let allowed = allowed.unwrap_or("to leave it out");
                    self.fault(&setting, format!("{why}; allowed: {allowed}"));
                }
                _ => {}
            }
        }
    }

    fn unknown(&mut self, setting: &Setting) {
        let place = match &setting.origin {
            Origin::File { line, .. } => format!(" (line {line})"),
            _ => String::new(),
        };
        let guess = match keys::nearest(&setting.key) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "ignored".to_owned(),
        };
        let ours = keys::short(&setting.key).starts_with("ringkeeper.");
        let severity = if ours { Severity::Error } else { Severity::Warning };
        let text = format!("unknown key `{}`{place}: {guess}", printable(&setting.key));
        self.warn(severity, setting.origin.clone(), text);
    }

    /// Faults and warnings, in the order of the lines they speak of; and what won.
    pub fn into_findings(mut self) -> (Vec<Fault>, Vec<Warning>, Given) {
        let main = self.file.as_deref();
        self.faults.sort_by_key(|fault| line(&fault.origin, main));
        self.warnings.sort_by_key(|warning| line(&warning.origin, main));
        (self.faults, self.warnings, self.effective)
    }

    pub fn warn(&mut self, severity: Severity, origin: Origin, text: String) {
        self.warnings.push(Warning { severity, origin, text });
    }

    /// A warning at the place where `key` was given.
    pub fn warn_at(&mut self, key: &str, severity: Severity, text: String) {
        let origin = self.origin(key).cloned().unwrap_or_else(|| self.nowhere());
        self.warn(severity, origin, text);
    }

    fn fault(&mut self, setting: &Setting, problem: String) {
        self.faults.push(Fault {
            origin: setting.origin.clone(),
            key: setting.key.clone(),
            value: Some(setting.value.clone()),
            problem,
        });
    }

    /// A fault of a setting which was given, or of its absence.
    pub fn fault_at(&mut self, key: &str, problem: String) {
        match self.effective.get(key).cloned() {
            Some(setting) => self.fault(&setting, problem),
            None => self.missing(key, &problem),
        }
    }

    pub fn missing(&mut self, key: &str, problem: &str) {
        // An empty or malformed value was noted where it stands.
        if self.effective.contains_key(key) {
            return;
        }
        let origin = self.nowhere();
        self.faults.push(Fault { origin, key: key.to_owned(), value: None, problem: problem.to_owned() });
    }

    /// A fault which is no setting's: of a file that says more than settings.
    pub fn fault_from(&mut self, origin: Origin, problem: String) {
        self.faults.push(Fault { origin, key: String::new(), value: None, problem });
    }

    /// The configuration file, as the operator typed it.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    fn nowhere(&self) -> Origin {
        Origin::Absent { name: self.file.clone() }
    }

    pub fn faults_count(&self) -> usize {
        self.faults.len()
    }

    pub fn is_given(&self, key: &str) -> bool {
        self.effective.contains_key(key)
    }

    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.effective.get(key).map(|setting| &setting.origin)
    }

    /// Numbers and keys of the server lines, by number.
    pub fn servers(&self) -> Vec<(i64, String)> {
        let mut servers: Vec<(i64, String)> = self
            .effective
            .keys()
            .filter_map(|key| Some((key.strip_prefix("server.")?.parse().ok()?, key.clone())))
            .collect();
        servers.sort_unstable();
        servers
    }

    /// A value that `parse` understands; `None` where it isn't given, or was found wrong.
    pub fn value<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let setting = self.effective.get(key)?.clone();
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(mut problem) => {
                if setting.value.contains(" #") {
                    problem.push_str("; a # begins a comment only where a line begins");
                }
                self.fault(&setting, problem);
                None
            }
        }
    }

    /// As [`Self::value`], but the fault doesn't repeat the value.
    pub fn secret<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let faults = self.faults.len();
        let value = self.value(key, parse);
        for fault in &mut self.faults[faults..] {
            fault.value = None;
        }
        value
    }

    pub fn number(&mut self, key: &str, range: RangeInclusive<i64>, unit: &str, default: i64) -> i64 {
        self.value(key, |text| values::number(text, &range, unit)).unwrap_or(default)
    }

    /// A number which ZooKeeper raises to its minimum instead of refusing it.
    pub fn at_least(&mut self, key: &str, minimum: i64, default: i64) -> i64 {
        let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
        let given = self.number(key, range, "", default);
        if given < minimum {
            self.warn_at(key, Severity::Warning, format!("{key}={given} is too small, raised to {minimum}"));
        }
        given.max(minimum)
    }

    pub fn boolean(&mut self, key: &str, default: bool) -> bool {
        self.value(key, values::boolean).unwrap_or(default)
    }

    /// A directory. Whether it exists is for others to find out.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.value(key, |text| match text {
            "" => Err("empty; allowed: the path of a directory".to_owned()),
            text if text.contains('\0') => {
                Err("has a zero byte; allowed: the path of a directory".to_owned())
            }
            text => Ok(PathBuf::from(text)),
        })?;
        if let Some(sign) = taken_literally(&path) {
            let text =
                format!("{key}: `{sign}` means nothing here, it is taken as part of the directory's name");
            self.warn_at(key, Severity::Warning, text);
        }
        if path.is_relative() && !path.starts_with(".") && !path.starts_with("..") {
            let text =
                format!("{key} depends on the directory the server is started in; begin it with / or ./");
            self.warn_at(key, Severity::Info, text);
        }
        Some(path)
    }
}

/// What a shell would have taken out of a path, or a comment that is none.
fn taken_literally(path: &std::path::Path) -> Option<char> {
    let text = path.to_string_lossy();
    let first = text.chars().next().filter(|first| matches!(first, '~' | '$' | '"' | '\''));
    first.or_else(|| text.contains(" #").then_some('#'))
}

/// What the keys of members begin with.
const MEMBERSHIP: [&str; 3] = ["server.", "group", "weight"];

/// Findings of the configuration file first, by line, then those of other files; what is absent comes last.
fn line(origin: &Origin, main: Option<&str>) -> (u8, usize) {
    match origin {
        Origin::File { name, line } if Some(name.as_str()) == main => (0, *line),
        Origin::File { line, .. } => (1, *line),
        Origin::Environment { .. } => (2, 0),
        Origin::Property | Origin::Argument | Origin::BuiltIn => (3, 0),
        Origin::Absent { .. } => (4, 0),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Raw, Severity};

    fn check(lines: &str) -> Result<Vec<String>, Vec<String>> {
        let raw = Raw::parse("zoo.cfg", format!("{lines}\n").as_bytes());
        match raw.check(|_| None, &|path| panic!("{path:?} is read")) {
            Ok((_, warnings)) => {
                let told = warnings.iter().filter(|warning| warning.severity == Severity::Warning);
                Ok(told.map(ToString::to_string).collect())
            }
            Err(refusal) => Err(refusal.faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_comment_behind_a_value_is_none() {
        let faults = check("dataDir=/data\nclientPort=2181 # the port").expect_err("no number");
        assert!(faults[0].ends_with("; a # begins a comment only where a line begins"), "{faults:?}");
        let faults = check("dataDir=/data\nclientPort=x").expect_err("no number");
        assert!(!faults[0].contains('#'), "{faults:?}");
    }

    #[test]
    fn a_path_is_no_shells() {
        for (path, sign) in [("~/zk", '~'), ("$HOME/zk", '$'), ("\"/data\"", '"'), ("/data # mine", '#')] {
            let warnings = check(&format!("dataDir={path}\nclientPort=2181")).expect("a path");
            let expected = format!(
                "zoo.cfg:1: dataDir: `{sign}` means nothing here, it is taken as part of the directory's name"
            );
            assert_eq!(warnings, [expected], "{path}");
        }
        assert_eq!(check("dataDir=/data#1/a~b\nclientPort=2181"), Ok(vec![]));
    }
}
