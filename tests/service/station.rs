//! A place with a configuration, a log directory and data, and the commands that are run there.
//!
//! A server that `start` put into the background is nobody's child: it is ended by the number in its pid file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::server::{folder, free_port};
use crate::support::until;

pub struct Station {
    pub folder: PathBuf,
    pub port: u16,
    /// Set for each command.
    variables: Vec<(String, String)>,
}

/// What a command left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ringkeeper"))
}

impl Station {
    /// Of a lone server.
    pub fn new() -> Station {
        let station = Station::bare();
        station.configure(&format!("clientPort={}\nclientPortAddress=127.0.0.1\n", station.port));
        station
    }

    /// Without a configuration.
    pub fn bare() -> Station {
        let folder = folder("station");
        fs::create_dir_all(folder.join("conf")).expect("room");
        let variables = [("ZOOCFGDIR", folder.join("conf")), ("ZOO_LOG_DIR", folder.join("logs"))];
        let variables = variables.map(|(name, path)| (name.to_owned(), path.display().to_string())).to_vec();
        Station { folder, port: free_port(), variables }
    }

    /// In the environment of all commands, and with them of the server.
    pub fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.variables.push((name.to_owned(), value.to_string()));
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(of, _)| of != name);
    }

    /// Writes `conf/zoo.cfg`.
    pub fn configure(&self, lines: &str) {
        let data = self.data();
        let text = format!(
            "dataDir={}\ntickTime=500\nadmin.enableServer=false\npreAllocSize=2048\n{lines}",
            data.display()
        );
        fs::write(self.configuration(), text).expect("room");
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.join("conf/zoo.cfg")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.data().join("zookeeper_server.pid")
    }

    pub fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.pid_file()).expect("a pid file");
        text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    /// As zkServer.sh names it.
    pub fn log_file(&self) -> PathBuf {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
        self.folder.join("logs").join(format!("zookeeper-tester-server-{}.out", host.trim()))
    }

    /// What all servers of this place have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).current_dir(&self.folder).stdin(Stdio::null()).env("USER", "tester");
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "ZOO_CONF_DIR", "ZOOPIDFILE", "ZOOCFG", "JVMFLAGS"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().unwrap_or_else(|error| panic!("{words:?}: {error}")))
    }

    /// As `run`, which must go well.
    pub fn must(&self, words: &[&str]) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.status, Some(0), "{words:?}: {ran:?}\n{}", self.log());
        ran
    }
}

/// Whether a process runs; one that has ended and isn't waited for does not.
pub fn runs(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

impl Drop for Station {
    fn drop(&mut self) {
        let number =
            fs::read_to_string(self.pid_file()).ok().and_then(|text| text.trim().parse::<u32>().ok());
        // Only what is a server of this place.
        let command = |id| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let own = self.folder.display().to_string();
        if let Some(id) = number.filter(|id| runs(*id) && command(*id).contains(&own)) {
            let _ended = Command::new("kill").args(["-9", &id.to_string()]).status();
            if !std::thread::panicking() {
                until("the server to be gone", || (!runs(id)).then_some(()));
            }
        }
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.folder.display(), self.log());
        } else {
            let _left = fs::remove_dir_all(&self.folder);
        }
    }
}
