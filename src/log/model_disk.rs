//! A disk to crash: what the page cache shows, what the platter holds, and which names the directory has.
//!
//! Test code of room `log`. Power loss keeps any subset of the 512-byte sectors that were stored and not persisted, one
//! of them torn; a file that was never persisted may be gone, short or empty; a name that changed may have the old
//! form; a removed file may be back. A failed persist leaves pages that look clean and are not on the platter.
//! Removed files are used again, old content and all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Command, SegmentId, SegmentImage};
use crate::base::{Prng, Ticket};

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

#[derive(Clone, Debug)]
struct File {
    /// As programs see it.
    current: Vec<u8>,
    platter: Vec<u8>,
    /// Stored and not persisted, with the time of the store.
    dirty: BTreeMap<usize, u64>,
    /// As `dirty`, but a failed persist has marked them clean: no later persist writes them.
    lying: BTreeSet<usize>,
    name_on_platter: Option<SegmentId>,
    /// Its size and existence have been persisted.
    persisted: bool,
    /// Under its present name.
    created: u64,
}

#[derive(Clone, Debug)]
pub struct ModelDisk {
    files: BTreeMap<SegmentId, File>,
    /// Removed, and not used again yet.
    removed: Vec<File>,
    active: Option<SegmentId>,
    /// Time of the next store.
    time: u64,
    persists: VecDeque<(Ticket, u64)>,
    pub recycles: bool,
}

impl ModelDisk {
    pub fn new(recycles: bool) -> ModelDisk {
        ModelDisk {
            files: BTreeMap::new(),
            removed: Vec::new(),
            active: None,
            time: 1,
            persists: VecDeque::new(),
            recycles,
        }
    }

    pub fn images(&self) -> Vec<SegmentImage<'_>> {
        self.files.iter().map(|(id, file)| SegmentImage { id: *id, bytes: &file.current }).collect()
    }

    pub fn names(&self) -> Vec<SegmentId> {
        self.files.keys().copied().collect()
    }

    pub fn bytes_mut(&mut self, id: SegmentId) -> &mut Vec<u8> {
        &mut self.files.get_mut(&id).expect("the test names a file that exists").current
    }

    pub fn delete(&mut self, id: SegmentId) {
        self.files.remove(&id).expect("the test names a file that exists");
    }

    /// A persist takes effect only with `complete`.
    pub fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Create { segment, header, bytes } => {
                assert!(!self.files.contains_key(segment), "{segment} exists already");
                let old = if self.recycles { self.removed.pop() } else { None };
                let mut file = old.unwrap_or_else(|| File {
                    current: Vec::new(),
                    platter: Vec::new(),
                    dirty: BTreeMap::new(),
                    lying: BTreeSet::new(),
                    name_on_platter: None,
                    persisted: false,
                    created: 0,
                });
                file.created = self.time;
                file.current.resize(*bytes as usize, 0);
                file.platter.resize(*bytes as usize, 0);
                file.dirty.retain(|sector, _| sector * SECTOR_BYTES < *bytes as usize);
                self.files.insert(*segment, file);
                self.active = Some(*segment);
                self.store(*segment, 0, header);
            }
            Command::Append { segment, offset, bytes } => {
                assert_eq!(self.active, Some(*segment), "only the active segment is appended to");
                self.store(*segment, *offset as usize, bytes);
            }
            Command::Persist { ticket } => self.persists.push_back((*ticket, self.time)),
            Command::Remove { segment } => {
                assert_ne!(self.active, Some(*segment), "the active segment is needed");
                let file = self.files.remove(segment).expect("only what exists is removed");
                self.removed.push(file);
            }
        }
    }

    fn store(&mut self, segment: SegmentId, offset: usize, bytes: &[u8]) {
        let persisting = self.persists.back().map_or(0, |(_, time)| *time);
        let file = self.files.get_mut(&segment).expect("created before");
        let end = offset + bytes.len();
        assert!(end <= file.current.len(), "a store past the end of {segment}");
        file.current[offset..end].copy_from_slice(bytes);
        for page in offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES {
            let sectors = page * PAGE_BYTES / SECTOR_BYTES..(page + 1) * PAGE_BYTES / SECTOR_BYTES;
            let busy = file.dirty.range(sectors).any(|(_, stored)| *stored < persisting);
            assert!(
                !busy || offset == 0,
                "a store to a page that is being persisted would wait for the disk"
            );
        }
        for sector in offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES {
            file.dirty.insert(sector, self.time);
            file.lying.remove(&sector);
        }
        self.time += 1;
    }

    pub fn outstanding(&self) -> Option<Ticket> {
        self.persists.front().map(|(ticket, _)| *ticket)
    }

    /// The oldest outstanding persist is done.
    pub fn complete(&mut self) -> Ticket {
        let (ticket, time) = self.persists.pop_front().expect("a persist is outstanding");
        for (id, file) in &mut self.files {
            let done: Vec<usize> =
                file.dirty.iter().filter(|(_, stored)| **stored < time).map(|(sector, _)| *sector).collect();
            for sector in done {
                let range = sector_range(sector, file.current.len());
                file.platter[range.clone()].copy_from_slice(&file.current[range]);
                file.dirty.remove(&sector);
            }
            if file.created < time {
                file.name_on_platter = Some(*id);
                file.persisted = true;
            }
        }
        for file in &mut self.removed {
            file.name_on_platter = None;
        }
        ticket
    }

    /// The oldest outstanding persist fails: some of its sectors are written, the others look as if they were. The process ends.
    pub fn fail_persist(&mut self, prng: &mut Prng) {
        let (_, time) = self.persists.pop_front().expect("a persist is outstanding");
        for file in self.files.values_mut() {
            let tried: Vec<usize> =
                file.dirty.iter().filter(|(_, stored)| **stored < time).map(|(sector, _)| *sector).collect();
            for sector in tried {
                let range = sector_range(sector, file.current.len());
                if prng.chance(1, 2) {
                    file.platter[range.clone()].copy_from_slice(&file.current[range]);
                } else {
                    file.lying.insert(sector);
                }
                file.dirty.remove(&sector);
            }
        }
        self.kill();
    }

    /// The process ends; what it stored stays visible.
    pub fn kill(&mut self) {
        self.persists.clear();
        self.active = None;
    }

    /// A driver that forgot its persists goes on.
    pub fn activate(&mut self, id: SegmentId) {
        self.active = Some(id);
    }

    /// Power loss.
    pub fn crash(&mut self, prng: &mut Prng) {
        self.kill();
        let kept_of_4 = prng.below(5);
        let mut torn_left = 1;
        let files = std::mem::take(&mut self.files);
        let named = files.into_iter().map(|(id, file)| (Some(id), file));
        let removed = std::mem::take(&mut self.removed).into_iter().map(|file| (None, file));
        for (name, mut file) in named.chain(removed).collect::<Vec<_>>() {
            let name =
                if file.name_on_platter == name || prng.chance(1, 2) { name } else { file.name_on_platter };
            let Some(name) = name else { continue };
            for sector in file.dirty.keys() {
                let range = sector_range(*sector, file.current.len());
                let new = &file.current[range.clone()];
                if torn_left > 0 && prng.chance(1, 8) {
                    torn_left -= 1;
                    tear(&mut file.platter[range], new, prng);
                } else if prng.chance(kept_of_4, 4) {
                    file.platter[range].copy_from_slice(new);
                }
            }
            if !file.persisted && prng.chance(1, 4) {
                file.platter.truncate(prng.below(file.platter.len() as u64) as usize);
            }
            file.current = file.platter.clone();
            file.dirty.clear();
            file.lying.clear();
            file.name_on_platter = Some(name);
            file.persisted = true;
            self.files.insert(name, file);
        }
    }
}

/// Part of the new content over the old.
fn tear(old: &mut [u8], new: &[u8], prng: &mut Prng) {
    if prng.chance(1, 2) {
        let kept = prng.below(new.len() as u64) as usize;
        old[..kept].copy_from_slice(&new[..kept]);
    } else {
        for (old, new) in old.chunks_mut(8).zip(new.chunks(8)) {
            if prng.chance(1, 2) {
                old.copy_from_slice(new);
            }
        }
    }
}

fn sector_range(sector: usize, file_bytes: usize) -> std::ops::Range<usize> {
    sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(file_bytes)
}
