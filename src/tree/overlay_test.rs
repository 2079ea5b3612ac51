//! The overlay says what the tree will say, and forgets it when the tree does.

use super::*;
use crate::base::Prng;
use crate::tree::store::ROOT;
use crate::tree::testing::{Pipeline, image_of, random_request};
use crate::wire::client::multi::encode_list;
use crate::wire::client::{MultiOp, SetDataRequest};
use crate::wire::txn::Entry as Logged;
use crate::wire::{Decode, Opcode, Reader};

/// The whole promise: whatever is pending, prep decides as if all of it had been applied.
#[test]
fn prep_decides_as_if_everything_were_applied() {
    for seed in 0..100 {
        let (mut behind, mut prompt) = (Pipeline::new(), Pipeline::new());
        let mut prng = Prng::new(seed);
        for step in 0..200 {
            let mut twin = prng.clone();
            let decided = random_request(&mut behind, &mut prng);
            assert_eq!(decided, random_request(&mut prompt, &mut twin), "seed {seed} step {step}");
            prompt.apply_all();
            assert_eq!(prompt.overlay.count(), 0, "seed {seed} step {step}: nothing is pending");
            for _ in 0..prng.below(3) * prng.below(2) {
                behind.apply_one();
            }
            assert_entries_are_pending(&behind);
            if step % 20 == 19 {
                behind.reopen_sessions();
                prompt.reopen_sessions();
            }
        }
        behind.apply_all();
        assert_eq!(behind.overlay.count(), 0, "seed {seed}");
        assert!(behind.overlay.ephemerals.is_empty(), "seed {seed}");
        assert_eq!(image_of(&behind.world.store), image_of(&prompt.world.store), "seed {seed}");
    }
}

/// No entry outlives its transaction, and a pending ephemeral has an entry.
fn assert_entries_are_pending(pipeline: &Pipeline) {
    let overlay = &pipeline.overlay;
    for entry in &overlay.table {
        assert!(entry.last > pipeline.world.zxid, "{entry:?}");
    }
    if pipeline.pending() == 0 {
        assert_eq!(overlay.count(), 0);
    }
    for (path, last) in overlay.ephemerals.values().flatten() {
        assert!(*last > pipeline.world.zxid);
        let hash = overlay.key.hash(path.bytes());
        let entry = overlay.table.find(hash, |entry| entry.state.path == *path).expect("its own entry");
        assert!(entry.last >= *last);
    }
}

/// Where prep found a node is told once, in order, of the transaction that changes its data; not of a multi, nor of what is past.
#[test]
fn apply_is_told_where_prep_found_the_node() {
    let mut pipeline = Pipeline::new();
    pipeline.create(1, "/a", 0).expect("free");
    pipeline.apply_all();
    let slot = pipeline.world.store.find(b"/a").expect("created").0;
    let first = pipeline.world.zxid.next();
    pipeline.set_data(1, "/a", -1).expect("it is there");
    pipeline.create(1, "/b", 0).expect("free");
    pipeline.set_data(1, "/a", -1).expect("it is there");
    pipeline.set_data(1, "/b", -1).expect("it is pending");
    assert!(pipeline.set_data(1, "/a", 77).is_err());
    let request = SetDataRequest { path: "/a".into(), data: Some(b"multi"), version: -1 };
    let mut body = vec![];
    encode_list(&mut body, [MultiOp::SetData(request)]);
    pipeline.propose(1, Opcode::Multi, &body).expect("allowed");

    let overlay = &mut pipeline.overlay;
    let spot = overlay.take_spot(first).expect("the first set's");
    assert_eq!((spot.slot, spot.hash), (slot, overlay.hash(b"/a")));
    assert!(overlay.take_spot(first).is_none(), "told once");
    assert!(overlay.take_spot(first.next()).is_none(), "a create");
    // The second set is passed over: the third one's, of a node that isn't in the tree yet.
    let spot = overlay.take_spot(first.next().next().next()).expect("the third set's");
    assert_eq!((spot.slot, spot.hash), (ROOT, overlay.hash(b"/b")));
    assert_eq!(overlay.spots.len(), 0, "no multi, and nothing that was refused");
}

/// A slot is verified: one that is another node's, a dead one's or nobody's costs a lookup, and the right node is changed.
#[test]
fn a_wrong_slot_changes_no_other_node() {
    let mut pipeline = Pipeline::new();
    for path in ["/a", "/gone"] {
        pipeline.create(1, path, 0).expect("free");
    }
    pipeline.apply_all();
    let gone = pipeline.world.store.find(b"/gone").expect("created").0;
    pipeline.delete(1, "/gone", -1).expect("it is there");
    pipeline.apply_all();
    let hash = pipeline.overlay.hash(b"/a");
    for (version, slot) in (1..).zip([ROOT, gone, 12_345]) {
        let bytes = pipeline.set_data(1, "/a", -1).expect("it is there");
        let entry = Logged::decode(&mut Reader::new(&bytes)).expect("encoded by us");
        let root = pipeline.world.node("/").expect("the root").version;
        pipeline.world.store.apply_at(&entry.header, &entry.txn, Some(Spot { hash, slot }));
        assert_eq!(pipeline.world.node("/a").map(|node| node.version), Some(version), "slot {slot}");
        assert_eq!(pipeline.world.node("/").map(|node| node.version), Some(root));
        let spot = pipeline.overlay.take_spot(entry.header.zxid);
        pipeline.overlay.applied(entry.header.zxid, entry.header.client_id, &entry.txn, spot);
    }
}

#[test]
fn the_empty_path_is_the_root() {
    let mut pipeline = Pipeline::new();
    pipeline.create(1, "/a", 0).expect("free");
    let store = &pipeline.world.store;
    let root = pipeline.overlay.state(store, b"").expect("the root");
    assert_eq!((root.children_count, root.stat.cversion), (2, 1));
    assert_eq!(pipeline.overlay.count(), 2);
}

/// One entry per parent, however many ephemerals go with a session.
#[test]
fn a_session_that_closes_leaves_no_entry_per_node() {
    let mut pipeline = Pipeline::new();
    pipeline.create(1, "/p", 0).expect("free");
    for n in 0..100 {
        pipeline.create(1, &format!("/p/{n}"), 1).expect("free");
    }
    pipeline.apply_all();
    pipeline.create(1, "/p/pending", 1).expect("free");
    pipeline.set_data(2, "/p/7", -1).expect("there");
    pipeline.close(1).expect("always");
    assert_eq!(pipeline.overlay.count(), 3, "the parent, and the two that were touched before");
    for path in ["/p/7", "/p/8", "/p/pending"] {
        assert_eq!(pipeline.set_data(2, path, -1), Err(crate::wire::ErrorCode::NoNode), "{path}");
    }
    pipeline.create(2, "/p/8", 1).expect("its name is free");
    assert_eq!(pipeline.delete(2, "/p", -1), Err(crate::wire::ErrorCode::NotEmpty));
    pipeline.delete(2, "/p/8", -1).expect("there");
    pipeline.delete(2, "/p", -1).expect("nothing else will be left");
    pipeline.apply_all();
    assert_eq!((pipeline.overlay.count(), pipeline.world.store.nodes_count()), (0, 4));
    assert!(pipeline.overlay.closing.is_empty());
}
