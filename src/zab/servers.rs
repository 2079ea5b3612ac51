//! A set of servers as a bitset: acknowledgements and votes are counted per message.
//!
//! Used by every file of `zab` that counts. Holds ids from 0 to `limits::SERVER_ID_MAX`: configurations refuse others,
//! and whoever is in no configuration never counts. Copied by value, 32 bytes.

use std::fmt;

use crate::base::ServerId;
use crate::base::limits::SERVER_ID_MAX;

const WORDS: usize = 4;
const _: () = assert!(WORDS * 64 == SERVER_ID_MAX as usize + 1);

/// Some of the servers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ServerSet([u64; WORDS]);

impl ServerSet {
    pub const EMPTY: ServerSet = ServerSet([0; WORDS]);

    /// False if it was there already, or is no id that a configuration can hold.
    #[inline]
    pub fn insert(&mut self, server: ServerId) -> bool {
        let Some((word, bit)) = position(server) else { return false };
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// False if it wasn't there.
    #[inline]
    pub fn remove(&mut self, server: ServerId) -> bool {
        let Some((word, bit)) = position(server) else { return false };
        let was_there = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        was_there
    }

    #[inline]
    pub fn contains(&self, server: ServerId) -> bool {
        position(server).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        *self == ServerSet::EMPTY
    }

    /// Those which are in both.
    #[inline]
    pub fn and(&self, other: &ServerSet) -> ServerSet {
        self.combine(other, |a, b| a & b)
    }

    /// Those which are in either.
    #[inline]
    pub fn or(&self, other: &ServerSet) -> ServerSet {
        self.combine(other, |a, b| a | b)
    }

    /// Those which are not in `other`.
    #[inline]
    pub fn without(&self, other: &ServerSet) -> ServerSet {
        self.combine(other, |a, b| a & !b)
    }

    #[inline]
    fn combine(&self, other: &ServerSet, combine: impl Fn(u64, u64) -> u64) -> ServerSet {
        let mut both = self.0;
        for (word, other) in both.iter_mut().zip(other.0) {
            *word = combine(*word, other);
        }
        ServerSet(both)
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ServerId> + use<> {
        let words = self.0;
        (0..=SERVER_ID_MAX).map(ServerId).filter(move |server| ServerSet(words).contains(*server))
    }
}

#[inline]
fn position(server: ServerId) -> Option<(usize, u64)> {
    let id = u8::try_from(server.0).ok()?;
    Some((usize::from(id / 64), 1 << (id % 64)))
}

impl FromIterator<ServerId> for ServerSet {
    fn from_iter<I: IntoIterator<Item = ServerId>>(servers: I) -> ServerSet {
        let mut set = ServerSet::EMPTY;
        for server in servers {
            set.insert(server);
        }
        set
    }
}

/// `1,2,3`
impl fmt::Display for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", server.0)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_configurations_can_hold() {
        let mut set = ServerSet::EMPTY;
        for id in [0, 1, 63, 64, 128, 255] {
            assert!(set.insert(ServerId(id)) && !set.insert(ServerId(id)), "{id}");
        }
        for id in [-1, 256, i64::MIN, i64::MAX] {
            assert!(!set.insert(ServerId(id)) && !set.contains(ServerId(id)) && !set.remove(ServerId(id)));
        }
        assert_eq!((set.len(), set.to_string()), (6, "0,1,63,64,128,255".to_owned()));
        assert!(set.remove(ServerId(64)) && !set.remove(ServerId(64)) && !set.contains(ServerId(64)));
        let other: ServerSet = [1, 2].map(ServerId).into_iter().collect();
        assert_eq!(format!("{:?}", set.and(&other)), "{1}");
        assert_eq!(set.or(&other).len(), 6);
        assert_eq!(other.without(&set).iter().collect::<Vec<_>>(), [ServerId(2)]);
        assert!(ServerSet::EMPTY.is_empty() && !other.is_empty());
    }
}
