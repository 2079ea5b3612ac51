//! A disk with a page cache that lies the way real ones do.
//!
//! A file has the image that processes see and the image that survives power loss. Between them stand dirty sectors.
//! * A sync copies the sectors that were dirty when it began, and makes the names of the directory durable.
//! * A failed sync copies some of them and forgets that the others were dirty: they read back as written until the
//!   page is dropped, and are gone then.
//! * Power loss keeps a random subset of the dirty sectors, one of them torn, and of the changes of names since the
//!   last sync.
//! * A process that dies loses nothing here, but pages that a failed sync left clean may be dropped before the next one
//!   looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Prng;

pub const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
struct File {
    cache: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// Clean as far as the kernel knows, and not what the disk holds.
    forgotten: BTreeSet<usize>,
}

impl File {
    fn sector(&self, sector: usize) -> &[u8] {
        let start = (sector * SECTOR_BYTES).min(self.cache.len());
        &self.cache[start..(start + SECTOR_BYTES).min(self.cache.len())]
    }

    fn store(&mut self, sector: usize, bytes: &[u8]) {
        let start = sector * SECTOR_BYTES;
        let end = start + bytes.len();
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(bytes);
    }

    /// Of a sector of so many bytes; what was behind stays as it was.
    fn store_beginning(&mut self, sector: usize, beginning: &[u8], bytes: usize) {
        let start = sector * SECTOR_BYTES;
        let before = |at: usize| self.durable.get(start + at).copied().unwrap_or(0);
        let rest: Vec<u8> = (beginning.len()..bytes).map(before).collect();
        self.store(sector, &[beginning, &rest].concat());
    }

    fn touch(&mut self, from: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        for sector in from / SECTOR_BYTES..=(from + bytes - 1) / SECTOR_BYTES {
            self.dirty.insert(sector);
            self.forgotten.remove(&sector);
        }
    }

    /// The kernel drops pages that it believes are clean.
    fn evict(&mut self, prng: &mut Prng) {
        for sector in std::mem::take(&mut self.forgotten) {
            if prng.chance(1, 2) {
                self.forgotten.insert(sector);
                continue;
            }
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(self.cache.len());
            for at in start..end {
                self.cache[at] = self.durable.get(at).copied().unwrap_or(0);
            }
        }
    }

    fn lose_power(&mut self, prng: &mut Prng) {
        let dirty = std::mem::take(&mut self.dirty);
        let torn = prng.below(dirty.len() as u64 * 2) as usize; // half of the crashes tear nothing
        for (index, sector) in dirty.into_iter().enumerate() {
            if index != torn && prng.chance(1, 2) {
                continue;
            }
            let bytes = self.sector(sector).to_vec();
            let kept = if index == torn { prng.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
            self.store_beginning(sector, &bytes[..kept], bytes.len());
        }
        self.forgotten.clear();
        self.cache = self.durable.clone();
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

fn change(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Link(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

/// A directory and the files in it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced: Vec<NameChange>,
    next: u64,
}

/// What a sync that has begun will make durable.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    sectors: Vec<(u64, usize, Vec<u8>)>,
    /// Changes of names when it began; `None` if it is not about names.
    names: Option<usize>,
}

impl Directory {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    pub fn read(&self, name: &str) -> Option<&[u8]> {
        Some(&self.files.get(self.names.get(name)?)?.cache)
    }

    fn file(&mut self, name: &str) -> Option<(u64, &mut File)> {
        let id = *self.names.get(name)?;
        Some((id, self.files.get_mut(&id)?))
    }

    fn alter(&mut self, what: NameChange) {
        change(&mut self.names, &what);
        self.unsynced.push(what);
    }

    /// A file of zeros.
    pub fn create(&mut self, name: &str, bytes: usize) {
        self.next += 1;
        let mut file = File { cache: vec![0; bytes], ..File::default() };
        file.touch(0, bytes);
        self.files.insert(self.next, file);
        self.alter(NameChange::Link(name.to_owned(), self.next));
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        self.alter(NameChange::Rename(from.to_owned(), to.to_owned()));
    }

    pub fn unlink(&mut self, name: &str) {
        self.alter(NameChange::Unlink(name.to_owned()));
    }

    /// Stores within the file.
    pub fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) {
        let (_, file) = self.file(name).expect("the file is written after it was made");
        assert!(offset + bytes.len() <= file.cache.len(), "a store past the end of {name}");
        file.cache[offset..offset + bytes.len()].copy_from_slice(bytes);
        file.touch(offset, bytes.len());
    }

    pub fn append(&mut self, name: &str, bytes: &[u8]) {
        if let Some((_, file)) = self.file(name) {
            let at = file.cache.len();
            file.cache.extend_from_slice(bytes);
            file.touch(at, bytes.len());
        }
    }

    /// Begins to sync one file's data, or everything with names.
    pub fn begin_sync(&self, only: Option<&str>) -> Sync {
        let only_id = only.map(|name| self.names.get(name).copied());
        let files = self.files.iter().filter(|(id, _)| only_id.is_none_or(|only| only == Some(**id)));
        let sectors = files
            .flat_map(|(id, file)| {
                file.dirty.iter().map(|&sector| (*id, sector, file.sector(sector).to_vec()))
            })
            .collect();
        Sync { sectors, names: only.is_none().then_some(self.unsynced.len()) }
    }

    pub fn begin_sync_names(&self) -> Sync {
        Sync { sectors: vec![], names: Some(self.unsynced.len()) }
    }

    pub fn complete(&mut self, sync: Sync) {
        for (id, sector, bytes) in sync.sectors {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.store(sector, &bytes);
            if file.sector(sector) == bytes {
                file.dirty.remove(&sector);
            }
        }
        self.settle(sync.names.unwrap_or(0));
    }

    /// Some of it reached the disk, and the rest is believed to have.
    pub fn fail(&mut self, sync: Sync, prng: &mut Prng) {
        for (id, sector, bytes) in sync.sectors {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.dirty.remove(&sector);
            if prng.chance(1, 2) {
                file.store(sector, &bytes);
            } else {
                file.forgotten.insert(sector);
            }
        }
    }

    /// Nothing of it reached the disk, and all is believed to have.
    pub fn forget(&mut self, sync: Sync) {
        for (id, sector, _) in sync.sectors {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.dirty.remove(&sector);
            file.forgotten.insert(sector);
        }
    }

    /// The device has stored a beginning of it, torn within a sector; the rest is believed to be there.
    pub fn tear(&mut self, sync: Sync, prng: &mut Prng) {
        let whole = prng.below(sync.sectors.len().max(1) as u64) as usize;
        for (index, (id, sector, bytes)) in sync.sectors.into_iter().enumerate() {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.dirty.remove(&sector);
            if index < whole {
                file.store(sector, &bytes);
                continue;
            }
            if index == whole {
                let kept = prng.below(bytes.len() as u64 + 1) as usize;
                file.store_beginning(sector, &bytes[..kept], bytes.len());
            }
            file.forgotten.insert(sector);
        }
    }

    fn settle(&mut self, changes: usize) {
        for done in self.unsynced.drain(..changes.min(self.unsynced.len())) {
            change(&mut self.durable_names, &done);
        }
        let (names, durable) = (&self.names, &self.durable_names);
        self.files.retain(|id, _| names.values().chain(durable.values()).any(|linked| linked == id));
    }

    pub fn lose_power(&mut self, prng: &mut Prng) {
        for done in std::mem::take(&mut self.unsynced) {
            if prng.chance(1, 2) {
                change(&mut self.durable_names, &done);
            }
        }
        self.names = self.durable_names.clone();
        for file in self.files.values_mut() {
            file.lose_power(prng);
        }
        self.settle(0);
    }

    /// The process died; the kernel lives on.
    pub fn lose_process(&mut self, prng: &mut Prng) {
        for file in self.files.values_mut() {
            file.evict(prng);
        }
    }

    /// Overwrites durable bytes behind everybody's back.
    pub fn damage(&mut self, name: &str, at: usize, bytes: &[u8]) {
        if let Some((_, file)) = self.file(name) {
            file.cache[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let mut directory = Directory::default();
        directory.create("a", 4 * SECTOR_BYTES);
        let sync = directory.begin_sync(None);
        directory.complete(sync);
        directory
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_only_by_chance() {
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..64 {
            let mut prng = Prng::new(seed);
            let mut directory = directory();
            directory.write("a", 0, b"synced");
            let sync = directory.begin_sync(None);
            directory.write("a", 2 * SECTOR_BYTES, b"late");
            directory.complete(sync);
            directory.lose_power(&mut prng);
            let image = directory.read("a").expect("its name was synced");
            assert_eq!(&image[..6], b"synced");
            match &image[2 * SECTOR_BYTES..][..4] {
                b"late" => kept += 1,
                _ => lost += 1,
            }
        }
        assert!(kept > 8 && lost > 8, "{kept} kept, {lost} lost");
    }

    #[test]
    fn a_failed_sync_leaves_pages_that_read_well_and_are_not_there() {
        let mut reverted = 0;
        for seed in 0..64 {
            let mut prng = Prng::new(seed);
            let mut directory = directory();
            directory.write("a", 0, b"written");
            let sync = directory.begin_sync(None);
            directory.fail(sync, &mut prng);
            assert_eq!(&directory.read("a").expect("there")[..7], b"written");
            let again = directory.begin_sync(None);
            directory.complete(again);
            directory.lose_power(&mut prng);
            reverted += usize::from(&directory.read("a").expect("there")[..7] != b"written");
        }
        assert!(reverted > 8, "{reverted}");
    }

    #[test]
    fn a_torn_write_leaves_a_beginning() {
        let mut torn = 0;
        for seed in 0..64 {
            let mut prng = Prng::new(seed);
            let mut directory = directory();
            directory.write("a", 0, &[7; 3 * SECTOR_BYTES]);
            let sync = directory.begin_sync(None);
            directory.tear(sync, &mut prng);
            assert_eq!(directory.read("a").expect("there")[3 * SECTOR_BYTES - 1], 7, "it reads well");
            directory.lose_power(&mut prng);
            let image = directory.read("a").expect("there");
            let kept = image.iter().take_while(|byte| **byte == 7).count();
            assert!(kept <= 3 * SECTOR_BYTES && image[kept..].iter().all(|byte| *byte == 0), "{seed}");
            torn += usize::from(!kept.is_multiple_of(SECTOR_BYTES));
        }
        assert!(torn > 32, "{torn}");
    }

    #[test]
    fn a_name_is_durable_only_when_its_directory_was_synced() {
        let (mut there, mut gone) = (0, 0);
        for seed in 0..64 {
            let mut directory = directory();
            directory.create("b", 10);
            directory.lose_power(&mut Prng::new(seed));
            match directory.read("b") {
                Some(_) => there += 1,
                None => gone += 1,
            }
            assert!(directory.read("a").is_some());
        }
        assert!(there > 8 && gone > 8);
    }
}
