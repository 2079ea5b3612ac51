//! The transactions of log files, in their order: of files that were named, or of a directory.
//!
//! **Ours.** Segments say what they continue, and what was superseded stays in the files. So the line is followed as at a start
//! (`log/look.rs`), from as far back as it reaches without a gap.
//!
//! **Apache's.** One file behind the other. What a file holds of the one before is passed over. A tail may be torn in any of them:
//! what is missing shows in the zxid with which the next one begins. A gap between files may be right, where a leader sent a
//! snapshot: it is told.

use std::path::{Path, PathBuf};

use super::super::apache::{self, LogReader, Step};
use super::super::progress::Progress;
use super::super::snapshot::{Refused, refused};
use super::{Kind, damaged, files, folders};
use crate::base::Zxid;
use crate::io::{Lock, MappedFile};
use crate::log::{self, Fault, Held, SegmentId, SegmentImage};
use crate::server;

/// Logs of one kind that belong together.
pub enum Logs {
    Ours(Segments),
    Theirs(Theirs),
}

/// A transaction in its file.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub file: &'a Path,
    pub offset: u64,
    pub zxid: Zxid,
    /// Header, record, digest.
    pub entry: &'a [u8],
}

impl Logs {
    pub fn of_files(paths: &[PathBuf]) -> Result<Logs, Refused> {
        crate::io::install_sigbus_handler()?;
        let (mut ours, mut theirs) = (vec![], vec![]);
        for path in paths {
            match Kind::of(path)? {
                Kind::Segment(id) => ours.push((id, path.clone())),
                Kind::TheirLog => theirs.push(path.clone()),
                Kind::Snapshot(_) | Kind::TheirSnapshot(..) => {
                    return Err(refused(format_args!(
                        "{}: a snapshot, where a log is needed",
                        path.display()
                    )));
                }
            }
        }
        match (ours.is_empty(), theirs.is_empty()) {
            (false, false) => {
                Err(refused("logs of ringkeeper and of Apache ZooKeeper don't continue each other"))
            }
            (true, _) => Ok(Logs::Theirs(Theirs::new(theirs))),
            (false, true) => Ok(Logs::Ours(Segments::open(ours, None)?)),
        }
    }

    /// All that a directory holds: a data directory, or a folder of files.
    pub fn of_directory(directory: &Path) -> Result<Vec<Logs>, Refused> {
        crate::io::install_sigbus_handler()?;
        let mut found = vec![];
        for folder in folders(directory) {
            let lock = server::hold(&folder)?;
            let (mut ours, mut theirs) = (vec![], vec![]);
            for (kind, path) in files(&folder, Kind::is_log)? {
                match kind {
                    Kind::Segment(id) => ours.push((id, path)),
                    _ => theirs.push(path),
                }
            }
            if !ours.is_empty() {
                found.push(Logs::Ours(Segments::open(ours, lock)?));
            }
            if !theirs.is_empty() {
                found.push(Logs::Theirs(Theirs::new(theirs)));
            }
        }
        if found.is_empty() {
            let place = directory.display();
            return Err(refused(format_args!("{place} holds no log, of ringkeeper or of Apache ZooKeeper")));
        }
        Ok(found)
    }

    /// Hands over each transaction, until `visit` says false. `tell` takes what should be known of the files.
    pub fn each<E: From<Refused>>(
        &self,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
        visit: &mut dyn FnMut(Seen<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        match self {
            Logs::Ours(segments) => segments.each(progress, tell, visit),
            Logs::Theirs(theirs) => theirs.each(progress, tell, visit),
        }
    }

    /// Where they are, for people: the file, or the folder of several.
    pub fn place(&self) -> String {
        let paths: Vec<&Path> = match self {
            Logs::Ours(segments) => segments.files.iter().map(|segment| segment.path.as_path()).collect(),
            Logs::Theirs(theirs) => theirs.0.iter().map(PathBuf::as_path).collect(),
        };
        match paths[..] {
            [only] => only.display().to_string(),
            [first, ..] => {
                let folder = first.parent().unwrap_or(first);
                format!("{}: {} files", folder.display(), paths.len())
            }
            [] => String::new(),
        }
    }
}

struct Segment {
    id: SegmentId,
    path: PathBuf,
    map: MappedFile,
}

pub struct Segments {
    files: Vec<Segment>,
    _lock: Option<Lock>,
}

impl Segments {
    /// `lock`: of the directory, as long as this is in use.
    pub fn open(mut paths: Vec<(SegmentId, PathBuf)>, lock: Option<Lock>) -> Result<Segments, Refused> {
        paths.sort();
        if let Some(pair) = paths.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (one, other) = (pair[0].1.display(), pair[1].1.display());
            return Err(refused(format_args!("{one} and {other} are one segment of two servers or times")));
        }
        let open = |(id, path): (SegmentId, PathBuf)| {
            let map = MappedFile::open(&path)?;
            Ok(Segment { id, path, map })
        };
        let files: Result<Vec<Segment>, Refused> = paths.into_iter().map(open).collect();
        Ok(Segments { files: files?, _lock: lock })
    }

    fn images(&self) -> Vec<SegmentImage<'_>> {
        self.files.iter().map(|file| SegmentImage { id: file.id, bytes: file.map.bytes() }).collect()
    }

    /// What lies behind a snapshot, but nothing later than `to`.
    pub fn behind(&self, snapshot: Zxid, to: Option<Zxid>) -> Result<Held<'_>, Fault> {
        log::look(&self.images(), snapshot, to.unwrap_or(Zxid(i64::MAX)))
    }

    /// From as far back as nothing is missing.
    fn whole(&self) -> Result<Held<'_>, Fault> {
        let headers =
            self.files.iter().filter_map(|file| log::Header::decode(file.map.bytes(), file.id).ok());
        let mut begins: Vec<Zxid> = headers.map(|header| header.after).collect();
        begins.sort_unstable();
        begins.dedup();
        for begin in begins {
            match self.behind(begin, None) {
                Err(Fault::Gap { .. }) => {}
                found => return found,
            }
        }
        self.behind(Zxid::ZERO, None)
    }

    fn path_of(&self, id: SegmentId) -> PathBuf {
        let found = self.files.iter().find(|file| file.id == id);
        found.map_or_else(|| PathBuf::from(id.file_name()), |file| file.path.clone())
    }

    /// With file and byte.
    pub fn fault(&self, fault: &Fault) -> Refused {
        match fault {
            Fault::Damaged { at, why, mark, named_by } => {
                let what = format!("{why}. It was durable up to {mark} once: {named_by} says so");
                damaged(&self.path_of(at.segment), at.offset, what)
            }
            Fault::Newer { segment, .. } => {
                Refused { code: 3, text: format!("{}: {fault}", self.path_of(*segment).display()) }
            }
            _ => {
                let folder = self.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("."));
                Refused { code: 4, text: format!("{}: {fault}", folder.display()) }
            }
        }
    }

    /// Which file a record that was read is in, and where.
    pub fn place_of(&self, payload: &[u8]) -> (&Path, u64) {
        let at = payload.as_ptr() as usize;
        let holds = |file: &&Segment| {
            let range = file.map.bytes().as_ptr_range();
            (range.start as usize..=range.end as usize).contains(&at)
        };
        let file = self.files.iter().find(holds).expect("records are read in place");
        (&file.path, (at - file.map.bytes().as_ptr() as usize) as u64)
    }

    fn each<E: From<Refused>>(
        &self,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
        visit: &mut dyn FnMut(Seen<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let held = self.whole().map_err(|fault| self.fault(&fault))?;
        let mut under_way = None;
        for entry in &held.entries {
            let (file, offset) = self.place_of(entry.payload);
            if under_way != Some(file) {
                under_way = Some(file);
                let bytes = self.files.iter().find(|segment| segment.path == file);
                progress.begin("reading", file, bytes.map_or(0, |segment| segment.map.bytes().len() as u64));
            }
            progress.is_at(offset);
            if !visit(Seen { file, offset, zxid: entry.zxid, entry: entry.payload })? {
                return Ok(());
            }
        }
        if let Some(fault) = held.damage {
            return Err(self.fault(&fault).into());
        }
        if let Some(cut) = held.cut {
            let file = self.path_of(cut.end.segment);
            tell(format!(
                "{}: torn at byte {}, as after a crash: {}",
                file.display(),
                cut.end.offset,
                cut.why
            ));
        }
        Ok(())
    }
}

/// Apache's, oldest first.
pub struct Theirs(Vec<PathBuf>);

impl Theirs {
    pub fn new(mut paths: Vec<PathBuf>) -> Theirs {
        paths.sort_by_key(|path| (begin_of(path), path.clone()));
        Theirs(paths)
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    fn each<E: From<Refused>>(
        &self,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
        visit: &mut dyn FnMut(Seen<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut end: Option<Zxid> = None;
        for (at, file) in self.0.iter().enumerate() {
            let next = self.0.get(at + 1).and_then(|path| begin_of(path));
            let map = MappedFile::open(file).map_err(Refused::from)?;
            progress.begin("reading", file, map.bytes().len() as u64);
            let mut reader = LogReader::new(map.bytes());
            let mut last: Option<Zxid> = None;
            loop {
                match reader.step() {
                    Step::Entry { offset, zxid, entry } => {
                        if last.is_some_and(|last| zxid <= last) {
                            let what = format!("zxid {zxid} comes behind a later one");
                            return Err(damaged(file, offset, what).into());
                        }
                        if let Some(last) = last.filter(|last| !apache::follows(zxid, *last)) {
                            let what = format!("zxid {zxid} comes behind {last}: transactions are missing");
                            return Err(damaged(file, offset, what).into());
                        }
                        last = Some(zxid);
                        progress.is_at(offset);
                        if end.is_some_and(|end| zxid <= end) {
                            continue;
                        }
                        if let Some(end) = end.filter(|end| !apache::follows(zxid, *end)) {
                            tell(format!(
                                "{}: it goes on with zxid {zxid}, and the log before ends at {end}: right only if a \
                                 snapshot holds what is between",
                                file.display()
                            ));
                        }
                        end = Some(zxid);
                        if !visit(Seen { file, offset, zxid, entry })? {
                            return Ok(());
                        }
                    }
                    Step::End => break,
                    Step::Torn { offset, why } => {
                        if let (Some(next), Some(end)) = (next, end)
                            && next > end
                            && !apache::follows(next, end)
                        {
                            let what =
                                format!("{why}, and the next log begins with zxid {next}, not behind {end}");
                            return Err(damaged(file, offset, what).into());
                        }
                        tell(format!("{}: torn at byte {offset}, as after a crash: {why}", file.display()));
                        break;
                    }
                    Step::Damaged { offset, what } => return Err(damaged(file, offset, what).into()),
                }
            }
        }
        Ok(())
    }
}

/// The zxid that a log's name says it begins with.
fn begin_of(path: &Path) -> Option<Zxid> {
    path.file_name().and_then(|name| name.to_str()).and_then(apache::parse_log_name)
}
