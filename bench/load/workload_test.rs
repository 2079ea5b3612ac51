//! Tests of `workload`.

use super::*;

fn endless(mix: Mix, keys: u64) -> Workload {
    let endless = Endless {
        mix,
        keys,
        rng: Prng::salted(7, "workload"),
        create_prefix: format!("{ROOT}/new"),
        created: 0,
    };
    Workload::new(Source::Endless(endless), 100)
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
fn mixes_and_shapes_are_read_and_wrong_ones_named() {
    assert_eq!("get".parse(), Ok(Mix::Get));
    assert_eq!("mixed:0.9".parse(), Ok(Mix::Mixed { gets_per_mille: 900 }));
    assert_eq!(Mix::Mixed { gets_per_mille: 900 }.to_string(), "mixed:0.9");
    for wrong in ["", "Get", "mixed", "mixed:1.1", "mixed:x", "get:1"] {
        assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
    }
    assert_eq!("10x20".parse(), Ok(Shape { parents: 10, children: 20 }));
    for wrong in ["10", "0x5", "5x0", "x", "10x", "20000x1"] {
        assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
    }
}

#[test]
fn a_mix_keeps_its_share_and_its_keys() {
    let mut load = endless(Mix::Mixed { gets_per_mille: 900 }, 10);
    let mut gets = 0;
    for xid in 1..=10_000 {
        let mut out = Vec::new();
        let (kind, _) = load.write_next(0, xid, &mut out).expect("endless");
        gets += usize::from(kind == Kind::Get);
        let path = &out[16..16 + 26];
        assert!(path.starts_with(b"/preload/p0000/child-0000"), "{:?}", String::from_utf8_lossy(path));
    }
    assert!((8_800..9_200).contains(&gets), "{gets}");
}

#[test]
fn creates_never_repeat_a_path() {
    let mut load = endless(Mix::Create, 1);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (_, body) = load.write_next(3, 1, &mut first).expect("endless");
    load.write_next(3, 1, &mut second).expect("endless");
    assert_ne!(first, second);
    assert_eq!(body as usize, 4 + "/preload/new/s00003/n0000000001".len());
}

#[test]
fn a_list_of_creates_ends() {
    let mut load = Workload::new(Source::Creates(Box::new(child_paths(1, 1))), 0);
    let mut out = Vec::new();
    assert!(load.write_next(0, 1, &mut out).is_some());
    let length = out.len();
    assert!(load.write_next(0, 2, &mut out).is_none());
    assert_eq!(out.len(), length);
}
