//! `ZOO_*` variables, as the official container image takes them, and ours.
//!
//! There they are written into a fresh `zoo.cfg`; here they override the file, so that one file serves many containers.

use super::fault::{Fault, Origin};
use super::keys;
use super::raw::{Raw, Setting};

/// Variable and the key it stands for.
const VARIABLES: &[(&str, &str)] = &[
    ("RINGKEEPER_LOG_FORMAT", "ringkeeper.logFormat"),
    ("ZOO_4LW_COMMANDS_WHITELIST", "4lw.commands.whitelist"),
    ("ZOO_ADMINSERVER_ENABLED", "admin.enableServer"),
    ("ZOO_AUTOPURGE_PURGEINTERVAL", "autopurge.purgeInterval"),
    ("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "autopurge.snapRetainCount"),
    ("ZOO_DATA_DIR", "dataDir"),
    ("ZOO_DATA_LOG_DIR", "dataLogDir"),
    ("ZOO_INIT_LIMIT", "initLimit"),
    ("ZOO_MAX_CLIENT_CNXNS", "maxClientCnxns"),
    // The image writes it to `dataDir/myid` unless there is such a file.
    ("ZOO_MY_ID", "myid"),
    ("ZOO_STANDALONE_ENABLED", "standaloneEnabled"),
    ("ZOO_SYNC_LIMIT", "syncLimit"),
    ("ZOO_TICK_TIME", "tickTime"),
];

/// Variables of the image which say something to its scripts or to Java, and nothing to us.
const UNUSED: &[&str] = &[
    "ZOO_CONF_DIR",
    "ZOO_DATADIR_AUTOCREATE_DISABLE",
    "ZOO_LOG4J_PROP",
    "ZOO_LOG_DIR",
    "ZOO_LOG_FILE",
    "ZOO_NOEXEC",
];

/// Whether this variable says something to [`Raw::environment`].
pub fn is_setting(variable: &str) -> bool {
    // What else begins with RINGKEEPER_ speaks to `cli` or to tests.
    variable.starts_with("ZOO_") || VARIABLES.iter().any(|(name, _)| *name == variable)
}

impl Raw {
    /// Takes what is ours from the environment. An empty variable counts as unset, as in the image.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let mut variables: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, value)| is_setting(name) && !value.trim().is_empty())
            .collect();
        // The environment has no order worth keeping, and messages should not depend on it.
        variables.sort();
        for (name, value) in variables {
            let origin = Origin::Environment { variable: name.clone() };
            if let Some((_, key)) = VARIABLES.iter().find(|(variable, _)| *variable == name) {
                let value = value.trim().to_owned();
                self.environment.push(Setting { key: (*key).to_owned(), value, origin });
            } else if name == "ZOO_SERVERS" || name == "ZOO_CFG_EXTRA" {
                // Entries are separated by blanks, so none can hold one: the image has no quoting either.
                for entry in value.split_whitespace() {
                    self.entry(entry, &origin);
                }
            } else if !UNUSED.contains(&name.as_str()) {
                self.strangers.push(name);
            }
        }
    }

    /// Below all the rest, for a container without a configuration file: what the image writes into the one it makes. (But
    /// not its `autopurge.purgeInterval=0`, with which disks fill up.) After [`Self::environment`], since a server line
    /// is made up only where none is given.
    pub fn container(&mut self) {
        let mut defaults = vec![
            ("dataDir", "/data"),
            ("dataLogDir", "/datalog"),
            ("tickTime", "2000"),
            ("initLimit", "5"),
            ("syncLimit", "2"),
            ("myid", "1"),
        ];
        let is_server = |setting: &Setting| keys::short(&setting.key).starts_with("server.");
        if !self.environment.iter().chain(&self.command_line).any(is_server) {
            defaults.push(("server.1", "localhost:2888:3888;2181"));
        }
        let setting = |(key, value): (&str, &str)| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: Origin::BuiltIn,
        };
        self.file.extend(defaults.into_iter().map(setting));
    }

    fn entry(&mut self, entry: &str, origin: &Origin) {
        match entry.split_once('=') {
            Some((key, value)) if !key.is_empty() => self.environment.push(Setting {
                key: key.to_owned(),
                value: value.to_owned(),
                origin: origin.clone(),
            }),
            _ => self.faults.push(Fault {
                origin: origin.clone(),
                key: entry.to_owned(),
                value: None,
                problem: "not a setting; allowed: key=value, several separated by blanks".to_owned(),
            }),
        }
    }
}

/// Names for a guess what a stranger was meant to be.
pub fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(name, _)| *name).chain(["ZOO_SERVERS", "ZOO_CFG_EXTRA"])
}

#[cfg(test)]
#[path = "environment_test.rs"]
mod tests;
