//! Whom a pid file names: a server that runs, nobody any more, or a process that is none of ours.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Trouble;

/// As Apache's server appears among the words of its command.
const APACHES: &[u8] = b"org.apache.zookeeper.server.quorum.QuorumPeerMain";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// There is no pid file, or nothing in it: a start that is under way has not written it yet.
    Unknown,
    /// A server of either kind.
    Runs(u32),
    Ended(u32),
    /// The number was given to another program since: after the host was started again, for instance.
    Stranger(u32),
}

/// `program`: this one, under whatever name.
pub fn of(pid_file: &Path, program: &Path) -> Result<Instance, Trouble> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        // Whether it can be written is another question.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Instance::Unknown);
        }
        Err(error) => {
            return Err(Trouble(format!("can't read the pid file {}: {error}", pid_file.display())));
        }
    };
    if text.trim().is_empty() {
        return Ok(Instance::Unknown);
    }
    let Some(id) = text.trim().parse::<u32>().ok().filter(|id| *id > 0) else {
        return Err(Trouble(format!(
            "the pid file {} holds no process id; remove it, if no server runs",
            pid_file.display()
        )));
    };
    Ok(match (runs(id), is_server(id, program)) {
        (false, _) => Instance::Ended(id),
        (true, true) => Instance::Runs(id),
        (true, false) => Instance::Stranger(id),
    })
}

/// A process that has ended and that its parent didn't ask for is none any more.
pub fn runs(id: u32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{id}/stat")) else { return false };
    // Behind the name in brackets, which may hold brackets itself.
    let behind = stat.iter().rposition(|byte| *byte == b')').map(|at| &stat[at + 1..]);
    let state = behind.and_then(|rest| rest.iter().find(|byte| **byte != b' '));
    !matches!(state, None | Some(b'Z' | b'X'))
}

fn is_server(id: u32, program: &Path) -> bool {
    let Ok(command) = fs::read(format!("/proc/{id}/cmdline")) else { return false };
    let command = command.strip_suffix(&[0]).unwrap_or(&command);
    let words: Vec<OsString> =
        command.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let name = words.first().and_then(|word| Path::new(word).file_name());
    // The number may have been given to a shell or a backup since.
    let is_ours = name
        .is_some_and(|name| name.as_bytes().starts_with(b"ringkeeper") || Some(name) == program.file_name());
    if is_ours {
        return crate::cli::is_server(words);
    }
    words.iter().any(|word| word.as_bytes() == APACHES)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::cli::apache::testing::Scratch;

    #[test]
    fn a_server_is_told_from_other_commands_of_this_program() {
        let is_server = |line: &str| crate::cli::is_server(line.split(' ').map(OsString::from).collect());
        for server in [
            "ringkeeper",
            "ringkeeper server zoo.cfg",
            "/opt/ringkeeper server 2181 /data -DtickTime=5",
            "ringkeeper start-foreground",
            "zkServer.sh --config /conf start-foreground",
            "ringkeeper-next server --as-it-will-be-called zoo.cfg",
        ] {
            assert!(is_server(server), "{server}");
        }
        for other in [
            "ringkeeper cli",
            "zkCli.sh -server h:1",
            "ringkeeper backup --to /b",
            "ringkeeper log check /data",
        ] {
            assert!(!is_server(other), "{other}");
        }
    }

    #[test]
    fn whoever_is_named_is_looked_at() {
        let scratch = Scratch::new();
        let file = scratch.path().join("pid");
        let program = std::env::current_exe().unwrap();
        assert_eq!(of(&file, &program).unwrap(), Instance::Unknown);
        let own = std::process::id();
        fs::write(&file, format!("{own}\n")).unwrap();
        assert_eq!(of(&file, &program).unwrap(), Instance::Runs(own));
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        fs::write(&file, other.id().to_string()).unwrap();
        assert_eq!(of(&file, &program).unwrap(), Instance::Stranger(other.id()));
        other.kill().unwrap();
        // It has ended, and is not yet waited for.
        let status = format!("/proc/{}/status", other.id());
        while !fs::read_to_string(&status).unwrap().contains("State:\tZ") {
            std::thread::yield_now();
        }
        assert_eq!(of(&file, &program).unwrap(), Instance::Ended(other.id()));
        other.wait().unwrap();
        assert_eq!(of(&file, &program).unwrap(), Instance::Ended(other.id()));
        fs::write(&file, "").unwrap();
        assert_eq!(of(&file, &program).unwrap(), Instance::Unknown);
        for odd in ["x", "-1", "0", "1 2"] {
            fs::write(&file, odd).unwrap();
            let Trouble(text) = of(&file, &program).unwrap_err();
            assert!(text.contains("holds no process id") && text.contains("pid"), "{odd:?}: {text}");
        }
    }
}
