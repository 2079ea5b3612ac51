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
    recorder.finish(1200 * MS);
    assert_eq!(
        (recorder.all().len(), recorder.histogram(Kind::Get).len()),
        (2, 1),
        "also when the slices are closed"
    );
    assert_eq!(recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(), [1, 1]);
    let max = recorder.series[0].latency_ns_max;
    assert!((100 * MS..101 * MS).contains(&max), "{max}");
}

/// Recorded as one, until another one comes or the 100 ms are over.
#[test]
fn equal_latencies_are_counted_each_in_its_slice_and_kind() {
    let mut recorder = Recorder::new(CountBy::Reply, 0..300 * MS);
    let replies = [
        (Kind::Get, 98),
        (Kind::Get, 98),
        (Kind::Set, 98),
        (Kind::Get, 99),
        (Kind::Get, 100),
        (Kind::Get, 101),
    ];
    for (kind, at) in replies {
        recorder.answered(kind, (at - 5) * MS, at * MS);
    }
    recorder.answered(Kind::Get, 201 * MS, 207 * MS);
    let counts = |recorder: &Recorder| [Kind::Get, Kind::Set].map(|kind| recorder.histogram(kind).len());
    assert_eq!((counts(&recorder), recorder.all().len()), ([6, 1], 7));
    recorder.finish(300 * MS);
    assert_eq!((counts(&recorder), recorder.all().len()), ([6, 1], 7), "also when the slices are closed");
    assert_eq!(recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(), [4, 2, 1]);
    let gets = recorder.histogram(Kind::Get);
    assert_eq!([gets.count_at(5 * MS), gets.count_at(6 * MS)], [5, 1]);
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
    recorder.finish(1200 * MS);
    assert_eq!(recorder.all().len(), 1, "a slice is of the replies that came in it");
    assert_eq!(recorder.series.iter().map(|entry| entry.replies).collect::<Vec<_>>(), [0, 1]);
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

#[test]
fn each_entry_of_the_series_has_its_own_percentiles_and_errors() {
    let mut recorder = Recorder::new(CountBy::Reply, 0..400 * MS);
    for reply in 1..=100 {
        recorder.replied(1, reply * MS / 10);
        recorder.answered(Kind::Get, 0, reply * MS / 10);
    }
    recorder.error("NoNode");
    recorder.replied(1, 150 * MS);
    recorder.answered(Kind::Get, 149 * MS, 150 * MS);
    recorder.error("NoNode");
    recorder.answered(Kind::Set, 0, 399 * MS);
    recorder.answered(Kind::Get, 0, 399 * MS);
    recorder.finish(400 * MS);
    let near = |found: u64, wanted: u64| found.abs_diff(wanted) <= wanted / 100;
    let [first, second, empty, last] = recorder.series[..] else { panic!("{:?}", recorder.series) };
    assert!(near(first.latency_ns_p50, 5 * MS) && near(first.latency_ns_max, 10 * MS), "{first:?}");
    assert!(near(first.latency_ns_p99, 99 * MS / 10), "{first:?}");
    assert_eq!((first.replies, first.errors, second.errors, last.errors), (100, 1, 1, 0));
    assert!(near(second.latency_ns_p50, MS) && near(last.latency_ns_p50, 399 * MS), "{second:?} {last:?}");
    assert_eq!(empty, SeriesEntry::default());
    assert_eq!(last.replies, 2, "of both kinds");
}

#[test]
fn a_load_that_ended_early_has_a_shorter_series() {
    let mut recorder = Recorder::new(CountBy::Reply, 100 * MS..1_000 * MS);
    recorder.answered(Kind::Get, 240 * MS, 250 * MS);
    recorder.finish(260 * MS);
    assert_eq!(recorder.series.len(), 2);
    assert!(recorder.series[1].latency_ns_max > 0);
    let mut never = Recorder::new(CountBy::Reply, 100 * MS..1_000 * MS);
    never.finish(50 * MS);
    assert!(never.series.is_empty());
}

#[test]
fn what_looks_at_an_operation_again_is_none() {
    let mut recorder = Recorder::new(CountBy::Reply, 0..100 * MS);
    recorder.answered(Kind::Watch, 0, MS);
    recorder.answered(Kind::WatchLast, 0, MS);
    recorder.finish(100 * MS);
    assert_eq!((recorder.all().len(), recorder.replies_total, recorder.series[0].replies), (1, 1, 1));
    assert_eq!(recorder.histogram(Kind::WatchLast).len(), 1);
}
