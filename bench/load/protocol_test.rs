//! Tests of `protocol`: the bytes are those of ZooKeeper's own encoders.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
        .collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[test]
fn requests_are_the_bytes_of_a_java_client() {
    assert_eq!(
        written(|out| connect_request(out, 10_000)),
        hex("0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010
             00000000000000000000000000000000 00")
    );
    assert_eq!(written(ping), hex("00000008 fffffffe 0000000b"));
    assert_eq!(
        written(|out| get_data(out, 1, b"/", false)),
        hex("0000000e 00000001 00000004 00000001 2f 00")
    );
    assert_eq!(
        written(|out| set_data(out, 2, b"/a", b"xy")),
        hex("00000018 00000002 00000005 00000002 2f61 00000002 7879 ffffffff")
    );
    assert_eq!(
        written(|out| create(out, 3, b"/a", b"x", Flags::Persistent)),
        hex("00000032 00000003 00000001 00000002 2f61 00000001 78 00000001 0000001f
             00000005 776f726c64 00000006 616e796f6e65 00000000")
    );
    assert_eq!(written(|out| create(out, 3, b"/a", b"x", Flags::EphemeralSequential))[50..], hex("00000003"));
    assert_eq!(written(|out| exists(out, 1, b"/", true)), hex("0000000e 00000001 00000003 00000001 2f 01"));
    assert_eq!(written(|out| get_children(out, 1, b"/")), hex("0000000e 00000001 00000008 00000001 2f 00"));
    assert_eq!(
        written(|out| delete(out, 1, b"/a")),
        hex("00000012 00000001 00000002 00000002 2f61 ffffffff")
    );
    assert_eq!(
        written(|out| multi(out, 1, 1, |out| multi_set(out, b"/a", b"x"))),
        hex("00000029 00000001 0000000e 00000005 00 ffffffff 00000002 2f61 00000001 78 ffffffff
             ffffffff 01 ffffffff")
    );
    assert_eq!(
        written(|out| auth(out, "digest", b"a:b")),
        hex("0000001d fffffffc 00000064 00000000 00000006 646967657374 00000003 613a62")
    );
    assert_eq!(written(|out| close_session(out, 4)), hex("00000008 00000004 fffffff5"));
}

#[test]
fn a_stream_is_cut_into_frames_and_bad_lengths_are_named() {
    let stream = hex("00000002 aabb 00000001 cc 000000");
    assert_eq!(front(&stream), Front::Frame(&[0xaa, 0xbb]));
    assert_eq!(front(&stream[6..]), Front::Frame(&[0xcc]));
    assert_eq!(front(&stream[11..]), Front::Partial);
    assert_eq!(front(&stream[..5]), Front::Partial);
    assert_eq!(front(&hex("ffffffff")), Front::BadLength(-1));
    assert_eq!(front(&hex("7fffffff 00")), Front::BadLength(i32::MAX));
    assert_eq!(int_at(&[0, 0, 0], 0), None);
}

#[test]
fn lists_and_notifications_are_read_and_short_ones_are_none() {
    let list = hex("00000002 00000001 61 00000002 6263");
    assert_eq!(strings(&list), Some(vec![b"a".to_vec(), b"bc".to_vec()]));
    assert_eq!(strings(&list[..list.len() - 1]), None);
    assert_eq!(strings(&hex("00000001 ffffffff")), None);
    assert_eq!(strings(&hex("00000000")), Some(Vec::new()));
    assert_eq!(notified_path(&hex("00000003 00000003 00000002 2f61")), Some(&b"/a"[..]));
    assert_eq!(notified_path(&hex("00000003")), None);
}
