//! What the directories hold, and whether this server may vote with that.

use std::path::Path;

use super::{Finding, Level};
use crate::config::Config;
use crate::io::{Directory, Error};
use crate::log::{SegmentId, SnapshotName};
use crate::server::{self, SUBDIRECTORY, Stray};

/// Beside two segments: snapshots of a small tree.
const ROOM_BESIDE_BYTES: u64 = 384 << 20;

/// `serves`: another member is in a quorum.
pub fn look(config: &Config, serves: bool) -> Vec<Finding> {
    let mut places = vec![config.data_dir.as_path()];
    if config.data_log_dir != config.data_dir {
        places.push(&config.data_log_dir);
    }
    let named = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut findings = vec![match found(config, &places) {
        Ok(found) => judged(config, &named, &found, serves),
        Err(error) => Finding::new(Level::Wrong, format!("{error}: what it holds isn't known"))
            .todo("Ask again as the user that the server runs as."),
    }];
    findings
        .extend(places.iter().filter_map(|place| room(place, 2 * config.pre_alloc_size + ROOM_BESIDE_BYTES)));
    findings
}

#[derive(Debug)]
struct Found {
    snapshots: bool,
    segments: bool,
    /// Apache's, in some place.
    theirs: bool,
    /// Why a server refuses to start.
    stray: Option<Stray>,
}

fn found(config: &Config, places: &[&Path]) -> Result<Found, Error> {
    let segments = config.data_log_dir.join(SUBDIRECTORY);
    let mut found = Found {
        snapshots: server::holds(&config.data_dir.join(SUBDIRECTORY), |name| {
            SnapshotName::parse(name).is_some()
        })?,
        segments: server::holds(&segments, |name| SegmentId::parse(name).is_some())?,
        theirs: false,
        stray: server::find_stray(&config.data_dir, &config.data_log_dir)?,
    };
    for place in places {
        found.theirs |= server::holds_apaches(place)?;
    }
    Ok(found)
}

fn judged(config: &Config, named: &str, found: &Found, serves: bool) -> Finding {
    if let Some(stray) = &found.stray {
        let wrong = Finding::new(Level::Wrong, stray.to_string());
        return stray.todo().into_iter().fold(wrong, Finding::todo);
    }
    if !found.snapshots && !found.segments {
        return empty(config, named, serves);
    }
    if !found.segments {
        return Finding::new(
            Level::Warning,
            format!("{named}: a snapshot, and no log: what was written behind it is not here"),
        )
        .todo("Is the disk of dataLogDir mounted? Only where a backup is to be started from is this right.");
    }
    if found.theirs {
        return Finding::new(
            Level::Note,
            format!("{named}: data of ringkeeper, and beside it of Apache ZooKeeper, which is not read"),
        );
    }
    Finding::new(Level::Fine, format!("{named}: data of ringkeeper"))
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
        .todo("Apache's server: ringkeeper snapshot import DATADIR [DATALOGDIR] --to NEWDIR, and dataDir=NEWDIR.");
    }
    Finding::new(
        Level::Warning,
        format!("{named}: nothing, and server.{me} votes. Never start a voter with less than it had"),
    )
    .todo("It is counted on for the writes that it acknowledged. If its data are anywhere, bring them here first: of Apache's")
    .todo("server with ringkeeper snapshot import DATADIR [DATALOGDIR] --to NEWDIR, with its logs, as it left them when it stopped.")
    .todo("If they are lost, or it is new here, it may start with nothing but myid while the others serve: it gets")
    .todo("everything from them and has no vote before. Stop none of them until `srvr` says follower here.")
}

/// Of the disk that holds it, or will.
fn room(place: &Path, needed: u64) -> Option<Finding> {
    let there = place.ancestors().find(|ancestor| ancestor.is_dir())?;
    let space = Directory::open(there).and_then(|directory| directory.space()).ok()?;
    let (free, of) = (space.available_bytes >> 20, space.total_bytes >> 20);
    let finding = |level| Finding::new(level, format!("{}: {free} MiB free of {of}", place.display()));
    Some(if space.available_bytes < needed {
        finding(Level::Warning)
            .todo("A full disk refuses writes. Logs and the newest snapshots need a few times the size of the tree.")
            .see("segments")
    } else {
        finding(Level::Fine)
    })
}
