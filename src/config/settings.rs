//! Settings by name: which of several wins, which names are none of ours, and what was found wrong on the way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::fault::{Fault, Origin, Severity, Warning, printable};
use super::keys::{self, Standing};
use super::raw::{Raw, Setting};
use super::values;

/// The winning settings under their canonical names, and the findings so far.
pub struct Settings {
    file: Option<String>,
    effective: BTreeMap<String, Setting>,
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
            if id.parse::<i64>().is_ok() {
                return Some(short.to_owned());
            }
            self.fault(setting, "no server number; allowed: server.N with a whole number N".to_owned());
            return None;
        }
        if short.starts_with("group.") || short.starts_with("weight.") {
            let text = format!("`{written}`: ensembles are not built yet, ignored");
            self.warn(Severity::Warning, origin, text);
            return None;
        }
        if short == "dynamicConfigFile" {
            // To ignore it could put a lone server beside a running ensemble, with a tree of its own.
            let problem =
                "dynamic configuration is not built yet in this version; a lone server needs only clientPort";
            self.fault(setting, problem.to_owned());
            return None;
        }
        let Some((name, standing)) = keys::find(&setting.key) else {
            self.unknown(setting);
            return None;
        };
        let is_harmless =
            |harmless: &[&str]| harmless.iter().any(|value| value.eq_ignore_ascii_case(&setting.value));
        match standing {
            Standing::Honoured => return Some(name.to_owned()),
            Standing::EnsembleOnly => {}
            Standing::NotBuilt { harmless } if is_harmless(harmless) => {}
            Standing::NotBuilt { .. } => {
                self.warn(Severity::Warning, origin, format!("`{written}` is not built yet, ignored"));
            }
            Standing::Protects { harmless } if is_harmless(harmless) => {}
            Standing::Protects { .. } => {
                let problem = "not built yet, and to ignore it would admit clients that it is to keep out; \
                               allowed: false";
                self.fault(setting, problem.to_owned());
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

    /// Faults and warnings, in the order of the lines they speak of.
    pub fn into_findings(mut self) -> (Vec<Fault>, Vec<Warning>) {
        self.faults.sort_by_key(|fault| line(&fault.origin));
        self.warnings.sort_by_key(|warning| line(&warning.origin));
        (self.faults, self.warnings)
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

    /// Keys of the server lines, by number.
    pub fn servers(&self) -> Vec<String> {
        let mut servers: Vec<(i64, &String)> = self
            .effective
            .keys()
            .filter_map(|key| Some((key.strip_prefix("server.")?.parse().ok()?, key)))
            .collect();
        servers.sort_unstable();
        servers.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// A value that `parse` understands; `None` where it isn't given, or was found wrong.
    pub fn value<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let setting = self.effective.get(key)?.clone();
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(problem) => {
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
        if path.is_relative() && !path.starts_with(".") && !path.starts_with("..") {
            let text =
                format!("{key} depends on the directory the server is started in; begin it with / or ./");
            self.warn_at(key, Severity::Info, text);
        }
        Some(path)
    }
}

/// Findings of the file first, by line; what is absent comes last.
fn line(origin: &Origin) -> (u8, usize) {
    match origin {
        Origin::File { line, .. } => (0, *line),
        Origin::Environment { .. } => (1, 0),
        Origin::Property | Origin::Argument | Origin::BuiltIn => (2, 0),
        Origin::Absent { .. } => (3, 0),
    }
}
