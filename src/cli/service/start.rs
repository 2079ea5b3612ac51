//! `ringkeeper start`: a server in the background that has been seen to stand.
//!
//! The server says so itself, by the word that systemd would hear ([`crate::io::Supervisor`]), to a socket that is this
//! command's as long as it waits. No time is set for it: a large tree takes what it takes, and who gives up is the person.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::Trouble;
use super::instance::{self, Instance};
use super::place::Places;
use crate::cli::{progress, server};
use crate::io::process;

/// Between two looks whether the server has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Shown of what a server said that didn't start.
const SAID_BYTES_MAX: u64 = 16 << 10;

pub fn run(places: &Places) -> Result<(), Trouble> {
    let pid_file = places.pid_file()?;
    places.refuse_missing()?;
    eprintln!("Using log: {}", places.log.display());
    print!("Starting zookeeper ... ");
    let _ = io::stdout().flush();
    refuse_running(&pid_file, places)?;
    // Before anything is written: what is wrong belongs on the terminal, and not into a log.
    if let Err(explanation) = server::prepared(&places.source) {
        return failed("FAILED TO START", Trouble(explanation));
    }
    let mut mark = match Mark::make(&pid_file) {
        Ok(mark) => mark,
        Err(trouble) => return failed("FAILED TO WRITE PID", trouble),
    };
    // Another start may have come to its end since: its server's number is not to be written over.
    refuse_running(&pid_file, places)?;
    let result = Started::launch(places).and_then(|mut started| match mark.write(started.child.id()) {
        Ok(()) => started.wait(),
        Err(trouble) => {
            // Nobody could stop it by its file.
            started.child.kill()?;
            started.child.wait()?;
            Err(trouble)
        }
    });
    match result {
        Ok(()) => {
            progress::print("STARTED");
            Ok(())
        }
        Err(trouble) => {
            mark.remove();
            failed("FAILED TO START", trouble)
        }
    }
}

fn refuse_running(pid_file: &Path, places: &Places) -> Result<(), Trouble> {
    match instance::of(pid_file, &places.program) {
        Ok(Instance::Runs(id)) => {
            progress::print(&format!("already running as process {id}."));
            Err(Trouble(String::new()))
        }
        Ok(Instance::Unknown | Instance::Ended(_) | Instance::Stranger(_)) => Ok(()),
        Err(trouble) => failed("FAILED TO START", trouble),
    }
}

/// Ends the line that was begun.
fn failed(words: &str, trouble: Trouble) -> Result<(), Trouble> {
    progress::print(words);
    Err(trouble)
}

/// The pid file, ours alone until the server stands: of two that start at once one would leave the other without its file.
struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    fn make(path: &Path) -> Result<Mark, Trouble> {
        let failed = |error: io::Error| {
            Trouble(format!(
                "can't write the pid file {}: {error}; ZOOPIDFILE names another place",
                path.display()
            ))
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Mark { file, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => {
                Err(Trouble(format!("another start is under way: it holds the pid file {}", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn write(&mut self, id: u32) -> Result<(), Trouble> {
        // Without an end of line, as zkServer.sh writes it.
        self.file.set_len(0)?;
        self.file.write_all(id.to_string().as_bytes())?;
        Ok(())
    }

    fn remove(&self) {
        // It names nobody who runs: left behind it does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

struct Started {
    child: Child,
    /// Where it says that it is ready.
    told: UnixDatagram,
    log: PathBuf,
    /// Of the log, before.
    log_bytes: u64,
}

impl Started {
    fn launch(places: &Places) -> Result<Started, Trouble> {
        let log = open_log(&places.log)?;
        let log_bytes = log.metadata()?.len();
        let name = format!("ringkeeper-start-{}", std::process::id());
        let told = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        told.set_read_timeout(Some(LOOK))?;
        let mut command = Command::new(&places.program);
        if places.source.what.is_empty() {
            // The variables of the container: `start-foreground` knows them, and Java's, which are in `properties` already.
            command.arg("start-foreground").env_remove("SERVER_JVMFLAGS").env_remove("JVMFLAGS");
        } else {
            command.arg("server").args(&places.source.what);
        }
        for property in &places.source.properties {
            command.arg(format!("-D{property}"));
        }
        command
            .env("NOTIFY_SOCKET", format!("@{name}"))
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        process::detach(&mut command);
        let child = command.spawn()?;
        Ok(Started { child, told, log: places.log.clone(), log_bytes })
    }

    /// Until it is ready, or has ended.
    fn wait(&mut self) -> Result<(), Trouble> {
        loop {
            // Asked first: what it said before its end is there to be read.
            let ended = self.child.try_wait()?;
            let mut word = [0; 512];
            match self.told.recv(&mut word) {
                Ok(count) if word[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") => {
                    return Ok(());
                }
                // An end of another child, or somebody else's words.
                Ok(_) => {}
                Err(_) => {
                    if let Some(status) = ended {
                        return Err(self.obituary(status));
                    }
                }
            }
        }
    }

    fn obituary(&self, status: ExitStatus) -> Trouble {
        let said = File::open(&self.log).and_then(|mut log| {
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(self.log_bytes.max(length.saturating_sub(SAID_BYTES_MAX))))?;
            let mut said = vec![];
            log.take(SAID_BYTES_MAX).read_to_end(&mut said)?;
            Ok(String::from_utf8_lossy(&said).into_owned())
        });
        let said = said.unwrap_or_else(|error| format!("(can't be read: {error})"));
        Trouble(format!("the server ended with {status}. In {}:\n{said}", self.log.display()))
    }
}

fn open_log(path: &Path) -> Result<File, Trouble> {
    let opened = path.parent().map_or(Ok(()), fs::create_dir_all);
    let opened = opened.and_then(|()| File::options().create(true).append(true).open(path));
    opened.map_err(|error| {
        Trouble(format!(
            "can't open the log {}: {error}; ZOO_LOG_DIR names another directory",
            path.display()
        ))
    })
}
