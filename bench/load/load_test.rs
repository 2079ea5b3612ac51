//! Tests of `load`: pacing and stages, without sockets.

use super::*;
use crate::workload::{Endless, Kind, Mix, Source, child_paths};
use ringkeeper::base::Prng;

struct Holder(Session);

impl AsMut<Session> for Holder {
    fn as_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

fn sets() -> Workload {
    let endless = Endless {
        mix: Mix::Set,
        keys: 10,
        rng: Prng::salted(1, "workload"),
        create_prefix: String::new(),
        created: 0,
    };
    Workload::new(Source::Endless(endless), 100)
}

fn plan(pacing: Pacing) -> Plan {
    Plan { pacing, warmup_ns: 1_000_000, window_ns: 9_000_000, server_pids: Vec::new() }
}

#[test]
fn a_closed_loop_keeps_so_many_unanswered_until_its_end() {
    let mut load = Load::measured(sets(), plan(Pacing::Closed { outstanding: 3 }));
    let mut session = Session::new(0, false);
    let now = load.origin;
    load.refill(&mut session, now);
    load.refill(&mut session, now);
    assert_eq!(session.unanswered_count(), 3);
    let mut late = Session::new(1, false);
    let end = load.stop_at;
    load.refill(&mut late, end);
    assert_eq!(late.unanswered_count(), 0);
    assert_eq!(load.on_turn(end).expect("no servers to look at"), Stage::Draining);
    assert!(load.begin.is_some() && load.end.is_some());
}

#[test]
fn an_open_loop_asks_at_its_rate_whatever_comes_back() {
    let mut load = Load::measured(sets(), plan(Pacing::Open { rate: 1_000_000.0 }));
    let mut sessions = [Holder(Session::new(0, false)), Holder(Session::new(1, false))];
    let now = load.origin + 10_500;
    let mut asked = Vec::new();
    load.release(&mut sessions, now, |index| asked.push(index));
    assert_eq!(asked, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!(load.next_due_at(), Some(load.origin + 11_000));
    load.release(&mut sessions, now, |_| panic!("nothing is due"));
    let now = load.stop_at + 1;
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Asking, "late, but not all was asked");
    for _ in 0..100 {
        load.release(&mut sessions, now, |_| ());
    }
    let total: usize = sessions.iter().map(|holder| holder.0.unanswered_count()).sum();
    assert_eq!(total, 10_000, "10 ms at 1 per microsecond, and nothing from the end on");
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Draining);
}

#[test]
fn the_latency_of_an_open_loop_counts_from_the_intended_start() {
    let mut load = Load::measured(sets(), plan(Pacing::Open { rate: 1_000.0 }));
    let mut sessions = [Holder(Session::new(0, false))];
    let late = load.origin + 5_000_000;
    load.release(&mut sessions, late, |_| ());
    assert_eq!(sessions[0].0.unanswered_count(), 6);
    let mut replies = Vec::new();
    for xid in 1..=6i32 {
        replies.extend_from_slice(&84i32.to_be_bytes());
        replies.extend_from_slice(&xid.to_be_bytes());
        replies.resize(replies.len() + 80, 0);
    }
    let answered = late + 1_000_000;
    sessions[0].0.on_bytes(&replies, answered, &mut load.recorder).expect("right replies");
    let sets = load.recorder.histogram(Kind::Set);
    assert_eq!(sets.len(), 5, "the first is before the window");
    assert!((4_900_000..5_100_000).contains(&sets.max()), "{}", sets.max());
    assert!((990_000..1_010_000).contains(&sets.min()), "{}", sets.min());
    assert!((3_950_000..4_050_000).contains(&load.recorder.lateness.max()));
}

#[test]
fn a_list_of_creates_drains_when_it_ends_and_a_silent_server_stalls() {
    let mut load = Load::unmeasured(Workload::new(Source::Creates(Box::new(child_paths(2, 2))), 0), 16);
    let mut session = Session::new(0, true);
    let now = load.origin;
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Asking);
    load.refill(&mut session, now);
    assert_eq!(session.unanswered_count(), 2);
    assert_eq!(load.on_turn(now + STALL_NS - 1).expect("no servers"), Stage::Draining);
    assert_eq!(load.on_turn(now + STALL_NS).expect("no servers"), Stage::Stalled);
}

#[test]
fn an_open_loop_gives_up_when_the_server_is_hopelessly_behind() {
    let plan = Plan { window_ns: 60_000_000_000, ..plan(Pacing::Open { rate: 1_000_000.0 }) };
    let mut load = Load::measured(sets(), plan);
    load.released = BACKLOG_MAX;
    let mut sessions = [Holder(Session::new(0, false))];
    let now = load.origin + BACKLOG_MAX * 1_000 + 1_000;
    load.release(&mut sessions, now, |_| ());
    assert_eq!(load.recorder.errors_count(), 1);
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Draining);
}
