//! The files of a data directory by their names: `snapshot.<zxid>`, `log.<zxid>` with the zxid in hexadecimal, as Java writes a long.
//!
//! A log's name says which transaction it begins with, a snapshot's up to which it goes.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Fault, SUBDIRECTORY};
use crate::base::Zxid;

/// A log, and the zxid with which its name says that it begins.
pub type LogFile = ((Zxid, ()), PathBuf);

/// Log files, oldest first, with the zxid that the name of each says.
pub fn named(paths: &[PathBuf]) -> Result<Vec<LogFile>, Fault> {
    let with_zxid = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let zxid = name.and_then(parse_log_name).ok_or_else(|| {
            let name = path.display();
            Fault::Refused(format!(
                "{name}: a log file of Apache ZooKeeper is called log. and a zxid, as log.1"
            ))
        });
        Ok(((zxid?, ()), path.clone()))
    };
    let mut named = paths.iter().map(with_zxid).collect::<Result<Vec<LogFile>, Fault>>()?;
    named.sort();
    Ok(named)
}

/// The logs of a folder, by the zxid with which each begins.
pub fn logs_in(folder: &Path) -> Result<Vec<LogFile>, Fault> {
    files(folder, |name| parse_log_name(name).map(|zxid| (zxid, ())))
}

pub fn parse_log_name(name: &str) -> Option<Zxid> {
    parse_zxid(name.strip_prefix("log.")?)
}

/// Of a file's name: hexadecimal, as Java writes a long.
pub fn parse_zxid(digits: &str) -> Option<Zxid> {
    let is_hex = (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let zxid = i64::from_str_radix(digits, 16).ok().map(Zxid);
    zxid.filter(|_| is_hex)
}

/// Those files whose names are understood, sorted.
pub fn files<T: Ord>(folder: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<(T, PathBuf)>, Fault> {
    let unreadable = |error| Fault::Unreadable { file: folder.to_owned(), error };
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(&parse) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A wrong directory is named more often than a damaged one.
pub fn check_place(place: &Path) -> Result<(), Fault> {
    if place.join(SUBDIRECTORY).is_dir() {
        return Ok(());
    }
    let hint = if place.file_name().is_some_and(|name| name == SUBDIRECTORY) {
        ": name the directory above it"
    } else if place.join(crate::server::SUBDIRECTORY).is_dir() {
        ": it is ringkeeper's own already. `ringkeeper snapshot export` gives it back to Apache ZooKeeper"
    } else {
        ": name the dataDir of its zoo.cfg, and behind that the dataLogDir if there is one"
    };
    let place = place.display();
    Err(Fault::Refused(format!(
        "{place} has no {SUBDIRECTORY}, as a directory of Apache ZooKeeper's does{hint}"
    )))
}
