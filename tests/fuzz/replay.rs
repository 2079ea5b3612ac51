//! What recovery hands on: transactions and snapshot chunks that are no longer what a server wrote. Checksums keep them
//! away; should they come all the same (another program's log, a bug), the start fails with a message, or goes on with a
//! tree that can be read. It doesn't panic.

use ringkeeper::base::{Instant, Now, Prng, SessionId, WallMillis, Zxid};
use ringkeeper::replica::{Boot, BootError, Start};
use ringkeeper::tree::{Head, Record};
use ringkeeper::wire::jute::encode_vector;
use ringkeeper::wire::txn::{
    CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn, DeleteTxn, Entry, ErrorTxn, MultiTxn,
    SetAclTxn, SetDataTxn, SubTxn, Txn,
};
use ringkeeper::wire::{AclList, Decode, Text, Vector};

use crate::connection::{empty_log, replica_settings};
use crate::corpus::{damage, encoded, pick};

const INPUTS: u64 = 60;

const PATHS: [&str; 9] =
    ["/a", "/a/b", "/a/b/c", "/b", "/", "", "/zookeeper/quota/a", "no slash", "/nowhere/x"];

pub fn round(seed: u64) -> u64 {
    let mut prng = Prng::salted(seed, "replay");
    let now = Now { instant: Instant(5_000_000_000), wall: WallMillis(1_000_000) };
    let mut boot = Boot::new(replica_settings(&mut prng), 1, now);
    boot.plant();
    for _ in 0..INPUTS {
        // What can't be read is an error, and the next one is tried.
        let _ = replay(&mut boot, &mut prng);
    }
    let applied = boot.applied();
    let Start { replica, mut readers, history: _ } = boot.finish(empty_log().0, vec![]);
    let mut reader = readers.pop().expect("one was asked for");
    let reading = reader.enter();
    let mut left = vec![b"/".to_vec()];
    let mut count = 0;
    while let Some(path) = left.pop() {
        let node = reading.node(&path, applied).expect("it is its parent's child");
        let _ = (node.stat(), node.data(), node.acl_entries());
        let children: Vec<Vec<u8>> =
            reading.children(node, applied).map(|child| child.path.bytes().to_vec()).collect();
        assert_eq!(children.len() as i32, node.stat().num_children);
        left.extend(children);
        count += 1;
    }
    assert_eq!(count, replica.facts().nodes_count, "every node is somebody's child");
    chunks(&mut prng, now);
    INPUTS
}

/// A start that doesn't expect to fail.
pub fn canary(seed: u64) {
    let mut prng = Prng::salted(seed, "replay");
    let now = Now { instant: Instant(5_000_000_000), wall: WallMillis(1_000_000) };
    let mut boot = Boot::new(replica_settings(&mut prng), 1, now);
    boot.plant();
    for _ in 0..INPUTS {
        replay(&mut boot, &mut prng).expect("a transaction");
    }
}

fn replay(boot: &mut Boot, prng: &mut Prng) -> Result<(), BootError> {
    let zxid = boot.applied().next();
    let mut payload = transaction(prng, zxid);
    if prng.chance(1, 2) {
        damage(prng, &mut payload);
    }
    let _ = boot.orphans();
    boot.replay(zxid, &payload)
}

fn transaction(prng: &mut Prng, zxid: Zxid) -> Vec<u8> {
    let mut paths = vec![];
    let texts: Vec<Text<'_>> = (0..prng.below(3)).map(|_| Text::from(pick(prng, &PATHS))).collect();
    encode_vector(&mut paths, texts);
    let mut ops = vec![];
    let parts: Vec<SubTxn<'_>> = (0..prng.below(4)).map(|_| SubTxn(simple(prng))).collect();
    encode_vector(&mut ops, parts);
    let txn = match prng.below(10) {
        0 => Txn::CreateSession(CreateSessionTxn { timeout_ms: pick(prng, &[4_000, 0, -1, i32::MAX]) }),
        1 => Txn::CloseSession(Vector::parse(&paths).ok()),
        2 => Txn::Multi(MultiTxn::parse(&ops).unwrap_or(Vector::EMPTY)),
        _ => simple(prng),
    };
    let session = SessionId(prng.below(4) as i64);
    encoded(&Entry::new(session, 1, zxid, WallMillis(5), txn, None))
}

fn simple(prng: &mut Prng) -> Txn<'static> {
    let path = Text::from(pick(prng, &PATHS));
    let (data, acl) = (Some(&b"count=1,bytes=2"[..]), Some(AclList::OPEN));
    let parent_cversion = pick(prng, &[-1, 1, 7, i32::MAX, i32::MIN]);
    let version = pick(prng, &[-1, 0, 1, i32::MAX]);
    match prng.below(8) {
        0..=2 => {
            let ephemeral = prng.chance(1, 3);
            Txn::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
        }
        3 => Txn::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion }),
        4 => {
            let ttl = pick(prng, &[1, -1, 0, i64::MAX, 1 << 41]);
            Txn::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl })
        }
        5 => match prng.below(2) {
            0 => Txn::Delete(DeleteTxn { path }),
            _ => Txn::DeleteContainer(DeleteTxn { path }),
        },
        6 => match prng.below(2) {
            0 => Txn::SetData(SetDataTxn { path, data: None, version }),
            _ => Txn::Error(ErrorTxn { err: version }),
        },
        // Not within a multi; there its encoding is refused.
        _ => match prng.below(3) {
            0 => Txn::SetAcl(SetAclTxn { path, acl: None, version }),
            _ => Txn::SetData(SetDataTxn { path, data, version }),
        },
    }
}

/// Chunks of a snapshot with some of their bytes changed, or in another order.
fn chunks(prng: &mut Prng, now: Now) {
    let settings = replica_settings(prng);
    let mut chunk: Vec<u8> = (0..8 + prng.below(300)).map(|_| prng.next() as u8 & 0x0f).collect();
    if prng.chance(1, 2) {
        damage(prng, &mut chunk);
    }
    let _ = Head::decode(&chunk);
    let _ = Record::decode(&chunk);
    let mut boot = Boot::new(settings, 1, now);
    for _ in 0..3 {
        if boot.load(Zxid(5), &chunk).is_err() {
            break;
        }
    }
    let _ = boot.loaded();
}
