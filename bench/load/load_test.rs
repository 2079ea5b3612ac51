//! Tests of `load`: pacing and stages, without sockets.

use super::*;
use crate::base::Prng;
use crate::bench::keys::{Distribution, Keys, Sizes};
use crate::bench::mix::{Mix, Op};
use crate::bench::session::Watching;
use crate::bench::workload::{Endless, Kind, Source, child_paths};

struct Holder(Session);

impl AsMut<Session> for Holder {
    fn as_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

fn sets() -> Workload {
    only(Op::Set)
}

fn only(op: Op) -> Workload {
    let endless = Endless {
        mix: Mix::only(op),
        keys: Keys::new(10, Distribution::Uniform),
        rng: Prng::salted(1, "workload"),
        prefix: String::new(),
        multi_ops: 1,
        locks: 1,
        queues: 1,
        made: Vec::new(),
        ephemerals: 0,
    };
    Workload::new(Source::Endless(endless), Sizes::fixed(100), 1)
}

fn plan(pacing: Pacing) -> Plan {
    Plan {
        pacing,
        warmup_ns: 1_000_000,
        window_ns: 9_000_000,
        server_pids: Vec::new(),
        servers: Vec::new(),
        stop: None,
    }
}

#[test]
fn a_closed_loop_keeps_so_many_unanswered_until_its_end() {
    let mut load = Load::measured(sets(), plan(Pacing::Closed { outstanding: 3 }));
    let mut session = Session::new(0, false);
    let now = load.origin;
    load.refill(&mut session, now);
    load.refill(&mut session, now);
    assert_eq!(session.under_way(), 3);
    let mut late = Session::new(1, false);
    let end = load.stop_at;
    load.refill(&mut late, end);
    assert_eq!(late.under_way(), 0);
    assert_eq!(load.on_turn(end).expect("no servers to look at"), Stage::Draining);
    assert!(load.begin.is_some() && load.end.is_some());
}

fn successful(xid: i32, body: &[u8]) -> Vec<u8> {
    let length = (16 + body.len()) as i32;
    let header = [length, xid, 0, 7, 0].map(i32::to_be_bytes).concat();
    [&header[..], body].concat()
}

/// The body of a reply to a get.
fn data_and_stat() -> Vec<u8> {
    [&100i32.to_be_bytes()[..], &[0; 100], &[0; 68]].concat()
}

/// However the replies are cut: what a socket gives may be a part of one, and nothing is to be asked then.
#[test]
fn a_pipeline_is_full_after_each_piece_of_a_reply() {
    let data = data_and_stat();
    for (op, body) in [(Op::Get, &data[..]), (Op::Set, &[0; 68])] {
        let mut load = Load::measured(only(op), plan(Pacing::Closed { outstanding: 3 }));
        let mut session = Session::new(0, false);
        let now = load.origin;
        load.refill(&mut session, now);
        for xid in 1..=20 {
            let reply = successful(xid, body);
            for piece in [&reply[..7], &reply[7..]] {
                assert_eq!(session.on_bytes(piece, now, &mut load.recorder), Ok(()));
                load.refill(&mut session, now);
                assert_eq!(session.under_way(), 3);
            }
        }
        assert_eq!((load.recorder.replies_total, load.recorder.errors_count()), (20, 0));
    }
}

#[test]
fn xids_begin_again_behind_the_last_one() {
    let data = data_and_stat();
    let mut load = Load::measured(only(Op::Get), plan(Pacing::Closed { outstanding: 3 }));
    let mut session = Session::new(0, false);
    let now = load.origin;
    session.skip_xids_to(i32::MAX - 4);
    load.refill(&mut session, now);
    for xid in (i32::MAX - 4..=i32::MAX).chain(1..=5) {
        assert_eq!(session.on_bytes(&successful(xid, &data), now, &mut load.recorder), Ok(()));
        load.refill(&mut session, now);
        assert_eq!(session.under_way(), 3);
    }
    assert_eq!((load.recorder.replies_total, load.recorder.errors_count()), (10, 0));
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
    let total: usize = sessions.iter().map(|holder| holder.0.under_way()).sum();
    assert_eq!(total, 10_000, "10 ms at 1 per microsecond, and nothing from the end on");
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Draining);
}

#[test]
fn the_latency_of_an_open_loop_counts_from_the_intended_start() {
    let mut load = Load::measured(sets(), plan(Pacing::Open { rate: 1_000.0 }));
    let mut sessions = [Holder(Session::new(0, false))];
    let late = load.origin + 5_000_000;
    load.release(&mut sessions, late, |_| ());
    assert_eq!(sessions[0].0.under_way(), 6);
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
    let mut load = Load::unmeasured(
        Workload::new(Source::Creates(Box::new(child_paths(2, 2))), Sizes::fixed(0), 1),
        16,
        None,
    );
    let mut session = Session::new(0, true);
    let now = load.origin;
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Asking);
    load.refill(&mut session, now);
    assert_eq!(session.under_way(), 2);
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
    assert!(load.cut.as_ref().is_some_and(|reason| reason.contains("--rate")), "{:?}", load.cut);
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Draining);
}

#[test]
fn a_load_that_is_cut_short_asks_nothing_more_and_keeps_what_it_has() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let plan =
        Plan { window_ns: 60_000_000_000, stop: Some(&STOP), ..plan(Pacing::Closed { outstanding: 3 }) };
    let mut load = Load::measured(sets(), plan);
    let now = load.origin + 500_000_000;
    assert_eq!(load.on_turn(now).expect("no servers"), Stage::Asking);
    STOP.store(true, Ordering::SeqCst);
    assert_eq!(load.on_turn(now + 1).expect("no servers"), Stage::Draining);
    let mut session = Session::new(0, false);
    load.refill(&mut session, now + 2);
    assert_eq!(session.under_way(), 0);
    load.finish().expect("no servers");
    assert!(load.cut.as_ref().is_some_and(|reason| reason.contains("signal")), "{:?}", load.cut);
    assert!(load.end.is_some() && load.recorder.series.len() < 600);
    let mut silent = Load::measured(sets(), Plan { stop: None, ..load.plan.clone() });
    silent.finish().expect("no servers");
    assert!(silent.cut.is_some() && silent.begin.is_some(), "it ended in its warm-up");
}

/// A fan-out of two watchers and their writer, who get what they ask for.
struct FanOut {
    load: Load,
    sessions: Vec<Holder>,
}

impl FanOut {
    fn new(pacing: Pacing) -> FanOut {
        let plan = Plan { warmup_ns: 0, window_ns: 1_000_000_000, ..plan(pacing) };
        let load = Load::fan_out(sets(), plan, Fan::new(b"/w".to_vec(), 2));
        let sessions = (0..3).map(|index| Holder(Session::new(index, false))).collect();
        FanOut { load, sessions }
    }

    fn reply(&mut self, index: usize, now: u64) {
        let session = &mut self.sessions[index].0;
        let xid = session.next_xid() - 1;
        let mut frame = [&84i32.to_be_bytes()[..], &xid.to_be_bytes()].concat();
        frame.resize(88, 0);
        session.on_bytes(&frame, now, &mut self.load.recorder).expect("a right reply");
        self.load.refill(session, now);
    }

    fn tell(&mut self, index: usize, now: u64) {
        let mut frame = [&30i32.to_be_bytes()[..], &(-1i32).to_be_bytes()].concat();
        frame.resize(31, 0);
        frame.extend_from_slice(b"\x02/w");
        let session = &mut self.sessions[index].0;
        session.on_bytes(&frame, now, &mut self.load.recorder).expect("an event");
        self.load.refill(session, now);
    }

    /// Whether a change was asked for.
    fn fires(&mut self, now: u64) -> bool {
        let mut writers = Vec::new();
        self.load.release(&mut self.sessions, now, |index| writers.push(index));
        assert!(writers.is_empty() || writers == [2], "{writers:?}");
        !writers.is_empty()
    }
}

#[test]
fn a_change_is_made_when_all_watch_and_measured_until_each_is_told() {
    let mut scene = FanOut::new(Pacing::Closed { outstanding: 1 });
    let start = scene.load.origin;
    for index in 0..3 {
        scene.load.refill(&mut scene.sessions[index].0, start);
    }
    assert_eq!(scene.sessions.iter().map(|holder| holder.0.under_way()).collect::<Vec<_>>(), [1, 1, 0]);
    scene.reply(0, start + 10);
    assert!(!scene.fires(start + 10), "one doesn't watch yet");
    scene.reply(1, start + 20);
    assert!(scene.fires(start + 1_000) && !scene.fires(start + 1_000), "once");
    assert!(scene.load.waits_for_events());
    scene.reply(2, start + 2_000);
    scene.tell(1, start + 3_000);
    assert_eq!(scene.sessions[1].0.watching, Watching::Asked, "it watches again at once");
    scene.reply(1, start + 4_000);
    assert!(!scene.fires(start + 4_000), "one isn't told yet");
    scene.tell(0, start + 9_000);
    assert!(!scene.load.waits_for_events());
    scene.reply(0, start + 9_500);
    assert!(scene.fires(start + 9_600));
    let recorder = &scene.load.recorder;
    let watch = recorder.histogram(Kind::Watch);
    assert_eq!((watch.len(), watch.min(), watch.max()), (2, 2_000, 8_003), "{watch:?}");
    assert_eq!((recorder.histogram(Kind::WatchLast).len(), recorder.histogram(Kind::Set).len()), (1, 1));
}

#[test]
fn changes_at_a_rate_count_from_when_they_were_due() {
    let mut scene = FanOut::new(Pacing::Open { rate: 1_000.0 });
    let start = scene.load.origin;
    for index in 0..3 {
        scene.load.refill(&mut scene.sessions[index].0, start);
    }
    assert_eq!(scene.load.next_due_at(), None, "nobody watches: nothing to wake up for");
    scene.reply(0, start);
    scene.reply(1, start);
    assert!(scene.fires(start));
    scene.reply(2, start);
    for index in 0..2 {
        scene.tell(index, start + 3_000_000);
        scene.reply(index, start + 3_000_000);
    }
    assert_eq!(scene.load.next_due_at(), Some(start + 1_000_000));
    assert!(scene.fires(start + 3_000_000));
    scene.reply(2, start + 3_000_000);
    scene.tell(0, start + 3_000_000);
    let watch = scene.load.recorder.histogram(Kind::Watch);
    assert!((1_990_000..2_010_000).contains(&watch.min()), "the change was due 2 ms before: {}", watch.min());
}

#[test]
fn changes_that_a_slow_server_delayed_are_all_made_though_time_is_over() {
    let mut scene = FanOut::new(Pacing::Open { rate: 3.0 });
    let end = scene.load.stop_at;
    for index in 0..3 {
        scene.load.refill(&mut scene.sessions[index].0, scene.load.origin);
    }
    scene.reply(0, end + 10);
    scene.reply(1, end + 10);
    for round in 0..3 {
        let now = end + 1_000 * (round + 1);
        assert_eq!(scene.load.on_turn(now).expect("no servers"), Stage::Asking, "round {round}");
        assert!(scene.fires(now), "round {round}");
        scene.reply(2, now);
        for index in 0..2 {
            scene.tell(index, now);
            if round < 2 {
                scene.reply(index, now);
            }
        }
    }
    assert_eq!(
        scene.sessions[0].0.watching,
        Watching::Nothing,
        "nobody watches for a change that won't come"
    );
    assert_eq!(scene.load.on_turn(end + 9_000).expect("no servers"), Stage::Draining);
    assert_eq!(scene.load.recorder.histogram(Kind::Watch).len(), 6);
    let mut hopeless = FanOut::new(Pacing::Open { rate: 3.0 });
    hopeless.load.recorder.replied(1, end);
    hopeless.load.on_turn(end + 1).expect("no servers");
    hopeless.load.recorder.replied(1, end);
    hopeless.load.on_turn(hopeless.load.stop_at + STALL_NS).expect("no servers");
    assert!(
        hopeless.load.cut.as_ref().is_some_and(|reason| reason.contains("--rate")),
        "{:?}",
        hopeless.load.cut
    );
}

/// Nothing is held back where requests are far apart; where they are close, never for more than a millisecond.
#[test]
fn an_open_loop_releases_together_what_is_close() {
    let apart = |rate| Load::measured(sets(), plan(Pacing::Open { rate })).release_ns_min();
    for rate in [100.0, 20_000.0] {
        assert!(apart(rate) as f64 <= 1e9 / rate, "{rate}/s: {} ns", apart(rate));
    }
    assert_eq!((apart(40_000.0), apart(1e6)), (200_000, 1_000_000));
}
