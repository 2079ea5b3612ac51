//! What the directories hold, and whether this server may vote with that.

use std::fs;
use std::path::Path;

use super::{Finding, Level};
use crate::cli::apache;
use crate::config::Config;
use crate::io::Directory;
use crate::log::{SegmentId, SnapshotName};
use crate::server::SUBDIRECTORY;

/// Two segments, and a snapshot of a small tree.
const ROOM_MIN_BYTES: u64 = 512 << 20;

/// `serves`: a member answered, so an ensemble is there.
pub fn look(config: &Config, serves: bool) -> Vec<Finding> {
    let mut places = vec![config.data_dir.as_path()];
    if config.data_log_dir != config.data_dir {
        places.push(&config.data_log_dir);
    }
    let ours = places.iter().any(|place| holds(&place.join(SUBDIRECTORY), is_ours));
    let theirs = places.iter().any(|place| holds(&place.join(apache::SUBDIRECTORY), is_apaches));
    let named = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut findings = vec![match (ours, theirs) {
        (true, false) => Finding::new(Level::Fine, format!("{named}: data of ringkeeper")),
        (true, true) => Finding::new(
            Level::Note,
            format!("{named}: data of ringkeeper, and beside it of Apache ZooKeeper, which is not read"),
        ),
        (false, true) => Finding::new(
            Level::Wrong,
            format!("{named}: data of Apache ZooKeeper and none of ringkeeper, so nothing is started on it"),
        )
        .todo("Stop Apache's server first, so that nothing is written behind what is imported; then")
        .todo(format!("ringkeeper snapshot import {named} --to NEWDIR"))
        .todo("and dataDir=NEWDIR (without dataLogDir, or with a new one). What is imported is not changed."),
        (false, false) => empty(config, &named, serves),
    }];
    findings.extend(places.iter().filter_map(|place| room(place)));
    findings
}

fn empty(config: &Config, named: &str, serves: bool) -> Finding {
    let votes = config.ensemble.as_ref().filter(|ensemble| ensemble.members.is_voter(ensemble.me));
    let Some(ensemble) = votes else {
        return Finding::new(
            Level::Note,
            format!("{named}: nothing yet; the server begins with an empty directory"),
        );
    };
    let me = ensemble.me.0;
    if !serves {
        return Finding::new(
            Level::Warning,
            format!("{named}: nothing yet. That is right where all servers of this ensemble are new, and only there"),
        )
        .todo(format!("If server.{me} ever ran, give it what it had: it is counted on for what it acknowledged. The data of"))
        .todo("Apache's server: ringkeeper snapshot import DATADIR --to NEWDIR, and dataDir=NEWDIR.");
    }
    Finding::new(
        Level::Warning,
        format!("{named}: nothing, and server.{me} votes. Never start a voter with less than it had"),
    )
    .todo("It is counted on for the writes that it acknowledged. If its data are anywhere, bring them here first: of Apache's")
    .todo("server with ringkeeper snapshot import DATADIR --to NEWDIR, with its logs, as it left them when it stopped.")
    .todo("If they are lost, or it is new here, it may start with nothing but myid while the others serve: it gets")
    .todo("everything from them and has no vote before. Stop none of them until `srvr` says follower here.")
}

fn holds(directory: &Path, wanted: fn(&str) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(wanted))
}

fn is_ours(name: &str) -> bool {
    SnapshotName::parse(name).is_some() || SegmentId::parse(name).is_some()
}

fn is_apaches(name: &str) -> bool {
    name.starts_with("snapshot.") || name.starts_with("log.")
}

/// Of the disk that holds it, or will.
fn room(place: &Path) -> Option<Finding> {
    let there = place.ancestors().find(|ancestor| ancestor.is_dir())?;
    let space = Directory::open(there).and_then(|directory| directory.space()).ok()?;
    let (free, of) = (space.available_bytes >> 20, space.total_bytes >> 20);
    let finding = |level| Finding::new(level, format!("{}: {free} MiB free of {of}", place.display()));
    Some(if space.available_bytes < ROOM_MIN_BYTES {
        finding(Level::Warning).todo("A full disk refuses writes. Logs and the newest snapshots need a few times the size of the tree.")
    } else {
        finding(Level::Fine)
    })
}
