//! Hash maps whose hasher is keyed by the driver.
//!
//! Clients choose paths, so an unkeyed hash could be flooded; a randomly keyed one (the standard library's) would make
//! two runs of one seed differ. Here the driver hands the key in: from the OS in `server`, from the seed in `sim`.

use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// The secret of every table of one server.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashKey(pub u64, pub u64);

impl HashKey {
    /// Keyed hash of a path (SipHash-1-3).
    pub fn hash(self, bytes: &[u8]) -> u64 {
        #[cfg(test)]
        hashed::add(bytes.len());
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
    }
}

/// Counts what a test hashes, as a clock is no judge of work.
#[cfg(test)]
pub mod hashed {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// Bytes hashed by this thread while `work` is done.
    pub fn during(work: impl FnOnce()) -> usize {
        let before = BYTES.get();
        work();
        BYTES.get() - before
    }
}

/// Builds SipHash-1-3 hashers with a fixed key.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyedHasher(pub HashKey);

impl BuildHasher for KeyedHasher {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0.0, self.0.1)
    }
}

/// `HashMap` with the driver's key. Iterate it only where order can't be seen from outside.
pub type Map<K, V> = hashbrown::HashMap<K, V, KeyedHasher>;
/// `HashSet` with the driver's key.
pub type Set<K> = hashbrown::HashSet<K, KeyedHasher>;

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    #[test]
    fn the_key_decides_the_hash() {
        assert_eq!(HashKey(1, 2).hash(b"/a"), HashKey(1, 2).hash(b"/a"));
        assert_ne!(HashKey(1, 2).hash(b"/a"), HashKey(1, 3).hash(b"/a"));
        let mut hasher = KeyedHasher(HashKey(1, 2)).build_hasher();
        hasher.write(b"/a");
        assert_eq!(hasher.finish(), HashKey(1, 2).hash(b"/a"));
    }
}
