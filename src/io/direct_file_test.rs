//! Direct writes on the real file system. Where it takes none (an old tmpfs under the temporary directory) they can't be
//! tested, and the tests fail and say so.

use std::os::unix::fs::MetadataExt;

use super::super::directory::tests::{Scratch, on_a_tiny_disk};
use super::super::error::ErrorKind;
use super::*;

const BYTES: u64 = 3 << 20;

fn create(scratch: &Scratch) -> DirectFile {
    DirectFile::create(&scratch.path().join("segment"), BYTES)
        .expect("a file system that takes direct writes")
}

fn content(file: &DirectFile) -> Vec<u8> {
    std::fs::read(file.path()).unwrap()
}

/// `bytes` at `offset` and nothing else.
fn assert_only(content: &[u8], offset: usize, bytes: &[u8]) {
    assert_eq!(&content[offset..offset + bytes.len()], bytes);
    let others = content[..offset].iter().chain(&content[offset + bytes.len()..]);
    assert!(others.copied().all(|byte| byte == 0), "zeroes around it");
}

#[test]
fn what_is_written_is_in_the_file_once_it_is_persisted() {
    let scratch = Scratch::new("direct");
    let mut file = create(&scratch);
    file.write_at(0, b"head").unwrap();
    assert_only(&content(&file), 0, b"");
    file.persist().unwrap();
    assert_only(&content(&file), 0, b"head");
    // It goes on in the block; leaves out a few bytes; and goes past the block.
    file.write_at(4, b"er").unwrap();
    file.write_at(8, &[7; 5000]).unwrap();
    file.persist().unwrap();
    file.write_at(5008, b"end").unwrap();
    file.persist().unwrap();
    let expected = [&b"header\0\0"[..], &[7; 5000], b"end"].concat();
    assert_only(&content(&file), 0, &expected);
    assert_eq!(std::fs::metadata(file.path()).unwrap().len(), BYTES, "it never grows");
}

#[test]
fn nothing_to_persist_is_no_write() {
    let scratch = Scratch::new("nothing");
    let mut file = create(&scratch);
    assert!(file.piece().is_none());
    file.persist().unwrap();
    file.write_at(0, b"a").unwrap();
    file.persist().unwrap();
    assert!(file.piece().is_none());
}

#[test]
fn a_file_that_is_opened_goes_on_where_it_ended() {
    let scratch = Scratch::new("again");
    let mut file = create(&scratch);
    file.write_at(0, &[1; 6000]).unwrap();
    file.persist().unwrap();
    let path = file.path().to_owned();
    drop(file);
    let mut file = DirectFile::open(&path).unwrap();
    file.write_at(6000, &[2; 10]).unwrap();
    file.persist().unwrap();
    assert_only(&content(&file), 0, &[&[1; 6000][..], &[2; 10]].concat());
    // At the first byte of a block there is nothing before it to keep.
    let mut file = DirectFile::open(&path).unwrap();
    file.write_at(8192, b"x").unwrap();
    file.persist().unwrap();
    assert_eq!(content(&file)[8192], b'x');
    assert_eq!(content(&file)[6009], 2);
}

#[test]
fn offsets_may_leave_out_what_is_left_of_a_block() {
    let scratch = Scratch::new("gaps");
    let mut file = create(&scratch);
    file.write_at(0, &[1; 4090]).unwrap();
    file.write_at(4096, &[2; 8]).unwrap();
    file.persist().unwrap();
    file.write_at(4112, &[3; 8]).unwrap();
    file.persist().unwrap();
    assert_only(&content(&file), 0, &[&[1; 4090][..], &[0; 6], &[2; 8], &[0; 8], &[3; 8]].concat());
}

#[test]
fn what_an_older_use_left_in_the_block_is_wiped() {
    let scratch = Scratch::new("reused");
    let path = scratch.path().join("segment");
    std::fs::write(&path, vec![9; 3 * 4096]).unwrap();
    let mut file = DirectFile::open(&path).unwrap();
    file.write_at(0, b"new").unwrap();
    file.persist().unwrap();
    let content = content(&file);
    assert_eq!((&content[..3], &content[3..4096]), (&b"new"[..], &[0; 4093][..]));
    assert!(content[4096..].iter().all(|byte| *byte == 9), "and only there");
}

#[test]
fn a_piece_larger_than_the_buffer_is_written_and_its_room_given_back() {
    let scratch = Scratch::new("large");
    let mut file = create(&scratch);
    file.write_at(0, &[1; 10]).unwrap();
    let large: Vec<u8> = (0..BYTES - 10).map(|at| (at % 251) as u8 + 1).collect();
    file.write_at(10, &large).unwrap();
    assert!(file.buffer.len() > BUFFER_BYTES);
    file.persist().unwrap();
    assert_eq!(file.buffer.len(), BUFFER_BYTES);
    let content = content(&file);
    assert_eq!((&content[..10], &content[10..]), (&[1; 10][..], &large[..]));
}

#[test]
#[should_panic(expected = "a segment never grows")]
fn nothing_is_written_past_the_end() {
    let scratch = Scratch::new("end");
    let _ = create(&scratch).write_at(BYTES - 1, b"xy");
}

#[test]
fn a_first_write_changes_nothing() {
    let scratch = Scratch::new("tried");
    let path = scratch.path().join("segment");
    let bytes: Vec<u8> = (0..3 * 4096).map(|at| (at % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let mut file = DirectFile::open(&path).unwrap().try_write().unwrap();
    assert_eq!(content(&file), bytes);
    file.write_at(5000, b"x").unwrap();
    file.persist().unwrap();
    assert_eq!((&content(&file)[..5000], content(&file)[5000]), (&bytes[..5000], b'x'));
}

#[test]
fn a_file_that_is_not_made_of_blocks_is_left_to_the_map() {
    let scratch = Scratch::new("odd");
    let path = scratch.path().join("segment");
    std::fs::write(&path, [0; 4097]).unwrap();
    let error = DirectFile::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("segment"), "{error}");
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    on_a_tiny_disk(|directory| {
        let error = DirectFile::create(&directory.join("segment"), BYTES).unwrap_err();
        assert!(error.is_space(), "{error}");
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    });
}

#[test]
fn all_of_it_is_allocated() {
    let scratch = Scratch::new("allocated-direct");
    let file = create(&scratch);
    assert!(std::fs::metadata(file.path()).unwrap().blocks() * 512 >= BYTES);
}
