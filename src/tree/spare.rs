//! Data of superseded versions, kept for the next change: its memory was just looked at, the allocator's next piece was not.
//!
//! Called by `store`, when it frees versions, and by `apply`. The arena does the same for the versions themselves. In a tree that no
//! cache holds, what is freed lies in as many pages of the allocator as there are nodes; perf/tried.md has what that cost.
//! Tested: here.

use super::node::{Data, Node, data_of};

/// More than the writes of a turn use.
const COUNT_MAX: usize = 1_024;
/// Of one piece: all together hold a megabyte at most.
const BYTES_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct SpareData(Vec<Data>);

impl SpareData {
    /// A version that no reader can come upon any more is about to be dropped (the horizon says so: `lockfree::versions`). Readers have
    /// no count of their own in its data.
    pub fn keep_of(&mut self, node: &mut Node) {
        if self.0.len() < COUNT_MAX
            && let Some(data) = node.data.take_if(|data| data.len() <= BYTES_MAX && data.is_unshared())
        {
            self.0.push(data);
        }
    }

    /// These bytes as the arena keeps them. A spare piece of another length is given back, so that the pieces become what is used.
    pub fn filled(&mut self, bytes: Option<&[u8]>) -> Option<Data> {
        let bytes = bytes?;
        if let Some(mut spare) = self.0.pop()
            && spare.refill(bytes)
        {
            return Some(spare);
        }
        data_of(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Path;
    use crate::tree::node::Birth;

    fn node(data: Option<Data>) -> Node {
        Node::new(Path::new(b"/a"), data, None, Birth { zxid: crate::base::Zxid(1), time: 0, owner: 0 }, 0)
    }

    fn address(data: &Data) -> *const u8 {
        data.as_ptr()
    }

    #[test]
    fn memory_is_used_again_for_the_same_length_and_only_if_nobody_shares_it() {
        let mut spare = SpareData::default();
        let data = data_of(Some(b"first")).expect("bytes");
        let place = address(&data);
        let mut old = node(Some(data));
        let shared = old.data.clone();
        spare.keep_of(&mut old);
        assert!(spare.0.is_empty() && old.data.is_some(), "a snapshot or a later version has it, too");
        drop(shared);
        spare.keep_of(&mut old);
        assert!(old.data.is_none());
        let next = spare.filled(Some(b"other")).expect("bytes");
        assert_eq!((&*next, address(&next)), (&b"other"[..], place));

        spare.keep_of(&mut node(Some(next)));
        assert_eq!(spare.filled(None).as_deref(), None);
        assert_eq!(spare.filled(Some(b"longer than it")).as_deref(), Some(&b"longer than it"[..]));
        assert!(spare.0.is_empty(), "another length was given back");
        assert_eq!(spare.filled(Some(b"")).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut spare = SpareData::default();
        for _ in 0..COUNT_MAX + 5 {
            spare.keep_of(&mut node(data_of(Some(b"x"))));
        }
        assert_eq!(spare.0.len(), COUNT_MAX);
        let mut spare = SpareData::default();
        spare.keep_of(&mut node(data_of(Some(&[0; BYTES_MAX + 1]))));
        spare.keep_of(&mut node(None));
        assert!(spare.0.is_empty());
    }
}
