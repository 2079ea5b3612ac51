//! Tests of `recorder`: what belongs to the window.

use super::*;

const MS: u64 = 1_000_000;

#[test]
fn a_closed_loop_counts_by_reply() {
    let mut recorder = Recorder::new(CountBy::Reply, 1000 * MS..1200 * MS);
    recorder.answered(Kind::Get, 900 * MS, 999 * MS);
    recorder.answered(Kind::Get, 900 * MS, 1000 * MS);
    recorder.answered(Kind::Set, 1199 * MS, 1200 * MS - 1);
    recorder.answered(Kind::Set, 1199 * MS, 1200 * MS);
    assert_eq!((recorder.all().len(), recorder.replies_total), (2, 4));
    assert_eq!(recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(recorder.series[0].latency_ns_max, 100 * MS);
}

#[test]
fn an_open_loop_counts_by_intended_start_however_late_the_reply() {
    let mut recorder = Recorder::new(CountBy::IntendedStart, 1000 * MS..1200 * MS);
    recorder.answered(Kind::Set, 999 * MS, 1100 * MS);
    recorder.answered(Kind::Set, 1100 * MS, 9000 * MS);
    let all = recorder.all();
    assert_eq!(all.len(), 1);
    assert!(all.max() >= 7890 * MS, "{}", all.max());
    recorder.sent_late(999 * MS, 1000 * MS);
    recorder.sent_late(1000 * MS, 1001 * MS);
    assert_eq!(recorder.lateness.len(), 1);
}

#[test]
fn latencies_beyond_the_scale_count_as_its_end_and_errors_always_count() {
    let mut recorder = Recorder::new(CountBy::Reply, 0..LATENCY_NS_MAX * 3);
    recorder.answered(Kind::Get, 0, LATENCY_NS_MAX * 2);
    assert!(recorder.all().max() >= LATENCY_NS_MAX);
    let mut unmeasured = Recorder::unmeasured();
    unmeasured.answered(Kind::Create, 0, 5);
    unmeasured.error("NoNode");
    unmeasured.errors("NoNode", 2);
    unmeasured.errors("unanswered", 0);
    assert_eq!((unmeasured.all().len(), unmeasured.replies_total), (0, 1));
    assert_eq!(unmeasured.errors_by_kind().collect::<Vec<_>>(), [("NoNode", 3)]);
}
