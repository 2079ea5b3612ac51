//! Import, export and import again; and where nothing is written.

use super::*;
use crate::cli::apache::testing::{Scratch, World};
use crate::wire::Decode;

fn arguments(from: &Path, to: &Path) -> Import {
    Import { from: from.to_owned(), from_log: None, to: to.to_owned(), lenient: false }
}

fn try_import(from: &Path, to: &Path) -> Result<String, String> {
    import(&arguments(from, to), &Progress::hidden(), &mut |_| {}).map_err(|refused| refused.text)
}

/// Who says so of a directory whose log is in it, and empty.
fn try_import_of_both(data: &Path, log: &Path, to: &Path) -> Result<String, String> {
    let arguments = Import { from_log: Some(log.to_owned()), ..arguments(data, to) };
    import(&arguments, &Progress::hidden(), &mut |_| {}).map_err(|refused| refused.text)
}

fn try_export(from: &Path, to: &Path) -> Result<String, String> {
    export_packed(from, to, Packing::None)
}

fn export_packed(from: &Path, to: &Path, compress: Packing) -> Result<String, String> {
    let arguments = Export { from: from.to_owned(), from_log: None, to: to.to_owned(), compress };
    export(&arguments, &Progress::hidden()).map_err(|refused| refused.text)
}

/// Of the line that says what was done.
fn facts(line: &str) -> &str {
    let facts = line.split_once(": ").expect("place: facts").1;
    facts.split(';').next().unwrap_or_default()
}

fn source(world: &World) -> Scratch {
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", &world.log(1, 8));
    scratch
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII")).collect();
    names.sort();
    names
}

#[test]
fn there_and_back_the_tree_is_the_same() {
    let world = World::small();
    let (source, ours, back, again) = (source(&world), Scratch::new(), Scratch::new(), Scratch::new());
    fs::write(source.path().join("myid"), "3\n").expect("room");
    source.put("acceptedEpoch", b"2");
    source.put("currentEpoch", b"1");
    let imported = try_import(source.path(), ours.path()).expect("whole");
    assert!(imported.ends_with("accepted epoch 2, current epoch 1"), "{imported}");
    assert!(imported.contains(&format!("zxid 0x8, digest {:#x}", world.store.digest())), "{imported}");
    assert_eq!(names(ours.path()), ["myid", "ringkeeper-1"]);
    let exported = try_export(ours.path(), back.path()).expect("whole");
    assert_eq!(facts(&exported), facts(&imported));
    assert!(exported.ends_with("; snapshot 0x8 and 0 transactions behind it"), "{exported}");
    assert_eq!(names(back.path()), ["myid", "version-2"]);
    assert_eq!(names(&back.path().join("version-2")), ["acceptedEpoch", "currentEpoch", "snapshot.8"]);
    let imported_again = try_import_of_both(back.path(), back.path(), again.path()).expect("whole");
    assert_eq!(facts(&imported_again), facts(&imported));
    assert_eq!(fs::read_to_string(again.path().join("myid")).expect("copied"), "3\n");
    assert_eq!(
        names(&source.path().join("version-2")),
        ["acceptedEpoch", "currentEpoch", "log.1", "snapshot.0"]
    );
}

#[test]
fn packed_snapshots_are_smaller_and_hold_the_same() {
    let mut world = World::small();
    // Several pieces and blocks; data that packs, and data that doesn't.
    let mut random = crate::base::Prng::salted(5, "packed");
    for number in 0..3000 {
        let data: Vec<u8> = (0..random.below(600)).map(|_| random.next() as u8).collect();
        world.create(&format!("/a/n{number}"), &data, false);
        world.create(&format!("/c/n{number}"), &[7; 400], false);
    }
    let (source, ours) = (Scratch::new(), Scratch::new());
    source.put("snapshot.0", &World::new().snapshot());
    source.put("log.1", &world.log(1, world.entries.len()));
    let imported = try_import(source.path(), ours.path()).expect("whole");
    let mut bytes = vec![];
    for (packing, suffix) in [(Packing::None, ""), (Packing::Gzip, ".gz"), (Packing::Snappy, ".snappy")] {
        let (back, again) = (Scratch::new(), Scratch::new());
        let exported = export_packed(ours.path(), back.path(), packing).expect("whole");
        assert_eq!(facts(&exported), facts(&imported));
        let name = format!("snapshot.{:x}{suffix}", world.entries.len());
        assert_eq!(names(&back.path().join("version-2")), [name.as_str()]);
        bytes.push(fs::metadata(back.path().join("version-2").join(name)).expect("there").len());
        let imported_again = try_import_of_both(back.path(), back.path(), again.path()).expect("whole");
        assert_eq!(facts(&imported_again), facts(&imported), "{packing:?}");
    }
    assert!(bytes[1] < bytes[0] * 3 / 4 && bytes[2] < bytes[0] * 3 / 4, "{bytes:?}");
}

#[test]
fn nothing_is_written_where_something_is_or_into_the_source() {
    let world = World::small();
    let (source, target) = (source(&world), Scratch::new());
    fs::write(target.path().join("mine"), "").expect("room");
    assert!(try_import(source.path(), target.path()).is_err_and(|text| text.contains("isn't empty")));
    assert_eq!(names(target.path()), ["mine"]);
    for inside in ["", "new", "version-2", "new/deeper"] {
        let to = source.path().join(inside);
        assert!(try_import(source.path(), &to).is_err_and(|text| text.contains("only read")), "{inside}");
    }
    assert!(
        try_import(&source.path().join("gone"), target.path())
            .is_err_and(|text| text.contains("cannot open"))
    );
    assert_eq!(names(source.path()), ["version-2"]);
}

#[test]
fn a_directory_that_is_no_source_is_told_from_one_that_is_damaged() {
    let (world, ours, target) = (World::small(), Scratch::new(), Scratch::new());
    let source = source(&world);
    try_import(source.path(), ours.path()).expect("whole");
    for (from, hint) in [
        (source.path().join("version-2"), "has no version-2"),
        (source.path().join("version-2"), "name the directory above it"),
        (ours.path().to_owned(), "it is ringkeeper's own already"),
        (target.path().to_owned(), "name the dataDir of its zoo.cfg"),
    ] {
        let to = Scratch::new();
        let text = try_import(&from, to.path()).expect_err("no source");
        assert!(text.contains(hint), "{text}");
    }
}

/// What was acknowledged is in its log. Without that a member would vote with less, under its old id.
#[test]
fn a_directory_whose_log_is_elsewhere_is_not_taken_for_all() {
    let world = World::small();
    let (data, log, target) = (Scratch::new(), Scratch::new(), Scratch::new());
    data.put("snapshot.0", &World::new().snapshot());
    data.put("acceptedEpoch", b"1");
    data.put("currentEpoch", b"1");
    log.put("log.1", &world.log(1, 8));
    for snapshot in [None, Some(("snapshot.3", world_of(3).snapshot()))] {
        if let Some((name, bytes)) = snapshot {
            data.put(name, &bytes);
        }
        let refusal = try_import(data.path(), target.path()).expect_err("half of it");
        assert!(
            refusal.contains("holds no log") && refusal.contains("Name its dataLogDir behind it"),
            "{refusal}"
        );
        assert_eq!(names(target.path()), Vec::<String>::new());
    }
    // From before there was a dataLogDir.
    data.put("log.1", &world.log(1, 2));
    let refusal = try_import(data.path(), target.path()).expect_err("half of it");
    assert!(refusal.contains("holds logs that end before its newest snapshot"), "{refusal}");
    let imported = try_import_of_both(data.path(), log.path(), target.path()).expect("all of it");
    assert!(
        imported.contains("zxid 0x8") && imported.ends_with("accepted epoch 1, current epoch 1"),
        "{imported}"
    );
}

/// The first transactions of the same world.
fn world_of(count: usize) -> World {
    let mut world = World::new();
    for entry in &World::small().entries[..count] {
        let entry = crate::wire::txn::Entry::decode(&mut crate::wire::Reader::new(entry)).expect("ours");
        world.apply(&entry.txn);
    }
    world
}

#[test]
fn a_source_that_is_refused_leaves_the_target_empty() {
    let world = World::small();
    let (source, target) = (source(&world), Scratch::new());
    let mut log = world.log(1, 8);
    log[100] ^= 1;
    source.put("log.1", &log);
    let refused = import(&arguments(source.path(), target.path()), &Progress::hidden(), &mut |_| {})
        .expect_err("refused");
    assert_eq!(refused.code, 4);
    assert!(refused.text.contains("log.1: damaged at byte"), "{}", refused.text);
    assert_eq!(names(target.path()), Vec::<String>::new());
    assert!(
        try_export(source.path(), target.path()).is_err_and(|text| text.contains("no data of ringkeeper"))
    );
    assert_eq!(names(target.path()), Vec::<String>::new());
}
