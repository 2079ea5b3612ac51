//! What a data directory holds, without a server: read for export, written by an import.
//!
//! Called by `cli`. Reading goes the way of a start up to the point where the log would be repaired, and changes nothing.
//! Tested: image_test.rs, and tests/java_files.rs.

use std::path::Path;
use std::sync::Arc;

use super::Fatal;
use super::boot::{self, Places};
use super::epochs::{EpochFile, LOST_EPOCHS};
use super::recovery::{NotInstalled, Recovery, install};
use crate::base::{HashKey, Now, Prng, SessionId, Zxid};
use crate::config::Config;
use crate::io::{Directory, Error, ErrorKind, FileWriter, SegmentFile};
use crate::log::{self, EPOCH_FILE, EpochsFound, Position, SegmentId, SnapshotEncoder, decode_epochs};
use crate::tree::Store;
use crate::zab::Epochs;

/// A snapshot's pieces.
const CHUNK_NODES: usize = 4096;
const CHUNK_BYTES: usize = 256 << 10;
/// Of a segment in which there is nothing.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Reads a snapshot that came from elsewhere under no name of its own, of any kind, and verifies all of it; if wanted leniently.
/// Takes what should be known. Room `cli` knows all kinds.
pub type ReadSnapshot = fn(&Path, bool, &mut dyn FnMut(String)) -> Result<Image, String>;

/// A tree at its newest zxid, and what else a server must remember.
pub struct Image {
    pub store: Store,
    /// With their timeouts in ms.
    pub sessions: Vec<(SessionId, i32)>,
    /// A member's.
    pub epochs: Option<Epochs>,
}

/// Takes what a directory holds as it was written: the newest snapshot, and what was logged behind it.
pub trait Witness {
    /// Of the newest snapshot; without one, of what every server begins with. A leader's snapshot holds some of what is
    /// logged behind it. Nothing of it is ever cut, unless it was imported and no leader has synchronised it since.
    fn on_snapshot(
        &mut self,
        zxid: Zxid,
        store: &mut Store,
        sessions: Vec<(SessionId, i32)>,
    ) -> Result<(), Error>;

    /// A transaction logged behind it, in their order. `entry`: header, record, digest.
    fn on_transaction(&mut self, entry: &[u8]) -> Result<(), Error>;
}

impl Image {
    /// What a server with this configuration would start with. Fails while one runs. Changes nothing, but that a
    /// lock's file that is there names this process.
    pub fn read(config: &Config, seed: u64, now: Now, witness: &mut dyn Witness) -> Result<Image, Fatal> {
        let places = Arc::new(Places::existing(&config.data_dir, &config.data_log_dir)?);
        let epochs = read_epochs(&places.log)?;
        let mut prng = Prng::salted(seed, "image");
        let hash_key = HashKey(prng.next(), prng.next());
        let settings = boot::replica_settings(config, hash_key, prng.next());
        let segment_bytes = config.pre_alloc_size;
        let mut recovery = Recovery { places, settings, segment_bytes, shards: 0, prng };
        if recovery.places.is_blank()? {
            let place = recovery.places.snapshots.path().display();
            return Err(Fatal::Foreign(format!("{place} holds neither a snapshot nor a log")));
        }
        if !recovery.has_log()? {
            return Err(Fatal::Foreign(format!(
                "{} holds no log, so what was written behind the newest snapshot is not there. If the server has a dataLogDir, \
                 name it, too",
                recovery.places.log.path().display()
            )));
        }
        let (store, sessions) = recovery.look(now, witness)?.into_tree();
        Ok(Image { store, sessions, epochs })
    }

    /// Puts it into a directory that has nothing yet: a server's [`super::SUBDIRECTORY`]. Durable on return.
    pub fn write(&mut self, directory: &Directory, salt: u64) -> Result<(), Error> {
        self.begin_log(directory, salt)?;
        if let Some(epochs) = self.epochs {
            EpochFile::create(directory, epochs)?;
        }
        self.write_snapshot(directory, salt)?.finish()
    }

    /// Puts the tree beside what a server that is at rest has: the snapshot with which it is to go on. Durable on return.
    pub fn install(&mut self, directory: &Directory, salt: u64) -> Result<(), NotInstalled> {
        let file = self.write_snapshot(directory, salt).map_err(NotInstalled::Lost)?;
        install(directory, file, self.store.newest())
    }

    fn write_snapshot(&mut self, directory: &Directory, salt: u64) -> Result<FileWriter, Error> {
        let mut file = directory.writer(&log::snapshot_file_name(self.store.newest()))?;
        match self.encode(salt, |piece| file.append(piece)) {
            Ok(()) => Ok(file),
            Err(error) => {
                file.abandon();
                Err(error)
            }
        }
    }

    /// An empty log behind the snapshot: a record of epochs without any says that the log was lost (`recovery.rs`).
    fn begin_log(&self, directory: &Directory, salt: u64) -> Result<(), Error> {
        let id = SegmentId(1);
        let header = log::Header {
            id,
            salt,
            after: self.store.newest(),
            continues: Position::NONE,
            mark: Position::NONE,
            checksum: 0,
            seed: salt as u32,
            copied: 0,
            bytes: SEGMENT_BYTES,
        };
        let mut file = SegmentFile::create(&directory.path_of(&id.file_name()), SEGMENT_BYTES)?;
        file.write_at(0, &header.encode());
        file.persist()?;
        directory.sync()
    }

    fn encode(&mut self, salt: u64, mut write: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let (mut encoder, header) = SnapshotEncoder::new(self.store.newest(), salt);
        write(&header)?;
        let head = self.store.begin_snapshot(&self.sessions);
        write(&encoder.chunk(1, |chunk| chunk.extend_from_slice(&head)))?;
        let mut more = true;
        while more {
            let store = &mut self.store;
            let piece =
                encoder.chunk(1, |chunk| more = store.continue_snapshot(CHUNK_NODES, CHUNK_BYTES, chunk));
            write(&piece).inspect_err(|_| self.store.abandon_snapshot())?;
        }
        write(&encoder.finish())
    }
}

/// As a start reads them, but the file stays as it is. `directory`: the log's.
pub fn read_epochs(directory: &Directory) -> Result<Option<Epochs>, Fatal> {
    let bytes = match directory.read(EPOCH_FILE) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::Missing => None,
        Err(error) => return Err(Fatal::Io(error)),
    };
    let path = directory.path_of(EPOCH_FILE);
    match decode_epochs(bytes.as_deref()) {
        EpochsFound::None if directory.path_of(LOST_EPOCHS).exists() => Err(Fatal::Damaged(format!(
            "{}: this server's log was lost, and with it what it has promised to leaders: start it in its ensemble first, until \
             a leader has synchronised it",
            directory.path().display()
        ))),
        EpochsFound::None => Ok(None),
        EpochsFound::Found { accepted, current } => Ok(Some(Epochs { accepted, current })),
        EpochsFound::Damaged => Err(Fatal::Damaged(format!(
            "{} is damaged: what this server has promised to leaders is not known. Another member's directory can be exported.",
            path.display()
        ))),
        EpochsFound::Newer { version } => Err(Fatal::Foreign(format!(
            "{}: format {version} of a later version of ringkeeper",
            path.display()
        ))),
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;
