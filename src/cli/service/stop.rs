//! `ringkeeper stop`: SIGTERM to the server that the pid file names, and its end.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use super::Trouble;
use super::instance::{self, Instance};
use super::place::Places;
use crate::cli::progress;
use crate::io::{Clock, process};

/// A server that has not ended by then is stuck, or its disk is.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

pub fn run(places: &Places) -> Result<(), Trouble> {
    let pid_file = places.pid_file()?;
    print!("Stopping zookeeper ... ");
    let _ = io::stdout().flush();
    let nobody = |why: String| {
        progress::print(&format!("no zookeeper to stop ({why})"));
        Ok(())
    };
    let shown = pid_file.display();
    match instance::of(&pid_file, &places.program) {
        Ok(Instance::Unknown) if pid_file.exists() => nobody(format!("{shown} is empty")),
        Ok(Instance::Unknown) => nobody(format!("could not find file {shown}")),
        Ok(Instance::Ended(id)) => {
            let told = nobody(format!("process {id} of {shown} has ended"));
            remove(&pid_file)?;
            told
        }
        Ok(Instance::Stranger(id)) => {
            let told = nobody(format!("process {id} of {shown} is another program"));
            remove(&pid_file)?;
            told
        }
        Ok(Instance::Runs(id)) => end(id).and_then(|()| {
            progress::print("STOPPED");
            remove(&pid_file)
        }),
        Err(trouble) => {
            progress::print("FAILED TO STOP");
            Err(trouble)
        }
    }
}

/// Another `stop` may have done it by now.
fn remove(pid_file: &Path) -> Result<(), Trouble> {
    match fs::remove_file(pid_file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Trouble(format!("can't remove the pid file {}: {error}", pid_file.display())))
        }
        _ => Ok(()),
    }
}

fn end(id: u32) -> Result<(), Trouble> {
    let failed = |why: String| {
        progress::print("FAILED TO STOP");
        Err(Trouble(why))
    };
    if let Err(error) = process::terminate(id)
        && instance::runs(id)
    {
        return failed(error.to_string());
    }
    let until = Clock::instant() + PATIENCE;
    while instance::runs(id) {
        if Clock::instant() >= until {
            return failed(format!(
                "process {id} runs on, {} s after SIGTERM; its log says why",
                PATIENCE.as_secs()
            ));
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
