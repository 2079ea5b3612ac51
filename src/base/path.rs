//! A znode's path as shared bytes: one word wide, cloned by reference count.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use triomphe::ThinArc;

/// The full path of a znode, valid UTF-8, `/` for the root. Compared and hashed as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Path(ThinArc<(), u8>);

impl Path {
    pub fn new(bytes: &[u8]) -> Path {
        Path(ThinArc::from_header_and_slice((), bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// The path of the parent: `/` for top-level nodes, `None` for the root.
    pub fn parent(&self) -> Option<&[u8]> {
        parent(self.bytes())
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let bytes = self.bytes();
        let slash = bytes.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        &bytes[slash..]
    }
}

/// The parent of `path` as bytes: `/` for top-level nodes, `None` for the root or where there is no `/`.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.len() <= 1 {
        return None;
    }
    match path.iter().rposition(|&b| b == b'/')? {
        0 => Some(b"/"),
        slash => Some(&path[..slash]),
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Path) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Path) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

/// The hash of the bytes as a slice: tables of paths are looked up by slices.
impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl Borrow<[u8]> for Path {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_names() {
        assert_eq!(Path::new(b"/a/bc").parent(), Some(&b"/a"[..]));
        assert_eq!(Path::new(b"/a").parent(), Some(&b"/"[..]));
        assert_eq!(Path::new(b"/").parent(), None);
        assert_eq!(Path::new(b"/a/bc").name(), b"bc");
        assert_eq!(Path::new(b"/").name(), b"");
    }
}
