//! Looks at a tree: pages in order, in bounded pieces, beside changes, and never more than may be seen.

use super::*;
use crate::shard::testing::Bench;

fn someone(scheme: &str, id: &str) -> Vec<Identity> {
    vec![Identity { scheme: scheme.to_owned(), id: id.to_owned() }]
}

fn children_of(path: &str, from: &str, limit: usize) -> Look {
    Look::new(path, from, limit, false, vec![])
}

/// Until it is done; how many turns that took.
fn turns(bench: &mut Bench, look: &mut Look) -> usize {
    for turn in 1..10_000 {
        bench.shard.look(look);
        if look.seen().is_some() {
            return turn;
        }
    }
    panic!("{look:?} comes to no end");
}

fn found(bench: &mut Bench, mut look: Look) -> Found {
    turns(bench, &mut look);
    look.seen().expect("done").expect("to be seen").clone()
}

fn unseen(bench: &mut Bench, mut look: Look) -> Option<Unseen> {
    turns(bench, &mut look);
    look.seen().expect("done").err()
}

fn names(found: &Found) -> Vec<String> {
    found.children.iter().map(|child| String::from_utf8_lossy(child.path.name()).into_owned()).collect()
}

fn name(path: Option<&Path>) -> Option<String> {
    path.map(|path| String::from_utf8_lossy(path.name()).into_owned())
}

fn acl(perms: i32, scheme: &str, id: &str) -> OwnedAcl {
    OwnedAcl::new(perms, scheme, id)
}

#[test]
fn a_page_has_children_in_order_and_says_where_the_next_begins() {
    let mut bench = Bench::new();
    for path in ["/a", "/a/c", "/a/b", "/a/b/below", "/a/e", "/a/d"] {
        bench.write(None, |world| world.create(path, b"data"));
    }
    bench.write(None, |world| world.create_ephemeral(7, "/a/é"));
    let first = found(&mut bench, children_of("/a", "", 2));
    assert_eq!(names(&first), ["b", "c"]);
    assert_eq!(name(first.next.as_ref()).as_deref(), Some("d"));
    let (stat, kind) = first.children[0].seen.expect("readable");
    assert_eq!((stat.num_children, stat.data_length, kind), (1, 4, Kind::Persistent));
    let second = found(&mut bench, children_of("/a", "d", 2));
    assert_eq!(
        (names(&second), name(second.next.as_ref())),
        (vec!["d".into(), "e".into()], Some("é".into()))
    );
    let last = found(&mut bench, children_of("/a", "é", 2));
    assert_eq!((names(&last), last.next.as_ref()), (vec!["é".to_owned()], None));
    assert!(matches!(last.children[0].seen, Some((_, Kind::Ephemeral(_)))));
    let znode = last.znode.expect("readable");
    assert_eq!((znode.stat.num_children, znode.acl, znode.data), (5, vec![acl(31, "world", "anyone")], None));
    // What was the next one's beginning is gone: the page begins behind it.
    bench.write(None, |world| world.delete("/a/d"));
    assert_eq!(names(&found(&mut bench, children_of("/a", "d", 2))), ["e", "é"]);
    assert_eq!(names(&found(&mut bench, children_of("/a", "z", 2))), ["é"]);
    let alone = found(&mut bench, children_of("/a", "", 0));
    assert_eq!((alone.children.len(), alone.next, alone.znode.is_some()), (0, None, true));
    let root = found(&mut bench, children_of("/", "a", 100));
    assert_eq!(
        names(&root).first().map(String::as_str),
        Some("a"),
        "the root's children are found by name, too"
    );
}

#[test]
fn many_children_take_turns_and_all_pages_together_are_all_of_them() {
    let mut bench = Bench::new();
    bench.world.create("/many", b"");
    const MANY: usize = 5 * limits::TURN_BUDGET;
    for child in 0..MANY {
        bench.world.create(&format!("/many/{child:06}"), b"");
    }
    bench.write(None, |world| world.set_data("/many", b""));
    let mut look = children_of("/many", "", usize::MAX);
    let took = turns(&mut bench, &mut look);
    assert!(took > MANY / PIECE, "{took} turns");
    let (mut seen, mut from) = (0, String::new());
    loop {
        let page = found(&mut bench, children_of("/many", &from, usize::MAX));
        assert!(page.children.len() <= CHILDREN_MAX);
        let expected: Vec<String> = (seen..seen + page.children.len()).map(|at| format!("{at:06}")).collect();
        assert_eq!(names(&page), expected);
        seen += page.children.len();
        let Some(next) = name(page.next.as_ref()) else { break };
        from = next;
    }
    assert_eq!(seen, MANY);
}

#[test]
fn what_changes_meanwhile_hides_no_other_child() {
    let mut bench = Bench::new();
    bench.world.create("/many", b"");
    for child in 0..4 * PIECE {
        bench.world.create(&format!("/many/{child:06}"), b"");
    }
    bench.write(None, |world| world.create("/many/a", b""));
    let mut look = children_of("/many", "", 3);
    bench.shard.look(&mut look);
    assert_eq!(look.seen(), None);
    // Nearly all go, so that the next creation makes the parent's bag anew, with other positions.
    for child in 0..4 * PIECE {
        bench.write(None, |world| world.delete(&format!("/many/{child:06}")));
    }
    bench.write(None, |world| world.create("/many/b", b""));
    turns(&mut bench, &mut look);
    let seen = look.seen().expect("done").expect("to be seen");
    assert!(names(seen).iter().all(|name| name == "a" || name == "b"), "{:?}", names(seen));
    assert_eq!(names(&found(&mut bench, children_of("/many", "", 3))), ["a", "b"]);
    // The parent itself goes in the middle of a look.
    for child in 0..2 * PIECE {
        bench.write(None, |world| world.create(&format!("/many/{child:06}"), b""));
    }
    let mut look = children_of("/many", "", 3);
    bench.shard.look(&mut look);
    for child in 0..2 * PIECE {
        bench.write(None, |world| world.delete(&format!("/many/{child:06}")));
    }
    for path in ["/many/a", "/many/b", "/many"] {
        bench.write(None, |world| world.delete(path));
    }
    turns(&mut bench, &mut look);
    assert_eq!(look.seen(), Some(Err(Unseen::NoNode)));
}

#[test]
fn nobody_sees_more_than_a_client_with_the_same_identities() {
    let mut bench = Bench::new();
    for path in ["/open", "/closed", "/closed/child", "/mixed"] {
        bench.write(None, |world| world.create(path, b"data"));
    }
    let bobs = acl(perms::ALL, "digest", "bob:hash");
    bench.write(None, |world| world.set_acl("/closed", std::slice::from_ref(&bobs)));
    let mixed = [bobs.clone(), acl(perms::READ, "world", "anyone")];
    bench.write(None, |world| world.set_acl("/mixed", &mixed));
    let look = |path: &str, who: &[Identity]| Look::new(path, "", 10, true, who.to_vec());

    assert_eq!(unseen(&mut bench, look("/none", &[])), Some(Unseen::NoNode));
    assert_eq!(unseen(&mut bench, look("/closed", &[])), Some(Unseen::NoAuth));
    assert_eq!(unseen(&mut bench, look("/closed", &someone("digest", "ann:hash"))), Some(Unseen::NoAuth));
    for who in [someone("digest", "bob:hash"), someone("super", "")] {
        let seen = found(&mut bench, look("/closed", &who));
        assert_eq!(names(&seen), ["child"]);
        let znode = seen.znode.expect("readable");
        assert_eq!((znode.acl, znode.data), (vec![bobs.clone()], Some(Some(b"data".to_vec()))));
    }
    // Its name stands in the list, as in getChildren's.
    let root = found(&mut bench, look("/", &[]));
    let seen = |of: &str| {
        root.children.iter().find(|child| child.path.bytes() == of.as_bytes()).map(|c| c.seen.is_some())
    };
    assert_eq!((seen("/open"), seen("/closed"), seen("/mixed")), (Some(true), Some(false), Some(true)));
    // Who may not set an ACL isn't shown its hashes.
    let shown = |bench: &mut Bench, who: &[Identity]| {
        found(bench, look("/mixed", who)).znode.expect("readable").acl[0].id.clone()
    };
    assert_eq!(shown(&mut bench, &[]), "bob:x");
    assert_eq!(shown(&mut bench, &someone("digest", "bob:hash")), "bob:hash");
}

#[test]
fn data_is_cut_and_null_is_not_empty() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/large", &vec![b'x'; 2 * DATA_BYTES_MAX]));
    bench.write(None, |world| world.create_ephemeral(3, "/null"));
    bench.write(None, |world| world.create("/empty", b""));
    let data = |bench: &mut Bench, path: &str| {
        let seen = found(bench, Look::new(path, "", 0, true, vec![]));
        seen.znode.expect("readable").data.expect("asked for")
    };
    assert_eq!(data(&mut bench, "/large").map(|data| data.len()), Some(DATA_BYTES_MAX));
    assert_eq!(data(&mut bench, "/null"), None);
    assert_eq!(data(&mut bench, "/empty"), Some(vec![]));
}

#[test]
fn long_names_make_short_pages() {
    let mut bench = Bench::new();
    bench.world.create("/long", b"");
    let long = "n".repeat(NAMES_BYTES_MAX / 3);
    for child in 0..4 {
        bench.write(None, |world| world.create(&format!("/long/{child}{long}"), b""));
    }
    bench.write(None, |world| world.create(&format!("/long/4{}", "n".repeat(2 * NAMES_BYTES_MAX)), b""));
    let mut lengths = vec![];
    let mut from = String::new();
    loop {
        let page = found(&mut bench, children_of("/long", &from, 100));
        lengths.push(page.children.len());
        let Some(next) = name(page.next.as_ref()) else { break };
        from = next;
    }
    assert_eq!(lengths, [2, 2, 1]);
}
