//! Hashes of a path and of everything above it, in one pass over its bytes.
//!
//! For tables that are asked about every ancestor of a path (recursive watches, quotas): to hash each ancestor by itself
//! would cost the square of the path's length, and a client may make paths of a hundred thousand levels.
//!
//! The hash of a path is that of its parent's hash and of its name, keyed as [`HashKey::hash`] is, but not the same as
//! that. Who finds it in a table compares the bytes. Tested below.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::HashKey;

/// The hash of each prefix that ends before a `/` or at the path's end, the shortest first: of `/a/b` those of `/`, `/a` and
/// `/a/b`. Before each comes its length. A watch may be left on any text, so any text has prefixes.
pub fn prefixes(key: HashKey, path: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let root = key.hash(b"/");
    let below_root = path.strip_prefix(b"/");
    let names = below_root.unwrap_or(path);
    let names = (path != b"/").then(|| names.split(|&byte| byte == b'/'));
    let mut from = path.len() - below_root.map_or(path.len(), <[u8]>::len);
    let mut hash = root;
    let further = names.into_iter().flatten().map(move |name| {
        hash = below(key, hash, name);
        let end = from + name.len();
        from = end + 1;
        (end, hash)
    });
    below_root.map(|_| (1, root)).into_iter().chain(further)
}

/// The hash of the whole path, as [`prefixes`] has it.
pub fn prefix_hash(key: HashKey, path: &[u8]) -> u64 {
    prefixes(key, path).last().map_or(0, |(_, hash)| hash)
}

fn below(key: HashKey, parent: u64, name: &[u8]) -> u64 {
    #[cfg(test)]
    super::hashed::add(8 + name.len());
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(&parent.to_le_bytes());
    hasher.write(name);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parent;

    const KEY: HashKey = HashKey(3, 4);

    fn lengths(path: &str) -> Vec<usize> {
        prefixes(KEY, path.as_bytes()).map(|(length, _)| length).collect()
    }

    #[test]
    fn the_prefixes_of_a_path_are_its_ancestors_and_itself() {
        assert_eq!(lengths("/"), [1]);
        assert_eq!(lengths("/a"), [1, 2]);
        assert_eq!(lengths("/a/bc/d"), [1, 2, 5, 7]);
        for path in ["/", "/a", "/a/bc/d", "/x/y/z/u/v"] {
            let mut above: Vec<usize> =
                std::iter::successors(Some(path.as_bytes()), |path| parent(path)).map(<[u8]>::len).collect();
            above.reverse();
            assert_eq!(lengths(path), above, "{path}");
        }
    }

    #[test]
    fn a_prefix_hashes_as_the_path_that_it_is() {
        for path in ["/", "/a", "/a/bc/d"] {
            for (length, hash) in prefixes(KEY, path.as_bytes()) {
                assert_eq!(hash, prefix_hash(KEY, &path.as_bytes()[..length]), "{path} {length}");
            }
        }
        let all = ["/", "/a", "/b", "/a/b", "/ab", "/a/b/c"].map(|path| prefix_hash(KEY, path.as_bytes()));
        let mut distinct = all.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
        assert_ne!(prefix_hash(KEY, b"/a"), prefix_hash(HashKey(3, 5), b"/a"));
    }

    #[test]
    fn what_is_no_path_has_prefixes_too() {
        for (path, ends) in [("", vec![0]), ("a", vec![1]), ("a/b", vec![1, 3]), ("/a/", vec![1, 2, 3])] {
            assert_eq!(lengths(path), ends, "{path:?}");
        }
    }
}
