//! Looking ahead: paths that are about to be looked up one after the other, all looked at before.
//!
//! A lookup waits for memory up to four times, and each time for what the time before has told: table, slot, node, path. In a
//! tree that no cache holds that was 29 % of a leader's processor time (perf/runs/2026-11-22-amd-epyc-2cpu-ahead). A change waits
//! for the node's second line, its data and its share of the digest, too. For many paths at once the processor waits for many at
//! a time (`Store::find_many`), and what follows finds all of it near. Nothing depends on it: what can't be read here is passed
//! over, and who looks up finds out.
//!
//! Called by `closing` and by `replica`, before it decides the requests of one read from a socket, and before it applies what was committed
//! together or replays what was logged. Tested: here.

use std::hint::black_box;

use crate::wire::txn::TxnHeader;
use crate::wire::{Decode, Opcode, Reader};

use super::Store;
use super::node::Node;
use super::store::ROOT;

/// Paths that are looked up together.
pub(super) const FIND_BATCH: usize = 32;

/// For fewer there is nothing to be gained.
const FEW: usize = 3;

impl Store {
    /// `None`s are passed over.
    pub fn look_ahead<'p>(&self, paths: impl Iterator<Item = Option<&'p [u8]>>) {
        // A read's outputs come this way, too: they pay for no batch.
        if paths.size_hint().1.is_some_and(|most| most <= FEW) {
            return;
        }
        let (mut batch, mut count) = ([&[][..]; FIND_BATCH], 0);
        for path in paths.flatten() {
            batch[count] = path;
            count += 1;
            if count == FIND_BATCH {
                self.look_at(&batch);
                count = 0;
            }
        }
        self.look_at(&batch[..count]);
    }

    /// What it takes to read and to replace these nodes.
    fn look_at(&self, paths: &[&[u8]]) {
        if paths.len() <= FEW {
            return;
        }
        let (mut slots, mut count) = ([ROOT; FIND_BATCH], 0);
        self.find_many(paths, |slot| {
            slots[count] = slot.unwrap_or(ROOT);
            count += 1;
        });
        for slot in &slots[..count] {
            // The length of the data stands with the data.
            let data_bytes = self.latest(*slot).map(Node::data_bytes);
            black_box((data_bytes, self.digests[*slot as usize]));
        }
    }

    /// The slots of the nodes at these paths, of `FIND_BATCH` at most; or of what was deleted there a moment ago. Each step
    /// into memory is taken for all of them before the next one, so that the processor waits for many at a time.
    pub(super) fn find_many(&self, paths: &[&[u8]], mut each: impl FnMut(Option<u32>)) {
        let mut hashes = [0; FIND_BATCH];
        let mut guesses = [None; FIND_BATCH];
        let mut nodes = [None; FIND_BATCH];
        for (hash, path) in hashes.iter_mut().zip(paths) {
            *hash = self.hash(path);
        }
        for (guess, hash) in guesses.iter_mut().zip(hashes).take(paths.len()) {
            *guess = self.guess(hash);
        }
        for (node, guess) in nodes.iter_mut().zip(guesses).take(paths.len()) {
            *node = guess.and_then(|slot| self.latest(slot));
        }
        for node in nodes.iter().flatten() {
            // It lies in two lines of the cache; then its path.
            black_box((node.is_alive(), node.path.bytes().len()));
        }
        for (((path, hash), guess), node) in paths.iter().zip(hashes).zip(guesses).zip(nodes) {
            let is_right = node.is_some_and(|node| node.path.bytes() == *path);
            each(guess.filter(|_| is_right).or_else(|| Some(self.find_any(hash, path)?.0)));
        }
    }
}

/// The znode that a request, or the record of a transaction, of this type is about: of a new one its parent.
pub fn path_in(opcode: i32, body: &[u8]) -> Option<&[u8]> {
    let opcode = Opcode::from_i32(opcode)?;
    let is_new =
        matches!(opcode, Opcode::Create | Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl);
    if !is_new && !matches!(opcode, Opcode::SetData | Opcode::Delete | Opcode::SetAcl) {
        return None;
    }
    let path = Reader::new(body).bytes().ok()?;
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None if is_new => None,
        Some(end) if is_new => Some(&path[..end]),
        _ => Some(path),
    }
}

/// The same of a transaction as it is logged.
pub fn path_in_logged(payload: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(payload);
    let header = TxnHeader::decode(&mut reader).ok()?;
    path_in(header.kind, reader.rest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SessionId, WallMillis, Zxid};
    use crate::tree::testing::World;
    use crate::wire::client::{CreateRequest, DeleteRequest, SetDataRequest};
    use crate::wire::{AclList, Encode};

    fn bytes(record: &impl Encode) -> Vec<u8> {
        let mut out = vec![];
        record.encode(&mut out);
        out
    }

    #[test]
    fn a_request_is_about_its_znode_and_one_that_makes_it_about_the_parent() {
        let create = |path: &'static str| {
            bytes(&CreateRequest { path: path.into(), data: None, acl: Some(AclList::OPEN), flags: 0 })
        };
        let set = bytes(&SetDataRequest { path: "/a/b".into(), data: Some(b"1"), version: -1 });
        let delete = bytes(&DeleteRequest { path: "/a".into(), version: -1 });
        for (opcode, body, path) in [
            (Opcode::SetData, &set, Some(&b"/a/b"[..])),
            (Opcode::Delete, &delete, Some(b"/a")),
            (Opcode::Create, &create("/a/b/c"), Some(b"/a/b")),
            (Opcode::CreateTtl, &create("/a/b"), Some(b"/a")),
            (Opcode::Create2, &create("/a"), None),
            (Opcode::Create, &create("a"), None),
            (Opcode::Multi, &set, None),
            (Opcode::GetData, &set, None),
            (Opcode::SetData, &set[..3].to_vec(), None),
            (Opcode::SetData, &vec![0, 0, 0, 9, b'/'], None),
            (Opcode::SetData, &vec![0xff; 9], None),
        ] {
            assert_eq!(path_in(opcode.code(), body), path, "{opcode:?} {body:?}");
        }
        assert_eq!(path_in(77, &set), None);
        let header = TxnHeader {
            client_id: SessionId(7),
            cxid: 1,
            zxid: Zxid(2),
            time: WallMillis(3),
            kind: Opcode::SetData.code(),
        };
        let mut logged = bytes(&header);
        assert_eq!(path_in_logged(&logged[1..]), None);
        logged.extend(set);
        assert_eq!(path_in_logged(&logged), Some(&b"/a/b"[..]));
    }

    /// Full batches, a last one that is not full, few, and none; paths that are there and such as none can have. Nothing is given
    /// back, so that this shows only that none of it panics.
    #[test]
    fn any_number_of_any_paths_may_be_looked_at() {
        let mut world = World::new(1);
        let names: Vec<String> = (0..2 * FIND_BATCH + 5).map(|at| format!("/n{at}")).collect();
        for name in names.iter().step_by(2) {
            world.create(name, b"");
        }
        for count in [0, 1, FEW + 1, FIND_BATCH, FIND_BATCH + 1, names.len()] {
            world.store.look_ahead(names[..count].iter().map(|name| Some(name.as_bytes())));
        }
        // A deletion mark, which goes with its slot later.
        for name in names.iter().step_by(4) {
            world.delete(name);
        }
        for _ in 0..2 {
            world.store.look_ahead(names.iter().map(|name| Some(name.as_bytes())));
            world.publish();
            world.store.reclaim(usize::MAX);
        }
        world.store.look_ahead([None, Some(&b""[..]), Some(b"/"), Some(b"/n0"), Some(b"n0")].into_iter());
        let paths: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let reading = world.readers[0].enter();
        for count in [0, 1, FIND_BATCH] {
            reading.look_ahead(&paths[..count], reading.published());
        }
        reading.look_ahead(&[b"", b"/", b"n0"], reading.published());
    }

    /// Whatever is read next, and however far the tree has gone on.
    #[test]
    fn what_was_looked_at_changes_no_read() {
        let mut world = World::new(1);
        let names: Vec<String> = (0..6).map(|at| format!("/n{at}")).collect();
        for name in &names[..5] {
            world.create(name, b"first");
        }
        world.publish();
        let before = world.readers[0].enter().published();
        world.delete(&names[1]);
        world.delete(&names[2]);
        world.create(&names[2], b"second");
        world.set_data(&names[3], b"second");
        world.publish();
        let reading = world.readers[0].enter();
        let now = reading.published();
        let paths: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let read = |path: &[u8], at| reading.node(path, at).map(|node| node.data().map(<[u8]>::to_vec));
        let told = |at| paths.iter().map(|path| read(path, at)).collect::<Vec<_>>();
        let first = Some(Some(b"first".to_vec()));
        let second = Some(Some(b"second".to_vec()));
        let expected = [first.clone(), None, second.clone(), second, first.clone(), None];
        let expected_before = [&first, &first, &first, &first, &first, &None].map(Clone::clone);
        assert_eq!((told(before), told(now)), (expected_before.to_vec(), expected.to_vec()));
        for from in 0..paths.len() {
            for looked_at in [before, now] {
                reading.look_ahead(&paths[from..], looked_at);
                assert_eq!(told(now), expected, "from {from}");
                reading.look_ahead(&paths[from..], looked_at);
                assert_eq!(told(before), expected_before, "from {from}");
                reading.look_ahead(&paths[from..], looked_at);
                for (path, expected) in paths.iter().zip(&expected).rev() {
                    assert_eq!(
                        (read(path, now), read(b"", now).is_some()),
                        (expected.clone(), true),
                        "from {from}"
                    );
                }
            }
        }
    }
}
