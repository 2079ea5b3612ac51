//! Tests of `workload`.

use super::*;
use crate::bench::keys::Distribution;
use crate::bench::mix::{Work, parse_mix};

fn endless(mix: &str, keys: u64, sizes: Sizes) -> Workload {
    let mix = if mix.contains('=') {
        parse_mix(mix).expect("right")
    } else {
        let Ok(Work::Mix(mix)) = mix.parse() else { panic!("{mix} is a mix") };
        mix
    };
    let endless = Endless {
        mix,
        keys: Keys::new(keys, Distribution::Uniform),
        rng: Prng::salted(7, "workload"),
        prefix: format!("{ROOT}/new"),
        multi_ops: 3,
        locks: 2,
        queues: 2,
        made: vec![Made::default(); 4],
        ephemerals: 0,
    };
    Workload::new(Source::Endless(endless), sizes, 1)
}

/// The next request of session 3: op, path, what is expected.
fn next(load: &mut Workload) -> (i32, String, Asked) {
    let mut out = Vec::new();
    let asked = load.write_next(3, 1, 10, &mut out).expect("endless");
    let (path, _) = protocol::split_buffer(&out[12..]).unwrap_or_default();
    (protocol::int_at(&out, 8).expect("an op"), String::from_utf8_lossy(path).into_owned(), asked)
}

#[test]
fn the_two_ways_to_write_a_key_agree_and_measure_26_bytes() {
    for key in [0, 1, 999, 1_000, 123_456, 999_999] {
        let mut fast = Vec::new();
        write_key(&mut fast, key);
        assert_eq!(fast, child_path(key / CHILDREN_PER_PARENT, key % CHILDREN_PER_PARENT));
        assert_eq!(fast.len(), 26);
    }
    let mut wide = Vec::new();
    write_key(&mut wide, 12_345_678);
    assert_eq!(wide, b"/preload/p12345/child-00678");
}

#[test]
fn gets_in_a_row_are_those_that_are_written_one_by_one() {
    for keys in [1, 10_000, KEYS_OF_ONE_LENGTH] {
        let [mut together, mut apart] = [(); 2].map(|()| endless("get", keys, Sizes::fixed(100)));
        let (mut row, mut single) = (vec![9], vec![9]);
        for begin in [1, 17, i32::MAX - 16] {
            let (kind, expect) = together.write_gets(begin, 16, &mut row).expect("nothing else is asked");
            for xid in begin..begin + 16 {
                let asked = apart.write_next(0, xid, 10, &mut single);
                assert!(matches!(asked, Some(Asked::Single(k, e)) if (k, e) == (kind, expect)));
            }
            assert_eq!(row, single);
        }
        assert!(together.write_gets(i32::MAX - 15, 16, &mut row).is_none(), "xids begin again in between");
        assert_eq!(row, single, "nothing is written then");
    }
    let others = [("get", KEYS_OF_ONE_LENGTH + 1), ("exists", 10), ("get=9,set=1", 10)];
    for (mix, keys) in others {
        assert!(endless(mix, keys, Sizes::fixed(100)).write_gets(1, 16, &mut Vec::new()).is_none(), "{mix}");
    }
}

#[test]
fn two_numbers_are_written_at_once_whatever_they_are() {
    for number in 0..10_000 {
        let other = 9_999 - number;
        assert_eq!(digits(number, other), format!("{number:04}{other:04}").as_bytes());
    }
}

#[test]
fn a_tree_lists_every_parent_before_its_children_are_asked_for() {
    let parents: Vec<_> = parent_paths(2).collect();
    assert_eq!(parents, [&b"/preload"[..], b"/preload/p0000", b"/preload/p0001"]);
    let children: Vec<_> = child_paths(3, 2).collect();
    assert_eq!(
        children,
        [&b"/preload/p0000/child-00000"[..], b"/preload/p0000/child-00001", b"/preload/p0001/child-00000"]
    );
}

#[test]
fn shapes_are_read_and_wrong_ones_named() {
    assert_eq!("10x20".parse(), Ok(Shape { parents: 10, children: 20 }));
    for wrong in ["10", "0x5", "5x0", "x", "10x", "20000x1"] {
        assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
    }
}

#[test]
fn a_mix_keeps_its_share_and_its_keys() {
    let mut load = endless("mixed:0.9", 10, Sizes::fixed(100));
    let mut gets = 0;
    for _ in 0..10_000 {
        let (op, path, _) = next(&mut load);
        gets += usize::from(op == protocol::OP_GET_DATA);
        assert!(path.starts_with("/preload/p0000/child-0000"), "{path}");
    }
    assert!((8_800..9_200).contains(&gets), "{gets}");
}

#[test]
fn creates_never_repeat_a_path_and_deletes_follow_them() {
    let mut load = endless("create=1,delete=1", 1, Sizes::fixed(5));
    let (mut made, mut deleted) = (Vec::new(), Vec::new());
    for _ in 0..1_000 {
        let (op, path, asked) = next(&mut load);
        let Asked::Single(kind, expect) = asked else { panic!("one request: {asked:?}") };
        if op == protocol::OP_CREATE {
            assert_eq!((kind, expect), (Kind::Create, Expect::Bytes(4 + path.len() as u32)));
            made.push(path);
        } else {
            assert_eq!((kind, expect), (Kind::Delete, Expect::Bytes(0)));
            deleted.push(path);
        }
    }
    assert_eq!(made[0], "/preload/new/s00003/n0000000000");
    assert_eq!(deleted, made[..deleted.len()], "the oldest first, each once, none that wasn't made");
    assert!(deleted.len() > 400, "{}", deleted.len());
}

#[test]
fn every_operation_asks_for_what_it_is_called() {
    for (op, code, path) in [
        ("get", protocol::OP_GET_DATA, "/preload/p0000/child-00000"),
        ("exists", protocol::OP_EXISTS, "/preload/p0000/child-00000"),
        ("getChildren", protocol::OP_GET_CHILDREN, "/preload/p0000"),
        ("set", protocol::OP_SET_DATA, "/preload/p0000/child-00000"),
        ("delete", protocol::OP_CREATE, "/preload/new/s00003/n0000000000"),
        ("lock", protocol::OP_CREATE, "/preload/new/locks/l000"),
        ("queue", protocol::OP_CREATE, "/preload/new/queues/q000"),
        ("ephemeral", protocol::OP_CREATE, "/preload/new/s00003/e"),
    ] {
        let mut load = endless(op, 1, Sizes::fixed(5));
        let (asked_code, asked_path, asked) = next(&mut load);
        assert!(asked_code == code && asked_path.starts_with(path), "{op}: {asked_code} {asked_path}");
        let several = matches!(asked, Asked::Cycle(_));
        assert_eq!(several, ["lock", "queue", "ephemeral"].contains(&op), "{op}");
    }
    let (mut load, mut out) = (endless("multi", 1, Sizes::fixed(5)), Vec::new());
    let asked = load.write_next(0, 1, 0, &mut out).expect("endless");
    assert!(matches!(asked, Asked::Single(Kind::Multi, Expect::Bytes(240))), "{asked:?}");
    assert_eq!(out.windows(22).filter(|part| part == b"/preload/p0000/child-0").count(), 3);
}

#[test]
fn sizes_of_a_range_are_drawn_and_expected() {
    let mut load = endless("set", 1, Sizes { min: 10, max: 12 });
    let mut lengths: Vec<usize> = (0..100)
        .map(|_| {
            let mut out = Vec::new();
            load.write_next(0, 1, 0, &mut out);
            out.len()
        })
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths.len(), 3);
    let expect = Expect::Data { min: 1, max: 2 };
    for (data, stat, holds) in [(0, 68, false), (1, 68, true), (2, 68, true), (3, 68, false), (2, 67, false)]
    {
        let body = [&(data as i32).to_be_bytes()[..], &vec![0; data + stat]].concat();
        assert_eq!(expect.holds(&body), holds, "{data} bytes and {stat}");
    }
    assert!(Expect::AtLeast(4).holds(&[0; 5]) && !Expect::AtLeast(4).holds(&[0; 3]));
    assert!(Expect::Bytes(4).holds(&[0; 4]) && !Expect::Bytes(4).holds(&[0; 5]));
}

#[test]
fn the_parents_of_a_run_are_those_that_its_mix_needs() {
    for (mix, count) in
        [("get", 2), ("create", 2 + 4), ("lock", 2 + 1 + 2), ("lock=1,queue=1,ephemeral=1", 2 + 4 + 3 + 3)]
    {
        let load = endless(mix, 1, Sizes::fixed(0));
        let Source::Endless(endless) = &load.source else { panic!("endless") };
        assert_eq!(own_parents(endless).len(), count, "{mix}");
    }
}

#[test]
fn lists_end() {
    let mut load = Workload::new(Source::Creates(Box::new(child_paths(1, 1))), Sizes::fixed(0), 1);
    let mut out = Vec::new();
    assert!(load.write_next(0, 1, 0, &mut out).is_some());
    let length = out.len();
    assert!(load.write_next(0, 2, 0, &mut out).is_none());
    assert_eq!(out.len(), length);
    let mut load = Workload::new(Source::Sets(0..2), Sizes::fixed(0), 1);
    assert!(load.write_next(0, 1, 0, &mut out).is_some() && load.write_next(0, 1, 0, &mut out).is_some());
    assert!(load.write_next(0, 1, 0, &mut out).is_none());
}
