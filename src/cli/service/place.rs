//! Where configuration, pid file and log are: by zkServer.sh's variables, and its defaults beside the program.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Trouble;
use crate::cli::server::{self, Source};
use crate::server::SUBDIRECTORY;

/// The environment, or a test's.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What the configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    File(PathBuf),
    /// The variables of the container image: it has no such file.
    Container {
        missing: PathBuf,
    },
}

/// As zkEnv.sh and zkServer.sh find it: a name is one in the configuration directory, anything else a path. A name which is
/// not there may be one in the working directory.
pub fn base(
    config: Option<&Path>,
    directory: Option<&Path>,
    variable: Variables<'_>,
    programs: &Path,
) -> Base {
    let named = directory.map(Path::to_owned).or_else(|| variable("ZOOCFGDIR").map(PathBuf::from));
    let container = variable("ZOO_CONF_DIR").map(PathBuf::from);
    let usual = || {
        let beside = ["../conf", "../etc/zookeeper"].map(|path| programs.join(path));
        beside.into_iter().find(|path| path.is_dir())
    };
    let directory = named.or_else(|| container.clone()).or_else(usual).unwrap_or_else(|| PathBuf::from("."));
    let is_name = |path: &Path| path.components().count() == 1 && !path.is_absolute();
    let file = match config {
        Some(path) if is_name(path) => path.to_owned(),
        Some(path) => return Base::File(path.to_owned()),
        None => variable("ZOOCFG").map_or_else(|| PathBuf::from("zoo.cfg"), PathBuf::from),
    };
    let there = directory.join(&file);
    if there.exists() {
        return Base::File(there);
    }
    if container.is_some() && config.is_none() {
        return Base::Container { missing: there };
    }
    if config.is_some() && file.exists() { Base::File(file) } else { Base::File(there) }
}

/// A script that zkServer.sh would have run.
pub fn script_beside(base: &Base) -> Option<PathBuf> {
    let Base::File(file) = base else { return None };
    let directory = file.parent()?;
    ["java.env", "zookeeper-env.sh"].into_iter().map(|name| directory.join(name)).find(|path| path.exists())
}

pub struct Places {
    /// For `ringkeeper server`.
    pub source: Source,
    /// The program itself.
    pub program: PathBuf,
    /// `None`: beside the data.
    pid_file: Option<PathBuf>,
    pub log: PathBuf,
    /// ZOO_DATADIR_AUTOCREATE_DISABLE
    creates_nothing: bool,
    pub is_container: bool,
}

impl Places {
    pub fn new(base: &Base, properties: &[String], variable: Variables<'_>, program: &Path) -> Places {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        // Java's options: those that are settings. The later one wins, as there.
        let flags =
            ["SERVER_JVMFLAGS", "JVMFLAGS"].into_iter().filter_map(&text).collect::<Vec<_>>().join(" ");
        let of_java = flags.split_whitespace().filter_map(|word| word.strip_prefix("-D"));
        let of_java = of_java.filter(|property| property.contains('=')).map(str::to_owned);
        let (what, is_container) = match base {
            Base::File(file) => (vec![file.clone().into_os_string()], variable("ZOO_CONF_DIR").is_some()),
            Base::Container { .. } => (vec![], true),
        };
        let source =
            Source { what, properties: of_java.chain(properties.iter().cloned()).collect(), is_container };
        let beside = program.parent().unwrap_or(Path::new("/")).join("../logs");
        let logs = variable("ZOO_LOG_DIR").map_or(beside, PathBuf::from);
        let name = text("ZOO_LOG_FILE").unwrap_or_else(|| {
            let user = text("USER").unwrap_or_default();
            format!("zookeeper-{user}-server-{}.out", host())
        });
        Places {
            source,
            program: program.to_owned(),
            pid_file: variable("ZOOPIDFILE").map(PathBuf::from),
            log: logs.join(name),
            creates_nothing: variable("ZOO_DATADIR_AUTOCREATE_DISABLE").is_some(),
            is_container,
        }
    }

    /// Also of a configuration that is at fault: what runs with an older one must be stopped.
    pub fn pid_file(&self) -> Result<PathBuf, Trouble> {
        match &self.pid_file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.data_dir()?.join("zookeeper_server.pid")),
        }
    }

    fn data_dir(&self) -> Result<PathBuf, Trouble> {
        let raw = server::unchecked(&self.source).map_err(|explanation| {
            let hint =
                "name a configuration, as in `ringkeeper start CONFIG`, or set ZOOCFGDIR to its directory";
            Trouble(format!("{}\n{hint}", explanation.trim_end()))
        })?;
        match raw.given("dataDir").filter(|directory| !directory.is_empty()) {
            Some(directory) => Ok(PathBuf::from(directory)),
            None => Err(Trouble(
                "the configuration has no dataDir, so there is no place for a pid file; add dataDir, or set ZOOPIDFILE"
                    .to_owned(),
            )),
        }
    }

    /// Where directories must not be made by themselves, those of the data have to be there.
    pub fn refuse_missing(&self) -> Result<(), Trouble> {
        if !self.creates_nothing {
            return Ok(());
        }
        let raw = server::unchecked(&self.source).map_err(Trouble)?;
        for (key, what) in [("dataDir", "data"), ("dataLogDir", "txnlog")] {
            let Some(directory) = raw.given(key) else { continue };
            let ours = Path::new(directory).join(SUBDIRECTORY);
            if !ours.is_dir() {
                return Err(Trouble(format!(
                    "ZooKeeper {what} directory is missing at {directory} fix the path or make {} \
                     (ZOO_DATADIR_AUTOCREATE_DISABLE is set)",
                    ours.display()
                )));
            }
        }
        Ok(())
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Of this process.
pub fn user_number() -> u32 {
    fs::metadata("/proc/self").map(|own| own.uid()).unwrap_or_default()
}

#[cfg(test)]
#[path = "place_test.rs"]
mod tests;
