//! Directories as crashes, lost files and damage leave them.

use std::fs;

use super::super::read_epochs;
use super::super::testing::{KEY, SESSION, Scratch, World, log_of};
use super::*;
use crate::wire::txn::{CreateTxn, DeleteTxn, MultiTxn, SetAclTxn, SubTxn};
use crate::wire::vector::encode_vector;
use crate::wire::{AclList, Encode, OwnedAcl, Text};

fn try_recover(scratch: &Scratch, options: Options) -> (Result<Recovered, String>, Vec<String>) {
    let mut lines = vec![];
    let found = recover(scratch.path(), scratch.path(), options, KEY, &Progress::hidden(), &mut |line| {
        lines.push(line)
    });
    (found.map_err(|fault| fault.to_string()), lines)
}

fn refused(scratch: &Scratch) -> String {
    try_recover(scratch, Options::default()).0.err().expect("refused")
}

fn assert_recovers(scratch: &Scratch, world: &World) -> Vec<String> {
    let (found, lines) = try_recover(scratch, Options::default());
    let found = found.expect("recovers");
    assert_eq!(found.store.newest(), world.store.newest());
    assert_eq!(found.store.digest(), world.store.digest());
    assert_eq!(found.store.nodes_count(), world.store.nodes_count());
    assert_eq!(found.sessions, world.sessions);
    lines
}

/// The first transactions of the same world.
fn earlier(count: usize) -> World {
    let mut world = World::new();
    for entry in &World::small().entries[..count] {
        let entry = Entry::decode(&mut Reader::new(entry)).expect("ours");
        world.apply(&entry.txn);
    }
    world
}

#[test]
fn the_newest_snapshot_and_the_logs_behind_it_make_the_tree() {
    let mut world = World::small();
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", &world.log(1, 5));
    scratch.put("log.6", &world.log(6, 8));
    assert_recovers(&scratch, &world);
    scratch.put("snapshot.3", &earlier(3).snapshot());
    let lines = assert_recovers(&scratch, &world);
    assert!(lines[0].contains("snapshot.3") && lines.len() == 3, "{lines:?}");
    // Alone.
    let scratch = Scratch::new();
    scratch.put("snapshot.8", &world.snapshot());
    assert_recovers(&scratch, &world);
}

/// Its snapshot with another digest, of `zxid`.
fn with_digest(world: &mut World, zxid: i64, digest: u64) -> Vec<u8> {
    let mut snapshot = world.snapshot();
    let at = snapshot.len() - 54;
    snapshot.truncate(at);
    for section in [&zxid.to_be_bytes()[..], &2i32.to_be_bytes(), &digest.to_be_bytes()] {
        snapshot.extend(section);
    }
    let sum = i64::from(adler2::adler32_slice(&snapshot));
    snapshot.extend(sum.to_be_bytes());
    snapshot.extend(snapshot_reader::SEAL_PATH);
    snapshot
}

/// The transaction that is carried out while the last of a snapshot is written may be in it, while the digest is the one before.
#[test]
fn a_snapshot_may_hold_one_transaction_more_than_its_digest() {
    let world = World::small();
    for at in 1..8 {
        let before = earlier(at).store.digest();
        let (name, log) = (format!("snapshot.{at}"), world.log(at + 1, 8));
        let scratch = Scratch::new();
        scratch.put(&name, &with_digest(&mut earlier(at + 1), at as i64, before));
        scratch.put(&format!("log.{}", at + 1), &log);
        assert_recovers(&scratch, &world);
        // Nothing tells that it was that.
        let scratch = Scratch::new();
        scratch.put(&name, &with_digest(&mut earlier(at + 1), at as i64, before));
        assert!(
            earlier(at + 1).store.digest() == before || refused(&scratch).contains("the tree's digest was")
        );
        // A tree that no transaction makes right.
        let mut other = World::new();
        other.create("/other", b"", false);
        scratch.put(&name, &with_digest(&mut other, at as i64, before));
        scratch.put(&format!("log.{}", at + 1), &log);
        let told = refused(&scratch);
        assert!(
            told.contains(&format!("{name}: damaged at byte 0: at zxid {at:#x} the tree's digest was")),
            "{told}"
        );
    }
}

#[test]
fn a_fuzzy_snapshot_is_repaired_by_the_log() {
    let world = World::small();
    for (named, held) in [(0, 8), (2, 5), (3, 8), (4, 5), (7, 8)] {
        let scratch = Scratch::new();
        scratch.put(&format!("snapshot.{named}"), &earlier(held).snapshot());
        scratch.put("log.1", &world.log(1, 8));
        let (found, _) = try_recover(&scratch, Options::default());
        let found = found.expect("recovers");
        assert_eq!(found.store.digest(), world.store.digest(), "{named}, {held}");
        // Cut before what the snapshot holds: it was never whole.
        scratch.put("log.1", &world.log(1, held - 1));
        if held - 1 > named {
            assert!(refused(&scratch).contains("still being written"), "{named}, {held}");
        }
    }
}

/// The same without the last of its ACL lists, as if that had been met while the nodes were written.
fn without_last_list(snapshot: &[u8], lists: u8) -> Vec<u8> {
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, lists];
    encode_vector(&mut entry, mine());
    let at = snapshot.windows(entry.len()).position(|window| window == entry).expect("the last list");
    // The sections behind the body: a digest and a zxid, each with its seal.
    let (seal, digest) = (13, 20);
    let end = snapshot.len() - 54 - seal;
    let mut out = [&snapshot[..at], &snapshot[at + entry.len()..end]].concat();
    // Behind the header, and a session.
    let count = out[16..at].windows(4).position(|window| window == [0, 0, 0, lists]).expect("their number");
    out[16 + count + 3] -= 1;
    for section in [&[][..], &snapshot[end + seal..end + seal + digest]] {
        out.extend(section);
        out.extend(i64::from(adler2::adler32_slice(&out)).to_be_bytes());
        out.extend(snapshot_reader::SEAL_PATH);
    }
    out
}

fn mine() -> [OwnedAcl; 1] {
    [OwnedAcl::new(31, "digest", "u:x")]
}

/// A world in which a node is given a list of its own by the last of nine transactions.
fn with_a_list() -> World {
    let mut world = World::small();
    let mut list = vec![];
    encode_vector(&mut list, mine());
    let acl = Some(AclList::decode(&mut Reader::new(&list)).expect("encoded above"));
    world.apply(&Txn::SetAcl(SetAclTxn { path: Text::from("/a"), acl, version: 1 }));
    world
}

#[test]
fn a_list_that_the_snapshot_lacks_comes_from_the_log() {
    let mut world = with_a_list();
    let fuzzy = without_last_list(&world.snapshot(), 2);
    let scratch = Scratch::new();
    scratch.put("snapshot.8", &fuzzy);
    scratch.put("log.1", &world.log(1, 9));
    let (found, _) = try_recover(&scratch, Options::default());
    let found = found.expect("recovers");
    assert_eq!(found.store.digest(), world.store.digest());
    assert_eq!(found.store.find(b"/a").expect("there").1.acl().expect("its own")[..], mine());
    // Nothing gives it: it is of a transaction that is missing.
    let scratch = Scratch::new();
    scratch.put("snapshot.9", &fuzzy);
    let offered = Options { may_be_lenient: true, ..Options::default() };
    let why = try_recover(&scratch, offered).0.err().expect("refused");
    assert!(
        why.contains("snapshot.9: it doesn't hold the ACL list 2 of /a") && why.contains("--lenient"),
        "{why}"
    );
    let lenient = Options { lenient: true, ..Options::default() };
    let (found, told) = try_recover(&scratch, lenient);
    let acl = found.expect("as it is").store.find(b"/a").expect("there").1.acl().expect("closed");
    assert!(acl.iter().all(|entry| entry.perms == 0), "nobody is let in: {acl:?}");
    assert!(told.iter().any(|line| line.contains("the ACL list 2 of /a")), "{told:?}");
    let (found, _) = try_recover(&scratch, Options { doubts_lone: true, ..Options::default() });
    assert!(found.err().expect("in doubt").contains("clients set ACLs while it was taken"));
}

#[test]
fn a_snapshot_that_cant_be_used_is_passed_over_if_the_logs_have_all_of_it() {
    let world = World::small();
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    let whole = earlier(3).snapshot();
    scratch.put("snapshot.3", &whole[..whole.len() - 70]);
    scratch.put("log.1", &world.log(1, 8));
    let lines = assert_recovers(&scratch, &world);
    assert!(lines[0].contains("snapshot.3: at byte") && lines[0].contains("trying"), "{lines:?}");
    scratch.put("log.1", &world.log(1, 2));
    let refusal = refused(&scratch);
    assert!(refusal.contains("snapshot.3: damaged at byte") && refusal.contains("0x2"), "{refusal}");
    scratch.put("snapshot.0", b"");
    assert!(refused(&scratch).contains("no snapshot"));
}

#[test]
fn a_torn_tail_is_cut_where_nothing_is_missing() {
    let world = World::small();
    let first = world.log(1, 5);
    let torn = &first[..first.len() - 64 - 3];
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", torn);
    let lines = assert_recovers(&scratch, &earlier(4));
    assert!(lines[1].contains("torn at byte") && lines[1].contains("0x4"), "{lines:?}");
    // A server that was killed there went on in a new file.
    scratch.put("log.5", &world.log(5, 8));
    assert_recovers(&scratch, &world);
    fs::remove_file(scratch.path().join("version-2/log.5")).expect("there");
    scratch.put("log.6", &world.log(6, 8));
    let refusal = refused(&scratch);
    assert!(refusal.contains("log.1: damaged at byte") && refusal.contains("0x6"), "{refusal}");
}

#[test]
fn missing_transactions_and_other_digests_are_refused() {
    let mut world = World::small();
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", &world.log(1, 3));
    scratch.put("log.5", &world.log(5, 8));
    let refusal = refused(&scratch);
    assert!(refusal.contains("log.5: damaged at byte 28") && refusal.contains("missing"), "{refusal}");
    let lenient = Options { lenient: true, ..Options::default() };
    let (found, lines) = try_recover(&scratch, lenient);
    assert_eq!(found.expect("as it is").store.newest(), Zxid(8));
    let told = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(told("missing") && told("digest"), "{lines:?}");
    // A tree that isn't the one that was logged.
    let mut other = World::new();
    other.create("/other", b"", false);
    let scratch = Scratch::new();
    scratch.put("snapshot.1", &other.snapshot());
    scratch.put("log.1", &world.log(1, 8));
    let refusal = refused(&scratch);
    assert!(refusal.contains("log.1: damaged at byte") && refusal.contains("digest"), "{refusal}");
    // A digest that isn't the snapshot's tree's, with good seals.
    let snapshot = with_digest(&mut world, 8, 77);
    let scratch = Scratch::new();
    scratch.put("snapshot.8", &snapshot);
    assert!(
        refused(&scratch).contains("snapshot.8: damaged at byte 0: at zxid 0x8 the tree's digest was 0x4d")
    );
}

#[test]
fn damage_in_a_log_is_told_with_file_and_offset() {
    let world = World::small();
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    for at in [20, 28, 100] {
        let mut log = world.log(1, 8);
        log[at] ^= 0x10;
        scratch.put("log.1", &log);
        let refusal = refused(&scratch);
        assert!(refusal.contains("log.1: damaged at byte"), "{at}: {refusal}");
    }
    // Whole, and no transaction.
    let mut unknown = world.entries[0].clone();
    unknown[31] = 99;
    scratch.put("log.1", &super::super::testing::log_of(&[unknown], 0));
    let refusal = refused(&scratch);
    assert!(refusal.contains("log.1: damaged at byte") && refusal.contains("can't be read"), "{refusal}");
}

/// Without a digest the nodes themselves say what the log has to hold.
#[test]
fn a_fuzzy_snapshot_without_a_digest_needs_its_transactions() {
    let bare = |bytes: Vec<u8>| bytes[..bytes.len() - 54].to_vec();
    let world = World::small();
    let scratch = Scratch::new();
    scratch.put("snapshot.3", &bare(earlier(6).snapshot()));
    scratch.put("log.1", &world.log(1, 8));
    assert_recovers(&scratch, &world);
    scratch.put("log.1", &world.log(1, 5));
    let refusal = refused(&scratch);
    assert!(
        refusal.contains("snapshot.3: it was still being written at zxid 0x6, and the logs end at 0x5"),
        "{refusal}"
    );
    let lenient = Options { lenient: true, ..Options::default() };
    assert!(try_recover(&scratch, lenient).0.is_ok());
    // Up to a zxid before: it holds too much.
    scratch.put("log.1", &world.log(1, 8));
    scratch.put("snapshot.0", &World::new().snapshot());
    let until = Options { until: Some(Zxid(5)), ..Options::default() };
    let (found, lines) = try_recover(&scratch, until);
    assert_eq!(found.expect("from the one before").store.digest(), earlier(5).store.digest());
    assert!(
        lines.iter().any(|line| line.contains("it was still being written at zxid 0x6; trying")),
        "{lines:?}"
    );
}

/// Met after crashes of Apache's members: which of the two histories counts isn't to be seen.
#[test]
fn a_log_that_steps_back_is_refused_with_what_to_do() {
    let world = World::small();
    let twice: Vec<Vec<u8>> = [&world.entries[..5], &world.entries[3..]].concat();
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", &log_of(&twice, 64));
    for lenient in [false, true] {
        let refusal =
            try_recover(&scratch, Options { lenient, ..Options::default() }).0.err().expect("refused");
        assert!(
            refusal.contains("zxid 0x4 comes behind a later one: this server's log isn't one history"),
            "{refusal}"
        );
        assert!(refusal.contains("start in its place with an empty dataDir"), "{refusal}");
    }
}

/// Its checksums are right, and to apply it changes nothing.
#[test]
fn a_path_that_no_znode_can_have_is_damage() {
    let world = World::small();
    let header = |zxid: i64, txn: Txn<'_>| {
        let mut bytes = vec![];
        Entry::new(SESSION, 8, Zxid(zxid), WallMillis(1_000_000_000_000), txn, None).encode(&mut bytes);
        bytes
    };
    let create = |path| {
        let (data, acl) = (Some(&b""[..]), None);
        CreateTxn { path: Text::from(path), data, acl, ephemeral: false, parent_cversion: 1 }
    };
    let mut ops = vec![];
    encode_vector(&mut ops, ["/fine", "/a/../b"].map(|path| SubTxn(Txn::Create(create(path)))));
    let multi = Txn::Multi(MultiTxn::parse(&ops).expect("encoded above"));
    for (txn, said) in [
        (Txn::Create(create("a//b")), "transaction 0x9 is a Create of `a//b`, which is no znode's path"),
        (Txn::Create(create("/a/")), "`/a/`"),
        (Txn::Delete(DeleteTxn { path: Text::from("/a//e") }), "is a Delete of `/a//e`"),
        (multi, "is a Multi of `/a/../b`"),
    ] {
        let mut entries = world.entries.clone();
        entries.push(header(9, txn));
        let scratch = Scratch::new();
        scratch.put("snapshot.0", &World::new().snapshot());
        scratch.put("log.1", &log_of(&entries, 64));
        // Behind the header, the records before it, and the head of its own.
        let offset = 16 + world.entries.iter().map(|entry| 13 + entry.len()).sum::<usize>() + 12;
        let refusal = refused(&scratch);
        assert!(refusal.contains(&format!("log.1: damaged at byte {offset}: ")), "{refusal}");
        assert!(refusal.contains(said), "{refusal}");
        let lenient = Options { lenient: true, ..Options::default() };
        assert!(try_recover(&scratch, lenient).0.is_err(), "no leave for what was never written");
    }
}

#[test]
fn a_snapshot_without_its_log_counts_only_if_it_is_known_to_be_whole() {
    let doubting = |lenient| Options { doubts_lone: true, lenient, ..Options::default() };
    let only = |name: &str, bytes: &[u8]| {
        let scratch = Scratch::new();
        scratch.put(name, bytes);
        scratch
    };
    let whole = World::small().snapshot();
    assert!(try_recover(&only("snapshot.8", &whole), doubting(false)).0.is_ok());
    // Nothing was written before it: then there is no digest either.
    let first = World::new().snapshot();
    let sections = 54;
    let bare = |bytes: &[u8]| bytes[..bytes.len() - sections].to_vec();
    assert!(try_recover(&only("snapshot.0", &bare(&first)), doubting(false)).0.is_ok());
    let unproven = only("snapshot.8", &bare(&whole));
    let torn = only("snapshot.3", &whole);
    for (scratch, why) in
        [(&unproven, "it holds no digest"), (&torn, "clients wrote while it was taken, up to zxid 0x8")]
    {
        let refusal = try_recover(scratch, doubting(false)).0.err().expect("refused");
        assert!(refusal.contains(why) && refusal.contains("--lenient"), "{refusal}");
        let (found, lines) = try_recover(scratch, doubting(true));
        assert_eq!(found.expect("as it is").store.digest(), World::small().store.digest());
        assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
    }
    // A digest of that zxid, and another tree: the last transaction was half applied.
    let mut half = earlier(7).snapshot();
    let tail = half.len() - sections;
    half.truncate(tail);
    half.extend(&whole[whole.len() - sections..][..20]);
    let sum = i64::from(adler2::adler32_slice(&half));
    half.extend(sum.to_be_bytes());
    half.extend(snapshot_reader::SEAL_PATH);
    let refusal = try_recover(&only("snapshot.8", &half), doubting(false)).0.err().expect("refused");
    assert!(refusal.contains("while its end was written"), "{refusal}");
}

#[test]
fn ephemerals_without_a_session_go_unless_an_ensemble_has_to_agree() {
    let mut world = World::small();
    world.sessions.clear();
    let scratch = Scratch::new();
    scratch.put("snapshot.8", &world.snapshot());
    let (found, lines) = try_recover(&scratch, Options::default());
    let found = found.expect("recovers");
    assert!(found.store.find(b"/a/e").is_none() && found.store.find(b"/a").is_some());
    assert!(lines.iter().any(|line| line.contains("1 ephemeral") && line.contains("deleted")), "{lines:?}");
    let keeping = Options { keeps_orphans: true, ..Options::default() };
    let found = try_recover(&scratch, keeping).0.expect("recovers");
    assert_eq!(found.store.ephemerals_of(SESSION).len(), 1);
}

#[test]
fn directories_without_anything_are_named() {
    let scratch = Scratch::new();
    assert!(refused(&scratch).contains("version-2"));
    scratch.put("log.1", &World::small().log(1, 8));
    assert!(refused(&scratch).contains("holds no snapshot"));
}

#[test]
fn epochs_are_read_as_a_member_would() {
    let epochs = |zxid: i64, files: &[(&str, &str)]| {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("version-2")).expect("room");
        for (name, text) in files {
            scratch.put(name, text.as_bytes());
        }
        let found = read_epochs(scratch.path(), Zxid(zxid << 32 | 9));
        found
            .map(|found| found.map(|epochs| (epochs.accepted.0, epochs.current.0)))
            .map_err(|f| f.to_string())
    };
    assert_eq!(epochs(0, &[]), Ok(None));
    assert_eq!(epochs(4, &[]), Ok(Some((4, 4))), "a member's, restored without these files");
    assert_eq!(epochs(4, &[("acceptedEpoch", "5"), ("currentEpoch", "4\n")]), Ok(Some((5, 4))));
    assert_eq!(epochs(4, &[("acceptedEpoch", "5")]), Ok(Some((5, 4))));
    let left = [("acceptedEpoch", "5"), ("currentEpoch", "4"), ("currentEpoch.tmp", "5")];
    assert_eq!(epochs(5, &left), Ok(Some((5, 5))));
    assert!(epochs(5, &left[..2]).is_err_and(|text| text.contains("of epoch 5")));
    assert!(epochs(4, &[("acceptedEpoch", "3"), ("currentEpoch", "4")]).is_err());
    assert_eq!(epochs(4, &[("currentEpoch", "4")]), Ok(Some((4, 4))));
    for wrong in ["", "-1", "4x", "99999999999999999999"] {
        let found = epochs(4, &[("acceptedEpoch", wrong), ("currentEpoch", "4")]);
        assert!(found.is_err_and(|text| text.contains("acceptedEpoch: damaged")), "{wrong}");
    }
}
