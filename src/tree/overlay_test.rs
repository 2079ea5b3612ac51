//! The overlay says what the tree will say, and forgets it when the tree does.

use crate::base::Prng;
use crate::tree::testing::{Pipeline, image_of, random_request};

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
