//! Which requests are told of as slow, with what, and how many of them.

use super::super::testing::Bench;
use super::*;
use crate::base::Path;
use crate::messages::{Answer, AnswerBody, Changes, Client, Notice};
use crate::shard::Input;
use crate::wire::client::{GetDataRequest, SetDataRequest};

const THRESHOLD: Duration = Duration::from_millis(100);

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.shard.state.settings.slow_request = THRESHOLD;
    bench.write(None, |world| world.create("/a", b"data"));
    bench
}

fn get(path: &str) -> GetDataRequest<'_> {
    GetDataRequest { path: path.into(), watch: false }
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: path.into(), data: Some(b"new"), version: -1 }
}

#[test]
fn a_read_behind_a_slow_write_is_slow_as_well() {
    let mut bench = bench();
    let client = bench.connect();
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    bench.send(client, 2, Opcode::GetData, &get("/a"));
    bench.pass(THRESHOLD);
    bench.write(Some((client, 1)), |world| world.set_data("/a", b"new"));
    bench.end_turn();
    let told: Vec<_> =
        bench.slow.iter().map(|slow| (slow.opcode, slow.path.as_deref(), slow.zxid, slow.left_out)).collect();
    let zxid = bench.world.zxid;
    assert_eq!(told, [(Opcode::SetData, None, zxid, 0), (Opcode::GetData, Some("/a"), zxid, 0)]);
    for slow in &bench.slow {
        assert_eq!(slow.session, SessionId(client as i64 + 1));
        assert_eq!(slow.answered.since(slow.received), THRESHOLD);
    }
    // The reads that were nothing to speak of.
    bench.send(client, 3, Opcode::GetData, &get("/a"));
    bench.end_turn();
    assert_eq!(bench.slow.len(), 2);
}

#[test]
fn what_the_replica_knows_of_a_write_is_told_with_it() {
    let mut bench = bench();
    let client = bench.connect();
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    let taken = bench.now.instant;
    bench.pass(THRESHOLD);
    let stages = Stages {
        taken,
        proposed: taken,
        durable: Some(bench.now.instant),
        committed: None,
        path: Some(Path::new(b"/a")),
    };
    let to = Client { shard: crate::base::ShardId(0), connection: Bench::id(client) };
    let zxid = bench.world.zxid;
    let notice = Notice {
        zxid,
        changes: Changes::None,
        answer: Some(Answer { to, xid: 1, body: AnswerBody::Error(crate::wire::ErrorCode::Ok) }),
        stages: Some(Box::new(stages.clone())),
        ..Notice::empty()
    };
    bench.step(Input::Notice(std::sync::Arc::new(notice)));
    bench.step(Input::Published { zxid });
    bench.end_turn();
    assert_eq!((bench.slow[0].path.as_deref(), &bench.slow[0].stages), (Some("/a"), &Some(stages)));
}

#[test]
fn more_than_a_few_in_a_second_are_counted() {
    let mut bench = bench();
    let client = bench.connect();
    let slow_get = |bench: &mut Bench, count: i32| {
        bench.send(client, 1, Opcode::SetData, &set("/a"));
        for xid in 0..count {
            bench.send(client, 2 + xid, Opcode::GetData, &get("/a"));
        }
        bench.pass(THRESHOLD);
        bench.write(Some((client, 1)), |world| world.set_data("/a", b"new"));
        bench.told(client);
    };
    slow_get(&mut bench, 11);
    assert_eq!(bench.slow.len(), LINES_A_SECOND as usize);
    bench.pass(SECOND);
    slow_get(&mut bench, 0);
    let left_out: Vec<u64> = bench.slow.iter().map(|slow| slow.left_out).collect();
    assert_eq!(left_out, [0, 0, 0, 0, 0, 7]);
    assert_eq!(bench.shard.tallies().latency().count, 1 + 12 + 1, "all are tallied");
}

#[test]
fn without_a_threshold_nothing_is_slow() {
    let mut bench = bench();
    bench.shard.state.settings.slow_request = Duration::MAX;
    let client = bench.connect();
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    bench.pass(Duration::from_secs(4));
    bench.write(Some((client, 1)), |world| world.set_data("/a", b"new"));
    bench.end_turn();
    assert_eq!(bench.slow, []);
}

#[test]
fn paths_of_reads() {
    let mut body = vec![];
    crate::wire::Encode::encode(&get("/a/b"), &mut body);
    assert_eq!(path_of(Opcode::GetData, &body).as_deref(), Some("/a/b"));
    assert_eq!(path_of(Opcode::Exists, &body).as_deref(), Some("/a/b"));
    assert_eq!(path_of(Opcode::GetData, &body[..3]), None);
    assert_eq!(path_of(Opcode::WhoAmI, &[]), None);
}
